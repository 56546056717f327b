"""Sums of products of Hermite polynomials of a few coordinates of the rows.

The products of all coordinates but the last are visited as a tree, each the product of its parent and one polynomial
of a later coordinate, so that only one vector a level is kept; those of the last coordinate multiply it in the sum.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._tiles import part

TILE = 256  # rows whose polynomials are formed at once: they stay in L2


def hermite_widths(order: int, r: int) -> int:
    """Scratch columns a row needs in `hermite_pass`."""
    return r + r * (order + 1) + order + 1


@block
def _hermite(t, g):
    """Rows of g (order + 1, h): He_a(t) / sqrt(a!) , normalised so that every degree keeps its scale."""
    one = t.dtype.type(1)
    for i in range(t.shape[0]):
        g[0, i] = one
    for a in range(1, g.shape[0]):
        lead, back = t.dtype.type(1.0 / np.sqrt(a)), t.dtype.type(np.sqrt((a - 1.0) / a))
        before = g[max(0, a - 2)]  # meets back = 0 for a = 1
        for i in range(t.shape[0]):
            g[a, i] = lead * t[i] * g[a - 1, i] - back * before[i]


@block
def _multiply(a, b, out):
    for i in range(out.shape[0]):
        out[i] = a[i] * b[i]


@block
def _dot(a, b):
    total = a.dtype.type(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@block
def _hermite_block(X, W, V, nodes, scratch, sums):
    """Sums: w prod_j g_a_j(z_j), z = X V, w = W[:, 0], the powers of the last coordinate together.

    A row (level, parent's level, factor, start, count) of nodes is a product of the other coordinates: its parent
    times row `factor` of all polynomials (r (order + 1), h). The first is the root, w itself. Its sums with powers
    0, 1, ..., count - 1 of the last coordinate begin at `start`; count of the root is order + 1.
    """
    r, powers = V.shape[1], nodes[0, 4]
    for j in range(sums.shape[0]):
        sums[j] = 0.0
    for first in range(0, X.shape[0], TILE):
        last = min(X.shape[0], first + TILE)
        h = last - first
        z, g = part(scratch, 0, r, h), part(scratch, r * h, r * powers, h)
        products = part(scratch, r * (1 + powers) * h, powers, h)
        np.dot(V.T, X[first:last].T, z)
        for a in range(r):
            _hermite(z[a], g[a * powers : (a + 1) * powers])
        for i in range(h):
            products[0, i] = W[first + i, 0]
        highest = g[(r - 1) * powers :]
        for node in range(nodes.shape[0]):
            own = products[nodes[node, 0]]
            if node > 0:
                _multiply(products[nodes[node, 1]], g[nodes[node, 2]], own)
            for c in range(nodes[node, 4]):
                sums[nodes[node, 3] + c] += _dot(own, highest[c])


@driver
def hermite_pass(X, W, V, nodes, scratch, row_values, sums):
    """Hermite coefficients of few projections of the rows; see `_hermite_block`. Writes no row values."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            _hermite_block(X[i:j], W[i:j], V, nodes, scratch[lane].reshape(-1), sums[b])
