"""Passes of a network over rows: residual, gradient and label moments, fused a block at a time.

The network is ``[f(X hidden), 1] outer``: hidden (d, k) one column a neuron, outer (k + 1, m) with the output bias
last, slopes (k,) the derivative of each neuron where its input is negative (0 relu, 1 a linear function).
Every pass has the signature ``(X, Y, hidden, outer, slopes, scratch, row_values, sums)``: scratch
(lanes, block_rows, width) gives the block size, row_values (n,) or empty receives one number a row, and sums
(n_blocks, width) receives the partial sums of each block; whoever calls adds them in block order.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._tiles import part

EDGE = 1e-12  # x.w relative to |x| |w| up to which a row counts as lying on the boundary


@block
def _activate(X, hidden, slopes, H, gates):
    """H = f(X hidden) and its derivative, both (h, k); returns nothing."""
    np.dot(X, hidden, H)
    h, k = H.shape
    for i in range(h):
        for j in range(k):
            gate = 1.0 if H[i, j] > 0 else slopes[j]
            gates[i, j] = gate
            H[i, j] *= gate


@block
def _residual(H, Y, outer, R):
    """R = [H, 1] outer - Y (h, m)."""
    k = H.shape[1]
    np.dot(H, outer[:k], R)
    h, m = R.shape
    for i in range(h):
        for j in range(m):
            R[i, j] += outer[k, j] - Y[i, j]


@block
def _reach(hidden, outer, norms):
    """Bound on the norm of an output for inputs of norm one: sum over neurons of |w| |a|; and |output bias|.

    Writes |w| into norms (k,).
    """
    total = 0.0
    for j in range(hidden.shape[1]):
        w = 0.0
        for i in range(hidden.shape[0]):
            w += hidden[i, j] * hidden[i, j]
        a = 0.0
        for i in range(outer.shape[1]):
            a += outer[j, i] * outer[j, i]
        norms[j] = np.sqrt(w)
        total += norms[j] * np.sqrt(a)
    constant = 0.0
    for i in range(outer.shape[1]):
        constant += outer[outer.shape[0] - 1, i] ** 2
    return total, np.sqrt(constant)


@block
def _residual_block(X, Y, hidden, outer, slopes, scratch, row_values, sums):
    """Sums: squared residual of each output (m), rows of each neuron that are active beyond round-off (k).

    Row values: squared residual over the square of |y| + |c| + |x| sum_j |w_j| |a_j|, what its round-off scales with.
    """
    h, m = Y.shape
    d, k = hidden.shape
    H = part(scratch, 0, h, k)
    gates = part(scratch, h * k, h, k)
    R = part(scratch, 2 * h * k, h, m)
    _activate(X, hidden, slopes, H, gates)
    _residual(H, Y, outer, R)
    norms = gates.reshape(-1)[:k]  # the gates have served
    reach, constant = _reach(hidden, outer, norms)
    for j in range(sums.shape[0]):
        sums[j] = 0.0
    for i in range(h):
        row = 0.0
        label = 0.0
        for j in range(m):
            square = R[i, j] * R[i, j]
            sums[j] += square
            row += square
            label += Y[i, j] * Y[i, j]
        size = 0.0
        for a in range(d):
            size += X[i, a] * X[i, a]
        unit = np.sqrt(label) + constant + reach * np.sqrt(size)
        row_values[i] = 0.0 if unit == 0.0 else row / (unit * unit)
        for j in range(k):
            if H[i, j] > EDGE * np.sqrt(size) * norms[j]:
                sums[m + j] += 1.0


@block
def _gradient_block(X, Y, hidden, outer, slopes, scratch, row_values, sums):
    """Sums: squared residual (1), gradient of half of it with respect to hidden, transposed (k, d)."""
    h, m = Y.shape
    d, k = hidden.shape
    H = part(scratch, 0, h, k)
    gates = part(scratch, h * k, h, k)
    R = part(scratch, 2 * h * k, h, m)
    _activate(X, hidden, slopes, H, gates)
    _residual(H, Y, outer, R)
    total = 0.0
    for i in range(h):
        for j in range(m):
            total += R[i, j] * R[i, j]
    sums[0] = total
    np.dot(R, outer[:k].T, H)
    for i in range(h):
        for j in range(k):
            H[i, j] *= gates[i, j]
    np.dot(H.T, X, part(sums, 1, k, d))


@block
def _label_moments_block(X, Y, hidden, outer, slopes, scratch, row_values, sums):
    """Sums: F^T F (k + 1, k + 1) and F^T Y (k + 1, m), F = [f(X hidden), 1]."""
    h, m = Y.shape
    k = hidden.shape[1]
    H = part(scratch, 0, h, k)
    gates = part(scratch, h * k, h, k)
    F = part(scratch, 2 * h * k, h, k + 1)
    _activate(X, hidden, slopes, H, gates)
    for i in range(h):
        for j in range(k):
            F[i, j] = H[i, j]
        F[i, k] = 1.0
    np.dot(F.T, F, part(sums, 0, k + 1, k + 1))
    np.dot(F.T, Y, part(sums, (k + 1) * (k + 1), k + 1, m))


@driver
def residual_pass(X, Y, hidden, outer, slopes, scratch, row_values, sums):
    """Squared residuals by output and by row, and active rows by neuron; see `_residual_block`."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            work = scratch[lane].reshape(-1)
            _residual_block(X[i:j], Y[i:j], hidden, outer, slopes, work, row_values[i:j], sums[b])


@driver
def gradient_pass(X, Y, hidden, outer, slopes, scratch, row_values, sums):
    """Squared residual and its gradient; see `_gradient_block`. Writes no row values."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            work = scratch[lane].reshape(-1)
            _gradient_block(X[i:j], Y[i:j], hidden, outer, slopes, work, row_values, sums[b])


@driver
def label_moments_pass(X, Y, hidden, outer, slopes, scratch, row_values, sums):
    """Normal equations of the output weights; see `_label_moments_block`. Reads no outer, writes no row values."""
    lanes, size = scratch.shape[0], scratch.shape[1]
    for lane in prange(lanes):
        for b in range(lane, sums.shape[0], lanes):
            i, j = b * size, min(X.shape[0], (b + 1) * size)
            work = scratch[lane].reshape(-1)
            _label_moments_block(X[i:j], Y[i:j], hidden, outer, slopes, work, row_values, sums[b])
