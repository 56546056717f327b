"""Enumeration: trials of null vectors of label rows for any inputs, and all activation patterns of one neuron.

Row-span trials make the exact algorithm of Bakshi, Jayaram and Woodruff 2018 for arbitrary inputs practical: they
need the labels' span to hold every neuron, and nothing of the inputs. The walk through all patterns of one neuron
finds the least-squares optimum of noisy labels, whatever the local ones. See `fastmom.kernels.arrangement`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels import arrangement
from fastmom.patterns.sample import Sample
from fastmom.runtime import progress

Array = npt.NDArray[np.float64]

MAX_RANK = 19  # of the label space with its constant: the trials double with every dimension
TRIALS_PER_SECOND = 3e5  # of a core at that rank, for estimates
PATIENCE = 8.0  # times the expected trials, as neurons need not be inactive on half of the rows
CALL_TRIALS = 1 << 15
MAX_WALK_INPUTS = 3
MAX_VISITS = 2e9  # of patterns
VISITS_PER_SECOND = 2e7  # of a core, for estimates
CALL_VISITS = 3e6
_POSITIVE = 1e-8  # of a function relative to its largest value: what may be below zero
_LINEAR = 1e-7  # relative residual of the active rows of a neuron


@dataclass(frozen=True)
class Trials:
    """What row-span trials found.

    Attributes
    ----------
    W : ndarray (c, d)
        Weights of the neurons.
    trials : int
        Trials run, in batches.
    complete : bool
        Whether they account for the label space.
    """

    W: Array
    trials: int
    complete: bool


@dataclass(frozen=True)
class Walk:
    """The best single neuron of all.

    Attributes
    ----------
    w : ndarray (d,)
        Its weights, of unit norm.
    explained : float
        Sum of squares of the labels that it explains, with its best output weight.
    visits : int
        Patterns visited.
    """

    w: Array
    explained: float
    visits: int


def expected_trials(rank: int, n_neurons: int) -> float:
    """Trials until every neuron is hit once, each inactive on half of the rows: 2^(rank - 1) (1 + 1/2 + .. + 1/k)."""
    return float(2.0 ** (rank - 1) * np.sum(1.0 / np.arange(1, n_neurons + 1)))


def row_span_trials(sample: Sample, rng: np.random.Generator) -> Trials:
    """Neurons from null vectors of random label rows; the lowest-numbered hit of a neuron gives it.

    On r - 1 rows on which a neuron is inactive, r the dimension of the label space, its coordinates are the null
    vector of the basis there. Trials are numbered, and their rows depend on the number alone.
    """
    Z = np.ascontiguousarray(sample.basis)
    norms = np.linalg.norm(Z, axis=1)
    norms[norms < arrangement.SINGULAR * norms.max(initial=0.0)] = 0.0
    r = Z.shape[1]
    functions: list[Array] = []
    weights: list[Array] = []
    if np.count_nonzero(norms) < 2 * r:
        return Trials(np.empty((0, sample.X.shape[1])), 0, False)
    number = int(rng.integers(1 << 40))
    limit = int(PATIENCE * expected_trials(r, sample.rank)) + CALL_TRIALS
    vectors, hits = np.empty((CALL_TRIALS, r)), np.empty(CALL_TRIALS, dtype=np.bool_)
    lanes = arrangement.null_vector_trials.lanes(vectors.size)
    work, integers = np.empty((lanes, max(1, r - 1), r)), np.empty((lanes, 2 * r), dtype=np.int64)
    done = 0
    while len(weights) < sample.rank and done < limit:
        count = min(CALL_TRIALS, 256 << min(done // 256, 20))  # few at first: small problems need no more
        arrangement.null_vector_trials(
            vectors[:count], hits[:count], Z, norms, np.uint64(number + done), work, integers
        )
        done += count
        for a in vectors[:count][hits[:count]]:
            _add_neuron(sample, Z @ a, functions, weights)
            if len(weights) == sample.rank:
                break
        progress.report("enumerating row spans", min(done, limit), limit)
    found = np.array(weights).reshape(len(weights), sample.X.shape[1])
    return Trials(found, done, len(weights) == sample.rank)


def _add_neuron(sample: Sample, z: Array, functions: list[Array], weights: list[Array]) -> None:
    """Keep the function z (n,) of the label space if it is that of a new neuron."""
    z = z if z.sum() > 0 else -z
    size = float(z.max(initial=0.0))
    if not size > 0 or z.min() < -_POSITIVE * size:
        return
    z = z / np.linalg.norm(z)
    if any(float(np.linalg.norm(z - other)) < 1e3 * _POSITIVE for other in functions):
        return
    active = z > _POSITIVE * z.max()
    scale = np.abs(sample.X).max(axis=0)
    scale[scale == 0] = 1.0
    w = np.linalg.lstsq(sample.X[active] / scale, z[active], rcond=None)[0] / scale
    t = sample.X @ w
    if np.linalg.norm(np.maximum(t, 0.0) - z) < _LINEAR:
        functions.append(z)
        weights.append(np.asarray(w / np.linalg.norm(w)))


def expected_visits(n: int, d: int) -> float:
    """Patterns that a walk through the arrangement of n rows of d inputs visits."""
    return {1: 2.0, 2: 2.0 * n, 3: 4.0 * n * n}.get(d, 4.0 * float(n) ** (d - 1))


def best_neuron(X: Array, y: Array) -> Walk:
    """The global least-squares optimum of y (n,) over a single neuron a f(X w), f(t) = max(t, 0), d <= 3.

    Every pattern is visited, and every edge between patterns, where the optimum lies as well if the labels of the
    rows on the edge oppose the neuron's sign.
    """
    n, d = X.shape
    scale = np.abs(X).max(axis=0)
    scale[scale == 0] = 1.0
    rows = np.zeros((n, 3))
    rows[:, :d] = X / scale
    size = float(np.linalg.norm(y)) or 1.0
    labels = y / size
    if d == 1:
        best = max((_explained(rows[:, 0] * sign, labels), sign) for sign in (1.0, -1.0))
        return Walk(np.array([best[1]]), best[0] * size**2, 2)
    nonzero = np.flatnonzero(rows.any(axis=1))
    rows, labels = np.ascontiguousarray(rows[nonzero]), labels[nonzero]
    circles = np.arange(len(rows)) if d == MAX_WALK_INPUTS else np.array([-1])
    return _walk(rows, labels, circles, scale, size)


def _walk(rows: Array, labels: Array, circles: npt.NDArray[np.int64], scale: Array, size: float) -> Walk:
    """All circles, some in a call; each starts from the best of the calls before, so threads change nothing."""
    n = len(rows)
    kernel = arrangement.walk_circles
    lanes = kernel.lanes(4 * n * len(circles)) if len(circles) > 1 else 1  # work goes with visits, not with rows
    walk = kernel.parallel if lanes > 1 else kernel.serial
    P, gates, axes = np.empty((lanes, 4, n)), np.empty((lanes, n), dtype=np.uint8), np.empty((lanes, 3, 3))
    together = max(1, int(CALL_VISITS / (4 * max(1, n))))
    explained, direction, visits = 0.0, np.zeros(3), 0
    direction[0] = 1.0
    for first in range(0, len(circles), together):
        part = circles[first : first + together]
        best = np.zeros((len(part), 5))
        best[:, 0] = explained
        walk(rows, labels, part, P, gates, axes, best)
        winner = int(best[:, 0].argmax())
        visits += int(best[:, 4].sum())
        if best[winner, 0] > explained:
            explained, direction = float(best[winner, 0]), best[winner, 1:4].copy()
        progress.report("walking activation patterns", first + len(part), len(circles))
    direction = _refined(rows, labels, direction)
    w = direction[: len(scale)] / scale
    return Walk(w / np.linalg.norm(w), _explained(rows @ direction, labels) * size**2, visits)


def _refined(rows: Array, labels: Array, v: Array) -> Array:
    """The direction solved for again on its pattern, if that stays the same; sums along a walk collect round-off."""
    active = rows @ v > 0
    w = np.asarray(np.linalg.lstsq(rows[active], labels[active], rcond=None)[0], dtype=np.float64)
    w = w if w @ v > 0 else -w
    better = _explained(rows @ w, labels) >= _explained(rows @ v, labels)
    return w if better and np.array_equal(rows @ w > 0, active) else v


def _explained(t: Array, y: Array) -> float:
    """Square of the part of y along f(t)."""
    f = np.maximum(t, 0.0)
    square = float(f @ f)
    return float((f @ y) ** 2 / square) if square > 0 else 0.0
