"""Products with the Jacobian of a network and with its transpose, the Jacobian never formed.

Moving the hidden weights of neuron i by p_i moves output l by ``sum_i s_i (x . p_i) A_il``, s_i the neuron's slope on
the row: matrix products with a thin factor and a gate between them, on tiles of rows that stay in a core's cache.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver

TILE = 256  # rows


def tiles(n: int) -> int:
    """Tiles of n rows, the last one shorter."""
    return -(-n // TILE)


def gated_scratch(lanes: int, k: int, dtype: np.dtype) -> np.ndarray:
    """Work space of the drivers of this file, a row for each lane."""
    return np.empty((lanes, TILE, k), dtype=dtype)


@block
def _gate(F, slope, T):
    """Multiply T (h, k) by the neurons' slopes: one where F is positive, `slope` elsewhere."""
    for i in range(T.shape[0]):
        for j in range(T.shape[1]):
            T[i, j] *= T.dtype.type(1) if F[i, j] > 0 else slope


@driver
def jacobian_products(X, F, slope, P, outer, scratch, R, sums):
    """``R = (gates * (X P)) outer`` (n, m), and ``F^T R`` of each tile (tiles, k, m).

    X (n, d), F (n, k) the neurons' functions, P (d, k) directions, outer (k, m); one dtype, which is that of the sums.
    """
    lanes = scratch.shape[0]
    for lane in prange(lanes):
        for t in range(lane, sums.shape[0], lanes):
            rows = slice(t * TILE, min(X.shape[0], (t + 1) * TILE))
            T = scratch[lane, : rows.stop - rows.start]
            np.dot(X[rows], P, T)
            _gate(F[rows], slope, T)
            np.dot(T, outer, R[rows])
            np.dot(F[rows].T, R[rows], sums[t])


@driver
def transposed_products(X, F, slope, R, outer, scratch, sums):
    """``(gates * (R outer^T))^T X`` of each tile (tiles, k, d); outer (m, k), the other arguments as above."""
    lanes = scratch.shape[0]
    for lane in prange(lanes):
        for t in range(lane, sums.shape[0], lanes):
            rows = slice(t * TILE, min(X.shape[0], (t + 1) * TILE))
            T = scratch[lane, : rows.stop - rows.start]
            np.dot(R[rows], outer, T)
            _gate(F[rows], slope, T)
            np.dot(T.T, X[rows], sums[t])
