"""Symmetric tensors as sums of powers of vectors: T = sum_i w_i v_i (x) .. (x) v_i, from the tensor or from samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.moments.diagonalization import jacobi_diagonalize, random_pencil
from fastmom.moments.joint_fit import unit_rows
from fastmom.moments.power_iteration import ascents, contracted, orthogonal_ascents
from fastmom.moments.tensor_action import Contraction, action_of, as_tensor, remainder, unfolding
from fastmom.moments.tensors import smat
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_rng

Array = npt.NDArray[np.float64]

_ALIKE = 0.99  # |cosine| from which two vectors count as one
_TIE = 1e-9  # relative difference of sums that is round-off: the first start wins
_LOOK_STEPS = 30  # after which restarts of a single vector are compared


@dataclass(frozen=True)
class Decomposition:
    """Unit vectors v_i and weights w_i with T = sum_i w_i v_i^(x)p, as nearly as the method finds them.

    Attributes
    ----------
    vectors : ndarray (k, k)
        Unit vectors as rows. Of order 4 each is known up to its sign, of order 3 up to that of its weight.
    weights : ndarray (k,)
        T(v_i, .., v_i) where the vectors are orthonormal, least squares where they are not.
    residual : float
        Relative Frobenius norm of what the sum leaves of T; where only contractions are known, of what it leaves of
        the T(I, v_i, .., v_i).
    iterations : int
        Of the start that was chosen; sweeps of Jacobi rotations; 0 for a direct method.
    converged : bool
        Whether the iterations came to rest.
    agreement : float
        Share of the starts that led to the same vectors: low where the answer depends on the start.
    """

    vectors: Array
    weights: Array
    residual: float
    iterations: int
    converged: bool
    agreement: float = 1.0


def orthogonal_power_iteration(
    T: npt.ArrayLike | Contraction,
    *,
    rng: int | np.random.Generator | None = None,
    starts: int = 3,
    k: int | None = None,
    max_iterations: int = 200,
) -> Decomposition:
    """All vectors of an orthogonal decomposition at once: V <- polar(rows T(I, v_j, .., v_j)).

    Ascent on sum_j |T(v_j, .., v_j)| over orthonormal V, cubic near an exact decomposition: what FastICA does with a
    cumulant. Starts run side by side; the largest sum wins.

    Parameters
    ----------
    T : array_like (k, k, k) or (k, k, k, k), or callable
        Symmetric tensor in coordinates in which the vectors are orthonormal (whitened ones). Or a contraction: from
        vectors as rows (r, k) to rows T(I, v, .., v) (r, k), of order 3 or 4.
    rng : int, Generator or None
        Draws the starts.
    starts : int
        Random orthonormal starts.
    k : int, optional
        Dimension, needed with a callable.
    max_iterations : int
        For each start.

    Returns
    -------
    Decomposition
        Order 3: weights are positive. Order 4: of either sign.

    Raises
    ------
    ValueError
        For anything but a finite tensor of equal sides and order 3 or 4; for a callable without k, or one that returns
        another shape or numbers that are not finite.
    TypeError
        For entries that are not real numbers.

    References
    ----------
    Ge, Lee, Ma 2017, arXiv 1711.00501: on the orthogonal group their objective G is a constant minus this sum (our
    observation).

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.decomposition import orthogonal_power_iteration
    >>> V = np.array([[0.6, 0.8], [-0.8, 0.6]])
    >>> T = np.einsum("i,ia,ib,ic,id->abcd", [3.0, -2.0], V, V, V, V)
    >>> found = orthogonal_power_iteration(T, rng=0)
    >>> np.sort(found.weights), found.residual < 1e-12
    (array([-2.,  3.]), True)
    """
    generator, _ = as_rng(rng)
    as_count(starts, "starts")
    as_count(max_iterations, "max_iterations")
    if callable(T):
        tensor, contraction = None, T
        if k is None:
            raise ValueError("k: pass the dimension when T is a callable")
        k = as_count(k, "k")
    else:
        tensor = as_tensor(T)
        contraction, k = action_of(tensor), len(tensor)
    with single_blas_thread():
        V = np.linalg.qr(generator.standard_normal((starts, k, k))).Q
        V, iterations, converged = orthogonal_ascents(contraction, V, max_iterations)
        G = contracted(contraction, V)
        weights = np.einsum("bia,bia->bi", V, G)
        sums = np.abs(weights).sum(axis=1)
        best = int(np.argmax(sums >= (1 - _TIE) * sums.max()))
        overlap = np.abs(V @ V[best].T).max(axis=1)
        if tensor is None:
            residual = _relative(G[best] - weights[best][:, None] * V[best], G[best])
        else:
            residual = _relative(remainder(tensor, V[best], weights[best]), tensor)
    agreement = float(np.mean(overlap.min(axis=1) > _ALIKE))
    return Decomposition(V[best], weights[best], residual, int(iterations[best]), bool(converged[best]), agreement)


def deflated_power_iteration(
    T: npt.ArrayLike, k: int, rng: int | np.random.Generator | None = None, *, restarts: int = 20
) -> Decomposition:
    """One vector after another: v <- T(I, v, .., v) / norm, then T <- T - w v^(x)p.

    The classic of Anandkumar, Ge, Hsu, Kakade, Telgarsky 2014 (JMLR 15, algorithm 1). Errors of the first vectors reach
    the last ones; `orthogonal_power_iteration` is more accurate and faster.

    Parameters
    ----------
    T : array_like (d, d, d) or (d, d, d, d)
        Symmetric tensor of orthogonal vectors.
    k : int
        Number of vectors, at most d.
    rng : int, Generator or None
        Draws the restarts.
    restarts : int
        Random starts for each vector, of which the largest |T(v, .., v)| goes on.

    Returns
    -------
    Decomposition
        Vectors (k, d), largest weights roughly first. `iterations` is the sum over vectors.

    Raises
    ------
    ValueError
        For anything but a finite tensor of equal sides and order 3 or 4, and for k > d.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.decomposition import deflated_power_iteration
    >>> V = np.array([[0.6, 0.8], [-0.8, 0.6]])
    >>> found = deflated_power_iteration(np.einsum("i,ia,ib,ic->abc", [3.0, 2.0], V, V, V), 2, rng=0)
    >>> found.weights
    array([3., 2.])
    """
    tensor = as_tensor(T)
    generator, _ = as_rng(rng)
    d = len(tensor)
    if as_count(k, "k") > d:
        raise ValueError(f"k: {k} orthogonal vectors asked of a tensor of side {d}; pass at most {d}")
    as_count(restarts, "restarts")
    vectors, weights = np.empty((k, d)), np.empty(k)
    rest, total, converged = tensor, 0, True
    with single_blas_thread():
        for i in range(k):
            contraction = action_of(rest)
            V, looked, _ = ascents(contraction, unit_rows(generator.standard_normal((restarts, d))), _LOOK_STEPS)
            best = np.argmax(np.abs(np.einsum("ra,ra->r", V, contraction(V))))
            v, steps, done = ascents(contraction, V[best : best + 1], 1000)
            vectors[i], weights[i] = v[0], v[0] @ contraction(v)[0]
            rest = remainder(rest, vectors[i : i + 1], weights[i : i + 1])
            total, converged = total + looked + steps, converged and done
        residual = _relative(rest, tensor)
    return Decomposition(vectors, weights, residual, total, converged)


def jade(T: npt.ArrayLike) -> Decomposition:
    """Orthogonal decomposition of an order-4 tensor by joint diagonalisation of its eigenmatrices.

    The k leading eigenmatrices of the unfolding (k^2, k^2), each times its eigenvalue, are diagonal in the basis of
    the vectors (JADE: Cardoso and Souloumiac 1993, IEE Proc. F 140). Deterministic: no start to choose.

    Parameters
    ----------
    T : array_like (k, k, k, k)
        Symmetric tensor in coordinates in which the vectors are orthonormal.

    Returns
    -------
    Decomposition
        `iterations` counts the sweeps of Jacobi rotations.

    Raises
    ------
    ValueError
        For anything but a finite tensor of equal sides and order 4.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.decomposition import jade
    >>> V = np.array([[0.6, 0.8], [-0.8, 0.6]])
    >>> found = jade(np.einsum("i,ia,ib,ic,id->abcd", [3.0, -2.0], V, V, V, V))
    >>> np.sort(found.weights)
    array([-2.,  3.])
    """
    tensor = as_tensor(T, (4,))
    k = len(tensor)
    with single_blas_thread():
        values, matrices = np.linalg.eigh(unfolding(tensor))
        leading = np.argsort(-np.abs(values), kind="stable")[:k]
        found = jacobi_diagonalize(smat((matrices[:, leading] * values[leading]).T))
        weights = np.einsum("ia,ia->i", found.V, action_of(tensor)(found.V))
        residual = _relative(remainder(tensor, found.V, weights), tensor)
    return Decomposition(found.V, weights, residual, found.sweeps, found.converged)


def jennrich(T: npt.ArrayLike, rng: int | np.random.Generator | None = None) -> Decomposition:
    """Decomposition by the eigenvectors of one pencil; the vectors need not be orthogonal.

    Two random combinations of the slices T(I, I, u) or T(I, I, u, v) have all vectors as eigenvectors of their quotient
    (Harshman 1970; Leurgans, Ross, Abel 1993). Exact on exact tensors and useless on noisy ones: for teaching, and to
    start from.

    Parameters
    ----------
    T : array_like (k, k, k) or (k, k, k, k)
        Symmetric tensor of k linearly independent vectors.
    rng : int, Generator or None
        Draws the combinations.

    Returns
    -------
    Decomposition
        Vectors of unit norm.

    Raises
    ------
    ValueError
        For anything but a finite tensor of equal sides and order 3 or 4.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.decomposition import jennrich
    >>> V = np.array([[0.6, 0.8], [0.0, 1.0]])
    >>> found = jennrich(np.einsum("i,ia,ib,ic->abc", [3.0, 2.0], V, V, V), rng=0)
    >>> np.sort(np.abs(found.weights))
    array([2., 3.])
    """
    tensor = as_tensor(T)
    generator, _ = as_rng(rng)
    k = len(tensor)
    V = random_pencil(tensor.reshape(-1, k, k), generator)
    with single_blas_thread():
        images = np.einsum("ia,ia->i", V, action_of(tensor)(V))
        weights = np.linalg.lstsq((V @ V.T) ** tensor.ndim, images, rcond=None)[0]
        residual = _relative(remainder(tensor, V, weights), tensor)
    return Decomposition(V, np.asarray(weights), residual, 0, True)


def project_positive(T: npt.ArrayLike, k: int) -> Array:
    """Nearest positive semidefinite unfolding of rank k: what sum_i w_i v_i^(x)4 with k positive weights has.

    Brings the landscape of Ge, Lee and Ma 2017 back at a tenth of the samples (our addition): their pair term
    otherwise finds directions in which the estimate is negative. Pass -T where the weights are negative.

    Parameters
    ----------
    T : array_like (d, d, d, d)
        Symmetric tensor.
    k : int
        Rank.

    Returns
    -------
    ndarray (d, d, d, d)
        Symmetric in its first two and last two indices and under their exchange, but no longer in all four.

    Raises
    ------
    ValueError
        For anything but a finite tensor of equal sides and order 4.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.decomposition import project_positive
    >>> projected = project_positive(np.einsum("i,ia,ib,ic,id->abcd", [3.0, -2.0], *[np.eye(2)] * 4), 2)
    >>> np.einsum("aaaa->a", projected).round(12)
    array([3., 0.])
    """
    tensor = as_tensor(T, (4,))
    d, rank = len(tensor), as_count(k, "k")
    with single_blas_thread():
        values, matrices = np.linalg.eigh(unfolding(tensor))
        factors = smat((matrices * np.sqrt(np.maximum(values, 0.0))).T[-rank:]).reshape(-1, d * d)
        return np.asarray(factors.T @ factors).reshape(tensor.shape)


def _relative(part: Array, whole: Array) -> float:
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(part)) / size if size > 0 else 0.0
