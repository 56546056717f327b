"""Orthogonal joint diagonalisation by plane rotations (Cardoso and Souloumiac 1996), all matrices at once.

Symmetric matrices are kept as entries (k, k, L), the matrices side by side in the last axis: a rotation then works on
contiguous runs of L numbers, and the upper triangle alone is touched.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver


@block
def _turn(x, y, c, s):
    """X, y <- c x + s y, c y - s x."""
    for i in range(x.shape[0]):
        old = x[i]
        x[i] = c * old + s * y[i]
        y[i] = c * y[i] - s * old


@block
def _rotation(pp, qq, pq, negligible):
    """Cosine and sine of the plane rotation that makes the pq as small as can be, all matrices together.

    None where their squares sum to no more than `negligible`: round-off has no direction.
    """
    on = 0.0
    off = 0.0
    square = 0.0
    for i in range(pp.shape[0]):
        difference = pp[i] - qq[i]
        square += pq[i] * pq[i]
        on += difference * difference
        off += difference * pq[i]
    if square <= negligible:
        return 1.0, 0.0
    angle = 0.25 * np.arctan2(4.0 * off, on - 4.0 * square)
    return np.cos(angle), np.sin(angle)


@block
def _turn_plane(entries, p, q, c, s):
    """Rows and columns p < q of every matrix, upper triangle."""
    k, L = entries.shape[1], entries.shape[2]
    for a in range(p):
        _turn(entries[a, p], entries[a, q], c, s)
    for a in range(p + 1, q):
        _turn(entries[p, a], entries[a, q], c, s)
    rest = (k - q - 1) * L
    if rest > 0:
        _turn(entries[p].reshape(-1)[(q + 1) * L :], entries[q].reshape(-1)[(q + 1) * L :], c, s)
    pp, qq, pq = entries[p, p], entries[q, q], entries[p, q]
    for i in range(L):
        moved = c * s * (qq[i] - pp[i]) + (c * c - s * s) * pq[i]
        total = pp[i] + qq[i]
        pp[i] = c * c * pp[i] + 2.0 * c * s * pq[i] + s * s * qq[i]
        qq[i] = total - pp[i]
        pq[i] = moved


@block
def _square(entries):
    """Sum of squares of the upper triangles, the diagonals included."""
    total = 0.0
    for p in range(entries.shape[0]):
        for q in range(p, entries.shape[0]):
            for i in range(entries.shape[2]):
                total += entries[p, q, i] * entries[p, q, i]
    return total


@block
def _diagonalize(entries, rotation, smallest, max_sweeps):
    """Sweep over all planes until none has a rotation by more than `smallest` to offer; how many sweeps that took."""
    k = entries.shape[0]
    negligible = smallest * smallest / k * _square(entries)
    for sweep in range(max_sweeps):
        turned = False
        for p in range(k):
            for q in range(p + 1, k):
                c, s = _rotation(entries[p, p], entries[q, q], entries[p, q], negligible)
                if abs(s) > smallest:
                    turned = True
                    _turn_plane(entries, p, q, c, s)
                    _turn(rotation[p], rotation[q], c, s)
        if not turned:
            return sweep
    return max_sweeps


@driver
def joint_rotations(entries, rotations, smallest, max_sweeps, sweeps):
    """Rotations V_b (k, k) that make every V_b S_bl V_b^T as diagonal as can be, for each of b families S_bl.

    entries (b, k, k, L), of which the upper triangles become those of V_b S_bl V_b^T; rotations (b, k, k) come as the
    V_b to start from and are turned; sweeps (b,) receives how many each took, `max_sweeps` where that was not enough.
    """
    for b in prange(entries.shape[0]):
        sweeps[b] = _diagonalize(entries[b], rotations[b], smallest, max_sweeps)
