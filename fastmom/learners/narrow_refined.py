"""The refined narrow learner: random starts beside the start of the moments, splits, k by information."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from fastmom.learners.narrow_verdict import ODD, NarrowData, information, judge_kinks, kink_model, odd_moment, read_data
from fastmom.learners.task import Task
from fastmom.moments.label_subspace import label_subspace
from fastmom.patterns import kink_fit
from fastmom.patterns.kink_atoms import FewDimensional, search_kinks
from fastmom.patterns.kink_descent import KinkFit
from fastmom.patterns.kink_fit import KinkSearch
from fastmom.patterns.verdict import Outcome, failure

FIRST_STARTS = 2  # random, before the moments are asked
MOMENT_ROUNDS = 2  # of which the second looks at the residual of what was found
SPLIT_ROUNDS = 4
MOMENT_ROWS = 20_000  # at most
LITTLE = 1e-3  # of a direction beyond the others that is none
TRIAL_STARTS = 8  # of a number of kinks that is on trial
RISES = 2  # of the information in a row, after which more kinks are not tried
MORE_ROWS = 6  # than unknowns, at least


def recover_refined(task: Task, max_hidden: int, polish: bool) -> Outcome:
    """Kinks by descents from random starts and from moments, whichever is lower; then as rectifiers."""
    data = read_data(task)
    started = time.perf_counter()
    k = task.kind.n_hidden
    if not polish:
        return _unpolished(task, data, k or max_hidden)
    search = _fit(data, k, task) if k is not None else _number(data, max_hidden, task)
    fit = search.best
    if kink_fit.exact(data.rows, fit.point):
        fit = kink_fit.simplified(data.rows, fit)
    task.timed("search", started)
    outcome = judge_kinks(task, data, fit, search.agreed, search.starts)
    outcome.diagnostics["starts"] = search.starts
    if k is None and outcome.status in ("recovered", "least_squares") and len(fit.point.B) > max_hidden:
        why = f"max_hidden={max_hidden} neurons explain the labels better than fewer: more are needed, or another kind"
        outcome = replace(outcome, status="misfit", success=False, message=why, certificate=None)
    if not outcome.success and odd_moment(data.rows, fit, task.rng) > ODD:
        why = (
            "symmetric inputs and no hidden biases leave no third moment, but there is one: see fm.learn(.., bias=True)"
        )
        outcome = replace(outcome, message=f"{outcome.message}; {why}")
    return replace(outcome, variant="refined")


def _unpolished(task: Task, data: NarrowData, k: int) -> Outcome:
    """The best start of the moments, as rectifiers: an estimate, never a success."""
    found = moment_starts(data, k, task.rng.spawn(1)[0])[0]
    message = f"{k} neurons as the moments show them: an estimate that no least squares on all rows has verified"
    outcome = failure("not_polished", message, task.timings)
    return replace(outcome, model=kink_model(task, data, found.B, found.signs, found.v), variant="refined")


def _fit(data: NarrowData, k: int, task: Task, most: int = kink_fit.STARTS) -> KinkSearch:
    """The best sum of k kinks, easy cases first."""
    search = KinkSearch(data.rows, k, task.rng.spawn(1)[0])
    search.random(FIRST_STARTS)
    for number in range(MOMENT_ROUNDS):
        if search.exact or (number and search.agreed):
            break
        _by_moments(data, search, task.rng.spawn(1)[0])
    if not search.exact and k > 1:
        _split_rounds(data, search)
        search.random(most - search.starts)
        _persist(data, search)
    return search


def _persist(data: NarrowData, search: KinkSearch) -> None:
    """More starts where exact labels are still to be met."""
    if not search.exact and kink_fit.hides_exact_labels(data.rows, search.best.point):
        search.patient()


def _by_moments(data: NarrowData, search: KinkSearch, rng: np.random.Generator) -> None:
    """Starts from the low-dimensional search in the span of the moments of labels, or of the residual so far."""
    for start in moment_starts(data, search.k, rng, search.fit):
        if not search.exact:
            search.propose(start.B, start.signs, start.v)


def moment_starts(
    data: NarrowData, k: int, rng: np.random.Generator, fit: KinkFit | None = None
) -> list[FewDimensional]:
    """Kinks (in all dimensions) that a search in the subspace of the moments finds, best first.

    The subspace: the linear part, what the residual of the linear fit shows, and, of a fit so far, its kinks and what
    its residual shows.
    """
    rows = data.rows.part(MOMENT_ROWS)
    v = rows.root @ (rows.root.T @ (rows.X.T @ rows.y)) / len(rows.X)
    found = [label_subspace(rows.X, rows.root, rows.y - rows.X @ v, 2 * k, rng), (v @ rows.back.T)[None]]
    if fit is not None:
        point = fit.point
        residual = rows.y - rows.X @ point.v - np.abs(rows.X @ point.B.T) @ point.signs
        found = [point.B @ rows.back.T, label_subspace(rows.X, rows.root, residual, k, rng), *found]
    basis = orthonormal(np.vstack(found), 2 * k + 1)
    Z = rows.X @ (rows.root @ basis.T)
    lifted = basis @ rows.back
    beyond = v - (v @ rows.back.T @ basis.T) @ lifted
    return [
        replace(state, B=state.B @ lifted, v=state.v @ lifted + beyond) for state in search_kinks(Z, rows.y, k, rng)
    ]


def orthonormal(vectors: np.ndarray, most: int) -> np.ndarray:
    """Orthonormal rows that span the vectors, in their order, those left out that add little; `most` at most."""
    kept: list[np.ndarray] = []
    for vector in vectors:
        size = np.linalg.norm(vector)
        for _ in range(2):
            vector = vector - sum((q * (q @ vector) for q in kept), np.zeros_like(vector))
        if np.linalg.norm(vector) > LITTLE * size and len(kept) < most:
            kept.append(vector / np.linalg.norm(vector))
    return np.array(kept)


def _split_rounds(data: NarrowData, search: KinkSearch) -> None:
    """Two kinks merged and one split, along more directions each time, while that lowers the loss."""
    for count in range(2, 2 + SPLIT_ROUNDS):
        before = search.best.point.loss
        fewer = KinkSearch(data.rows, search.k - 1, np.random.default_rng(0))
        fewer.refine(*kink_fit.merged(search.best.point, data.rows))
        search.split(fewer.best.point, count)
        if search.exact or (search.agreed and search.best.point.loss > before * (1 - 1 / len(data.rows.X))):
            return


def _number(data: NarrowData, max_hidden: int, task: Task) -> KinkSearch:
    """The number of kinks of least information, one more than allowed on trial; at once the first without residual."""
    n, d = data.rows.X.shape
    searches: list[KinkSearch] = []
    values: list[float] = []
    for k in range(1, max_hidden + 2):
        if n < (k + 1) * d + MORE_ROWS:
            break
        search = _trial(data, k, searches[-1] if searches else None, task)
        if search.exact:
            return search
        searches.append(search)
        values.append(_information(data, search))
        if k - 1 - int(np.argmin(values)) == RISES:
            break
    best = searches[int(np.argmin(values))]
    if best.k > 1 and not best.agreed:
        _split_rounds(data, best)
        best.random(kink_fit.STARTS - best.starts)
    _persist(data, best)
    more = next((search for search in searches if search.k == best.k + 1), None)
    if not best.exact and more is not None:
        _persist(data, more)
        best = more if more.exact else best
    return best


def _trial(data: NarrowData, k: int, fewer: KinkSearch | None, task: Task) -> KinkSearch:
    """A few starts of k kinks, the moments' among them, and splits of the fit with one kink less."""
    search = KinkSearch(data.rows, k, task.rng.spawn(1)[0])
    search.random(FIRST_STARTS)
    if not search.exact:
        _by_moments(data, search, task.rng.spawn(1)[0])
    if fewer is not None and not search.exact:
        search.split(fewer.best.point, 1)
    search.random(TRIAL_STARTS - search.starts)
    return search


def _information(data: NarrowData, search: KinkSearch) -> float:
    """Of the fit as rectifiers, or with a linear part of its own if that pays."""
    n, d = data.rows.X.shape
    point = search.best.point
    tied = kink_fit.rectified(data.rows, point).point.loss
    return min(information(tied, search.k * d, n), information(point.loss, (search.k + 1) * d, n))
