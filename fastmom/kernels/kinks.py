"""Sums of kinks, f(x) = v.x + sum_j s_j phi(b_j.x), phi(t) = t where t > 0 and slope t elsewhere.

Slope -1 is |t|, slope 0 the rectifier. A row counts by its pattern alone, the code whose bit j says b_j.x > 0: where
rows of one code share all they need, a product with the normal matrix of the patterns is two visits to a row, however
many neurons there are. Drivers as in `fastmom.kernels.forward`; k is small, as there are 2^k codes.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._simd import add, entry, fetch_ahead, load, multiply_add, row_sums, splat, store
from fastmom.kernels._tiles import part

TILE = 256
MOST_KINKS = 10  # their 2^k codes share tables that must stay in cache


def table_width(d: int) -> int:
    """Columns of a table with a row for each code: whole strips, and a place for the last one, which overlaps."""
    return d // 4 * 4 + 4


def kink_scratch(d: int, k: int) -> int:
    """Scratch elements a lane of `kink_pass` needs."""
    return TILE * (k + 2) + 4 + (1 << k) * table_width(d)


def grouped_scratch(d: int, codes: int) -> int:
    """Scratch elements a lane of `grouped_product_pass` needs."""
    return 2 * codes * table_width(d) + 16


@block
def _spread(E, table):
    """Lay the rows of E (codes, d) out in strips at 0, 4, .. and at last at d - 4, entries only once."""
    d = E.shape[1]
    full = d // 4 * 4
    for c in range(E.shape[0]):
        for j in range(full):
            table[c, j] = E[c, j]
        for j in range(full, full + 4):
            table[c, j] = 0.0
        for j in range(full, d):
            table[c, full + (j - d + 4 if d >= 4 else j)] = E[c, j]


@block
def _gather(table, sums):
    """Write a table laid out as by `_spread` to sums (codes, d)."""
    codes, d = sums.shape
    full = d // 4 * 4
    for c in range(codes):
        for j in range(full):
            sums[c, j] = table[c, j]
        for j in range(full, d):
            sums[c, j] = table[c, full + (j - d + 4 if d >= 4 else j)]


@block
def _add_row(X, i, code, g, table):
    """Add g x to the row of the table, x a row shorter than a strip or without three neighbours."""
    d = X.shape[1]
    full = d // 4 * 4
    for j in range(full):
        table[code, j] += g * X[i, j]
    for j in range(full, d):
        table[code, full + (j - d + 4 if d >= 4 else j)] += g * X[i, j]


@block
def _add_four(X, i, c0, c1, c2, c3, g, table):
    """Add g_r x_r to the table's rows c_r for four rows, in order, the g_r in a strip."""
    d = X.shape[1]
    g0, g1, g2, g3 = entry(g, 0), entry(g, 1), entry(g, 2), entry(g, 3)
    for place in range(0, d, 4):
        j = min(place, d - 4)
        store(table, c0, place, multiply_add(load(X, i, j), g0, load(table, c0, place)))
        store(table, c1, place, multiply_add(load(X, i + 1, j), g1, load(table, c1, place)))
        store(table, c2, place, multiply_add(load(X, i + 2, j), g2, load(table, c2, place)))
        store(table, c3, place, multiply_add(load(X, i + 3, j), g3, load(table, c3, place)))


@block
def _clear(table):
    for c in range(table.shape[0]):
        for j in range(table.shape[1]):
            table[c, j] = 0.0


@block
def _grouped_block(X, codes, E, scratch, sums):
    """Sums (codes, d) of (x.E[code]) x over the rows of each code: four rows are read in order, then added up in cache.

    The rows to come are asked for ahead. One loop and no function for a row, and no branch in it, as in
    `fastmom.kernels.few_contractions`.
    """
    n, d = X.shape
    width = d // 4 * 4 + 4
    full, sixteen = d // 4 * 4, d // 16 * 16
    own = part(scratch, 0, E.shape[0], width)
    total = part(scratch, E.shape[0] * width, E.shape[0], width)
    q = part(scratch, 2 * E.shape[0] * width, 4, 4)
    _spread(E, own)
    _clear(total)
    four = n // 4 * 4 if d >= 4 else 0
    zero = splat(X.dtype.type(0))
    for first in range(0, four, 4):
        for i in range(first, first + 4):
            code = int(codes[i])
            a = b = c = e = zero
            for j in range(0, sixteen, 16):
                fetch_ahead(X, i, j)
                fetch_ahead(X, i, j + 8)
                a = multiply_add(load(X, i, j), load(own, code, j), a)
                b = multiply_add(load(X, i, j + 4), load(own, code, j + 4), b)
                c = multiply_add(load(X, i, j + 8), load(own, code, j + 8), c)
                e = multiply_add(load(X, i, j + 12), load(own, code, j + 12), e)
            for j in range(sixteen, full, 4):
                fetch_ahead(X, i, j)
                a = multiply_add(load(X, i, j), load(own, code, j), a)
            b = multiply_add(load(X, i, d - 4), load(own, code, full), b)
            store(q, i - first, 0, add(add(a, b), add(c, e)))
        products = row_sums(load(q, 0, 0), load(q, 1, 0), load(q, 2, 0), load(q, 3, 0))
        c0, c1, c2, c3 = int(codes[first]), int(codes[first + 1]), int(codes[first + 2]), int(codes[first + 3])
        _add_four(X, first, c0, c1, c2, c3, products, total)
    for i in range(four, n):
        code = int(codes[i])
        product = 0.0
        for j in range(d):
            product += X[i, j] * E[code, j]
        _add_row(X, i, code, product, total)
    _gather(total, sums)


@block
def _patterns(T, y, signs, slope, codes, residuals):
    """Codes and residuals f - y of the rows whose products with the kinks and with v, last, are T (h, k + 1)."""
    h, k = T.shape[0], T.shape[1] - 1
    total = 0.0
    for i in range(h):
        code = 0
        r = T[i, k] - y[i]
        for j in range(k):
            t = T[i, j]
            if t > 0:
                code |= 1 << j
                r += signs[j] * t
            else:
                r += signs[j] * slope * t
        codes[i] = code
        residuals[i] = r
        total += r * r
    return total


@block
def _kink_block(X, y, H, signs, slope, scratch, codes, sums):
    """Sums: squared residual (1), residual-weighted rows of each code (2^k, d); codes (n,)."""
    (n, d), k = X.shape, len(signs)
    width = d // 4 * 4 + 4
    total = part(scratch, 0, 1 << k, width)
    residuals = part(scratch, (1 << k) * width, 1, TILE + 4)
    start = (1 << k) * width + TILE + 4
    _clear(total)
    loss = 0.0
    for first in range(0, n, TILE):
        h = min(TILE, n - first)
        T = part(scratch, start, h, k + 1)
        np.dot(X[first : first + h], H.T, T)
        loss += _patterns(T, y[first:], signs, slope, codes[first : first + h], residuals[0])
        four = h // 4 * 4 if d >= 4 else 0
        for i in range(0, four, 4):
            a = first + i
            c0, c1, c2, c3 = int(codes[a]), int(codes[a + 1]), int(codes[a + 2]), int(codes[a + 3])
            _add_four(X, a, c0, c1, c2, c3, load(residuals, 0, i), total)
        for i in range(four, h):
            _add_row(X, first + i, int(codes[first + i]), residuals[0, i], total)
    sums[0] = loss
    _gather(total, part(sums, 1, 1 << k, d))


@driver
def kink_pass(X, Y, H, signs, slope, scratch, row_values, sums):
    """Squared residual of labels Y (n, 1) and residual-weighted rows by code, codes as row values; see `_kink_block`.

    H (k + 1, d): the kinks b_j, then v; slope (1,).
    """
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            y, work = Y[i:j].reshape(-1), scratch[lane].reshape(-1)
            _kink_block(X[i:j], y, H, signs, slope[0], work, row_values[i:j], sums[b])


@driver
def grouped_product_pass(X, Y, E, scratch, row_values, sums):
    """Sum of (x.E[code]) x over the rows of each code (codes, d), the codes in Y (n, 1); writes no row values."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            out = part(sums[b], 0, E.shape[0], E.shape[1])
            _grouped_block(X[i:j], Y[i:j].reshape(-1), E, scratch[lane].reshape(-1), out)
