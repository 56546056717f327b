"""Contractions of the Hermite moments with one vector or a few, T_l(I, u, .., u), in one pass over the rows.

The formula, the arguments and the sums are those of `fastmom.kernels.contractions`; for few vectors the two matrix
products would wait for memory, so the loops here visit each row when it arrives. Rows of up to eight strips
(`fastmom.kernels._simd`) are done with at once, four at a time; longer ones are read in order, as memory likes it, and
visited again in cache, block by block.
"""

from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._simd import (
    BYTES,
    add,
    entry,
    load,
    load_four,
    multiply,
    multiply_add,
    row_sums,
    splat,
    store,
    subtract,
)

CACHE_BYTES = 1 << 19  # of X in a tile of long rows: visited twice, it has to stay in a core's L2
TILES = 4  # of a block of long rows: the sums of a block cost a visit of their own
MOST_ROWS = 1 << 14  # of a block of short rows, visited once: as few restarts of the stream as float32 sums allow


def few_rows(d: int, itemsize: int) -> int:
    """Rows of a block: a power of two."""
    if itemsize * d <= 8 * BYTES:
        return MOST_ROWS
    return TILES << (max(64, CACHE_BYTES // (itemsize * d)).bit_length() - 1)


@block
def _project(X, v, t):
    """Products t = X v, row by row: memory runs ahead best where rows are read in order."""
    n, d = X.shape
    lanes = BYTES // X.itemsize
    four, full = d // (4 * lanes) * (4 * lanes), d // lanes * lanes
    zero = splat(X.dtype.type(0))
    for i in range(n):
        a = b = c = e = zero
        for j in range(0, four, 4 * lanes):
            a = multiply_add(load(X, i, j), load(v, 0, j), a)
            b = multiply_add(load(X, i, j + lanes), load(v, 0, j + lanes), b)
            c = multiply_add(load(X, i, j + 2 * lanes), load(v, 0, j + 2 * lanes), c)
            e = multiply_add(load(X, i, j + 3 * lanes), load(v, 0, j + 3 * lanes), e)
        for j in range(four, full, lanes):
            a = multiply_add(load(X, i, j), load(v, 0, j), a)
        if full < d:
            b = multiply_add(load(X, i, d - lanes), load(v, 0, full), b)
        store(t, 0, i, row_sums(add(add(a, b), add(c, e)), zero, zero, zero))


@block
def _add_four(X, i, j, g0, g1, g2, g3, p):
    """The strip p plus those of four rows, weighted."""
    p = multiply_add(load(X, i, j), g0, multiply_add(load(X, i + 1, j), g1, p))
    return add(p, multiply_add(load(X, i + 2, j), g2, multiply(load(X, i + 3, j), g3)))


@block
def _weigh_four(t, w, steps):
    """Strips w g_k(t) and w g_(k-1)(t), k = len(steps)."""
    value, lower = w, splat(steps.dtype.type(0))
    for k in range(steps.shape[0]):
        above = multiply(multiply(splat(steps[k, 0]), t), value)
        lower, value = value, subtract(above, multiply(splat(steps[k, 1]), lower))
    return value, lower


@block
def _add_rows(X, g, total):
    """Add X^T g to total (1, d + lanes), eight rows at a time: they are in cache by now.

    The last strip of a row, at d - lanes, has a place of its own behind the whole strips.
    """
    n, d = X.shape
    lanes = BYTES // X.itemsize
    full = d // lanes * lanes
    eight = n // 8 * 8
    for i in range(0, eight, 8):
        g0, g1, g2, g3 = splat(g[i]), splat(g[i + 1]), splat(g[i + 2]), splat(g[i + 3])
        g4, g5, g6, g7 = splat(g[i + 4]), splat(g[i + 5]), splat(g[i + 6]), splat(g[i + 7])
        for j in range(0, full, lanes):
            a = _add_four(X, i, j, g0, g1, g2, g3, load(total, 0, j))
            store(total, 0, j, _add_four(X, i + 4, j, g4, g5, g6, g7, a))
        if full < d:
            a = _add_four(X, i, d - lanes, g0, g1, g2, g3, load(total, 0, full))
            store(total, 0, full, _add_four(X, i + 4, d - lanes, g4, g5, g6, g7, a))
    for i in range(eight, n):
        for place in range(0, d, lanes):
            x = load(X, i, min(place, d - lanes))
            store(total, 0, place, multiply_add(x, splat(g[i]), load(total, 0, place)))


@block
def _weigh(t, w, steps, lower, value):
    """Turn t (h,) into w g_k(t), k = len(steps); returns the sum of w g_(k-1). Needs two work spaces (h,)."""
    h = t.shape[0]
    total = t.dtype.type(0)
    count = steps.shape[0]
    if count == 0:
        for i in range(h):
            t[i] = w[i]
    elif count == 1:
        for i in range(h):
            total += w[i]
            t[i] *= w[i]
    elif count == 2:
        a, b = steps[1, 0], steps[1, 1]
        for i in range(h):
            total += w[i] * t[i]
            t[i] = w[i] * (a * t[i] * t[i] - b)
    else:
        for i in range(h):
            lower[i] = w[i]
            value[i] = w[i] * t[i]
        for k in range(1, count):
            a, b = steps[k, 0], steps[k, 1]
            for i in range(h):
                above = a * t[i] * value[i] - b * lower[i]
                lower[i] = value[i]
                value[i] = above
        for i in range(h):
            total += lower[i]
            t[i] = value[i]
    return total


@block
def _wide_block(X, w, v, steps, scratch, total):
    """`_few_block` for rows of more than eight strips: tile by tile two visits, the second to rows in cache."""
    n, d = X.shape
    lanes = BYTES // X.itemsize
    size = d // lanes * lanes + lanes
    tile = min(n, max(64, CACHE_BYTES // (d * X.itemsize)))
    strips, sums = scratch[:size].reshape(1, size), scratch[size : 2 * size].reshape(1, size)
    t = scratch[2 * size : 2 * size + tile + lanes].reshape(1, tile + lanes)
    work = scratch[2 * size + tile + lanes :]
    _spread(v, strips[0])
    for j in range(size):
        sums[0, j] = X.dtype.type(0)
    sum_lower = 0.0
    for first in range(0, n, tile):
        last = min(n, first + tile)
        h = last - first
        _project(X[first:last], strips, t)
        sum_lower += _weigh(t[0, :h], w[first:last], steps, work[:h], work[h : 2 * h])
        _add_rows(X[first:last], t[0], sums)
    _gather(sums[0], total)
    return sum_lower


@block
def _spread(v, strips):
    """Lay v (d,) out in flat strips that begin at 0, lanes, .. and at last at d - lanes; entries only once."""
    d, lanes = len(v), BYTES // v.itemsize
    full = d // lanes * lanes
    for j in range(full):
        strips[j] = v[j]
    for j in range(full, len(strips)):
        strips[j] = v.dtype.type(0)
    for j in range(full, d):
        strips[j + full + lanes - d] = v[j]


@block
def _gather(strips, total):
    """Total (d,) from strips laid out as by `_spread`."""
    d, lanes = len(total), BYTES // total.itemsize
    full = d // lanes * lanes
    for j in range(full):
        total[j] = strips[j]
    for j in range(full, d):
        total[j] = strips[j + full + lanes - d]


@block
def _medium_block(X, w, v, steps, scratch, total):
    """`_few_block` for rows of five to eight strips: four rows at a time, which share loads of v and of the sums."""
    n, d = X.shape
    lanes = BYTES // X.itemsize
    full = d // lanes * lanes
    size = full + lanes
    strips, sums = scratch[:size].reshape(1, size), scratch[size : 2 * size].reshape(1, size)
    _spread(v, strips[0])
    for j in range(size):
        sums[0, j] = X.dtype.type(0)
    zero = splat(X.dtype.type(0))
    p_lower = zero
    for i in range(0, n - 3, 4):
        a = b = c = e = zero
        for place in range(0, d, lanes):
            u, j = load(strips, 0, place), min(place, d - lanes)
            a, b = multiply_add(load(X, i, j), u, a), multiply_add(load(X, i + 1, j), u, b)
            c, e = multiply_add(load(X, i + 2, j), u, c), multiply_add(load(X, i + 3, j), u, e)
        value, lower = _weigh_four(row_sums(a, b, c, e), load_four(w, i), steps)
        p_lower = add(p_lower, lower)
        g0, g1, g2, g3 = entry(value, 0), entry(value, 1), entry(value, 2), entry(value, 3)
        for place in range(0, d, lanes):
            p = _add_four(X, i, min(place, d - lanes), g0, g1, g2, g3, load(sums, 0, place))
            store(sums, 0, place, p)
    _gather(sums[0], total)
    store(strips, 0, 0, p_lower)
    return strips[0, :4].sum() + _last_rows(X, w, v, steps, scratch, total)


@block
def _narrow_block(X, w, v, steps, scratch, total):
    """`_few_block` for rows of one to four strips: everything stays in registers, and rows are visited once."""
    n, d = X.shape
    lanes = BYTES // X.itemsize
    count = -(-d // lanes)
    j1, j2, j3 = min(lanes, d - lanes), min(2 * lanes, d - lanes), d - lanes
    strips = scratch[: 4 * lanes].reshape(4, lanes)
    _spread(v, strips.reshape(-1))
    v0, v1, v2, v3 = load(strips, 0, 0), load(strips, 1, 0), load(strips, 2, 0), load(strips, 3, 0)
    p0 = p1 = p2 = p3 = p_lower = splat(X.dtype.type(0))
    for i in range(0, n - 3, 4):
        a, b = multiply(load(X, i, 0), v0), multiply(load(X, i + 1, 0), v0)
        c, e = multiply(load(X, i + 2, 0), v0), multiply(load(X, i + 3, 0), v0)
        if count > 1:
            a, b = multiply_add(load(X, i, j1), v1, a), multiply_add(load(X, i + 1, j1), v1, b)
            c, e = multiply_add(load(X, i + 2, j1), v1, c), multiply_add(load(X, i + 3, j1), v1, e)
        if count > 2:
            a, b = multiply_add(load(X, i, j2), v2, a), multiply_add(load(X, i + 1, j2), v2, b)
            c, e = multiply_add(load(X, i + 2, j2), v2, c), multiply_add(load(X, i + 3, j2), v2, e)
        if count > 3:
            a, b = multiply_add(load(X, i, j3), v3, a), multiply_add(load(X, i + 1, j3), v3, b)
            c, e = multiply_add(load(X, i + 2, j3), v3, c), multiply_add(load(X, i + 3, j3), v3, e)
        value, lower = _weigh_four(row_sums(a, b, c, e), load_four(w, i), steps)
        p_lower = add(p_lower, lower)
        g0, g1, g2, g3 = entry(value, 0), entry(value, 1), entry(value, 2), entry(value, 3)
        p0 = _add_four(X, i, 0, g0, g1, g2, g3, p0)
        if count > 1:
            p1 = _add_four(X, i, j1, g0, g1, g2, g3, p1)
        if count > 2:
            p2 = _add_four(X, i, j2, g0, g1, g2, g3, p2)
        if count > 3:
            p3 = _add_four(X, i, j3, g0, g1, g2, g3, p3)
    store(strips, 0, 0, p0)
    store(strips, 1, 0, p1)
    store(strips, 2, 0, p2)
    store(strips, 3, 0, p3)
    _gather(strips.reshape(-1), total)
    store(strips, 0, 0, p_lower)
    return strips[0, :4].sum() + _last_rows(X, w, v, steps, scratch, total)


@block
def _short_rows(X, w, v, steps, scratch, total):
    """Add to total (d,) what a few rows, or rows shorter than a strip, contribute; returns the sum of w g_(k-1)."""
    n, d = X.shape
    t = scratch[:n]
    for i in range(n):
        t[i] = X.dtype.type(0)
        for j in range(d):
            t[i] += X[i, j] * v[j]
    sum_lower = _weigh(t, w, steps, scratch[n : 2 * n], scratch[2 * n : 3 * n])
    for i in range(n):
        for j in range(d):
            total[j] += t[i] * X[i, j]
    return sum_lower


@block
def _last_rows(X, w, v, steps, scratch, total):
    """`_short_rows` of the rows that do not fill a group of four."""
    four = X.shape[0] // 4 * 4
    return _short_rows(X[four:], w[four:], v, steps, scratch, total)


@block
def _few_block(X, w, v, steps, scratch, total):
    """Total (d,) = sum of w g_k(x.v) x over the rows, k = len(steps); returns the sum of w g_(k-1)."""
    d, lanes = X.shape[1], BYTES // X.itemsize
    if d > 8 * lanes:
        return _wide_block(X, w, v, steps, scratch, total)
    if d > 4 * lanes:
        return _medium_block(X, w, v, steps, scratch, total)
    if d >= lanes:
        return _narrow_block(X, w, v, steps, scratch, total)
    for j in range(d):
        total[j] = X.dtype.type(0)
    return _short_rows(X, w, v, steps, scratch, total)


@driver
def few_contractions(X, Y, V, steps, scratch, row_values, sums):
    """Contractions with one vector or a few; see `_few_block`."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    r, d = V.shape
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            total, work = scratch[lane].reshape(-1)[:d], scratch[lane].reshape(-1)[d:]
            for a in range(r):
                sums[b, r * d + a] = _few_block(X[i:j], Y[i:j].reshape(-1), V[a], steps, work, total)
                for c in range(d):
                    sums[b, a * d + c] = total[c]
