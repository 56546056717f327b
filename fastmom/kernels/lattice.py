"""Lattice reduction in floating point: Lenstra, Lenstra and Lovasz 1982, the form of Schnorr and Euchner 1994.

A basis is the rows of a matrix. The caller keeps its entries small (see `fastmom.patterns.even_odd_orientation`), so
that double precision suffices: nothing here recovers from a basis that is singular to round-off.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver

DELTA = 0.99  # of the exchange condition
MAX_SWAPS = 1_000_000
SWEEPS = 40  # of size reduction on one row; round-off needs a few


def lattice_scratch(bases: np.ndarray) -> np.ndarray:
    """Work space of `reduce_bases` for bases (b, q, w): coefficients and projections, (b, 2, q, q)."""
    b, q, _ = bases.shape
    return np.empty((b, 2, q, q))


@block
def _project(B, mu, r, i):
    """Gram-Schmidt coefficients of row i against the rows before it: r_ij = <b_i, b*_j>, mu_ij = r_ij / r_jj."""
    for j in range(i + 1):
        total = 0.0
        for c in range(B.shape[1]):
            total += B[i, c] * B[j, c]
        for c in range(j):
            total -= mu[j, c] * r[i, c]
        r[i, j] = total
        mu[i, j] = total / r[j, j] if j < i else 1.0


@block
def _size_reduce(B, mu, r, i):
    """Subtract integer multiples of the rows before row i until all |mu_ij| <= 1/2."""
    for _ in range(SWEEPS):
        _project(B, mu, r, i)
        changed = False
        for j in range(i - 1, -1, -1):
            t = np.rint(mu[i, j])
            if t != 0.0:
                changed = True
                for c in range(B.shape[1]):
                    B[i, c] -= t * B[j, c]
                for c in range(j):
                    mu[i, c] -= t * mu[j, c]
        if not changed:
            return


@block
def _reduce(B, mu, r):
    """LLL reduction of the basis B (q, w) in place; returns the number of exchanges."""
    swaps = 0
    i = 0
    while i < B.shape[0] and swaps < MAX_SWAPS:
        _size_reduce(B, mu, r, i)
        if i > 0 and r[i, i] + mu[i, i - 1] * r[i, i - 1] < DELTA * r[i - 1, i - 1]:
            for c in range(B.shape[1]):
                kept = B[i, c]
                B[i, c] = B[i - 1, c]
                B[i - 1, c] = kept
            swaps += 1
            i -= 1
        else:
            i += 1
    return swaps


@driver
def reduce_bases(bases, scratch, swaps):
    """Reduce the bases (b, q, w) in place; swaps (b,) receives how many exchanges that took."""
    for b in prange(bases.shape[0]):
        swaps[b] = _reduce(bases[b], scratch[b, 0], scratch[b, 1])
