"""The published narrow learners as routes: what they find, polished on all rows, and what it amounts to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastmom.learners.narrow_paper import PaperFit, iterative, one_stage
from fastmom.learners.narrow_verdict import NarrowData, information, judge_kinks, read_data
from fastmom.learners.task import Task, judge
from fastmom.moments.implicit_tower import implicit_tower, sample_products, tower_neurons
from fastmom.patterns import kink_fit, noisy
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
_NO_EFFECT = 1e-8  # output weight, relative to the largest, of a neuron that the labels do not show
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
    data, started = read_data(task), time.perf_counter()
    X, y, d = data.rows.X @ data.rows.root, data.rows.y, data.rows.root.shape[1]
    try:
        tower = implicit_tower(sample_products(X, y, task.rng.spawn(1)[0]), d, k, 1 if k <= d else 2)
    except ValueError as error:
        return failure("not_applicable", f"no tower of moments: {error}", task.timings)
    kinks = _of_inputs(regress(X, y, tower_neurons(tower)), data)
    task.timed("moments", started)
    found = {"spectra": tower.spectra, "positive": int((kinks.signs > 0).sum())}
    if polish:
        started = time.perf_counter()
        W = active_sides(kinks)[:, None] * kinks.B / data.unit
        outcome = _judged(task, W)
        task.timed("polish", started)
    else:
        outcome = _unpolished(task, data, kinks, "the implicit tower shows them")
    outcome.diagnostics |= found
    return outcome


def _judged(task: Task, W: Array) -> Outcome:
    """Least squares from hidden weights W; neurons that end without effect are given up, not certified."""
    outcome = judge(task, noisy.polish(task.rows, task.kind, W, task.rng))
    network = outcome.network
    if not outcome.success or network is None:
        return outcome
    effect = np.abs(network.A[0])
    shown = effect > _NO_EFFECT * effect.max(initial=0.0)
    return outcome if shown.all() or not shown.any() else _judged(task, network.W[shown])


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
        outcome = _unpolished(task, data, fit.kinks, how)
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


def _unpolished(task: Task, data: NarrowData, kinks: KinkNetwork, how: str) -> Outcome:
    """The network as published: an estimate, never a success."""
    k = kinks.n_kinks
    message = f"{k} neurons as {how}: an estimate that no least squares has verified"
    outcome = failure("not_polished", message, task.timings)
    if k == 0:
        return replace(outcome, message="no neurons found: the labels look linear")
    W = active_sides(kinks)[:, None] * kinks.B / data.unit
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    X, Y = noisy.subsample(task.rows, _OUTPUT_ROWS, task.rng)
    outer = np.linalg.lstsq(np.hstack([np.maximum(X @ W.T, 0), X]), Y, rcond=None)[0]
    d, m = X.shape[1], Y.shape[1]
    hidden = np.vstack([W, np.eye(d)])
    return replace(outcome, model=Model(hidden, np.vstack([outer, np.zeros((1, m))]), k, task.kind))
