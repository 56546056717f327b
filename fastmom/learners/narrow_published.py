"""The published narrow learners as routes: what they find, polished on all rows, and what it amounts to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastmom.learners.landscape_inputs import Standardised, standardise
from fastmom.learners.landscape_repair import repaired
from fastmom.learners.landscape_verdict import judge_rectified
from fastmom.learners.narrow_paper import PaperFit, iterative, one_stage
from fastmom.learners.narrow_verdict import NarrowData, information, judge_kinks, read_data
from fastmom.learners.task import Task
from fastmom.moments.implicit_tower import implicit_tower, sample_products, tower_neurons
from fastmom.patterns import kink_fit, noisy
from fastmom.patterns.gated_sum import fit_gated_sum
from fastmom.patterns.kink_descent import KinkRows
from fastmom.patterns.kink_fit import KinkSearch
from fastmom.patterns.kinks import KinkNetwork, active_sides
from fastmom.patterns.model import Model
from fastmom.patterns.neuron_net import regress
from fastmom.patterns.verdict import Outcome, failure

Array = npt.NDArray[np.float64]
Published = Callable[[Array, Array, int, np.random.Generator], PaperFit]

_RUNS = 3  # of a published algorithm, until two of them end in the same optimum
_WORTH = 2.0  # by which one more neuron must divide the held-out loss without the polish: nets are coarse
_ROWS_PER_PRODUCT = 2  # that the tower asks for
_REPAIRS = 3  # rounds, at most
_NO_EFFECT = 1e-8  # size, relative to the largest, of a neuron that the labels do not show
_OUTPUT_ROWS = 20_000  # on which output weights of several outputs are estimated


@dataclass(frozen=True, eq=False)
class _Found:
    """A published fit, and what the polish made of it."""

    fit: PaperFit
    search: KinkSearch | None


def recover_paper(task: Task, max_hidden: int, polish: bool) -> Outcome:
    """Iterative discovery: Chen, Dou, Goel, Klivans, Meka 2023."""
    return _recover(task, max_hidden, polish, iterative)


def recover_one_stage(task: Task, max_hidden: int, polish: bool) -> Outcome:
    """One subspace and one net: Chen and Narayanan 2023."""
    return _recover(task, max_hidden, polish, one_stage)


def recover_implicit(task: Task, max_hidden: int, polish: bool) -> Outcome:
    """Many positive neurons from the implicit moment tower: Diakonikolas and Kane 2024."""
    k = task.kind.n_hidden
    if k is None or task.rows.n_outputs > 1:
        wanted = "n_hidden" if k is None else "one output"
        return failure("not_applicable", f"variant='implicit' needs {wanted}: see fm.learn_rectified for others")
    n, d = task.rows.n_rows, task.rows.n_inputs
    least = _ROWS_PER_PRODUCT * math.comb(d + 2, 2)
    if n < least:
        return failure("too_few_rows", f"{n} rows for moments of order four in {d} inputs: at least {least}")
    started = time.perf_counter()
    data = standardise(task.rows, task.kind.activation, "estimate")
    try:
        if np.linalg.matrix_rank(data.root) < d:
            raise ValueError("the inputs are linearly dependent")
        tower = implicit_tower(sample_products(data.X, data.y, task.rng.spawn(1)[0]), d, k, 1 if k <= d else 2)
    except ValueError as error:
        return failure("not_applicable", f"no tower of moments: {error}", task.timings)
    kinks = regress(data.X, data.y, tower_neurons(tower))
    if kinks.n_kinks == 0:
        return failure("not_applicable", "no tower of moments: its neurons have no effect on the labels", task.timings)
    task.timed("moments", started)
    found = {"spectra": tower.spectra, "positive": int((kinks.signs > 0).sum())}
    W = 2 * active_sides(kinks)[:, None] * kinks.B
    outcome = (
        _polished(task, data, W) if polish else _unpolished(task, W @ data.root.T, "the implicit tower shows them")
    )
    outcome.diagnostics |= found
    return outcome


def _polished(task: Task, data: Standardised, W: Array) -> Outcome:
    """Least squares from positive neurons W (k, d), repaired; those that end without effect are given up."""
    started = time.perf_counter()
    fit = fit_gated_sum(data.X, data.y, task.kind, W)
    repair = repaired(data, task.kind, fit, _REPAIRS, task.rng)
    size = np.linalg.norm(repair.fit.W, axis=1)
    shown = size > _NO_EFFECT * size.max()
    fit = repair.fit if shown.all() else fit_gated_sum(data.X, data.y, task.kind, repair.fit.W[shown])
    task.timed("polish", started)
    outcome = judge_rectified(task, data, fit.W @ data.root.T, fit.converged and repair.confirmed, fit.steps)
    outcome.diagnostics["repairs"] = repair.rounds
    return outcome


def _recover(task: Task, max_hidden: int, polish: bool, published: Published) -> Outcome:
    data, started = read_data(task), time.perf_counter()
    k = task.kind.n_hidden
    found = (
        _find(task, data, k, polish, published) if k is not None else _number(task, data, max_hidden, polish, published)
    )
    task.timed("search", started)
    fit = found.fit
    if found.search is None:
        how = (
            f"a net of {fit.diagnostics['net']} directions, {fit.diagnostics['net_spacing']:.2g} rad apart, shows them "
            f"(held-out error {np.sqrt(fit.loss):.2g}{'; their number is a guess' if k is None else ''})"
        )
        outcome = _unpolished(task, active_sides(fit.kinks)[:, None] * fit.kinks.B / data.unit, how)
    else:
        best = found.search.best
        if found.search.exact:
            best = kink_fit.simplified(data.rows, best)
        outcome = judge_kinks(task, data, best, found.search.agreed, found.search.starts)
    outcome.diagnostics |= fit.diagnostics | {"held_out_error": float(np.sqrt(fit.loss))}
    return outcome


def _find(task: Task, data: NarrowData, k: int, polish: bool, published: Published) -> _Found:
    """A published run; with polish, repeated until an exact fit, or until two runs agree."""
    rows, generator = data.rows, task.rng.spawn(1)[0]
    whitened = rows.X @ rows.root
    search = KinkSearch(rows, k, generator)
    best: PaperFit | None = None
    for _ in range(_RUNS):
        fit = published(whitened, rows.y, k, generator)
        fit = replace(fit, kinks=_of_inputs(fit.kinks, data))
        if best is None or fit.loss < best.loss:
            best = fit
        if not polish:
            return _Found(best, None)
        search.refine(*_padded(fit.kinks, k, rows, generator))
        if search.exact or search.agreed:
            break
    assert best is not None
    return _Found(best, search)


def _number(task: Task, data: NarrowData, max_hidden: int, polish: bool, published: Published) -> _Found:
    """The number of neurons: by information with the polish, by held-out loss without."""
    n, d = data.rows.X.shape
    best: _Found | None = None
    least = np.inf
    for k in range(1, max_hidden + 1):
        if n < (k + 1) * d + 6:
            break
        found = _find(task, data, k, polish, published)
        if found.search is None:
            value = found.fit.loss * _WORTH**k
        else:
            value = information(found.search.best.point.loss, (k + 1) * d, n)
        if value >= least:
            break
        best, least = found, value
        if found.search is not None and found.search.exact:
            break
    assert best is not None
    return best


def _of_inputs(kinks: KinkNetwork, data: NarrowData) -> KinkNetwork:
    """Kinks of the inputs as given, from those of inputs whose second moment is the identity."""
    return replace(kinks, B=kinks.B @ data.rows.root.T, linear=kinks.linear @ data.rows.root.T)


def _padded(kinks: KinkNetwork, k: int, rows: KinkRows, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """B, signs and v of k kinks: those found, and random ones of no effect so far."""
    spare = k - kinks.n_kinks
    extra = rng.standard_normal((spare, rows.root.shape[1])) @ rows.root.T
    return np.vstack([kinks.B, extra]), np.append(kinks.signs, np.zeros(spare)), kinks.linear


def _unpolished(task: Task, W: Array, how: str) -> Outcome:
    """The network of hidden weights W (k, d) as published: an estimate, never a success."""
    k = len(W)
    message = f"{k} neurons as {how}: an estimate that no least squares has verified"
    outcome = failure("not_polished", message, task.timings)
    if k == 0:
        return replace(outcome, message="no neurons found: the labels look linear")
    W = W / np.linalg.norm(W, axis=1, keepdims=True)
    X, Y = noisy.subsample(task.rows, _OUTPUT_ROWS, task.rng)
    outer = np.linalg.lstsq(np.hstack([np.maximum(X @ W.T, 0), X]), Y, rcond=None)[0]
    d, m = X.shape[1], Y.shape[1]
    hidden = np.vstack([W, np.eye(d)])
    return replace(outcome, model=Model(hidden, np.vstack([outer, np.zeros((1, m))]), k, task.kind))
