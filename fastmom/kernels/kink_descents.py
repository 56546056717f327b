"""Levenberg-Marquardt for sums of kinks in a few dimensions, f(z) = v.z + sum_j s_j |b_j.z|, start by start.

One visit to a row does everything a step needs: residual, pattern, and its z z^T and y z, summed by pattern. The normal
matrix of any number of kinks follows from the sums of the 2^k patterns, so that a row costs k m + m^2 / 2 products.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver
from fastmom.kernels._tiles import part

FIRST_DAMPING = 1e-3  # relative to the diagonal
_FLOOR = 1e-12  # of the diagonal, relative to its mean: patterns that no row has leave directions open


def descents_scratch(n_starts: int, m: int, k: int) -> np.ndarray:
    """Work space, a row for each start."""
    unknowns, packed = (k + 1) * m, m * (m + 1) // 2 + m
    return np.empty((n_starts, (1 << k) * packed + 2 * unknowns * unknowns + 3 * unknowns + k * m))


@block
def _visit(Z, y, P, B, by_code):
    """Squared residual of v + kinks; sums of z z^T (packed lower) and y z of every code into by_code (2^k, packed).

    P (k + 1, m): v, then s_j b_j. B (k, m) sets the patterns.
    """
    n, m = Z.shape
    k = B.shape[0]
    square = m * (m + 1) // 2
    for c in range(by_code.shape[0]):
        for j in range(by_code.shape[1]):
            by_code[c, j] = 0.0
    loss = 0.0
    for i in range(n):
        code = 0
        f = 0.0
        for a in range(m):
            f += P[0, a] * Z[i, a]
        for j in range(k):
            t = 0.0
            p = 0.0
            for a in range(m):
                t += B[j, a] * Z[i, a]
                p += P[j + 1, a] * Z[i, a]
            if t > 0:
                code |= 1 << j
                f += p
            else:
                f -= p
        own = by_code[code]
        at = 0
        for a in range(m):
            x = Z[i, a]
            for b in range(a + 1):
                own[at + b] += x * Z[i, b]
            at += a + 1
        for a in range(m):
            own[square + a] += y[i] * Z[i, a]
        loss += (y[i] - f) ** 2
    return loss


@block
def _assemble(by_code, k, m, N, h):
    """Normal matrix N (lower) and right side h of the unknowns (v, s_1 b_1, ..) from the sums by code."""
    square = m * (m + 1) // 2
    for i in range(N.shape[0]):
        h[i] = 0.0
        for j in range(N.shape[0]):
            N[i, j] = 0.0
    for code in range(by_code.shape[0]):
        own = by_code[code]
        if own[0] == 0.0:
            continue
        for p in range(k + 1):
            gp = 1.0 if p == 0 or (code >> (p - 1)) & 1 else -1.0
            for a in range(m):
                h[p * m + a] += gp * own[square + a]
            for q in range(p + 1):
                g = gp if q == 0 or (code >> (q - 1)) & 1 else -gp
                at = 0
                for a in range(m):
                    for b in range(a + 1):
                        N[p * m + a, q * m + b] += g * own[at + b]
                        if b < a:
                            N[p * m + b, q * m + a] += g * own[at + b]
                    at += a + 1


@block
def _damped_step(N, h, P, damping, L, x):
    """Solve (N + damping diag N)(P' - P) = h - N P by Cholesky factors L, into x; false where that fails."""
    u = N.shape[0]
    mean = 0.0
    for i in range(u):
        mean += N[i, i] / u
    for i in range(u):
        x[i] = h[i]
        for j in range(u):
            x[i] -= (N[i, j] if j <= i else N[j, i]) * P[j]
    for j in range(u):
        for i in range(j, u):
            s = N[i, j]
            if i == j:
                s += damping * N[i, i] + _FLOOR * mean
            for b in range(j):
                s -= L[i, b] * L[j, b]
            if i == j:
                if not s > 0.0:
                    return False
                L[j, j] = np.sqrt(s)
            else:
                L[i, j] = s / L[j, j]
    for i in range(u):
        s = x[i]
        for b in range(i):
            s -= L[i, b] * x[b]
        x[i] = s / L[i, i]
    for i in range(u - 1, -1, -1):
        s = x[i]
        for b in range(i + 1, u):
            s -= L[b, i] * x[b]
        x[i] = s / L[i, i]
    for i in range(u):
        x[i] += P[i]
    return True


@block
def _turn(P, B, k, m):
    """Kinks b_j = +-P_j on the side of the old ones: the patterns of a step belong to its kinks."""
    for j in range(k):
        along = 0.0
        for a in range(m):
            along += P[(j + 1) * m + a] * B[j, a]
        for a in range(m):
            B[j, a] = P[(j + 1) * m + a] if along >= 0 else -P[(j + 1) * m + a]


@block
def _descent(Z, y, B, signs, v, steps, scratch):
    """Steps from the patterns of B (k, m); writes B, signs (k,) and v (m,) of the lowest loss, returns the loss."""
    m, k = Z.shape[1], B.shape[0]
    u, codes, packed = (k + 1) * m, 1 << k, m * (m + 1) // 2 + m
    by_code = part(scratch, 0, codes, packed)
    at = codes * packed
    N, L = part(scratch, at, u, u), part(scratch, at + u * u, u, u)
    at += 2 * u * u
    h, x, best = scratch[at : at + u], scratch[at + u : at + 2 * u], scratch[at + 2 * u : at + 3 * u]
    trial = part(scratch, at + 3 * u, k, m)
    for i in range(u):
        best[i] = 0.0
        x[i] = 0.0
    for j in range(k):
        for a in range(m):
            trial[j, a] = B[j, a]
    loss = _visit(Z, y, best.reshape(k + 1, m), trial, by_code)
    _assemble(by_code, k, m, N, h)
    damping = 0.0
    for _ in range(steps):
        if not _damped_step(N, h, best, damping, L, x):
            damping = max(10.0 * damping, FIRST_DAMPING)
            continue
        for j in range(k):
            for a in range(m):
                trial[j, a] = B[j, a]
        _turn(x, trial, k, m)
        found = _visit(Z, y, x.reshape(k + 1, m), trial, by_code)
        if found < loss:
            _assemble(by_code, k, m, N, h)
            for i in range(u):
                best[i] = x[i]
            for j in range(k):
                for a in range(m):
                    B[j, a] = trial[j, a]
            damping = damping / 10.0 if damping > 1e-9 else 0.0
            small = loss - found <= 1e-12 * loss
            loss = found
            if small:
                break
        else:
            damping = max(10.0 * damping, FIRST_DAMPING)
    for a in range(m):
        v[a] = best[a]
    for j in range(k):
        along = 0.0
        for a in range(m):
            along += best[(j + 1) * m + a] * B[j, a]
        signs[j] = 0.0 if along == 0.0 else (1.0 if along > 0 else -1.0)
    return loss


@driver
def kink_descents(Z, y, B, signs, V, steps, scratch, losses):
    """Descents from the patterns of B (b, k, m), in place, with signs (b, k), linear parts V (b, m), losses (b,)."""
    for i in prange(B.shape[0]):
        losses[i] = _descent(Z, y, B[i], signs[i], V[i], steps, scratch[i])
