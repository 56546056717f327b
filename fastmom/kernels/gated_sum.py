"""Least squares of sums of neurons y = sum_j f(w_j.x), f the (leaky) rectifier: gradient and normal products.

A tile of rows goes through two matrix products with one loop between; drivers as in `fastmom.kernels.forward`.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._tiles import accumulate, part

TILE = 256


def gated_scratch(d: int, m: int) -> int:
    """Scratch elements a lane needs: a tile of m columns and one matrix (m, d)."""
    return m * (TILE + d)


@block
def _misfits(T, y, slope):
    """Turn w.x (h, m) into the derivative of half the squared residual by it; returns the sum of squares."""
    m = T.shape[1]
    total = 0.0
    for i in range(T.shape[0]):
        r = -y[i]
        for j in range(m):
            t = T[i, j]
            r += max(t, 0.0) + slope * min(t, 0.0)
        total += r * r
        low = slope * r
        for j in range(m):
            T[i, j] = r if T[i, j] > 0 else low
    return total


@block
def _gated(T, gates):
    """Turn p.x (h, m) into g_j sum_k g_k p_k.x."""
    m = T.shape[1]
    for i in range(T.shape[0]):
        s = 0.0
        for j in range(m):
            s += gates[i, j] * T[i, j]
        for j in range(m):
            T[i, j] = gates[i, j] * s


@block
def _gradient_block(X, y, W, slope, scratch, sums):
    m, d = W.shape
    product = part(scratch, 0, m, d)
    for first in range(0, X.shape[0], TILE):
        rows = X[first : min(X.shape[0], first + TILE)]
        T = part(scratch, m * d, rows.shape[0], m)
        np.dot(rows, W.T, T)
        sums[0] += _misfits(T, y[first:], slope)
        accumulate(T, rows, product, sums[1:])


@block
def _product_block(X, gates, P, scratch, sums):
    m, d = P.shape
    product = part(scratch, 0, m, d)
    for first in range(0, X.shape[0], TILE):
        rows = X[first : min(X.shape[0], first + TILE)]
        T = part(scratch, m * d, rows.shape[0], m)
        np.dot(rows, P.T, T)
        _gated(T, gates[first:])
        accumulate(T, rows, product, sums)


@driver
def gated_gradient_pass(X, Y, W, slope, scratch, row_values, sums):
    """Sum of squared residuals of the labels Y (n, 1), and the gradient of half of it by W (m, d); slope (1,)."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            _gradient_block(X[i:j], Y[i:j].reshape(-1), W, slope[0], scratch[lane].reshape(-1), sums[b])


@driver
def gated_product_pass(X, Y, P, scratch, row_values, sums):
    """Sum of g_j (sum_k g_k p_k.x) x for each neuron j (m, d), the gates g of every row in Y (n, m)."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            _product_block(X[i:j], Y[i:j], P, scratch[lane].reshape(-1), sums[b])
