"""What the kernels of `fastmom.kernels.tensor` compute, in plain NumPy: tests hold the kernels to these."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def svec(Z: Array) -> Array:
    """``svec(z z^T)`` of every row (n, k (k + 1) / 2): z_i z_j, i <= j, row by row, times sqrt(2) where i < j."""
    i, j = np.triu_indices(Z.shape[1])
    return Z[:, i] * Z[:, j] * np.where(i == j, 1.0, np.sqrt(2.0))


def distinguishing_pass(
    X: Array, Y: Array, coordinates: Array, p_map: Array, q_map: Array, bounded: Array
) -> tuple[Array, Array, Array, Array]:
    """``G^T F``, ``G^T G`` and the sums of G and F over rows.

    ``F = svec(q q^T) - svec(p p^T)``, p = p_map^T x, q = 2 q_map^T y - p, and ``G = svec(x~ x~^T)``,
    x~ = coordinates^T x, of length one if bounded[0] > 0; x~ = 0 stays.
    """
    x, p = X @ coordinates, X @ p_map
    length = np.linalg.norm(x, axis=1, keepdims=True)
    G = svec(x / np.where((length > 0) & (bounded[0] > 0), length, 1.0))
    F = svec(2 * Y @ q_map - p) - svec(p)
    return G.T @ F, G.T @ G, G.sum(axis=0), F.sum(axis=0)
