"""Activation Gram: for every pair of neurons, the sum of x x^T over the rows on which both are active.

Two forms of the same sums. Few patterns: one Gram a pattern, the rows read once whatever k is; the caller adds up
patterns. Many patterns: one Gram a pair, over the quarter of the rows on which both are active.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver

GATHER = 256  # rows gathered before a matrix product: the buffer stays in L2


def gram_scratch(lanes: int, d: int) -> np.ndarray:
    """Work space of the drivers of this file, a row for each lane."""
    return np.empty((lanes, GATHER * d + d * d))


@block
def _gram_of_rows(X, rows, scratch, out):
    """Out (d, d) = sum of x x^T over the given rows."""
    d = X.shape[1]
    buffer = scratch[: GATHER * d].reshape(GATHER, d)
    product = scratch[GATHER * d : GATHER * d + d * d].reshape(d, d)
    for a in range(d):
        for b in range(d):
            out[a, b] = 0.0
    for first in range(0, rows.shape[0], GATHER):
        h = min(GATHER, rows.shape[0] - first)
        for i in range(h):
            for a in range(d):
                buffer[i, a] = X[rows[first + i], a]
        np.dot(buffer[:h].T, buffer[:h], product)
        for a in range(d):
            for b in range(d):
                out[a, b] += product[a, b]


@driver
def pattern_grams(X, order, starts, scratch, out):
    """Gram of each group of rows: out[p] (d, d), group p the rows order[starts[p] : starts[p + 1]]."""
    lanes = scratch.shape[0]
    for lane in prange(lanes):
        for p in range(lane, out.shape[0], lanes):
            _gram_of_rows(X, order[starts[p] : starts[p + 1]], scratch[lane], out[p])


@block
def _common_rows(gates, i, j, rows):
    """Write the rows on which neurons i and j are both active; returns how many."""
    count = 0
    for row in range(gates.shape[1]):
        rows[count] = row
        count += gates[i, row] & gates[j, row]
    return count


@driver
def pair_grams(X, gates, pairs, rows, scratch, out):
    """Gram over the common active rows of each pair: out[p] (d, d), pairs (p, 2), gates (k, n) of 0 and 1."""
    lanes = scratch.shape[0]
    for lane in prange(lanes):
        for p in range(lane, pairs.shape[0], lanes):
            count = _common_rows(gates, pairs[p, 0], pairs[p, 1], rows[lane])
            _gram_of_rows(X, rows[lane, :count], scratch[lane], out[p])
