"""Contractions of the Hermite moments with many vectors, T_l(I, u, .., u), in one pass over the rows.

With the orthonormal Hermite polynomials g_j = He_j / sqrt(j!), a unit vector v and t = x.v,

    T_l(I, v, .., v) / sqrt((l - 1)!) = mean w g_(l-1)(t) x - sqrt(l - 1) mean(w g_(l-2)(t)) v.

The passes sum both means, the caller puts them together. Signature ``(X, Y, V, steps, scratch, row_values, sums)``:
Y (n, 1) the weights w, V (r, d) unit vectors, steps (l - 1, 2) from `hermite_steps`, all of the rows' dtype; for the
rest see `fastmom.kernels.forward`. Sums: w g_(l-1) x for each vector (r, d), then w g_(l-2) for each (r).
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._simd import add, load, multiply, splat, store, strip_lanes, subtract
from fastmom.kernels._tiles import accumulate, part

MANY_ELEMENTS = 1 << 13  # of X in a tile for many vectors
MOST_ROWS = 1024
LEAST_ROWS = 64


def hermite_steps(count: int, dtype: type) -> np.ndarray:
    """Factors (a, b) of g_(j+1) = a t g_j - b g_(j-1), j = 0 .. count - 1, as rows (count, 2)."""
    j = np.arange(count)
    return np.column_stack([1 / np.sqrt(j + 1), np.sqrt(j / (j + 1))]).astype(dtype)


def tile_rows(d: int) -> int:
    """Rows of a tile of `many_contractions`, whose blocks hold whole tiles."""
    return max(LEAST_ROWS, min(MOST_ROWS, MANY_ELEMENTS // d // LEAST_ROWS * LEAST_ROWS))


def contraction_widths(d: int, r: int) -> tuple[int, int]:
    """Scratch columns a row needs in either pass, and length of the sums."""
    return max(3, r) + (r + 1) * d, r * (d + 1)


@block
def _weighted_hermite(T, w, steps, spare, sums):
    """T (h, r) = w g_k(T), k = len(steps); adds the sums of w g_(k-1) to sums (r,). Needs a strip of work space."""
    h, r = T.shape
    lanes = strip_lanes(T)
    zero = splat(T.dtype.type(0))
    whole = r // lanes * lanes
    for a in range(0, whole, lanes):
        total = zero
        for i in range(h):
            t, value, lower = load(T, i, a), splat(w[i]), zero
            for k in range(steps.shape[0]):
                above = multiply(multiply(splat(steps[k, 0]), t), value)
                lower, value = value, subtract(above, multiply(splat(steps[k, 1]), lower))
            store(T, i, a, value)
            total = add(total, lower)
        store(spare, 0, 0, total)
        for k in range(lanes):
            sums[a + k] += spare[0, k]
    for i in range(h):
        for a in range(whole, r):
            lower, value = T.dtype.type(0), w[i]
            for k in range(steps.shape[0]):
                lower, value = value, steps[k, 0] * T[i, a] * value - steps[k, 1] * lower
            T[i, a] = value
            sums[a] += lower


@block
def _many_block(X, w, V, steps, tile, scratch, sums):
    """Sums for many vectors: two matrix products for each tile of rows."""
    n, d = X.shape
    r = V.shape[0]
    for j in range(sums.shape[0]):
        sums[j] = 0.0
    product = part(scratch, 0, r, d)
    for first in range(0, n, tile):
        last = min(n, first + tile)
        h = last - first
        T = part(scratch, r * d, h, r)
        np.dot(X[first:last], V.T, T)
        _weighted_hermite(T, w[first:last], steps, product.reshape(1, r * d), sums[r * d :])
        accumulate(T, X[first:last], product, sums)


@driver
def many_contractions(X, Y, V, steps, tile, scratch, row_values, sums):
    """Contractions with many vectors, in tiles of tile[0] rows; see `_many_block`."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            _many_block(X[i:j], Y[i:j].reshape(-1), V, steps, tile[0], scratch[lane].reshape(-1), sums[b])
