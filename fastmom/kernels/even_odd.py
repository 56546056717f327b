"""Joint activation Grams by tables of subset sums, and the normal matrix of a step from them.

The Gram of a pair of neurons is ``sum of x x^T`` over the rows on which both are active. Four rows have 16 subsets:
their sums are tabulated once for all pairs ("four Russians"), so a pair costs one addition for four rows, in half of
the symmetric matrix: a quarter of the time of gathering rows and multiplying.

Symmetric (d, d) matrices are packed: (0, 0), (0, 1), ..., (0, d - 1), (1, 1), ..., a row of d (d + 1) / 2.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver

GROUP = 32  # rows tabulated at once
QUADS = GROUP // 4  # tables
SUBSETS = 16  # entries of a table
TABLES = QUADS * SUBSETS
FLUSH = 1024  # rows summed in the precision of X before they are added up in float64
PAIRS = 1024  # pairs of neurons that go through the rows together: their sums stay in L2
STRIP = 256  # columns of the packed Gram that do, unless one input alone has more


def joint_scratch(lanes: int, d: int, dtype: np.dtype) -> np.ndarray:
    """Work space of `joint_grams`, a row for each lane."""
    starts = strips(d)
    first, last = starts[:-1], starts[1:]
    columns = (last - first) * (2 * d - first - last + 1) // 2
    return np.empty((lanes, TABLES + PAIRS, columns.max()), dtype=dtype)


def strips(d: int) -> np.ndarray:
    """Inputs at which the strips of the packed Gram begin, and d: input a owns the columns (a, a), ..., (a, d - 1)."""
    starts, columns = [0], 0
    for a in range(d):
        if columns and columns + d - a > STRIP:
            starts.append(a)
            columns = 0
        columns += d - a
    return np.array([*starts, d])


def quads(active: np.ndarray) -> np.ndarray:
    """Activity (n, k) as numbers below 16, bit r of quad q for row 4 q + r; quads come in eights, zeros behind."""
    octets = np.packbits(active, axis=0, bitorder="little")
    out = np.zeros((-(-active.shape[0] // GROUP) * QUADS, active.shape[1]), dtype=np.uint8)
    out[0 : 2 * len(octets) : 2] = octets & 15
    out[1 : 2 * len(octets) : 2] = octets >> 4
    return out


@block
def _tabulate(X, row, a0, a1, first, table):
    """Sums of the packed products x_a x_b over the subsets of four rows, from entry `first` of the table on.

    Rows beyond the last count nothing. Returns the number of columns.
    """
    n, d = X.shape
    q = 0
    for r in range(4):
        size = 1 << r
        q = 0
        for a in range(a0, a1):
            left = X[row + r, a] if row + r < n else X.dtype.type(0)
            for b in range(a, d):
                table[first + size, q] = left * X[min(row + r, n - 1), b]
                q += 1
        for e in range(1, size):
            for c in range(q):
                table[first + size + e, c] = table[first + size, c] + table[first + e, c]
    for c in range(q):
        table[first, c] = 0
    return q


@block
def _add_group(quad, g, pairs, p0, p1, q, table):
    """Add the rows of a group on which both neurons are active to the sums of each pair, behind the tables."""
    for p in range(p0, p1):
        i, j = pairs[p, 0], pairs[p, 1]
        e0 = quad[g, i] & quad[g, j]
        e1 = 16 + (quad[g + 1, i] & quad[g + 1, j])
        e2 = 32 + (quad[g + 2, i] & quad[g + 2, j])
        e3 = 48 + (quad[g + 3, i] & quad[g + 3, j])
        e4 = 64 + (quad[g + 4, i] & quad[g + 4, j])
        e5 = 80 + (quad[g + 5, i] & quad[g + 5, j])
        e6 = 96 + (quad[g + 6, i] & quad[g + 6, j])
        e7 = 112 + (quad[g + 7, i] & quad[g + 7, j])
        s = TABLES + p - p0
        for c in range(q):
            table[s, c] += ((table[e0, c] + table[e1, c]) + (table[e2, c] + table[e3, c])) + (
                (table[e4, c] + table[e5, c]) + (table[e6, c] + table[e7, c])
            )


@block
def _add_joint_grams(X, quad, pairs, p0, p1, a0, a1, work, out):
    """Add the Grams of pairs p0 to p1 to out, the columns of inputs a0 to a1; work (`TABLES` + pairs, columns)."""
    n, d = X.shape
    c0 = a0 * d - a0 * (a0 - 1) // 2
    for first in range(0, n, FLUSH):
        for p in range(TABLES, TABLES + p1 - p0):
            for c in range(work.shape[1]):
                work[p, c] = 0
        q = 0
        for row in range(first, min(n, first + FLUSH), GROUP):
            for h in range(QUADS):
                q = _tabulate(X, row + 4 * h, a0, a1, SUBSETS * h, work)
            _add_group(quad, row // 4, pairs, p0, p1, q, work)
        for p in range(p0, p1):
            for c in range(q):
                out[p, c0 + c] += work[TABLES + p - p0, c]


@driver
def joint_grams(X, quad, pairs, starts, scratch, out):
    """Add to out (p, d (d + 1) / 2) the packed Gram of each pair over the rows on which both neurons are active.

    X (n, d), sums in its precision over `FLUSH` rows; quad (q, k) of `quads`; pairs (p, 2); starts of `strips`.
    """
    lanes = scratch.shape[0]
    n_strips = starts.shape[0] - 1
    n_chunks = -(-pairs.shape[0] // (PAIRS * lanes)) * lanes
    size = -(-pairs.shape[0] // n_chunks)
    for lane in prange(lanes):
        for task in range(lane, n_chunks * n_strips, lanes):
            strip = task % n_strips
            p0 = min(pairs.shape[0], task // n_strips * size)
            p1 = min(pairs.shape[0], p0 + size)
            _add_joint_grams(X, quad, pairs, p0, p1, starts[strip], starts[strip + 1], scratch[lane], out)


@block
def _packed_product(packed, v, out):
    """Out (d,) = M v, M symmetric and packed."""
    d = v.shape[0]
    for a in range(d):
        out[a] = 0.0
    c = 0
    for a in range(d):
        total = packed[c] * v[a]
        for b in range(a + 1, d):
            total += packed[c + b - a] * v[b]
            out[b] += packed[c + b - a] * v[a]
        out[a] += total
        c += d - a


@driver
def joint_products(grams, pairs, V, out):
    """``out[i, j] = G_ij v_j`` (k, k, d) for packed Grams of pairs (p, 2) with i <= j, every one given."""
    for p in prange(pairs.shape[0]):
        i, j = pairs[p, 0], pairs[p, 1]
        _packed_product(grams[p], V[j], out[i, j])
        _packed_product(grams[p], V[i], out[j, i])


@block
def _normal_block(packed, coupling, held, left, right, out):
    """Replace out (d, d) by ``diag(left) ((M - out) coupling + held held^T) diag(right)``, M packed."""
    d = out.shape[0]
    c = 0
    for a in range(d):
        for b in range(a, d):
            out[a, b] = left[a] * right[b] * ((packed[c] - out[a, b]) * coupling + held[a] * held[b])
            if b > a:
                out[b, a] = left[b] * right[a] * ((packed[c] - out[b, a]) * coupling + held[b] * held[a])
            c += 1


@driver
def normal_blocks(grams, pairs, coupling, held, scale, out):
    """Turn out (k d, k d), the projected part ``L L^T``, into the scaled normal matrix; blocks i <= j only.

    Block (i, j): ``((G_ij - L_i L_j^T) coupling_ij + [i = j] h_i h_i^T) * (scale_i scale_j^T)``; held h and scale
    (k + 1, d), the last row of held zero.
    """
    k, d = scale.shape
    for p in prange(pairs.shape[0]):
        i, j = pairs[p, 0], pairs[p, 1]
        part = out[i * d : (i + 1) * d, j * d : (j + 1) * d]
        _normal_block(grams[p], coupling[i, j], held[i if i == j else k], scale[i], scale[j], part)
