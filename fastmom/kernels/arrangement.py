"""Walks through the cells of the hyperplane arrangement of the rows, and trials of null vectors of label rows.

The walk: the activation patterns of one neuron of d = 3 inputs are the cells that the great circles x_j . v = 0 cut
out of the sphere. Along one circle the patterns change by one row at a time, so the normal equations of both sides
change by a rank-one term, and in a frame whose third axis is x_j the two sides share the leading 2 x 2 block. For
d = 2 there is one circle and no sides. The explained sum of squares at the best point of a pattern is c^T G^-1 c; it
counts if that point lies in its own cell. Where a row's label opposes the neuron the best point may lie on an edge or
on a ray between cells, which are the 2 x 2 and 1 x 1 leading problems.

The trial: on the k - 1 rows of a random subset a neuron is inactive with probability 2^-(k-1); then its function is
the null vector of the label basis on these rows, and vanishes on many others.
"""

import numpy as np
from numba import prange

from fastmom.kernels._compile import block, driver

PARALLEL = 1e-11  # of a row beside the axis of a circle, relative to its norm: it lies on the circle everywhere
SINGULAR = 1e-12  # relative pivot below which a pattern does not determine a point
ZERO = 1e-8  # of a label row times a null vector, relative to the norm of the row
TEST_ROWS = 64  # on which a null vector must vanish again,
EARLY_ROWS = 16  # a first time within these,
ZEROS = 3  # and so often
SPLITMIX = np.uint64(0x9E3779B97F4A7C15)


@block
def _frame(X, j, axes):
    """Orthonormal axes (3, 3), the third along row j; the standard ones for j < 0."""
    for a in range(3):
        for b in range(3):
            axes[a, b] = 1.0 if a == b else 0.0
    if j < 0:
        return
    norm = np.sqrt(X[j, 0] ** 2 + X[j, 1] ** 2 + X[j, 2] ** 2)
    least = 0
    for a in range(3):
        axes[2, a] = X[j, a] / norm
        if abs(X[j, a]) < abs(X[j, least]):
            least = a
    along = axes[2, least]
    size = np.sqrt(1.0 - along * along)
    for a in range(3):
        axes[0, a] = ((1.0 if a == least else 0.0) - along * axes[2, a]) / size
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        axes[1, a] = axes[2, b] * axes[0, c] - axes[2, c] * axes[0, b]


@block
def _turn(X, axes, P):
    """Rows in the frame, P (3, n), and the angle modulo pi at which each changes sides (nan: never)."""
    for i in range(X.shape[0]):
        x, y, z = X[i, 0], X[i, 1], X[i, 2]
        for a in range(3):
            P[a, i] = axes[a, 0] * x + axes[a, 1] * y + axes[a, 2] * z
        if P[0, i] ** 2 + P[1, i] ** 2 > PARALLEL**2 * (x * x + y * y + z * z):
            angle = np.arctan2(-P[0, i], P[1, i])
            P[3, i] = angle + np.pi if angle < 0 else (angle if angle < np.pi else 0.0)
        else:
            P[3, i] = np.inf


@block
def _inside(P, gates, v0, v1, v2):
    """Whether the pattern of v is the one of the gates."""
    for i in range(P.shape[1]):
        if gates[i] < 2 and (v0 * P[0, i] + v1 * P[1, i] + v2 * P[2, i] > 0) != (gates[i] == 1):
            return False
    return True


@block
def _keep(axes, value, v0, v1, v2, best):
    best[0] = value
    for a in range(3):
        best[1 + a] = v0 * axes[0, a] + v1 * axes[1, a] + v2 * axes[2, a]


@block
def _walk_circle(X, y, j, P, gates, axes, best):
    """Best point of one circle and its sides: best (4) holds the explained square to beat, then the direction.

    Returns how many patterns were visited.
    """
    n = X.shape[0]
    _frame(X, j, axes)
    _turn(X, axes, P)
    order = np.argsort(P[3])
    count = 0
    on_q, on_c, off_q, off_c = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        gates[i] = 2
        if P[3, i] < np.inf:
            count += 1
        elif P[2, i] > 0:
            on_q += P[2, i] ** 2
            on_c += y[i] * P[2, i]
        else:
            off_q += P[2, i] ** 2
            off_c += y[i] * P[2, i]
    if count == 0:
        return 0
    start = 0.5 * (P[3, order[count - 1]] - np.pi + P[3, order[0]])
    u0, u1 = np.cos(start), np.sin(start)
    g00, g01, g11, g02, g12, g22, c0, c1, c2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    void = 0.0  # what the sums of a pattern without rows may keep of those that left
    for i in order[:count]:
        void += SINGULAR * (P[0, i] ** 2 + P[1, i] ** 2)
        gates[i] = 1 if u0 * P[0, i] + u1 * P[1, i] > 0 else 0
        if gates[i] == 1:
            p, q, r = P[0, i], P[1, i], P[2, i]
            g00 += p * p
            g01 += p * q
            g11 += q * q
            g02 += p * r
            g12 += q * r
            g22 += r * r
            c0 += y[i] * p
            c1 += y[i] * q
            c2 += y[i] * r
    for event in range(2 * count):
        i = order[event % count]
        p, q, r = P[0, i], P[1, i], P[2, i]
        sign = 1.0 if gates[i] == 0 else -1.0
        # the direction of this event, then of the next one
        turn = 1.0 if (p > 0) == (event < count) else -1.0
        if p == 0.0:
            turn = 1.0 if (q < 0) == (event < count) else -1.0
        d0, d1 = -turn * q, turn * p
        square = d0 * d0 * g00 + 2 * d0 * d1 * g01 + d1 * d1 * g11
        along = d0 * c0 + d1 * c1
        if square > void and along * along > best[0] * square:
            _keep(axes, along * along / square, d0, d1, 0.0, best)
        gates[i] = 1 - gates[i]
        g00 += sign * p * p
        g01 += sign * p * q
        g11 += sign * q * q
        g02 += sign * p * r
        g12 += sign * q * r
        g22 += sign * r * r
        c0 += sign * y[i] * p
        c1 += sign * y[i] * q
        c2 += sign * y[i] * r
        determinant = g00 * g11 - g01 * g01
        if not (g00 + g11 > void and determinant > SINGULAR * g00 * g11):
            continue
        a0 = (g11 * c0 - g01 * c1) / determinant
        a1 = (g00 * c1 - g01 * c0) / determinant
        edge = a0 * c0 + a1 * c1
        h0 = (g11 * g02 - g01 * g12) / determinant
        h1 = (g00 * g12 - g01 * g02) / determinant
        rest = g22 - h0 * g02 - h1 * g12
        pull = c2 - a0 * g02 - a1 * g12
        following = order[(event + 1) % count]
        if edge > best[0]:
            e0, e1 = P[0, following], P[1, following]
            later = event + 1 < count or event + 1 == 2 * count
            forward = 1.0 if (e0 > 0) == later else -1.0
            if e0 == 0.0:
                forward = 1.0 if (e1 < 0) == later else -1.0
            f0, f1 = -forward * e1, forward * e0
            first, second = d0 * a1 - d1 * a0, a0 * f1 - a1 * f0
            if first * second > 0:
                way = 1.0 if first > 0 else -1.0
                _keep(axes, edge, way * a0, way * a1, 0.0, best)
        if j < 0:
            continue
        for side in range(2):
            s = rest + (on_q if side == 1 else off_q)
            t = pull + (on_c if side == 1 else off_c)
            if not s > SINGULAR * (g22 + on_q + off_q) or not edge + t * t / s > best[0]:
                continue
            w2 = t / s
            way = 1.0 if (w2 > 0) == (side == 1) else -1.0
            w0, w1, w2 = way * (a0 - h0 * w2), way * (a1 - h1 * w2), way * w2
            if (w0 * p + w1 * q + w2 * r > 0) != (gates[i] == 1):
                continue
            beyond = w0 * P[0, following] + w1 * P[1, following] + w2 * P[2, following] > 0
            if beyond == (gates[following] == 1) and _inside(P, gates, w0, w1, w2):
                _keep(axes, edge + t * t / s, w0, w1, w2, best)
    return 2 * count * (1 if j < 0 else 2)


@driver
def walk_circles(X, y, circles, P, gates, axes, best):
    """Best point of every circle; best (c, 5): explained square to beat, direction (3), patterns visited."""
    lanes = P.shape[0]
    for lane in prange(lanes):
        for c in range(lane, circles.shape[0], lanes):
            best[c, 4] = _walk_circle(X, y, circles[c], P[lane], gates[lane], axes[lane], best[c])


@block
def _mix(state):
    """The next number of a splitmix64 sequence."""
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@block
def _null_vector(M, columns, a):
    """Null vector a (r) of M (r - 1, r), destroyed, by elimination with column pivots; returns whether it is unique."""
    r = a.shape[0]
    for c in range(r):
        columns[c] = c
    for i in range(r - 1):
        pivot = i
        for c in range(i + 1, r):
            if abs(M[i, c]) > abs(M[i, pivot]):
                pivot = c
        if abs(M[i, pivot]) < SINGULAR:
            return False
        if pivot != i:
            columns[i], columns[pivot] = columns[pivot], columns[i]
            for b in range(r - 1):
                M[b, i], M[b, pivot] = M[b, pivot], M[b, i]
        for b in range(i + 1, r - 1):
            factor = M[b, i] / M[i, i]
            for c in range(i + 1, r):
                M[b, c] -= factor * M[i, c]
    a[columns[r - 1]] = 1.0
    for i in range(r - 2, -1, -1):
        total = M[i, r - 1]
        for c in range(i + 1, r - 1):
            total += M[i, c] * a[columns[c]]
        a[columns[i]] = -total / M[i, i]
    return True


@block
def _vanishes(Z, norms, subset, a):
    """Whether a vanishes on rows outside the subset too, with early abort."""
    size = 0.0
    for c in range(a.shape[0]):
        size += a[c] * a[c]
    size = np.sqrt(size)
    zeros = 0
    tested = 0
    for i in range(Z.shape[0]):
        member = norms[i] == 0.0
        for s in subset:
            member = member or s == i
        if member:
            continue
        total = 0.0
        for c in range(a.shape[0]):
            total += Z[i, c] * a[c]
        tested += 1
        if abs(total) < ZERO * size * norms[i]:
            zeros += 1
        if zeros == ZEROS:
            return True
        if tested == TEST_ROWS or (tested == EARLY_ROWS and zeros == 0):
            return False
    return False


@block
def _trial(Z, norms, number, M, columns, subset, a):
    """One trial of the given number; returns whether it is a hit, its null vector in a."""
    n, r = Z.shape
    state = _mix(number)
    chosen = 0
    while chosen < r - 1:
        state += SPLITMIX
        row = np.int64(_mix(state) % np.uint64(n))
        fresh = norms[row] > 0.0
        for s in subset[:chosen]:
            fresh = fresh and s != row
        if fresh:
            subset[chosen] = row
            for c in range(r):
                M[chosen, c] = Z[row, c] / norms[row]
            chosen += 1
    return _null_vector(M, columns, a) and _vanishes(Z, norms, subset, a)


@driver
def null_vector_trials(vectors, hits, Z, norms, first, M, integers):
    """Trials first, first + 1, ...: hits (t) and null vectors (t, r); at least r nonzero rows of Z (n, r) needed."""
    lanes = M.shape[0]
    r = Z.shape[1]
    for lane in prange(lanes):
        columns, subset = integers[lane, :r], integers[lane, r : 2 * r - 1]
        for t in range(lane, hits.shape[0], lanes):
            number = first + np.uint64(t)
            hits[t] = _trial(Z, norms, number * SPLITMIX, M[lane], columns, subset, vectors[t])
