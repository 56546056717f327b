"""Pair features of rows, and the sums of their products, without writing the features of all rows down.

A tile of rows is turned into features laid out one feature a row, so that every feature is one vector loop over the
tile's samples, and the features go straight into a matrix product whose result the block's sum receives.
Passes have the signature ``(X, Y, *parameters, scratch, row_values, sums)``, see `fastmom.kernels.forward`; none of
them writes row values. svec(S) is the upper triangle of S, row by row, its off-diagonal entries times sqrt(2).
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver

PANEL = 48  # rows of a product formed at once: it stays in cache until it is added
TILE_BYTES = 1 << 20  # of features: they stay in L2 beside a panel
ROOT2 = np.sqrt(2.0)


def pairs(k: int) -> int:
    """Length of svec of a (k, k) matrix."""
    return k * (k + 1) // 2


def distinguishing_widths(k: int, e: int) -> tuple[int, int]:
    """Scratch columns a row needs in `distinguishing_pass`, and length of its sum."""
    n_f, n_g = pairs(k), pairs(e)
    return 2 * k + e + 2 * (n_f + n_g), n_g * (n_f + n_g) + n_g + n_f


@block
def _part(flat, start, rows, columns):
    return flat[start : start + rows * columns].reshape(rows, columns)


@block
def _tile_rows(n_features):
    """Rows of a tile: a power of two from 128 to 1024."""
    rows = 1024
    while rows > 128 and rows * n_features * 8 > TILE_BYTES:
        rows //= 2
    return rows


@block
def _project(matrix, rows, out):
    """Out (k, h) = matrix^T rows^T: matrix (d, k), rows (h, d)."""
    np.dot(matrix.T, rows.T, out)


@block
def _normalise(x):
    """Divide every column of x (e, h) by its length; zero columns stay."""
    for i in range(x.shape[1]):
        square = 0.0
        for a in range(x.shape[0]):
            square += x[a, i] * x[a, i]
        unit = 1.0 / np.sqrt(square) if square > 0.0 else 1.0
        for a in range(x.shape[0]):
            x[a, i] *= unit


@block
def _product(a, b, scale, out):
    """Out (h,) = scale a b; returns its sum."""
    total = 0.0
    for i in range(out.shape[0]):
        out[i] = scale * (a[i] * b[i])
        total += out[i]
    return total


@block
def _difference(a, b, c, d, scale, out):
    """Out (h,) = scale (a b - c d); returns its sum."""
    total = 0.0
    for i in range(out.shape[0]):
        out[i] = scale * (a[i] * b[i] - c[i] * d[i])
        total += out[i]
    return total


@block
def _add_products(left, right, panel, square, rest):
    """Add left right^T (p, q) to [square (p, p), rest (p, q - p)], left (p, h), right (q, h), q >= p.

    Below the diagonal square is left alone: its first p columns are symmetric.
    """
    p, q = left.shape[0], right.shape[0]
    height = min(PANEL, panel.shape[0] // q)
    for a in range(0, p, height):
        b = min(p, a + height)
        out = _part(panel, 0, b - a, q - a)
        np.dot(left[a:b], right[a:].T, out)
        for i in range(b - a):
            for j in range(i, p - a):
                square[a + i, a + j] += out[i, j]
            for j in range(q - p):
                rest[a + i, j] += out[i, p - a + j]


@block
def _mirror(square):
    """Copy what is above the diagonal below it."""
    for i in range(square.shape[0]):
        for j in range(i):
            square[i, j] = square[j, i]


@block
def _distinguishing_features(x, p, q, features, sum_g, sum_f):
    """Features (P_e + P_k, h) = [svec(x x^T), svec(q q^T) - svec(p p^T)] of every column; adds their sums."""
    e, k = x.shape[0], p.shape[0]
    row = 0
    for i in range(e):
        for j in range(i, e):
            sum_g[row] += _product(x[i], x[j], 1.0 if i == j else ROOT2, features[row])
            row += 1
    n_g = row
    for i in range(k):
        for j in range(i, k):
            sum_f[row - n_g] += _difference(q[i], q[j], p[i], p[j], 1.0 if i == j else ROOT2, features[row])
            row += 1


@block
def _distinguishing_block(X, Y, coordinates, p_map, q_map, bounded, scratch, sums):
    """Sums: G^T F (P_e, P_k), G^T G (P_e, P_e), sum of G (P_e), sum of F (P_k).

    With x~ = X coordinates, p = X p_map and q = 2 Y q_map - p, a row of F is svec(q q^T) - svec(p p^T), a row of G
    svec(x~ x~^T), over |x~|^2 if bounded[0] > 0.
    """
    e, k = coordinates.shape[1], p_map.shape[1]
    n_g, n_f = e * (e + 1) // 2, k * (k + 1) // 2
    for j in range(sums.shape[0]):
        sums[j] = 0.0
    rest = _part(sums, 0, n_g, n_f)
    square = _part(sums, n_g * n_f, n_g, n_g)
    sum_g = sums[n_g * (n_g + n_f) : n_g * (n_g + n_f) + n_g]
    sum_f = sums[n_g * (n_g + n_f) + n_g :]
    tile = _tile_rows(n_g + n_f)
    for first in range(0, X.shape[0], tile):
        last = min(X.shape[0], first + tile)
        h = last - first
        x = _part(scratch, 0, e, h)
        p = _part(scratch, e * h, k, h)
        q = _part(scratch, (e + k) * h, k, h)
        features = _part(scratch, (e + 2 * k) * h, n_g + n_f, h)
        _project(coordinates, X[first:last], x)
        _project(p_map, X[first:last], p)
        _project(q_map, Y[first:last], q)
        for a in range(k):
            for i in range(h):
                q[a, i] = 2.0 * q[a, i] - p[a, i]
        if bounded[0] > 0.0:
            _normalise(x)
        _distinguishing_features(x, p, q, features, sum_g, sum_f)
        _add_products(features[:n_g], features, scratch[(e + 2 * k + n_g + n_f) * h :], square, rest)
    _mirror(square)


@driver
def distinguishing_pass(X, Y, coordinates, p_map, q_map, bounded, scratch, row_values, sums):
    """Correlations of pair features of labels and inputs; see `_distinguishing_block`."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            work = scratch[lane].reshape(-1)
            _distinguishing_block(X[i:j], Y[i:j], coordinates, p_map, q_map, bounded, work, sums[b])
