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
from fastmom.kernels._tiles import part

TILE = 256  # rows turned into features at once: they stay in L2
# A product formed at once is small enough for OpenBLAS to take its operands as they lie: twice as fast as packing them.
AREA, COLUMNS = 1152, 48
HEIGHT = 12  # of a product within a fourth moment: the shorter, the less it computes that symmetry gives
SWEPT = 384  # bytes of a row from which reading a tile once, in order, before a matrix product pays
ROOT2 = np.sqrt(2.0)


def n_pairs(k: int) -> int:
    """Number of pairs (i, j), i <= j, of k coordinates."""
    return k * (k + 1) // 2


def distinguishing_widths(k: int, e: int) -> tuple[int, int]:
    """Scratch columns a row needs in `distinguishing_pass`, and length of its sum."""
    n_f, n_g = n_pairs(k), n_pairs(e)
    return COLUMNS + 2 * k + e + 2 * n_g + n_f, n_g * (n_f + n_g) + n_g + n_f


def small_tensor_widths(order: int, k: int, q: int) -> tuple[int, int]:
    """Scratch columns a row needs in `small_tensor_pass`, and length of its sum."""
    n_p = n_pairs(k)
    highest = {2: k * k, 3: n_p * k, 4: n_p * n_p}[order]
    return COLUMNS + q + 2 * k + 2 * n_p, q * (1 + k + n_p + highest)


def face_splitting_widths(p: int, q: int) -> tuple[int, int]:
    """Scratch columns a row needs in `face_splitting_pass`, and length of its sum."""
    return COLUMNS + p + q + 1 + n_pairs(p) + n_pairs(q), n_pairs(p) * n_pairs(q)


@block
def _position(i, j, k):
    """Number of the pair i <= j of k coordinates."""
    return i * k - (i * (i - 1)) // 2 + j - i


@block
def _sum(values):
    total = values.dtype.type(0)
    for i in range(values.shape[0]):
        total += values[i]
    return total


@block
def _project(matrix, rows, out):
    """Out (k, h) = matrix^T rows^T: matrix (d, k), rows (h, d)."""
    if rows.shape[1] * rows.itemsize >= SWEPT:
        out[0, 0] = _sum(rows.reshape(-1))  # brings them into cache at the speed of memory; BLAS alone reads slower
    np.dot(matrix.T, rows.T, out)


@block
def _transpose(rows, out):
    """Out (k, h) = rows^T: rows (h, k)."""
    for a in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[a, i] = rows[i, a]


@block
def _product(a, b, out):
    """Out (h,) = a b; returns its sum."""
    total = out.dtype.type(0)
    for i in range(out.shape[0]):
        out[i] = a[i] * b[i]
        total += out[i]
    return total


@block
def _pairs(z, out):
    """Out (n_pairs, h) = z_i z_j of every column of z (k, h)."""
    for i in range(z.shape[0]):
        for j in range(i, z.shape[0]):
            _product(z[i], z[j], out[_position(i, j, z.shape[0])])


@block
def _weighted_pairs(weighted, z, out, sums):
    """Out (n_pairs, h) = weighted_j z_i in the order (0, 0), (0, 1), (1, 1), (0, 2), ...; adds the sum of each."""
    for j in range(z.shape[0]):
        for i in range(j + 1):
            sums[_position(i, j, z.shape[0])] += _product(weighted[j], z[i], out[j * (j + 1) // 2 + i])


@block
def _times(left, right, work):
    """Left right^T (p, q), in work."""
    out = part(work, 0, left.shape[0], right.shape[0])
    np.dot(left, right.T, out)
    return out


@block
def _add_products(left, right, work, out):
    """Add left right^T (p, q) to out, left (p, h), right (q, h)."""
    p, q = out.shape
    columns = min(q, COLUMNS)
    height = min(AREA, work.shape[0]) // columns
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

    Left holds pairs in the order of `_weighted_pairs`, right in the usual one. As z_i z_j z_p z_q is symmetric, only
    the products of (i, j) with (p, q), i <= j <= p <= q, are needed: a sixth of them all.
    """
    n_p = out.shape[0]
    columns = min(n_p, AREA // HEIGHT, work.shape[0])
    height = min(HEIGHT, work.shape[0] // columns)
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
def _svec(x, left, out, sums):
    """Out (n_pairs, h) = svec(x x^T) of every column of x (e, h), in left the other order; adds the sum of each."""
    e = x.shape[0]
    for j in range(e):
        for i in range(j + 1):
            other, own = left[j * (j + 1) // 2 + i], out[_position(i, j, e)]
            scale, total = _root2_unless(i == j), 0.0
            for row in range(own.shape[0]):
                own[row] = scale * (x[i, row] * x[j, row])
                other[row] = own[row]
                total += own[row]
            sums[_position(i, j, e)] += total


@block
def _svec_difference(p, q, out, sums):
    """Out (n_pairs, h) = svec(q q^T) - svec(p p^T) of every column; adds the sum of each."""
    k = p.shape[0]
    for i in range(k):
        for j in range(i, k):
            own, scale, total = out[_position(i, j, k)], _root2_unless(i == j), 0.0
            for row in range(own.shape[0]):
                own[row] = scale * (q[i, row] * q[j, row] - p[i, row] * p[j, row])
                total += own[row]
            sums[_position(i, j, k)] += total


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
    rest, square = part(sums, 0, n_g, n_f), part(sums, n_g * n_f, n_g, n_g)
    totals = sums[n_g * (n_g + n_f) :]
    for first in range(0, X.shape[0], TILE):
        last = min(X.shape[0], first + TILE)
        h = last - first
        x, p, q = part(scratch, 0, e, h), part(scratch, e * h, k, h), part(scratch, (e + k) * h, k, h)
        left = part(scratch, (e + 2 * k) * h, n_g, h)
        right = part(scratch, (e + 2 * k + n_g) * h, n_g + n_f, h)
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


@block
def _small_tensor_block(X, W, V, order, scratch, sums):
    """Sums for each column w of W, z = X V: of w (1), w z (k), w z_i z_j (n_pairs), and the tensor of w z x .. x z.

    The tensor is (k, k) for order[0] = 2, (n_pairs, k) with rows in the order of `_weighted_pairs` for 3, and
    (n_pairs, n_pairs) for 4, see `_add_quartic`. Order 2 leaves the sums by pairs at zero.
    """
    k, q = V.shape[1], W.shape[1]
    n_p, width = k * (k + 1) // 2, sums.shape[0] // q
    for j in range(sums.shape[0]):
        sums[j] = 0.0
    for first in range(0, X.shape[0], TILE):
        last = min(X.shape[0], first + TILE)
        h = last - first
        z, weighted, weights = part(scratch, 0, k, h), part(scratch, k * h, k, h), part(scratch, 2 * k * h, q, h)
        left, right = part(scratch, (2 * k + q) * h, n_p, h), part(scratch, (2 * k + q + n_p) * h, n_p, h)
        work = scratch[(2 * k + q + 2 * n_p) * h :]
        _transpose(W[first:last], weights)
        _project(V, X[first:last], z)
        if order[0] == 4:
            _pairs(z, right)
        for c in range(q):
            own = sums[c * width : (c + 1) * width]
            by_pair, tensor = own[1 + k : 1 + k + n_p], own[1 + k + n_p :]
            own[0] += _sum(weights[c])
            for a in range(k):
                own[1 + a] += _product(weights[c], z[a], weighted[a])
            if order[0] == 2:
                _add_products(weighted, z, work, part(tensor, 0, k, k))
                continue
            _weighted_pairs(weighted, z, left, by_pair)
            if order[0] == 3:
                _add_products(left, z, work, part(tensor, 0, n_p, k))
            else:
                _add_quartic(left, right, k, work, part(tensor, 0, n_p, n_p))


@driver
def small_tensor_pass(X, W, V, order, scratch, row_values, sums):
    """Moments of few projections of the rows up to the given order; see `_small_tensor_block`."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            _small_tensor_block(X[i:j], W[i:j], V, order, scratch[lane].reshape(-1), sums[b])


@block
def _face_splitting_block(Z, Y, weighted, scratch, sums):
    """Sum of w z_i z_j x_a x_b (n_pairs, n_pairs): Y = [X, w] if weighted[0] > 0, otherwise Y = X and w = 1."""
    p, columns = Z.shape[1], Y.shape[1]
    q = columns - 1 if weighted[0] > 0 else columns
    n_z, n_x = p * (p + 1) // 2, q * (q + 1) // 2
    for j in range(sums.shape[0]):
        sums[j] = 0.0
    for first in range(0, Z.shape[0], TILE):
        last = min(Z.shape[0], first + TILE)
        h = last - first
        z, x = part(scratch, 0, p, h), part(scratch, p * h, columns, h)
        left, right = part(scratch, (p + columns) * h, n_z, h), part(scratch, (p + columns + n_z) * h, n_x, h)
        _transpose(Z[first:last], z)
        _transpose(Y[first:last], x)
        _pairs(z, left)
        _pairs(x[:q], right)
        for a in range(n_z if q < columns else 0):
            _product(x[q], left[a], left[a])
        _add_products(left, right, scratch[(p + columns + n_z + n_x) * h :], part(sums, 0, n_z, n_x))


@driver
def face_splitting_pass(Z, Y, weighted, scratch, row_values, sums):
    """Joint fourth moments of two sets of features; see `_face_splitting_block`."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(Z.shape[0], (b + 1) * size)
            _face_splitting_block(Z[i:j], Y[i:j], weighted, scratch[lane].reshape(-1), sums[b])
