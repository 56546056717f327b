"""Sums of products of features of rows, without writing the features of all rows down.

A tile of rows is turned into features laid out one feature a row, so that every feature is one vector loop over the
tile's samples, and the features go straight into a matrix product whose result the block's sum receives.
Passes have the signature ``(X, Y, *parameters, scratch, row_values, sums)``, see `fastmom.kernels.forward`; none of
them writes row values. Sums are float64 whatever the rows are.

The pairs (i, j), i <= j, of k coordinates are numbered row by row, as in svec(S): the upper triangle of S, its
off-diagonal entries times sqrt(2).
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver

TILE = 256  # rows turned into features at once: they stay in L2
HEIGHT, COLUMNS = 24, 48  # of a product formed at once: small enough for OpenBLAS to take its operands as they lie
ROOT2 = np.sqrt(2.0)


def n_pairs(k: int) -> int:
    """Number of pairs (i, j), i <= j, of k coordinates."""
    return k * (k + 1) // 2


def distinguishing_widths(k: int, e: int) -> tuple[int, int]:
    """Scratch columns a row needs in `distinguishing_pass`, and length of its sum."""
    n_f, n_g = n_pairs(k), n_pairs(e)
    return COLUMNS + 2 * k + e + 2 * n_g + n_f, n_g * (n_f + n_g) + n_g + n_f


@block
def _part(flat, start, rows, columns):
    return flat[start : start + rows * columns].reshape(rows, columns)


@block
def _position(i, j, k):
    """Number of the pair i <= j of k coordinates."""
    return i * k - (i * (i - 1)) // 2 + j - i


@block
def _project(matrix, rows, out):
    """Out (k, h) = matrix^T rows^T: matrix (d, k), rows (h, d)."""
    np.dot(matrix.T, rows.T, out)


@block
def _times(left, right, work):
    """Left right^T (p, q), in work."""
    out = _part(work, 0, left.shape[0], right.shape[0])
    np.dot(left, right.T, out)
    return out


@block
def _add_products(left, right, work, out):
    """Add left right^T (p, q) to out, left (p, h), right (q, h)."""
    p, q = out.shape
    columns = min(q, COLUMNS, work.shape[0])
    height = min(p, HEIGHT, work.shape[0] // columns)
    for a in range(0, p, height):
        b = min(p, a + height)
        for c in range(0, q, columns):
            product = _times(left[a:b], right[c : min(q, c + columns)], work)
            for i in range(product.shape[0]):
                for j in range(product.shape[1]):
                    out[a + i, c + j] += product[i, j]


@block
def _add_quartic(left, right, k, work, out):
    """Add left right^T (n_pairs, n_pairs) to out as far as symmetry asks for it.

    Left holds the pairs as (0, 0), (0, 1), (1, 1), (0, 2), ..., right in the usual one. As z_i z_j z_p z_q is symmetric, only
    the products of (i, j) with (p, q), i <= j <= p <= q, are needed: a sixth of them all.
    """
    n_p = out.shape[0]
    columns = min(n_p, COLUMNS, work.shape[0])
    height = min(n_p, HEIGHT, work.shape[0] // columns)
    i, j = 0, 0
    for a in range(0, n_p, height):
        b = min(n_p, a + height)
        first_i, first_j = i, j
        for c in range(_position(first_j, first_j, k), n_p, columns):
            product = _times(left[a:b], right[c : min(n_p, c + columns)], work)
            i, j = first_i, first_j
            for r in range(product.shape[0]):
                row = _position(i, j, k)
                for s in range(product.shape[1]):
                    out[row, c + s] += product[r, s]
                i, j = (i + 1, j) if i < j else (0, j + 1)


@block
def _root2_unless(equal):
    return 1.0 if equal else ROOT2


@block
def _complete(square, k):
    """Fill the entries of a Gram of svec(z z^T) that `_add_quartic` leaves to symmetry."""
    for i in range(k):
        for j in range(i, k):
            a = _position(i, j, k)
            for p in range(i, k):
                for q in range(j if p == i else p, k):
                    b = _position(p, q, k)
                    if p < j:
                        low, high = min(j, q), max(j, q)
                        known = square[_position(i, p, k), _position(low, high, k)]
                        scale = ROOT2 * _root2_unless(p == q) / (_root2_unless(i == p) * _root2_unless(j == q))
                        square[a, b] = known * scale
                    square[b, a] = square[a, b]


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
def _difference(a, b, c, d, scale, out):
    """Out (h,) = scale (a b - c d); returns its sum."""
    total = 0.0
    for i in range(out.shape[0]):
        out[i] = scale * (a[i] * b[i] - c[i] * d[i])
        total += out[i]
    return total


@block
def _svec(x, left, out, sums):
    """Out (n_pairs, h) = svec(x x^T) of every column of x (e, h), in left the other order; adds the sum of each."""
    e = x.shape[0]
    for j in range(e):
        for i in range(j + 1):
            other, own = left[j * (j + 1) // 2 + i], out[_position(i, j, e)]
            scale = _root2_unless(i == j)
            total = 0.0
            for row in range(own.shape[0]):
                feature = scale * (x[i, row] * x[j, row])
                own[row] = feature
                other[row] = feature
                total += feature
            sums[_position(i, j, e)] += total


@block
def _svec_difference(p, q, out, sums):
    """Out (n_pairs, h) = svec(q q^T) - svec(p p^T) of every column; adds the sum of each."""
    k = p.shape[0]
    row = 0
    for i in range(k):
        for j in range(i, k):
            sums[row] += _difference(q[i], q[j], p[i], p[j], _root2_unless(i == j), out[row])
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
    rest, square = _part(sums, 0, n_g, n_f), _part(sums, n_g * n_f, n_g, n_g)
    totals = sums[n_g * (n_g + n_f) :]
    for first in range(0, X.shape[0], TILE):
        last = min(X.shape[0], first + TILE)
        h = last - first
        x, p, q = _part(scratch, 0, e, h), _part(scratch, e * h, k, h), _part(scratch, (e + k) * h, k, h)
        left = _part(scratch, (e + 2 * k) * h, n_g, h)
        right = _part(scratch, (e + 2 * k + n_g) * h, n_g + n_f, h)
        _project(coordinates, X[first:last], x)
        _project(p_map, X[first:last], p)
        _project(q_map, Y[first:last], q)
        for a in range(k):
            for i in range(h):
                q[a, i] = 2.0 * q[a, i] - p[a, i]
        if bounded[0] > 0.0:
            _normalise(x)
        _svec(x, left, right[:n_g], totals[:n_g])
        _svec_difference(p, q, right[n_g:], totals[n_g:])
        work = scratch[(e + 2 * k + 2 * n_g + n_f) * h :]
        _add_products(right[:n_g], right[n_g:], work, rest)
        _add_quartic(left, right[:n_g], e, work, square)
    _complete(square, e)


@driver
def distinguishing_pass(X, Y, coordinates, p_map, q_map, bounded, scratch, row_values, sums):
    """Correlations of pair features of labels and inputs; see `_distinguishing_block`."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            work = scratch[lane].reshape(-1)
            _distinguishing_block(X[i:j], Y[i:j], coordinates, p_map, q_map, bounded, work, sums[b])
