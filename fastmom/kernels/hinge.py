"""Coordinate ascent for the dual of the hinge loss, each step the coordinate that gains most.

max over 0 <= p <= 1 of sum_i p_i - (C / 2) z^T K z, z = p y. One pass over a row of K updates the values G = K z and
the gains of all coordinates, exact for the steps that the box allows; then the largest gain is found as an integer with
its index in the low half, because compilers vectorise a maximum of integers.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver

HIGH = np.int64(-1) << np.int64(32)  # the half of a gain that is compared


@block
def _step(slope, p, inverse):
    """Best step of a coordinate, given the derivative of the dual by it and the inverse of the curvature."""
    return min(max(p + slope * inverse, 0.0), 1.0) - p


@block
def _move(row, change, y, p, G, C, curvature, gain):
    """Add change * row to the values, and find what the best step of each coordinate adds to the dual."""
    inverse = curvature[1]
    for j in range(len(y)):
        G[j] += change * row[j]
        slope = 1.0 - C * y[j] * G[j]
        step = _step(slope, p[j], inverse[j])
        gain[j] = step * (slope - 0.5 * step * curvature[0, j])


@block
def _best(bits):
    best = np.int64(0)
    for j in range(len(bits)):
        best = max(best, (bits[j] & HIGH) | j)
    return best & ~HIGH


@block
def _ascend(K, y, p, G, C, least, most, gain, curvature):
    """At most `most` steps, until none gains more than `least`; returns their number."""
    for j in range(len(y)):
        curvature[0, j] = C * K[j, j]
        curvature[1, j] = 1.0 / max(curvature[0, j], 1e-300)
    i, change = 0, 0.0
    for count in range(most):
        _move(K[i], change, y, p, G, C, curvature, gain)
        i = _best(gain.view(np.int64))
        if not gain[i] > least:
            return count
        step = _step(1.0 - C * y[i] * G[i], p[i], curvature[1, i])
        p[i] += step
        change = step * y[i]
    for j in range(len(y)):
        G[j] += change * K[i, j]
    return most


@driver
def ascent(K, Y, P, G, parameters, scratch, steps):
    """Ascend for each output: labels, coordinates and values in the rows of Y, P, G (q, n), which are updated.

    parameters = (C, least gain, most steps); scratch (q, 3, n); steps (q,) takes the number of steps.
    """
    for c in prange(Y.shape[0]):
        steps[c] = _ascend(
            K, Y[c], P[c], G[c], parameters[0], parameters[1], int(parameters[2]), scratch[c, 0], scratch[c, 1:]
        )
