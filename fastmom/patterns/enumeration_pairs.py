"""All pairs of activation patterns of two neurons of at most two inputs: their least-squares optimum.

One input with a hidden bias counts as two: piecewise linear functions of one variable with two kinks are within reach.
See `fastmom.kernels.arrangement_pairs`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels import arrangement_pairs as kernels
from fastmom.runtime import progress

Array = npt.NDArray[np.float64]

MAX_PAIR_INPUTS = 2
MAX_PAIRS = 2e9
PAIRS_PER_SECOND = 3e7  # of a core, for estimates
CALL_PAIRS = 3e6
TINY_ROW = 1e-3  # of the largest, below which squares beside the largest lose half of their digits


@dataclass(frozen=True)
class PairWalk:
    """The best two neurons of all.

    Attributes
    ----------
    W : ndarray (2, d)
        Their weights, of unit norm.
    explained : float
        Sum of squares of the labels that they explain, with their best output weights.
    visits : int
        Pairs of patterns visited.
    resolved : bool
        Whether all rows are large enough for their normal equations: a pair that tiny rows alone favour may be missed.
    """

    W: Array
    explained: float
    visits: int
    resolved: bool


def expected_pairs(n: int, d: int) -> float:
    """Pairs of patterns of n rows of d inputs in general position (Cover 1965 counts the patterns)."""
    patterns = 2.0 * sum(math.comb(max(0, n - 1), i) for i in range(d))
    return patterns**2 / 2


def best_pair(X: Array, y: Array) -> PairWalk:
    """The global least-squares optimum of y (n,) over a_1 f(X w_1) + a_2 f(X w_2), f(t) = max(t, 0), d <= 2.

    Every pair of patterns is visited, with every edge and corner between them; optimal up to the round-off of normal
    equations, so not where rows differ in size by more than three digits (`PairWalk.resolved`).
    """
    scale = np.abs(X).max(axis=0)
    scale[scale == 0] = 1.0
    size = float(np.linalg.norm(y)) or 1.0
    labels = y / size
    _, values, axes = np.linalg.svd(X / scale, full_matrices=False)
    rank = max(1, int(np.count_nonzero(values > kernels.SINGULAR * values[0])))
    # the inputs of rank 2 in coordinates that spread their angles, of which the patterns know nothing
    back = axes[:rank].T / values[:rank]
    rows = X / scale @ back
    V, visits = (np.array([[1.0], [-1.0]]), 2) if rank < MAX_PAIR_INPUTS else _sweep(rows, labels)
    W = V @ back.T / scale
    explained = _explained(np.maximum(rows @ V.T, 0.0), labels)
    W = W / np.linalg.norm(W, axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1)
    resolved = rank < MAX_PAIR_INPUTS or norms[norms > 0].min() > TINY_ROW * norms.max()
    return PairWalk(W, explained * size**2, visits, bool(resolved))


def _sweep(rows: Array, labels: Array) -> tuple[Array, int]:
    """Directions (2, 2) of the best pair, and how many pairs of patterns were visited."""
    nonzero = np.flatnonzero(rows.any(axis=1))
    rows, labels = rows[nonzero], labels[nonzero]
    events, owners = _events(rows, labels)
    cells = _cells(events)
    turn = len(events)
    lanes = kernels.sweep_pairs.lanes(turn * turn // 2)
    sweep = kernels.sweep_pairs.parallel if lanes > 1 else kernels.sweep_pairs.serial
    together = max(1, int(CALL_PAIRS / (turn // 2)))
    explained, winner, first = 0.0, (0, 1, kernels.RAYS), 0
    while first < turn:
        # each starts from the best of the calls before, so threads change nothing, and the first calls are short
        best = np.full((min(together, turn - first, 1 + first), 3), explained)
        sweep(cells, events, first, lanes, best)
        c = int(best[:, 0].argmax())
        if best[c, 0] > explained:
            explained, winner = float(best[c, 0]), (first + c, int(best[c, 1]), int(best[c, 2]))
        first += len(best)
        progress.report("sweeping pairs of activation patterns", first, turn)
    return _directions(rows, labels, events, owners, winner), turn * turn // 2


def _events(rows: Array, labels: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """Directions at which a row changes sides, by angle, with what the row adds (2n, 8), and the rows (2n,)."""
    side = np.column_stack([-rows[:, 1], rows[:, 0]]) / np.linalg.norm(rows, axis=1, keepdims=True)
    upper = (side[:, 1] > 0) | ((side[:, 1] == 0) & (side[:, 0] > 0))
    side = np.where(upper[:, None], side, -side)
    order = np.argsort(np.arctan2(side[:, 1], side[:, 0]), kind="stable")
    x, y = rows[order], labels[order]
    half = np.empty((len(rows), 8))
    half[:, kernels.R : kernels.R + 2] = side[order]
    half[:, kernels.Q : kernels.Q + 3] = np.column_stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2])
    half[:, kernels.Z : kernels.Z + 2] = y[:, None] * x
    half[:, kernels.ENTERS] = ~upper[order]  # a row lies a quarter of a turn behind its own side
    other = half.copy()
    other[:, kernels.R : kernels.R + 2] *= -1
    other[:, kernels.ENTERS] = 1 - other[:, kernels.ENTERS]
    return np.vstack([half, other]), np.concatenate([order, order])


def _cells(events: Array) -> Array:
    """Normal equations of every cell, with their solution (2n, 12).

    The rows active in a cell are those that entered within the half turn before it: a suffix of one half of the
    events and a prefix of the other, so sums only grow.
    """
    n = len(events) // 2
    added = events[:, kernels.Q : kernels.Z + 2] * events[:, kernels.ENTERS :]
    prefix = np.concatenate([np.cumsum(half, axis=0) for half in (added[:n], added[n:])])
    suffix = np.zeros_like(prefix)
    for start, half in ((0, added[n:]), (n, added[:n])):
        suffix[start : start + n - 1] = np.cumsum(half[:0:-1], axis=0)[::-1]
    cells = np.zeros((2 * n, 12))
    cells[:, : kernels.H] = prefix + suffix
    g00, g01, g11, c0, c1 = cells[:, : kernels.H].T
    determinant = g00 * g11 - g01 * g01
    good = determinant > kernels.SINGULAR * g00 * g11
    safe = np.where(good, determinant, 1.0)
    inverse = np.column_stack([g11, -g01, g00]) / safe[:, None]
    solution = np.column_stack([g11 * c0 - g01 * c1, g00 * c1 - g01 * c0]) / safe[:, None]
    explained = solution[:, 0] * c0 + solution[:, 1] * c1
    cells[:, kernels.H :] = np.column_stack([inverse, solution, explained, good]) * good[:, None]
    return cells


def _directions(
    rows: Array, labels: Array, events: Array, owners: npt.NDArray[np.int64], winner: tuple[int, int, int]
) -> Array:
    """The winner solved for again, by orthogonal factors on its rows."""
    columns, places = [], []
    for cell, on_ray in zip(winner[:2], _on_ray(winner[2]), strict=True):
        n = len(rows)
        ahead = [(cell + 1 + i) % (2 * n) for i in range(n)]  # every row once, active if it is to leave
        active = np.zeros(n)
        active[owners[ahead]] = 1 - events[ahead, kernels.ENTERS]
        ray = events[cell, kernels.R : kernels.R + 2]
        columns.append(active[:, None] * (rows @ ray[:, None] if on_ray else rows))
        places.append((ray, on_ray, active))
    solution = np.linalg.lstsq(np.hstack(columns), labels, rcond=None)[0]
    V = np.empty((2, 2))
    for v, part, (ray, on_ray, active) in zip(V, np.split(solution, [columns[0].shape[1]]), places, strict=True):
        v[:] = ray if on_ray or not part.any() else part  # a neuron of no weight may lie anywhere
        if not on_ray and active @ (rows @ v) < (1 - active) @ (rows @ v):
            v *= -1
    return V


def _on_ray(place: int) -> tuple[bool, bool]:
    return place in (kernels.RAY_CELL, kernels.RAYS), place in (kernels.CELL_RAY, kernels.RAYS)


def _explained(F: Array, y: Array) -> float:
    """Square of the part of y in the span of F (n, k)."""
    a = np.linalg.lstsq(F, y, rcond=None)[0]
    residual = y - F @ a
    return float(y @ y - residual @ residual)
