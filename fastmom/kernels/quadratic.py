"""Quadratic functions of rows and the sums that fit them, without the design matrix of all products x_a x_b.

A function of degree two is one symmetric form of the rows with a one appended, f_o(x) = z^T forms_o z, z = [x, 1]. A
tile of rows is cut into strips of columns: a matrix product a pair of strips a <= b evaluates the forms, another sums
the products e z z^T, and symmetry gives the pairs b < a. `packed` and `unpacked` know the layout of the strips.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._tiles import part

TILE = 128  # rows worked on at once: their strips stay in L2
WIDEST = 40  # columns of a strip: wide enough for a fast matrix product, narrow enough to gain from symmetry


def strips(d: int) -> tuple[int, int]:
    """Number of strips of d inputs and a one, and columns of each; the last may be padded with zeros."""
    count = -(-(d + 1) // WIDEST)
    return count, -(-(d + 1) // count)


def quadratic_widths(d: int, q: int, size: int) -> tuple[int, int]:
    """Scratch columns a row of a block of `size` needs in the pass of q functions, and length of its sum."""
    count, s = strips(d)
    tile = min(TILE, size) * (count * s + s + q) + s * s
    return -(-tile // size), q * (count * (count + 1) // 2) * s * s


def packed(forms: np.ndarray) -> np.ndarray:
    """Forms (q, d + 1, d + 1) as the pass takes them, (q, pairs, s, s); their symmetric parts are what counts."""
    q, d = forms.shape[0], forms.shape[1] - 1
    count, s = strips(d)
    square = np.zeros((q, count * s, count * s))
    square[:, : d + 1, : d + 1] = (forms + forms.transpose(0, 2, 1)) / 2
    a, b = np.triu_indices(count)
    blocks = square.reshape(q, count, s, count, s).transpose(0, 1, 3, 2, 4)[:, b, a]
    return np.ascontiguousarray(blocks * np.where(a == b, 1.0, 2.0)[:, np.newaxis, np.newaxis])


def unpacked(sums: np.ndarray, d: int) -> np.ndarray:
    """Sums of e z z^T (q, d + 1, d + 1), exactly symmetric, from the sums of the pass."""
    count, s = strips(d)
    a, b = np.triu_indices(count)
    blocks = sums.reshape(-1, len(a), s, s) * np.where(a == b, 0.5, 1.0)[:, np.newaxis, np.newaxis]
    square = np.zeros((len(blocks), count, count, s, s))
    square[:, b, a] = blocks
    half = square.transpose(0, 1, 3, 2, 4).reshape(-1, count * s, count * s)[:, : d + 1, : d + 1]
    return half + half.transpose(0, 2, 1)


@block
def _cut(X, x):
    """Copy rows X (h, d) and a one into strips x (count, h, s), padded with zeros."""
    count, h, s = x.shape
    for a in range(count):
        columns, strip = X[:, a * s : (a + 1) * s], x[a]
        filled = columns.shape[1]
        for i in range(h):
            for j in range(filled):
                strip[i, j] = columns[i, j]
            for j in range(filled, s):
                strip[i, j] = 0.0
    for i in range(h):
        x[X.shape[1] // s, i, X.shape[1] % s] = 1.0


@block
def _deviations(x, Y, forms, t, E):
    """E (q, h) = labels minus forms of the rows in strips x; labels without columns count as zero."""
    count, h, s = x.shape
    for o in range(E.shape[0]):
        for i in range(h):
            E[o, i] = Y[i, o] if Y.shape[1] > 0 else 0.0
        pair = 0
        for a in range(count if forms.shape[1] > 0 else 0):
            for b in range(a, count):
                np.dot(x[b], forms[o, pair], t)
                for i in range(h):
                    total = 0.0
                    for j in range(s):
                        total += t[i, j] * x[a, i, j]
                    E[o, i] -= total
                pair += 1


@block
def _add_products(x, E, t, product, sums):
    """Add the sums of e z_b z_a^T, strips a <= b, to sums (q, pairs, s, s)."""
    count, h, s = x.shape
    start = 0
    for o in range(E.shape[0]):
        for a in range(count):
            for i in range(h):
                for j in range(s):
                    t[i, j] = E[o, i] * x[a, i, j]
            for b in range(a, count):
                np.dot(x[b].T, t, product)
                flat, own = product.reshape(-1), sums[start : start + s * s]
                for j in range(s * s):
                    own[j] += flat[j]
                start += s * s


@block
def _quadratic_block(X, Y, forms, scratch, row_values, sums):
    """Sums of e z z^T by pairs of strips (q, pairs, s, s), e = y - f(x); row values e, row by row (h q).

    Either is left out where its array is empty.
    """
    q, s = forms.shape[0], forms.shape[2]
    count = (X.shape[1] + s) // s
    for j in range(sums.shape[0]):
        sums[j] = 0.0
    product = part(scratch, 0, s, s)
    for first in range(0, X.shape[0], TILE):
        last = min(X.shape[0], first + TILE)
        h = last - first
        t = part(scratch, s * s, h, s)
        E = part(scratch, (s + h) * s, q, h)
        x = part(scratch, (s + h) * s + q * h, count * h, s).reshape(count, h, s)
        _cut(X[first:last], x)
        _deviations(x, Y[first:last], forms, t, E)
        for i in range(h if row_values.shape[0] > 0 else 0):
            for o in range(q):
                row_values[(first + i) * q + o] = E[o, i]
        if sums.shape[0] > 0:
            _add_products(x, E, t, product, sums)


@driver
def quadratic_pass(X, Y, forms, scratch, row_values, sums):
    """Labels minus quadratic functions, and their moments; see `_quadratic_block`.

    Forms (q, 0, s, s) are zero. Row values of n q entries get the former, of any other number nothing; sums
    (n_blocks, width) get the latter, (n_blocks, 0) nothing.
    """
    lanes, size = scratch.shape[0], scratch.shape[1]
    q = forms.shape[0] if row_values.shape[0] == X.shape[0] * forms.shape[0] else 0
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            work, values = scratch[lane].reshape(-1), row_values[i * q : j * q]
            _quadratic_block(X[i:j], Y[i:j], forms, work, values, sums[b])
