"""Joint diagonalisation: the directions that a family of symmetric matrices share, orthogonal or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels import jacobi
from fastmom.moments.joint_fit import JointFit, fit_coefficients, fit_rows, outer_squares, unit_rows
from fastmom.moments.tensors import svec
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_real_array, require_finite

Array = npt.NDArray[np.float64]

EXACT = 1e-10  # relative residual below which nothing is left to search for
_SMALLEST = 1e-13  # rotations beyond which Jacobi sweeps go on
_MAX_SWEEPS = 100
_SAME = 1e-3  # relative difference of residuals of one optimum


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
    S, _ = _scaled(_symmetric(matrices))
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

    The z_i need not be orthogonal and the c_li may have any sign. Least squares over all rows and coefficients, from
    starts of two kinds: a random pencil, and orthogonal rotations in coordinates that make the rows nearly orthogonal.
    Where the first pencil leads to an exact fit, nothing else is tried; where the two starts lead to different optima,
    so does the best of more pencils.

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
    No start is good enough by itself: a pencil loses what the other matrices know, and coordinates that make the rows
    orthogonal are known only up to the noise. Least squares is up to 20 times more accurate than either, and
    reaches the same optimum from both as long as noise is below a tenth of the matrices. A ridge on the coefficients
    that vanishes with the residual keeps rows from collapsing on each other where noise would have it so.

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
    S, unit = _scaled(_symmetric(matrices))
    as_count(n_pencils, "n_pencils")
    with single_blas_thread():
        best, method = fit_rows(S, _pencils(S, 1, rng)[0]), "pencil"
        if best.residual > EXACT:
            other = fit_rows(S, _by_jacobi(S))
            agree = abs(best.residual - other.residual) <= _SAME * other.residual
            best, method = min((best, method), (other, "jacobi"), key=_objective)
            if n_pencils > 1 and not agree:
                third = fit_rows(S, _best_of(S, _pencils(S, n_pencils - 1, rng)))
                best, method = min((best, method), (third, "pencil"), key=_objective)
        plain = fit_coefficients(S, best.Z)
    return JointDiagonalization(
        plain.Z, plain.coefficients * unit, plain.residual, _separation(plain.coefficients), method
    )


def random_pencil(matrices: npt.ArrayLike, rng: np.random.Generator) -> Array:
    """Eigenvectors of S_b S_a^-1 for random combinations S_a, S_b of symmetric matrices: Jennrich's algorithm.

    Exact where the matrices are sum_i c_li z_i z_i^T, but under noise it loses what the other combinations know:
    `diagonalize_jointly` starts from it.

    Parameters
    ----------
    matrices : array_like (L, k, k)
        Symmetric; only the upper triangles are read.
    rng : numpy.random.Generator
        For the combinations.

    Returns
    -------
    ndarray (k, k)
        Rows of unit norm. A complex pair gives its real and its imaginary part, which span the same plane.

    Raises
    ------
    ValueError
        For other shapes, and for entries that are not finite.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.diagonalization import random_pencil
    >>> Z, c = np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[1.0, -1.0], [2.0, 1.0]])
    >>> found = random_pencil(np.einsum("li,ia,ib->lab", c, Z, Z), np.random.default_rng(0))
    >>> np.abs(found @ np.linalg.inv(Z)).max(axis=1)
    array([1., 1.])
    """
    S, _ = _scaled(_symmetric(matrices))
    with single_blas_thread():
        return np.asarray(_pencils(S, 1, rng)[0])


def _symmetric(matrices: npt.ArrayLike) -> Array:
    S = np.asarray(as_real_array(matrices, "matrices"), dtype=np.float64)
    if S.ndim != 3 or S.shape[1] != S.shape[2] or 0 in S.shape:
        raise ValueError(f"matrices: expected square matrices (L, k, k), got shape {S.shape}")
    require_finite(S, "matrices")
    return np.asarray(np.triu(S) + np.triu(S, 1).transpose(0, 2, 1))


def _scaled(S: Array) -> tuple[Array, float]:
    """The matrices in units of their largest entry, whose squares neither overflow nor underflow, and that unit."""
    unit = float(np.abs(S).max()) or 1.0
    return S / unit, unit


def _objective(candidate: tuple[JointFit, str]) -> float:
    return candidate[0].objective


def _separation(coefficients: Array) -> float:
    """Least sine of the angle between two columns; columns that are zero to round-off have none to any."""
    length = np.linalg.norm(coefficients, axis=0)
    present = length > EXACT * length.max()
    directions = coefficients / np.where(present, length, 1.0)
    i, j = np.triu_indices(len(length), 1)
    # A difference of unit vectors has accurate small angles, which their product has not.
    chords = np.minimum(*(np.linalg.norm(directions[:, i] - s * directions[:, j], axis=0) for s in (1, -1)))
    sines = chords * np.sqrt(1 - np.minimum(chords**2 / 4, 1.0)) * (present[i] & present[j])
    return float(sines.min(initial=1.0))


def _pencils(S: Array, count: int, rng: np.random.Generator) -> Array:
    """As many random pencils (count, k, k), see `random_pencil`."""
    L, k, _ = S.shape
    A, B = (rng.standard_normal((2, count, L)) @ S.reshape(L, k * k)).reshape(2, count, k, k)
    # A singular combination becomes one that has an inverse: a change by its round-off.
    floor = np.finfo(float).eps * np.linalg.norm(A, axis=(1, 2)) + np.finfo(float).tiny
    values, vectors = np.linalg.eig(np.linalg.solve(A + floor[:, None, None] * np.eye(k), B).transpose(0, 2, 1))
    rows = vectors.transpose(0, 2, 1)
    return unit_rows(np.where(np.imag(values)[..., None] < 0, np.imag(rows), np.real(rows)))


def _best_of(S: Array, candidates: Array) -> Array:
    """The candidate (k, k) whose z z^T span most of the matrices."""
    caught = np.linalg.qr(outer_squares(candidates).transpose(0, 2, 1)).Q.transpose(0, 2, 1) @ svec(S).T
    return np.asarray(candidates[np.argmax(np.einsum("bil,bil->b", caught, caught))])


def _by_jacobi(S: Array) -> Array:
    """Rows Z from rotations of the matrices, in coordinates in which their squares sum to the identity.

    There sum_l S_l^2 = Z^T diag(g) Z + what the coefficients of different rows have in common: with little of it the
    rows become orthogonal. This needs no positive definite matrix in the span, and unlike a search for one
    it averages noise over all matrices.
    """
    square, basis = np.linalg.eigh(np.einsum("lab,lbc->ac", S, S))
    root = np.sqrt(np.maximum(square, np.finfo(float).eps * square[-1]))
    if not root[-1] > 0:
        return np.eye(len(root))
    whitened = (basis / root).T @ S @ (basis / root)
    return unit_rows(jacobi_diagonalize(whitened).V @ (basis * root).T)
