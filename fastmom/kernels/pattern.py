"""Gated second moments and the SNAP ascent: what one activation pattern says about the weights behind it.

Rows are stored stacked as ``XZ = [X, Z]`` (n, d + r): inputs beside an orthonormal basis of the label space.
The gated Gram of a direction v is ``M = X_S^T [X_S, Z_S]`` (d, d + r), S the rows with x.v > 0.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver

GATHER = 128  # rows gathered before a matrix product: the buffer stays in L2
PANEL = 24  # columns eliminated between two matrix products of the factorisation
RIDGE = 1e-13  # relative to the mean diagonal: least norm in directions that the gated rows do not see
NEAR_NEURON = 0.99  # rho^2 above which the correlation must be resolved exactly
SQUARINGS = 26  # tells eigenvalues apart that differ by a part in ten million
MAX_STEPS = 60
STALL = 8  # steps without a new best correlation: the ascent cycles


def ascent_scratch(n_starts: int, n: int, d: int, r: int) -> tuple[np.ndarray, np.ndarray]:
    """Work space of `snap_ascents` and `gated_grams`: floats and gates, a row for each start."""
    floats = 3 * d * (d + r) + GATHER * (2 * d + r) + PANEL * (2 * d + r) + 3 * r * r + d * r + d + 2 * r
    return np.empty((n_starts, floats)), np.empty((n_starts, n), dtype=np.uint8)


@block
def _clear(M, gate):
    """Zero both, by loops: assignment to a slice takes seconds to compile."""
    for i in range(M.shape[0]):
        for j in range(M.shape[1]):
            M[i, j] = 0.0
    for i in range(gate.shape[0]):
        gate[i] = 0


@block
def _transposed_product(A, B, out):
    """Write A^T B into out. The only matrix product of this file: every further one would cost compile time."""
    np.dot(A.T, B, out)


@block
def _carve(scratch, start, rows, columns):
    stop = start + rows * columns
    return scratch[start:stop].reshape(rows, columns), stop


@block
def _move_gate(XZ, v, gate):
    """Set gate to x.v > 0: returns how many rows changed; changed rows carry 2 (switched on) or 3 (off)."""
    n = XZ.shape[0]
    d = v.shape[0]
    changed = 0
    for i in range(n):
        t = XZ.dtype.type(0)
        for a in range(d):
            t += XZ[i, a] * v[a]
        was_on = gate[i] == 1 or gate[i] == 2
        if (t > 0) != was_on:
            changed += 1
            gate[i] = 3 if was_on else 2
        else:
            gate[i] = 1 if was_on else 0
    return changed


@block
def _add_rows(XZ, gate, mark, inputs, stacked, product, M):
    """M += (mark 2) or -= (mark 3) the Gram of the rows that carry the mark."""
    n, width = XZ.shape
    d = M.shape[0]
    filled = 0
    for i in range(n + 1):
        if i < n:
            if gate[i] != mark:
                continue
            for a in range(width):
                stacked[filled, a] = XZ[i, a]
            for a in range(d):
                inputs[filled, a] = XZ[i, a]
            filled += 1
        if filled == GATHER or (i == n and filled > 0):
            _transposed_product(inputs[:filled], stacked[:filled], product)
            for a in range(d):
                for b in range(width):
                    M[a, b] += product[a, b] if mark == 2 else -product[a, b]
            filled = 0


@block
def _update_gram(XZ, gate, inputs, stacked, product, M):
    """Bring M from the old gate to the new one: rows that did not change cost nothing."""
    _add_rows(XZ, gate, 2, inputs, stacked, product, M)
    _add_rows(XZ, gate, 3, inputs, stacked, product, M)


@block
def _eliminate(U, panel_left, panel_right, product):
    """Upper Cholesky factor of U[:, :d] in place, and its inverse transpose applied to U[:, d:].

    Right-looking in panels; the row of a pivot lost to round-off becomes zero.
    """
    d, width = U.shape
    for p0 in range(0, d, PANEL):
        p1 = min(d, p0 + PANEL)
        for i in range(p0, p1):
            pivot = U[i, i]
            if pivot <= 0.0:
                for b in range(i, width):
                    U[i, b] = 0.0
                continue
            scale = 1.0 / np.sqrt(pivot)
            for b in range(i, width):
                U[i, b] *= scale
            for j in range(i + 1, p1):
                factor = U[i, j]
                for b in range(j, width):
                    U[j, b] -= factor * U[i, b]
        if p1 < d:
            h = p1 - p0
            left = panel_left[: h * (d - p1)].reshape(h, d - p1)
            right = panel_right[: h * (width - p1)].reshape(h, width - p1)
            for i in range(h):
                for b in range(width - p1):
                    right[i, b] = U[p0 + i, p1 + b]
                for b in range(d - p1):
                    left[i, b] = U[p0 + i, p1 + b]
            update = product.reshape(-1)[: (d - p1) * (width - p1)].reshape(d - p1, width - p1)
            _transposed_product(left, right, update)
            for i in range(d - p1):
                for b in range(i, width - p1):
                    U[p1 + i, p1 + b] -= update[i, b]


@block
def _iterate(K, a, b, steps):
    """Power iteration of K (q, q) on a, in place; returns the eigenvalue and whether a has settled."""
    q = K.shape[0]
    value = 0.0
    for _ in range(steps):
        norm = 0.0
        for i in range(q):
            s = 0.0
            for j in range(q):
                s += K[i, j] * a[j]
            b[i] = s
            norm += s * s
        value = np.sqrt(norm)
        if value == 0.0:
            return 0.0, True
        change = 0.0
        for i in range(q):
            s = b[i] / value
            change = max(change, abs(s - a[i]))
            a[i] = s
        if change < 1e-12:
            return value, True
    return value, False


@block
def _top_eigenvector(K, power, square, a, b):
    """Largest eigenvalue of the positive semidefinite K (q, q), its vector in place of the guess a.

    Two neurons with almost the same active rows leave almost no gap: then a high power of K, by squaring.
    """
    value, settled = _iterate(K, a, b, 200)
    if settled or value < NEAR_NEURON:
        return value
    q = K.shape[0]
    for i in range(q):
        for j in range(q):
            power[i, j] = K[i, j]
    for _ in range(SQUARINGS):
        _transposed_product(power, power, square)  # power is symmetric
        trace = 0.0
        for i in range(q):
            trace += square[i, i]
        for i in range(q):
            for j in range(q):
                power[i, j] = square[i, j] / trace
    _iterate(power, a, b, 20)
    return _iterate(K, a, b, 1)[0]


@block
def _correlate(M, n_known, slope, total, U, product, panels, known, W, grams, vectors):
    """Top canonical correlation of the gated inputs with the label space, both without the known functions.

    M (d, d + r) gated Gram, label columns ordered known first. Writes the direction into vectors[:d], its label
    coordinates behind; returns rho^2.
    """
    d, width = M.shape
    r = width - d
    q = r - n_known
    w, a, b = vectors[:d], vectors[d : d + q], vectors[d + q : d + 2 * q]
    for i in range(d):
        for j in range(d):
            U[i, j] = (1.0 - slope * slope) * M[i, j] + slope * slope * total[i, j]
        for j in range(n_known):
            known[j * d + i] = (1.0 - slope) * M[i, d + j] + slope * total[i, d + j]
        for j in range(q):
            U[i, d + j] = (1.0 - slope) * M[i, d + n_known + j] + slope * total[i, d + n_known + j]
    if n_known > 0:
        B = known[: d * n_known].reshape(n_known, d)
        square = product.reshape(-1)[: d * d].reshape(d, d)
        _transposed_product(B, B, square)
        for i in range(d):
            for j in range(d):
                U[i, j] -= square[i, j]
    ridge = 0.0
    for i in range(d):
        ridge += RIDGE / d * M[i, i]
    for i in range(d):
        U[i, i] += ridge
    half = PANEL * d
    _eliminate(U, panels[:half], panels[half:], product)
    for i in range(d):
        for j in range(q):
            W[i, j] = U[i, d + j]
    K = grams[:q]
    _transposed_product(W, W, K)
    rho2 = _top_eigenvector(K, grams[q : 2 * q], grams[2 * q :], a, b)
    for i in range(d - 1, -1, -1):
        s = 0.0
        if U[i, i] > 0.0:
            for j in range(q):
                s += W[i, j] * a[j]
            for j in range(i + 1, d):
                s -= U[i, j] * w[j]
            s /= U[i, i]
        w[i] = s
    return rho2


@block
def _ascend(XZ, n_known, slope, total, v, gate, scratch):
    """One SNAP ascent from direction v, in place; returns (rho^2, steps)."""
    d = v.shape[0]
    width = XZ.shape[1]
    r = width - d
    q = r - n_known
    M, at = _carve(scratch, 0, d, width)
    product, at = _carve(scratch, at, d, width)
    U, at = _carve(scratch, at, d, d + q)
    inputs, at = _carve(scratch, at, GATHER, d)
    stacked, at = _carve(scratch, at, GATHER, width)
    grams, at = _carve(scratch, at, 3 * q, q)
    W, at = _carve(scratch, at, d, q)
    panels = scratch[at : at + PANEL * (2 * d + r)]
    at += PANEL * (2 * d + r)
    known = scratch[at : at + d * n_known]
    at += d * n_known
    vectors = scratch[at : at + d + 2 * q]
    w = vectors[:d]
    _clear(M, gate)
    for i in range(d, d + q):
        vectors[i] = 1.0 / np.sqrt(q)
    rho2 = 0.0
    best = 0.0
    best_step = 0
    for step in range(MAX_STEPS):
        if (_move_gate(XZ, v, gate) == 0 and step > 0) or step > best_step + STALL:
            return rho2, step
        _update_gram(XZ, gate, inputs, stacked, product, M)
        rho2 = _correlate(M, n_known, slope, total, U, product, panels, known, W, grams, vectors)
        if rho2 > best * (1.0 + 1e-12):
            best = rho2
            best_step = step
        along = 0.0
        norm = 0.0
        for i in range(d):
            along += w[i] * v[i]
            norm += w[i] * w[i]
        if norm == 0.0:
            return 0.0, step + 1
        scale = 1.0 / np.sqrt(norm) if along > 0 else -1.0 / np.sqrt(norm)
        for i in range(d):
            v[i] = scale * w[i]
    return rho2, MAX_STEPS


@driver
def snap_ascents(XZ, n_known, slope, total, V, outcome, gates, scratch):
    """SNAP ascents from the rows of V (b, d), in place; outcome (b, 2) receives rho^2 and the step count."""
    for i in prange(V.shape[0]):
        rho2, steps = _ascend(XZ, n_known, slope, total, V[i], gates[i], scratch[i])
        outcome[i, 0] = rho2
        outcome[i, 1] = steps


@driver
def gated_grams(XZ, V, gates, scratch, out):
    """Gated Grams ``out[i] = X_S^T [X_S, Z_S]`` (b, d, d + r), S the rows with x . V[i] > 0."""
    for i in prange(V.shape[0]):
        d = V.shape[1]
        width = XZ.shape[1]
        product, at = _carve(scratch[i], 0, d, width)
        inputs, at = _carve(scratch[i], at, GATHER, d)
        stacked, at = _carve(scratch[i], at, GATHER, width)
        _clear(out[i], gates[i])
        _move_gate(XZ, V[i], gates[i])
        _add_rows(XZ, gates[i], 2, inputs, stacked, product, out[i])
