"""Contractions of the Hermite moments with one vector or a few, T_l(I, u, .., u), in one pass over the rows.

The formula, the arguments and the sums are those of `fastmom.kernels.contractions`; for few vectors the two matrix
products would wait for memory, so the loops here visit each row when it arrives, in groups of four, and ask ahead for
the rows to come: between the rows of a group and the next, memory would idle while they are added up. Rows of up to
four strips (`fastmom.kernels._simd`) never leave the registers, longer ones are read again from the first cache.
"""

from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._simd import (
    add,
    entry,
    fetch_ahead,
    load,
    load_four,
    multiply,
    multiply_add,
    row_sums,
    splat,
    store,
    strip_lanes,
    subtract,
)

BLOCK_BYTES = 1 << 22  # of X in a block, whose sums cost a visit of their own
MOST_ROWS = 1 << 14  # of a block, because of float32 sums


def few_rows(d: int, itemsize: int) -> int:
    """Rows of a block: a power of two."""
    return 1 << (min(MOST_ROWS, max(64, BLOCK_BYTES // (itemsize * d))).bit_length() - 1)


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
def _spread(v, strips):
    """Lay v (d,) out in flat strips that begin at 0, lanes, .. and at last at d - lanes; entries only once."""
    d, lanes = len(v), strip_lanes(v)
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
    d, lanes = len(total), strip_lanes(total)
    full = d // lanes * lanes
    for j in range(full):
        total[j] = strips[j]
    for j in range(full, d):
        total[j] = strips[j + full + lanes - d]


@block
def _wide_block(X, w, v, steps, scratch, total):
    """`_few_block` for rows of more than four strips: four rows are read in order and added up while in cache.

    The last strip of a row, at d - lanes, has a place of its own behind the whole strips of v and of the sums. One
    loop over the four rows and no function for one: passing it arrays would count references at every row.
    """
    n, d = X.shape
    lanes = strip_lanes(X)
    four, full = d // (4 * lanes) * (4 * lanes), d // lanes * lanes
    size = full + lanes
    strips, sums = scratch[:size].reshape(1, size), scratch[size : 2 * size].reshape(1, size)
    t = scratch[2 * size : 2 * size + 4 * lanes].reshape(4, lanes)
    _spread(v, strips[0])
    for j in range(size):
        sums[0, j] = X.dtype.type(0)
    zero = splat(X.dtype.type(0))
    p_lower = zero
    for first in range(0, n - 3, 4):
        for i in range(first, first + 4):
            a = b = c = e = zero
            for j in range(0, four, 4 * lanes):
                fetch_ahead(X, i, j)
                fetch_ahead(X, i, j + 2 * lanes)
                a = multiply_add(load(X, i, j), load(strips, 0, j), a)
                b = multiply_add(load(X, i, j + lanes), load(strips, 0, j + lanes), b)
                c = multiply_add(load(X, i, j + 2 * lanes), load(strips, 0, j + 2 * lanes), c)
                e = multiply_add(load(X, i, j + 3 * lanes), load(strips, 0, j + 3 * lanes), e)
            for j in range(four, full, lanes):
                fetch_ahead(X, i, j)
                a = multiply_add(load(X, i, j), load(strips, 0, j), a)
            b = multiply_add(load(X, i, d - lanes), load(strips, 0, full), b)
            store(t, i - first, 0, add(add(a, b), add(c, e)))
        products = row_sums(load(t, 0, 0), load(t, 1, 0), load(t, 2, 0), load(t, 3, 0))
        value, lower = _weigh_four(products, load_four(w, first), steps)
        p_lower = add(p_lower, lower)
        g0, g1, g2, g3 = entry(value, 0), entry(value, 1), entry(value, 2), entry(value, 3)
        for j in range(0, full, lanes):
            store(sums, 0, j, _add_four(X, first, j, g0, g1, g2, g3, load(sums, 0, j)))
        store(sums, 0, full, _add_four(X, first, d - lanes, g0, g1, g2, g3, load(sums, 0, full)))
    _gather(sums[0], total)
    store(strips, 0, 0, p_lower)
    return strips[0, :4].sum() + _last_rows(X, w, v, steps, scratch, total)


@block
def _narrow_block(X, w, v, steps, scratch, total):
    """`_few_block` for rows of one to four strips: everything stays in registers, and rows are visited once."""
    n, d = X.shape
    lanes = strip_lanes(X)
    count = -(-d // lanes)
    j1, j2, j3 = min(lanes, d - lanes), min(2 * lanes, d - lanes), d - lanes
    strips = scratch[: 4 * lanes].reshape(4, lanes)
    _spread(v, strips.reshape(-1))
    v0, v1, v2, v3 = load(strips, 0, 0), load(strips, 1, 0), load(strips, 2, 0), load(strips, 3, 0)
    p0 = p1 = p2 = p3 = p_lower = splat(X.dtype.type(0))
    for i in range(0, n - 3, 4):
        for k in range(4):
            fetch_ahead(X, i + k, 0)
            if count > 2:
                fetch_ahead(X, i + k, j2)
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
    (n, d), lanes = X.shape, strip_lanes(X)
    if n >= 4 and d > 4 * lanes:
        return _wide_block(X, w, v, steps, scratch, total)
    if n >= 4 and d >= lanes:
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
