"""The refined narrow learner: random starts beside the start of the moments, splits, k by information."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from fastmom.learners.narrow_verdict import ODD, NarrowData, information, judge_kinks, odd_moment, read_data
from fastmom.learners.task import Task
from fastmom.patterns import kink_fit
from fastmom.patterns.kink_fit import KinkSearch
from fastmom.patterns.verdict import Outcome

FIRST_STARTS = 4  # random, before the moments are asked
TRIAL_STARTS = 6  # of a number of kinks that is on trial


def recover_refined(task: Task, max_hidden: int, polish: bool) -> Outcome:
    """Kinks by descents from random starts and from moments, whichever is lower; then as rectifiers."""
    data = read_data(task)
    started = time.perf_counter()
    k = task.kind.n_hidden
    search = _fit(data, k, task) if k is not None else _number(data, max_hidden, task)
    fit = search.best
    if kink_fit.exact(data.rows, fit.point) and k is None:
        fit = kink_fit.simplified(data.rows, fit)
    task.timed("search", started)
    outcome = judge_kinks(task, data, fit, search.agreed, search.starts)
    outcome.diagnostics["starts"] = search.starts
    if not outcome.success and odd_moment(data.rows, fit) > ODD:
        why = "the labels have a third moment, which no network without hidden biases has: fm.learn(.., bias=True)"
        outcome = replace(outcome, message=f"{outcome.message}; {why}")
    return replace(outcome, variant="refined")


def _fit(data: NarrowData, k: int, task: Task, most: int = kink_fit.STARTS) -> KinkSearch:
    """The best sum of k kinks, easy cases first."""
    search = KinkSearch(data.rows, k, task.rng.spawn(1)[0])
    search.random(min(FIRST_STARTS, most))
    if not search.exact and k > 1 and most > FIRST_STARTS:
        _split_rounds(data, search)
        search.random(most - search.starts)
    return search


def _split_rounds(data: NarrowData, search: KinkSearch, rounds: int = 2) -> None:
    """Two kinks merged and another split, while that lowers the loss."""
    for _ in range(rounds):
        before = search.best.point.loss
        fewer = KinkSearch(data.rows, search.k - 1, np.random.default_rng(0))
        fewer.refine(*kink_fit.merged(search.best.point, data.rows))
        search.split(fewer.best.point)
        if search.exact or search.best.point.loss > before * (1 - 1 / len(data.rows.X)):
            return


def _number(data: NarrowData, max_hidden: int, task: Task) -> KinkSearch:
    """The number of kinks of least information; at once the first that leaves nothing."""
    n, d = data.rows.X.shape
    best: KinkSearch | None = None
    least = np.inf
    rises = 0
    for k in range(1, max_hidden + 1):
        if n < (k + 1) * d + 6:
            break
        search = KinkSearch(data.rows, k, task.rng.spawn(1)[0])
        search.random(TRIAL_STARTS)
        if best is not None and not search.exact:
            search.split(best.best.point if best.k == k - 1 else previous.best.point, 1)
        if search.exact:
            return search
        tied = kink_fit.rectified(data.rows, search.best.point)
        assert tied is not None
        value = min(information(tied.point.loss, k * d, n), information(search.best.point.loss, (k + 1) * d, n))
        rises = rises + 1 if value > least else 0
        if value < least:
            best, least = search, value
        previous = search
        if rises == 2:
            break
    assert best is not None
    if best.k > 1 and not best.agreed:
        _split_rounds(data, best)
        best.random(kink_fit.STARTS - best.starts)
    return best
