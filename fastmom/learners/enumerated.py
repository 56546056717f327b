"""The route by enumeration: any inputs where labels show every neuron, and the best one or two of noisy labels."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from fastmom.learners.problem import label_rank
from fastmom.patterns import enumeration, enumeration_pairs, exact
from fastmom.patterns.certificate import reproduces
from fastmom.patterns.fewer_outputs import certify_few_outputs
from fastmom.patterns.model import LabelScale, Model, ModelClass, verify
from fastmom.patterns.verdict import Outcome, failure, recovered
from fastmom.result import Certificate
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]


def recover_by_enumeration(
    rows: Rows, kind: ModelClass, scale: LabelScale, rng: np.random.Generator, timings: dict[str, float]
) -> Outcome:
    """All patterns of one neuron or two of one output, or trials of the label rows; or why none is practical."""
    started = time.perf_counter()
    if kind.slope != 0 or not kind.activation.homogeneous:
        outcome = failure("not_applicable", f"enumeration needs relu neurons, not {kind.activation}")
    elif rows.n_outputs == 1 and kind.n_hidden in (None, 1) and not kind.output_bias:
        outcome = _single_neuron(rows, kind, scale, rng)
    elif kind.n_hidden == 2 and not kind.output_bias and _one_direction(rows, kind, rng):
        outcome = _neuron_pair(rows, kind, scale, rng)
    elif kind.n_hidden is not None and kind.n_hidden > rows.n_outputs:
        what = f"{rows.n_outputs} output(s) for {kind.n_hidden} neurons: enumeration needs at least as many"
        but = "or at most two neurons of one output without bias"
        outcome = failure("too_few_outputs", f"{what}, {but}; variant='auto' does not")
    else:
        outcome = _row_spans(rows, kind, scale, rng)
    timings["enumeration"] = time.perf_counter() - started
    outcome.timings, outcome.variant = timings, "enumerate"
    return outcome


def _row_spans(rows: Rows, kind: ModelClass, scale: LabelScale, rng: np.random.Generator) -> Outcome:
    units = min(rows.n_outputs, kind.n_hidden or rows.n_outputs)
    size = exact.ROWS_PER_UNKNOWN * max(rows.n_inputs, units) + exact.ROWS_BEYOND
    sample = exact.sample_rows(rows, kind, size, rng)
    rank = sample.basis.shape[1]
    if kind.n_hidden is not None and sample.rank > kind.n_hidden:
        what = f"the labels have rank {sample.rank} > n_hidden={kind.n_hidden}: noise, or more neurons"
        return failure("rank_excess", what)
    if rank > enumeration.MAX_RANK:
        trials = enumeration.expected_trials(rank, sample.rank)
        hours = trials / enumeration.TRIALS_PER_SECOND / 3600
        message = (
            f"labels of rank {rank} need about {trials:.1g} trials of row spans, {hours:.1g} hours of a core: at most "
            f"{enumeration.MAX_RANK} is practical; variant='auto' needs no trials"
        )
        return failure("too_large", message)
    found = enumeration.row_span_trials(sample, rng)
    diagnostics = {"trials": found.trials, "neurons_found": len(found.W), "rank": sample.rank}
    attempt = exact.Attempt()
    if found.complete and len(found.W):
        with np.errstate(all="ignore"):  # inputs of extreme scales overflow on the way
            attempt = exact.refine_exactly(rows, kind, scale, found.W, rng)
    if attempt.certificate is None:
        message = (
            f"{len(found.W)} of {sample.rank} neurons found in {found.trials:,} trials: noisy labels, fewer outputs "
            f"than neurons, neurons active on nearly all rows, or not a network of {kind.activation} neurons"
        )
        outcome = failure("no_neurons_found" if not len(found.W) else "incomplete", message)
    else:
        outcome = recovered(attempt, kind, {})
    outcome.diagnostics = diagnostics
    return outcome


def _single_neuron(rows: Rows, kind: ModelClass, scale: LabelScale, rng: np.random.Generator) -> Outcome:
    n, d = rows.n_rows, rows.n_inputs
    visits = enumeration.expected_visits(n, d)
    if d > enumeration.MAX_WALK_INPUTS or visits > enumeration.MAX_VISITS:
        limits = f"the walk is built for at most {enumeration.MAX_WALK_INPUTS} inputs and {enumeration.MAX_VISITS:.0e}"
        seconds = visits / enumeration.VISITS_PER_SECOND
        return _too_large(rows, f"{visits:.1g} activation patterns to visit", seconds, f"{limits} visits")
    X, Y = rows.take(np.arange(n))
    walk = enumeration.best_neuron(X, Y[:, 0])
    model = _with_output_weights(X, Y, walk.w[None], kind)
    outcome = _exact_outcome(rows, model, scale, rng) or _global_optimum(rows, model, scale, walk.visits, "pattern")
    outcome.diagnostics |= {"patterns_visited": walk.visits, "explained": walk.explained}
    return outcome


def _too_large(rows: Rows, work: str, seconds: float, limits: str) -> Outcome:
    """The refusal of an enumeration that would take too long."""
    message = (
        f"{rows.n_rows:,} rows of {rows.n_inputs} inputs (hidden bias included) have about {work}, "
        f"{seconds / 3600:.1g} hours of a core: {limits}; variant='auto' restarts instead"
    )
    return failure("too_large", message)


def _one_direction(rows: Rows, kind: ModelClass, rng: np.random.Generator) -> bool:
    """Whether the labels are one function times a vector; more outputs of more inputs are left to the row spans."""
    if rows.n_outputs == 1:
        return True
    return rows.n_inputs <= enumeration_pairs.MAX_PAIR_INPUTS and label_rank(rows, kind, rng) == 1


def _neuron_pair(rows: Rows, kind: ModelClass, scale: LabelScale, rng: np.random.Generator) -> Outcome:
    n, d = rows.n_rows, rows.n_inputs
    pairs = enumeration_pairs.expected_pairs(n, d)
    if d > enumeration_pairs.MAX_PAIR_INPUTS or pairs > enumeration_pairs.MAX_PAIRS:
        most = enumeration_pairs.MAX_PAIR_INPUTS
        limits = f"pairs are built for at most {most} inputs and {enumeration_pairs.MAX_PAIRS:.0e} pairs"
        seconds = pairs / enumeration_pairs.PAIRS_PER_SECOND
        return _too_large(rows, f"{pairs:.1g} pairs of activation patterns", seconds, limits)
    X, Y = rows.take(np.arange(n))
    y = Y @ np.linalg.svd(Y, full_matrices=False)[2][0]
    one = _with_output_weights(X, Y, enumeration.best_neuron(X, y).w[None], kind)
    outcome = _exact_outcome(rows, one, scale, rng)
    if outcome is not None:  # then there is no second neuron to be found
        return outcome
    walk = enumeration_pairs.best_pair(X, y)
    model = _with_output_weights(X, Y, walk.W, kind)
    outcome = _exact_outcome(rows, model, scale, rng)
    outcome = outcome or _global_optimum(rows, model, scale, walk.visits, "pair of patterns")
    if outcome.status == "global_optimum" and not walk.resolved:
        tiny = f"rows below {enumeration_pairs.TINY_ROW:.0e} of the largest"
        outcome.message += f"; among pairs that {tiny} alone tell apart, round-off may hide a better one"
    outcome.diagnostics |= {"pairs_visited": walk.visits, "explained": walk.explained}
    return outcome


def _with_output_weights(X: Array, Y: Array, W: Array, kind: ModelClass) -> Model:
    """Neurons W (k, d) with their least-squares output weights."""
    A = np.linalg.lstsq(np.maximum(X @ W.T, 0.0), Y, rcond=None)[0]
    return Model(W, np.vstack([A, np.zeros((1, Y.shape[1]))]), len(W), kind)


def _exact_outcome(rows: Rows, model: Model, scale: LabelScale, rng: np.random.Generator) -> Outcome | None:
    """The outcome of a network that gives the labels to round-off; None for any other."""
    check = verify(rows, model, scale)
    if not reproduces(check):
        return None
    certificate = certify_few_outputs(rows, model, check, rng)
    outcome = recovered(exact.Attempt(model, certificate, rank=1), model.kind, {})
    outcome.diagnostics = {}
    return outcome


def _global_optimum(rows: Rows, model: Model, scale: LabelScale, visits: int, visited: str) -> Outcome:
    """The outcome of the best network of noisy labels."""
    check = verify(rows, model, scale)
    k = model.n_neurons
    noise_std = float(np.sqrt(check.sum_of_squares / max(1, rows.n_rows * rows.n_outputs - k * rows.n_inputs)))
    message = (
        f"global least-squares optimum of {'one' if k == 1 else 'two'} {model.kind.activation} "
        f"neuron{'' if k == 1 else 's'}: no other {visited} of the {visits:,} "
        f"visited fits better; noise of standard deviation {noise_std:.2g}: no certificate"
    )
    certificate = Certificate(
        certified=False,
        residual=check.residual,
        n_rows=rows.n_rows,
        activity=check.activity,
        rank=1,
        reason="only exact labels can be certified",
    )
    return Outcome("global_optimum", message, True, model, certificate, {"noise_std": noise_std}, {})
