"""Sums of quartic forms of the rows: the objective of Ge, Lee and Ma 2017, its gradient and Hessian-vector product.

With u = B x, S = sum_j u_j^2, F = sum_j u_j^4 and weights (alpha, beta) a row contributes
w (alpha (S^2 - F) + beta F), the terms of degree four of
``alpha sum_(j != k) S_4(x)(b_j, b_j, b_k, b_k) + beta sum_j S_4(x)(b_j, .., b_j)``; those of lower degree follow from
mean w and mean w x x^T, see `fastmom.moments.quartic_forms`. Signatures as in `fastmom.kernels.forward`, Y (n, 1) the
weights w. A tile of rows goes through two matrix products with one loop between.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._tiles import accumulate, part

TILE = 256


def quartic_scratch(d: int, m: int, projections: int) -> int:
    """Scratch elements a lane needs: `projections` tiles of m columns, and one matrix (m, d)."""
    return m * (projections * TILE + d)


@block
def _slopes(T, w, weights):
    """Turn u (h, m) into the derivative of each row's value by u; returns the sum of the values."""
    m = T.shape[1]
    alpha, beta = weights[0], weights[1]
    own = 4 * (beta - alpha)
    total = 0.0
    for i in range(T.shape[0]):
        S, F = 0.0, 0.0
        for j in range(m):
            q = T[i, j] * T[i, j]
            S += q
            F += q * q
        total += w[i] * (alpha * (S * S - F) + beta * F)
        pair, single = 4 * alpha * S * w[i], own * w[i]
        for j in range(m):
            u = T[i, j]
            T[i, j] = u * (pair + single * u * u)
    return total


@block
def _curvatures(T, E, w, weights):
    """Turn u, e (h, m) into the derivative of the slopes at u along e, in the place of u."""
    m = T.shape[1]
    alpha, beta = weights[0], weights[1]
    own = 12 * (beta - alpha)
    for i in range(T.shape[0]):
        S, c = 0.0, 0.0
        for j in range(m):
            S += T[i, j] * T[i, j]
            c += T[i, j] * E[i, j]
        for j in range(m):
            u, e = T[i, j], E[i, j]
            T[i, j] = w[i] * (e * (4 * alpha * S + own * u * u) + 8 * alpha * c * u)


@block
def _gradient_block(X, w, B, weights, scratch, sums):
    m, d = B.shape
    product = part(scratch, 0, m, d)
    for first in range(0, X.shape[0], TILE):
        rows = X[first : min(X.shape[0], first + TILE)]
        T = part(scratch, m * d, rows.shape[0], m)
        np.dot(rows, B.T, T)
        sums[0] += _slopes(T, w[first:], weights)
        accumulate(T, rows, product, sums[1:])


@block
def _product_block(X, w, B, D, weights, scratch, sums):
    m, d = B.shape
    product = part(scratch, 0, m, d)
    for first in range(0, X.shape[0], TILE):
        rows = X[first : min(X.shape[0], first + TILE)]
        h = rows.shape[0]
        T, E = part(scratch, m * d, h, m), part(scratch, m * d + TILE * m, h, m)
        np.dot(rows, B.T, T)
        np.dot(rows, D.T, E)
        _curvatures(T, E, w[first:], weights)
        accumulate(T, rows, product, sums)


@driver
def quartic_gradient_pass(X, Y, B, weights, scratch, row_values, sums):
    """Value of degree four and its gradient (m, d) by B, summed over the rows."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            _gradient_block(X[i:j], Y[i:j].reshape(-1), B, weights, scratch[lane].reshape(-1), sums[b])


@driver
def quartic_product_pass(X, Y, B, D, weights, scratch, row_values, sums):
    """Second derivative by B along D (m, d), summed over the rows."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            _product_block(X[i:j], Y[i:j].reshape(-1), B, D, weights, scratch[lane].reshape(-1), sums[b])
