"""Joint diagonalisation: the directions that a family of symmetric matrices share, orthogonal or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels import jacobi
from fastmom.moments.tensors import svec
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_real_array, require_finite

Array = npt.NDArray[np.float64]

EXACT = 1e-10  # relative residual below which nothing is left to search for
_SMALLEST = 1e-13  # rotations beyond which Jacobi sweeps go on
_MAX_SWEEPS = 100
_STEPS = 12  # of the correction of all rows together
_COLLAPSED = 10.0  # growth of the condition number of Z that betrays two rows on their way to one


@dataclass(frozen=True)
class OrthogonalDiagonalization:
    """An orthonormal basis in which symmetric matrices are as diagonal as they can be together.

    Attributes
    ----------
    V : ndarray (k, k)
        Orthonormal rows: V S V^T is nearly diagonal.
    off_diagonal : float
        Frobenius norm of what V S V^T have off their diagonals, relative to that of S.
    sweeps : int
        Sweeps through all planes.
    converged : bool
        Whether the last sweep had nothing left to turn.
    """

    V: Array
    off_diagonal: float
    sweeps: int
    converged: bool


@dataclass(frozen=True)
class JointDiagonalization:
    """Rows z_i and coefficients c_li with S_l = sum_i c_li z_i z_i^T, as nearly as could be found.

    Attributes
    ----------
    Z : ndarray (k, k)
        Rows of unit norm, in no particular order and of no particular sign.
    coefficients : ndarray (L, k)
        Least-squares c for these Z.
    residual : float
        Frobenius norm of what is left of all matrices, relative to theirs.
    separation : float
        Least sine of the angle between the coefficients (L,) of two rows: where it is zero, those rows are not
        determined, whatever the residual (every basis of their plane fits as well).
    method : str
        "jacobi" or "pencil", whichever left less.
    """

    Z: Array
    coefficients: Array
    residual: float
    separation: float
    method: str


def jacobi_diagonalize(matrices: npt.ArrayLike) -> OrthogonalDiagonalization:
    """Joint diagonalisation of symmetric matrices by an orthogonal matrix.

    Plane rotations with the angles of Cardoso and Souloumiac 1996 (SIAM J. Matrix Anal. Appl. 17), which minimise the
    sum of squares of all off-diagonal entries, sweep after sweep.

    Parameters
    ----------
    matrices : array_like (L, k, k)
        Symmetric; only the upper triangles are read.

    Returns
    -------
    OrthogonalDiagonalization
        The basis and how far from diagonal the matrices are in it.

    Raises
    ------
    ValueError
        For other shapes, and for entries that are not finite.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.diagonalization import jacobi_diagonalize
    >>> S = np.array([[[2.0, 1.0], [1.0, 2.0]], [[0.0, 1.0], [1.0, 0.0]]])
    >>> found = jacobi_diagonalize(S)
    >>> abs(found.V)
    array([[0.71, 0.71],
           [0.71, 0.71]])
    >>> found.off_diagonal < 1e-12
    True
    """
    S = _symmetric(matrices)
    entries = np.ascontiguousarray(S.transpose(1, 2, 0))[np.newaxis]
    k = entries.shape[1]
    rotations, sweeps = np.eye(k)[np.newaxis], np.zeros(1, dtype=np.int64)
    jacobi.joint_rotations.serial(entries, rotations, _SMALLEST, _MAX_SWEEPS, sweeps)
    rows, columns = np.triu_indices(k, 1)
    off, norm = np.sqrt(2) * np.linalg.norm(entries[0, rows, columns]), np.linalg.norm(S)
    count = int(sweeps[0])
    return OrthogonalDiagonalization(rotations[0], float(off / norm) if norm > 0 else 0.0, count, count < _MAX_SWEEPS)


def diagonalize_jointly(
    matrices: npt.ArrayLike, rng: np.random.Generator, *, n_pencils: int = 50
) -> JointDiagonalization:
    """Joint diagonalisation of symmetric matrices by congruence: S_l = sum_i c_li z_i z_i^T.

    The z_i need not be orthogonal and the c_li may have any sign. Two routes, then a correction of all rows together;
    the smaller residual wins. Pencils: the z_i are eigenvectors of S_b S_a^-1 for random combinations S_a, S_b. Jacobi:
    a positive definite combination makes the z_i orthogonal, and plane rotations find them. Where the first
    pencil is exact nothing else is tried.

    Parameters
    ----------
    matrices : array_like (L, k, k)
        Symmetric; only the upper triangles are read.
    rng : numpy.random.Generator
        For the pencils.
    n_pencils : int
        How many, at most.

    Returns
    -------
    JointDiagonalization
        A small residual and a separation well above zero say that the rows can be trusted.

    Raises
    ------
    ValueError
        For other shapes, for entries that are not finite, and for fewer than one pencil.
    TypeError
        For entries that are not real numbers.

    Notes
    -----
    Neither route alone is safe: a span may hold no positive definite matrix, and under noise one pencil loses what the
    other matrices know. The correction is the Gauss-Newton step of the model in the basis Z, where it falls apart into
    a 2 x 2 problem a pair of rows (Tichavsky and Yeredor 2009, IEEE Trans. Signal Process. 57).

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.diagonalization import diagonalize_jointly
    >>> Z, c = np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[1.0, -1.0], [2.0, 1.0]])
    >>> found = diagonalize_jointly(np.einsum("li,ia,ib->lab", c, Z, Z), np.random.default_rng(0))
    >>> np.abs(Z @ np.linalg.inv(found.Z)).max(axis=0)
    array([1., 1.])
    >>> found.residual < 1e-12
    True
    """
    S = _symmetric(matrices)
    as_count(n_pencils, "n_pencils")
    with single_blas_thread():
        first = _corrected(S, _pencils(S, 1, rng)[0], "pencil")
        if first.residual <= EXACT and first.separation > EXACT:
            return first
        candidates = [first, _corrected(S, _by_jacobi(S), "jacobi")]
        if n_pencils > 1:
            candidates.append(_corrected(S, _best_of(S, _pencils(S, n_pencils - 1, rng)), "pencil"))
    return min(candidates, key=lambda candidate: candidate.residual)


def _symmetric(matrices: npt.ArrayLike) -> Array:
    S = np.asarray(as_real_array(matrices, "matrices"), dtype=np.float64)
    if S.ndim != 3 or S.shape[1] != S.shape[2] or 0 in S.shape:
        raise ValueError(f"matrices: expected square matrices (L, k, k), got shape {S.shape}")
    require_finite(S, "matrices")
    upper = np.triu(S)
    return np.asarray(upper + np.triu(S, 1).transpose(0, 2, 1))


def _fit(S: Array, Z: Array) -> tuple[Array, float]:
    """Least-squares coefficients (L, k) of the z z^T, and the relative residual."""
    target = svec(S).T
    design = svec(Z[:, :, None] * Z[:, None, :]).T
    coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
    norm = np.linalg.norm(target)
    residual = float(np.linalg.norm(target - design @ coefficients) / norm) if norm > 0 else 0.0
    return np.asarray(coefficients.T, dtype=np.float64), residual


def _result(S: Array, Z: Array, method: str) -> JointDiagonalization:
    coefficients, residual = _fit(S, Z)
    length = np.linalg.norm(coefficients, axis=0)
    unit = coefficients / np.where(length > 0, length, 1.0)
    i, j = np.triu_indices(len(Z), 1)
    # The difference of unit vectors has accurate small angles, which the cosine has not.
    chords = np.minimum(*(np.linalg.norm(unit[:, i] - s * unit[:, j], axis=0) for s in (1, -1)))
    sines = chords * np.sqrt(1 - chords**2 / 4) * (length[i] > 0) * (length[j] > 0)
    return JointDiagonalization(Z, coefficients, residual, float(sines.min(initial=1.0)), method)


def _corrected(S: Array, Z: Array, method: str) -> JointDiagonalization:
    """The better of Z and what corrections of all rows together make of it."""
    best = _result(S, Z, method)
    limit = _COLLAPSED * np.linalg.cond(Z)
    for _ in range(_STEPS):
        Z = _correction(S, best.Z)
        if not np.isfinite(Z).all() or not np.linalg.cond(Z) <= limit:
            break
        candidate = _result(S, Z, method)
        if candidate.residual >= best.residual:
            break
        done = candidate.residual > 0.999 * best.residual
        best = candidate
        if done:
            break
    return best


def _correction(S: Array, Z: Array) -> Array:
    """Z + E Z, with E least squares in V S_l V^T = D_l + E^T D_l + D_l E off the diagonals, V = Z^-T."""
    V = np.linalg.pinv(Z).T
    M = V @ S @ V.T
    D = np.diagonal(M, axis1=1, axis2=2)
    gram = D.T @ D
    mixed = np.einsum("li,lij->ij", D, M)
    size = np.diag(gram)
    determinant = np.outer(size, size) - gram**2
    E = size * mixed - gram * mixed.T
    regular = determinant > 1e-12 * np.outer(size, size)
    E = np.where(regular, E / np.where(regular, determinant, 1.0), 0.0)
    np.fill_diagonal(E, 0.0)
    return _unit_rows(Z + E @ Z)


def _unit_rows(Z: Array) -> Array:
    length = np.linalg.norm(Z, axis=-1, keepdims=True)
    return np.asarray(Z / np.where(length > 0, length, 1.0))


def _pencils(S: Array, count: int, rng: np.random.Generator) -> Array:
    """Unit eigenvectors (count, k, k), as rows, of S_b S_a^-1 for random combinations of the matrices.

    A complex pair gives its real and its imaginary part, which span the same plane.
    """
    L, k, _ = S.shape
    weights = rng.standard_normal((2, count, L))
    A, B = (weights @ S.reshape(L, k * k)).reshape(2, count, k, k)
    # An element without inverse gives way to one that has: round-off of its own size.
    A = A + 1e-15 * np.linalg.norm(A, axis=(1, 2))[:, None, None] * np.eye(k)
    values, vectors = np.linalg.eig(np.linalg.solve(A, B).transpose(0, 2, 1))
    rows = vectors.transpose(0, 2, 1)
    return _unit_rows(np.where(np.imag(values)[..., None] < 0, np.imag(rows), np.real(rows)))


def _best_of(S: Array, candidates: Array) -> Array:
    """The candidate (k, k) whose z z^T span most of the matrices."""
    target = svec(S).T
    design = svec(candidates[..., :, None] * candidates[..., None, :]).transpose(0, 2, 1)
    caught = np.linalg.qr(design).Q.transpose(0, 2, 1) @ target
    return np.asarray(candidates[np.argmax(np.einsum("bil,bil->b", caught, caught))])


def _by_jacobi(S: Array) -> Array:
    """Rows Z from rotations of the matrices, whitened by a positive definite one of their span if there is any."""
    square, basis = np.linalg.eigh(_most_definite(S))
    if not square[0] > EXACT * square[-1]:
        return jacobi_diagonalize(S).V
    root = np.sqrt(square)
    whitened = (basis / root).T @ S @ (basis / root)
    return _unit_rows(jacobi_diagonalize(whitened).V @ (basis * root).T)


def _most_definite(S: Array) -> Array:
    """The positive definite element of the span with the largest determinant for its norm, if there is any.

    Maximises log det(S(x) + t I) - k/2 |x|^2, S(x) a combination of orthonormal elements, which is concave: damped
    Newton steps while the shift t goes down to zero. It gets stuck on the way where no element is positive definite.
    """
    k = S.shape[1]
    _, values, basis = np.linalg.svd(S.reshape(len(S), -1), full_matrices=False)
    basis = basis[values > EXACT * values[0]].reshape(-1, k, k)[:k]
    x = np.trace(basis, axis1=1, axis2=2)
    x /= max(np.linalg.norm(x), np.finfo(float).tiny)
    element = np.tensordot(x, basis, 1)
    shift = max(0.0, 1e-3 - 2 * np.linalg.eigvalsh(element)[0])
    for _ in range(60):
        values, vectors = np.linalg.eigh(element)
        root = vectors / np.sqrt(values + shift)
        inner = (root.T @ basis @ root).reshape(len(basis), -1)
        gradient = inner @ np.eye(k).ravel() - k * x
        step = np.linalg.solve(inner @ inner.T + k * np.eye(len(basis)), gradient)
        decrement = np.sqrt(gradient @ step)
        x = x + step / (1 + decrement)
        element = np.tensordot(x, basis, 1)
        smallest = np.linalg.eigvalsh(element)[0]
        lower = max(0.0, 0.1 * shift - 0.9 * smallest)
        if (lower == shift and decrement < 1e-3) or lower > 0.99 * shift > 0:
            break
        shift = lower
    return np.asarray(element)
