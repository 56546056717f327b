"""The paper's own starts for the rectified learner, and its activations that are not piecewise linear."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fastmom.learners.task import Task, judge, too_few_outputs
from fastmom.moments.gaussian_inputs import (
    GaussianEstimate,
    from_components,
    from_fourth_moment,
    from_second_moment,
)
from fastmom.patterns import exact, noisy, zero_set
from fastmom.patterns.verdict import Outcome, failure

Array = npt.NDArray[np.float64]


def by_moments(task: Task, noise: str) -> Outcome:
    """Second moments for several outputs, fourth for one."""
    one = task.rows.n_outputs == 1
    return _from_gaussian(task, "moments", from_fourth_moment if one else from_second_moment)


def by_components(task: Task, noise: str) -> Outcome:
    """Independent components of the labels."""
    if task.few_outputs:
        return too_few_outputs(task, "ica")
    return _from_gaussian(task, "ica", from_components)


def _from_gaussian(
    task: Task, variant: str, estimate: Callable[[Array, Array, int, np.random.Generator], GaussianEstimate]
) -> Outcome:
    """A start from moments of Gaussian inputs, polished on activation patterns."""
    rows, k = task.rows, task.kind.n_hidden
    if k is None:
        sample = exact.sample_rows(rows, task.kind, 20_000, task.rng)
        k = max(1, min(sample.rank, rows.n_outputs))
    if task.kind.hidden_bias or k > rows.n_inputs:
        what = "a hidden bias" if task.kind.hidden_bias else f"{k} neurons of {rows.n_inputs} inputs"
        message = f"{what}: moments of centred Gaussian inputs determine no such network; variant='auto' may"
        return replace(failure("not_applicable", message), variant=variant)
    started = time.perf_counter()
    X, Y = rows.take(np.arange(rows.n_rows))
    found = estimate(X, Y, k, task.rng)
    task.timed(variant, started)
    started = time.perf_counter()
    polished = noisy.polish(rows, task.kind, found.W, task.rng)
    outcome = judge(task, polished)
    task.timed("polish", started)
    outcome.diagnostics |= {
        "start": found.W,
        "decomposition_residual": found.residual,
        "sign_agreement": found.agreement,
    }
    return replace(outcome, variant=variant)


def by_zero_sets(task: Task) -> Outcome:
    """The route of rectified activations that are not piecewise linear."""
    rows, kind = task.rows, task.kind
    if not kind.activation.rectified:
        return failure("not_applicable", f"{kind.activation} is not zero for negative inputs: no rectified network")
    if task.few_outputs:
        return too_few_outputs(task, "zero_sets")
    started = time.perf_counter()
    size = zero_set.ROWS_PER_UNKNOWN * max(rows.n_inputs, rows.n_outputs) + 400
    sample = exact.sample_rows(rows, kind, size, task.rng)
    fit = zero_set.recover_by_zero_sets(rows, kind, task.scale, sample, task.rng)
    task.timed("zero_sets", started)
    diagnostics = {"rank": fit.rank, "starts": fit.starts, "neurons_found": fit.n_found, "sample_rows": len(sample.X)}
    if fit.certificate is not None:
        message = f"recovered {fit.rank} {kind.activation} neurons exactly"
        return Outcome("recovered", message, True, fit, fit.certificate, diagnostics, task.timings, "zero_sets")
    if fit.found is None:
        status = "no_neurons_found"
        message = (
            f"{fit.n_found} of {fit.rank} neurons found in {fit.starts} starts: noisy labels, fewer outputs than "
            f"neurons, too few rows, or not a network of {kind.activation} neurons"
        )
    else:
        status = "residual"
        message = f"the {fit.rank} {kind.activation} neurons found leave a relative residual of {fit.residual:.1e}"
    outcome = failure(status, message, task.timings)
    outcome.diagnostics = diagnostics
    return replace(outcome, variant="zero_sets")
