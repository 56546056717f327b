"""The routes of the rectified learner, and which of them to take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fastmom.learners.corrupted_labels import recover_from_corrupted, suspicious
from fastmom.learners.enumerated import recover_by_enumeration
from fastmom.learners.problem import refusal
from fastmom.learners.rectified_starts import by_components, by_moments, by_zero_sets
from fastmom.learners.task import ROUND_OFF, Task, judge, no_more_than_shown, too_few_outputs, without_twins
from fastmom.patterns import exact, noisy, student
from fastmom.patterns.even_odd import fit_even_odd
from fastmom.patterns.fewer_outputs import certify_few_outputs
from fastmom.patterns.model import LabelScale, Model, ModelClass, verify
from fastmom.patterns.noisy_even_odd import fit_noisy_even_odd
from fastmom.patterns.verdict import Outcome, failure, least_squares, not_recovered, recovered
from fastmom.runtime.passes import Rows

FIRST_STARTS = 3  # of the even/odd model before least squares is asked whether the labels are noisy
STARTS = 12


def recover(
    rows: Rows, kind: ModelClass, scale: LabelScale, noise: str, rng: np.random.Generator, variant: str = "auto"
) -> Outcome:
    """Refuse what cannot work, then the route asked for, or one after the other."""
    refused = refusal(rows, kind, scale)
    if refused is not None:
        return failure(*refused)
    task = Task(rows, kind, scale, rng, {})
    if noise == "gross":
        return _corrupted(task, variant)
    if not kind.activation.homogeneous:
        return by_zero_sets(task)
    if variant != "auto":
        return ROUTES[variant](task, noise)
    return _in_turn(task, noise)


def _in_turn(task: Task, noise: str) -> Outcome:
    """Exact routes first, then least squares; a student where nothing else fits."""
    attempt = exact.Attempt(failure="skipped")
    if noise != "gaussian":
        if not task.few_outputs:
            attempt = _snap(task, persistent=noise == "none")
            if attempt.certificate is not None:
                return recovered(attempt, task.kind, task.timings)
        outcome = _exact_beyond_rank(task, attempt, noise)
        if outcome is not None:
            return outcome
    fit = _least_squares(task, attempt)
    if noise == "auto" and isinstance(fit.model, Model) and suspicious(task.rows, fit.model, task.rng.spawn(1)[0]):
        outcome = recover_from_corrupted(task.rows, task.kind, task.scale, task.rng.spawn(1)[0], task.timings)
        if outcome.success:
            return outcome
    if fit.success or noise == "gaussian" or fit.status == "too_few_rows":
        return fit
    if task.few_outputs and not task.noisy:
        outcome = _even_odd(task, STARTS)
        if outcome.success:
            return outcome
    trained = _student(task, fit)
    return trained if trained is not None else fit


def _corrupted(task: Task, variant: str) -> Outcome:
    """Labels of which a share is wrong, by the one route that allows for it."""
    if variant != "auto" or not task.kind.activation.homogeneous:
        what = f"variant={variant!r}" if variant != "auto" else f"{task.kind.activation} neurons"
        return failure("not_applicable", f"noise='gross' needs variant='auto' and neurons of two slopes, not {what}")
    return recover_from_corrupted(task.rows, task.kind, task.scale, task.rng, task.timings)


def _exact_beyond_rank(task: Task, attempt: exact.Attempt, noise: str) -> Outcome | None:
    """The even/odd route where labels may be exact and neurons outnumber outputs; None to go on to noise."""
    m, k = task.rows.n_outputs, task.kind.n_hidden
    searched = attempt.failure in ("no_neurons", "incomplete")
    deficient = searched and attempt.rank < min(m, k or m)
    wrong_rows = attempt.failure == "residual" and m > 1 and noise != "none"  # they are no missing neurons
    if task.few_outputs or deficient or (k is None and not wrong_rows):
        outcome = _even_odd(task, STARTS if noise == "none" or deficient else FIRST_STARTS)
        if outcome.success:
            return outcome
        if noise == "none" and task.few_outputs:
            return outcome
    if noise == "none" or deficient:
        return not_recovered(attempt, task.rows, task.kind, task.timings)
    return None


def _snap(task: Task, *, persistent: bool) -> exact.Attempt:
    started = time.perf_counter()
    attempt = exact.recover_exactly(task.rows, task.kind, task.scale, task.rng, persistent=persistent)
    task.timed("exact", started)
    return attempt


def _even_odd(task: Task, starts: int) -> Outcome:
    """Even/odd descent from several starts; certified by counting equations."""
    started = time.perf_counter()
    try:
        with np.errstate(all="ignore"):  # on degenerate rows sums overflow: such a fit is not exact
            fit = fit_even_odd(task.rows, task.kind, task.kind.n_hidden, task.rng, max_starts=starts, scale=task.scale)
    except np.linalg.LinAlgError:
        message = "the rows are too degenerate for a descent: no network was found"
        return replace(failure("no_exact_fit", message, task.timings), variant="even_odd")
    task.timed("even_odd", started)
    task.noisy = fit.noisy
    diagnostics = {"starts": len(fit.starts), "loss": fit.residual}
    if not fit.exact:
        outcome = failure("no_exact_fit", _no_exact_fit(task, fit.residual, len(fit.starts)), task.timings)
        outcome.diagnostics = diagnostics
        return replace(outcome, variant="even_odd")
    model, certificate = fit.model, certify_few_outputs(task.rows, fit.model, fit.check, task.rng)
    if task.kind.n_hidden is None:
        model, certificate = no_more_than_shown(*without_twins(task, model, certificate))
    attempt = exact.Attempt(model, certificate, rank=certificate.rank, starts=len(fit.starts))
    outcome = recovered(attempt, task.kind, task.timings)
    outcome.diagnostics = diagnostics
    return replace(outcome, variant="even_odd")


def _no_exact_fit(task: Task, residual: float, starts: int) -> str:
    k = "any number of" if task.kind.n_hidden is None else task.kind.n_hidden
    return (
        f"no network of {k} {task.kind.activation} neurons reproduces the labels in {starts} starts (least relative "
        f"residual {residual:.1e}): noisy labels, too few rows, or not such a network"
    )


def _least_squares(task: Task, attempt: exact.Attempt) -> Outcome:
    """Least-squares optimum, or why there is none."""
    rows, kind = task.rows, task.kind
    if rows.n_rows * rows.n_outputs < 2.0 * noisy.n_parameters(rows, kind, kind.n_hidden or 1):
        return failure("too_few_rows", "fewer than two labels for each parameter of a least-squares fit", task.timings)
    started = time.perf_counter()
    fit = _least_squares_fit(task)
    task.timed("least_squares", started)
    if fit.descent.point.loss < ROUND_OFF * task.scale.deviation.sum():
        return replace(judge(task, fit), variant="least_squares")
    outcome = least_squares(fit, attempt, rows, task.scale, task.timings)
    return replace(outcome, variant="least_squares")


def _least_squares_fit(task: Task) -> noisy.NoisyFit:
    """From starts in the label space as long as it may hold every neuron, else from the even part."""
    rows, kind, k = task.rows, task.kind, task.kind.n_hidden
    fit = None
    if not task.few_outputs:
        fit = noisy.fit_noisy(rows, kind, k, task.rng)
        if k is not None or fit.structure < noisy.STRUCTURE:
            return fit
    try:
        with np.errstate(all="ignore"):  # on degenerate rows and labels of extreme scales sums overflow
            wider = fit_noisy_even_odd(rows, kind, k, task.rng)
    except np.linalg.LinAlgError:
        wider = None if fit is not None else noisy.fit_noisy(rows, kind, k, task.rng)
    if fit is None or wider is None:
        found = fit or wider
        assert found is not None  # of a number of neurons that is known there is always a fit
        return found
    return min(fit, wider, key=lambda found: noisy.information(rows, found.descent))


def _student(task: Task, fit: Outcome) -> Outcome | None:
    """A student of the right width where it does better than what was found; exact, or an optimum without structure."""
    k = task.kind.n_hidden
    if k is None:
        return None
    started = time.perf_counter()
    descent = student.train(task.rows, task.kind, k, task.rng)
    task.timed("student", started)
    check = verify(task.rows, descent.point.model, task.scale)
    if fit.certificate is not None and check.residual > fit.certificate.residual * (1 - 1e-6):
        return None
    outcome = judge(task, noisy.polish(task.rows, task.kind, descent.point.model.W, task.rng))
    return replace(outcome, variant="student") if outcome.success else None


def _by_snap(task: Task, noise: str) -> Outcome:
    """SNAP alone, then least squares from its starts."""
    if task.few_outputs:
        return too_few_outputs(task, "snap")
    attempt = exact.Attempt(failure="skipped")
    if noise != "gaussian":
        attempt = _snap(task, persistent=noise == "none")
        if attempt.certificate is not None:
            return recovered(attempt, task.kind, task.timings)
        searched = attempt.failure in ("no_neurons", "incomplete")
        deficient = searched and attempt.rank < min(task.rows.n_outputs, task.kind.n_hidden or task.rows.n_outputs)
        if noise == "none" or deficient:
            return not_recovered(attempt, task.rows, task.kind, task.timings)
    return _least_squares(task, attempt)


def _by_even_odd(task: Task, noise: str) -> Outcome:
    outcome = _even_odd(task, FIRST_STARTS if task.kind.n_hidden is None else STARTS)
    return outcome if outcome.success or noise == "none" else _least_squares(task, exact.Attempt(failure="skipped"))


ROUTES: dict[str, Callable[[Task, str], Outcome]] = {
    "snap": _by_snap,
    "even_odd": _by_even_odd,
    "moments": by_moments,
    "ica": by_components,
    "enumerate": lambda task, noise: recover_by_enumeration(task.rows, task.kind, task.scale, task.rng, task.timings),
}
