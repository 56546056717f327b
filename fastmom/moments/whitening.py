"""Coordinates in which a second moment is the identity: its top eigenspace, and its symmetric square roots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_matrix, require_finite

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Whitening:
    """Coordinates z = whiten^T x of the top eigenspace of a symmetric matrix M, see `whiten`.

    Attributes
    ----------
    whiten : ndarray (d, k)
        ``Wh``, with ``Wh^T M Wh = I``.
    unwhiten : ndarray (d, k)
        ``M Wh``, with ``unwhiten^T Wh = I``: if ``M = sum_i c_i b_i b_i^T`` has rank k and ``v_i = sqrt(c_i) Wh^T b_i``
        (orthonormal), then ``unwhiten v_i = sqrt(c_i) b_i``.
    values : ndarray (d,)
        All eigenvalues of M, largest size first.
    rank : int
        How many are not zero to round-off.
    gap : float
        ``1 - |value k + 1| / |value k|``: 1 if M vanishes off the eigenspace, 0 if M does not determine it.
    """

    whiten: Array
    unwhiten: Array
    values: Array
    rank: int
    gap: float


@dataclass(frozen=True)
class SymmetricRoots:
    """Symmetric square roots of a positive semidefinite matrix, see `symmetric_roots`.

    Attributes
    ----------
    root : ndarray (d, d)
        ``C^{1/2}``.
    inverse_root : ndarray (d, d)
        ``C^{-1/2}`` on the range of C, zero off it.
    values : ndarray (d,)
        Eigenvalues, largest first.
    rank : int
        How many count as positive.
    """

    root: Array
    inverse_root: Array
    values: Array
    rank: int


def whiten(M: npt.ArrayLike, k: int | None = None) -> Whitening:
    """Whiten the eigenspace of the k largest eigenvalues, which must be positive.

    Parameters
    ----------
    M : array_like (d, d)
        Symmetric; pass ``-M`` for a moment whose sign is negative.
    k : int, optional
        Dimension; the rank of M to round-off unless given.

    Returns
    -------
    Whitening
        Maps, spectrum, rank and gap.

    Raises
    ------
    ValueError
        If M is not square, not symmetric, not finite, or smaller than k; if the k eigenvalues of largest size are not
        all positive, or some of them are zero to round-off.
    TypeError
        For entries that are not real numbers.

    References
    ----------
    Whitening of a tensor decomposition: Anandkumar, Ge, Hsu, Kakade, Telgarsky 2014, section 4.3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.whitening import whiten
    >>> M = np.array([[3.0, 1.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    >>> space = whiten(M)
    >>> space.rank, space.gap
    (2, 1.0)
    >>> np.allclose(space.whiten.T @ M @ space.whiten, np.eye(2))
    True
    """
    values, vectors = _eigensystem(_as_symmetric(M, "M"))
    d = len(values)
    rank = int(np.count_nonzero(np.abs(values) > _round_off(values)))
    size = max(1, rank) if k is None else as_count(k, "k")
    if size > d:
        raise ValueError(f"k: {size} directions asked of a {d} by {d} matrix; pass at most {d}")
    top = values[:size]
    if size > rank or top.min() <= 0:
        raise ValueError(
            f"M: not positive on its top-{size} space, eigenvalues there from {top.max():.3g} down to {top.min():.3g}; "
            "ask for fewer directions, pass -M if the moment is negative, or use more samples"
        )
    V = vectors[:, :size]
    gap = 1.0 if size == d else float(1.0 - abs(values[size]) / abs(values[size - 1]))
    return Whitening(V / np.sqrt(top), V * np.sqrt(top), values, rank, gap)


def symmetric_roots(C: npt.ArrayLike, *, floor: float | None = None) -> SymmetricRoots:
    """Square root and inverse square root of a covariance or another positive semidefinite matrix.

    Parameters
    ----------
    C : array_like (d, d)
        Symmetric.
    floor : float, optional
        Eigenvalues up to this count as zero, negative ones too; round-off of the largest unless given.

    Returns
    -------
    SymmetricRoots
        Both roots, spectrum and rank.

    Raises
    ------
    ValueError
        If C is not square, not symmetric, not finite, or has an eigenvalue below ``-floor``.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> from fastmom.moments.whitening import symmetric_roots
    >>> roots = symmetric_roots([[4.0, 0.0], [0.0, 0.0]])
    >>> roots.inverse_root
    array([[0.5, 0. ],
           [0. , 0. ]])
    >>> roots.rank
    1
    """
    values, vectors = _eigensystem(_as_symmetric(C, "C"))
    order = np.argsort(-values, kind="stable")
    values, vectors = values[order], vectors[:, order]
    least = _round_off(values) if floor is None else floor
    if values[-1] < -least:
        raise ValueError(f"C: not positive semidefinite, it has the eigenvalue {values[-1]:.3g}; pass a covariance")
    kept = values > least
    roots = np.sqrt(np.where(kept, values, 0.0))
    inverse = np.divide(1.0, roots, out=np.zeros_like(roots), where=kept)
    return SymmetricRoots(
        (vectors * roots) @ vectors.T, (vectors * inverse) @ vectors.T, values, int(np.count_nonzero(kept))
    )


def _round_off(values: Array) -> float:
    return float(4 * len(values) * np.finfo(float).eps * np.abs(values).max())


def _as_symmetric(M: npt.ArrayLike, name: str) -> Array:
    """Read a symmetric matrix, symmetric to round-off."""
    array = as_matrix(M, name)
    if array.shape[0] != array.shape[1]:
        raise ValueError(f"{name}: expected a square matrix, got shape {array.shape}")
    require_finite(array, name)
    matrix = np.asarray(array, dtype=np.float64)
    skew = float(np.abs(matrix - matrix.T).max())
    if skew > 1e-8 * float(np.abs(matrix).max()):
        raise ValueError(f"{name}: not symmetric, entries differ from their mirror by {skew:.3g}; pass (M + M.T) / 2")
    return np.asarray((matrix + matrix.T) / 2)


def _eigensystem(M: Array) -> tuple[Array, Array]:
    """Eigenvalues, largest size first, and eigenvectors in the same order."""
    with single_blas_thread():
        values, vectors = np.linalg.eigh(M)
    order = np.argsort(-np.abs(values), kind="stable")
    return values[order], vectors[:, order]
