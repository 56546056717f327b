"""The kernel K_0(x, z) = x.z, K_{p+1} = 1 / (2 - K_p), by its closed form, a tile at a time.

With s = 1 - x.z, ``K_p = 1 - s / (1 + p s)`` for every real p >= 0: one division whatever the depth. BLAS writes a tile
of products into a buffer that stays in cache, one loop turns it into kernel values or multiplies it by a vector, and
no tile is visited twice. Tiles do not depend on threads. Inputs lie in the unit ball, one dtype throughout; depth is an
array (1,) of that dtype, so that float32 stays float32. The first argument is scratch (lanes, tile_scratch(..)).
Division is NumPy's: Python's may raise, and loops that may raise are not vectorised.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._tiles import part

TILE_ROWS, TILE_COLUMNS = 256, 512
PANEL = 1024  # side of the tiles of `kernel_tiles`, which BLAS packs less often; the buffer may leave L2
MIRROR = 32  # side of the squares in which a tile is transposed


def tile_scratch(n: int, m: int, q: int = 0) -> int:
    """Scratch elements a lane needs for n by m kernel values, times q columns."""
    return min(n, TILE_ROWS) * (min(m, TILE_COLUMNS) + q)


def panel_scratch(n: int, m: int) -> int:
    """Scratch elements of a lane of `kernel_tiles`."""
    return min(n, PANEL) * min(m, PANEL)


@block
def _to_kernel(T, depth):
    """Turn products x.z into kernel values, in place."""
    one = T.dtype.type(1)
    p = depth[0]
    if p == 0:
        return
    flat = T.reshape(-1)
    for i in range(flat.shape[0]):
        s = one - flat[i]
        flat[i] = one - np.divide(s, one + p * s)


@block
def _copy_as_kernel(T, depth, out, first, start):
    """Write the kernel values of a tile of products into the larger out, from (first, start) on.

    The whole of out is C-contiguous and a part of it is not: only so are writes vectorised.
    """
    for i in range(T.shape[0]):
        _to_kernel(T[i], depth)
        for j in range(T.shape[1]):
            out[first + i, start + j] = T[i, j]


@block
def _add_times_vector(T, depth, v, out):
    """Add the kernel values of a tile of products, times v, to out (h,), float64; the values are not written."""
    zero, one = T.dtype.type(0), T.dtype.type(1)
    p = depth[0]
    for i in range(T.shape[0]):
        total = zero
        if p == 0:
            for j in range(T.shape[1]):
                total += T[i, j] * v[j]
        else:
            for j in range(T.shape[1]):
                s = one - T[i, j]
                total += (one - np.divide(s, one + p * s)) * v[j]
        out[i] += total


@block
def _mirror(source, target):
    """Target = source^T, in squares that stay in cache."""
    h, w = source.shape
    for i in range(0, h, MIRROR):
        for j in range(0, w, MIRROR):
            for b in range(j, min(w, j + MIRROR)):
                for a in range(i, min(h, i + MIRROR)):
                    target[b, a] = source[a, b]


@driver
def kernel_tiles(scratch, X, Z, depth, out):
    """Kernel values of all pairs, out (n, m)."""
    lanes, n, m = scratch.shape[0], X.shape[0], Z.shape[0]
    n_tiles = -(-n // PANEL)
    for lane in prange(lanes):
        for b in range(lane, n_tiles, lanes):
            i, k = b * PANEL, min(n, (b + 1) * PANEL)
            for j in range(0, m, PANEL):
                end = min(m, j + PANEL)
                T = part(scratch[lane], 0, k - i, end - j)
                np.dot(X[i:k], Z[j:end].T, T)
                _copy_as_kernel(T, depth, out, i, j)


@driver
def kernel_gram(scratch, X, depth, out):
    """Kernel values of all pairs of rows of X, exactly symmetric out (n, n): half of the tiles, the others mirrored."""
    lanes, n = scratch.shape[0], X.shape[0]
    n_tiles = -(-n // TILE_ROWS)
    for lane in prange(lanes):
        for b in range(lane, n_tiles, lanes):
            i, k = b * TILE_ROWS, min(n, (b + 1) * TILE_ROWS)
            for j in range(0, k, TILE_ROWS):
                end = min(k, j + TILE_ROWS)
                T = part(scratch[lane], 0, k - i, end - j)
                np.dot(X[i:k], X[j:end].T, T)
                _copy_as_kernel(T, depth, out, i, j)
                if j < i:
                    _mirror(out[i:k, j:end], out[j:end, i:k])
                else:
                    for a in range(i, k):
                        for c in range(i, a):
                            out[c, a] = out[a, c]


@driver
def kernel_product(scratch, X, Z, V, depth, out):
    """Kernel values of all pairs times V (m, q), added to out (n, q), float64; no tile of them is kept."""
    lanes, n, m, q = scratch.shape[0], X.shape[0], Z.shape[0], V.shape[1]
    n_tiles = -(-n // TILE_ROWS)
    for lane in prange(lanes):
        for b in range(lane, n_tiles, lanes):
            i, k = b * TILE_ROWS, min(n, (b + 1) * TILE_ROWS)
            product = part(scratch[lane], min(n, TILE_ROWS) * min(m, TILE_COLUMNS), k - i, q) if q > 1 else V
            for j in range(0, m, TILE_COLUMNS):
                end = min(m, j + TILE_COLUMNS)
                T = part(scratch[lane], 0, k - i, end - j)
                np.dot(X[i:k], Z[j:end].T, T)
                if q == 1:
                    _add_times_vector(T, depth, V[j:end].reshape(-1), out[i:k].reshape(-1))
                else:
                    _to_kernel(T, depth)
                    np.dot(T, V[j:end], product)
                    for a in range(k - i):
                        for c in range(q):
                            out[i + a, c] += product[a, c]
