"""The route by enumeration: any inputs where labels show every neuron, and the best single neuron of noisy labels."""

from __future__ import annotations

import time

import numpy as np

from fastmom.patterns import enumeration, exact
from fastmom.patterns.certificate import reproduces
from fastmom.patterns.fewer_outputs import certify_few_outputs
from fastmom.patterns.model import LabelScale, Model, ModelClass, verify
from fastmom.patterns.verdict import Outcome, failure, recovered
from fastmom.result import Certificate
from fastmom.runtime.passes import Rows


def recover_by_enumeration(
    rows: Rows, kind: ModelClass, scale: LabelScale, rng: np.random.Generator, timings: dict[str, float]
) -> Outcome:
    """All patterns of one neuron of one output, or trials of the label rows; or why neither is practical."""
    started = time.perf_counter()
    if kind.slope != 0 or not kind.activation.homogeneous:
        outcome = failure("not_applicable", f"enumeration needs relu neurons, not {kind.activation}")
    elif rows.n_outputs == 1 and kind.n_hidden in (None, 1) and not kind.output_bias:
        outcome = _single_neuron(rows, kind, scale, rng)
    elif kind.n_hidden is not None and kind.n_hidden > rows.n_outputs:
        what = f"{rows.n_outputs} output(s) for {kind.n_hidden} neurons: enumeration needs at least as many"
        outcome = failure("too_few_outputs", f"{what}, or one neuron; variant='auto' does not")
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
        hours = visits / enumeration.VISITS_PER_SECOND / 3600
        message = (
            f"{n:,} rows of {d} inputs (hidden bias included) have about {visits:.1g} activation patterns to visit, "
            f"{hours:.1g} hours of a core: the walk is built for at most {enumeration.MAX_WALK_INPUTS} inputs and "
            f"{enumeration.MAX_VISITS:.0e} visits; variant='auto' restarts instead"
        )
        return failure("too_large", message)
    X, Y = rows.take(np.arange(n))
    walk = enumeration.best_neuron(X, Y[:, 0])
    f = np.maximum(X @ walk.w, 0.0)
    weight = float(f @ Y[:, 0] / (f @ f)) if f.any() else 0.0
    model = Model(walk.w[None], np.array([[weight], [0.0]]), 1, kind)
    check = verify(rows, model, scale)
    diagnostics = {"patterns_visited": walk.visits, "explained": walk.explained}
    if reproduces(check):
        certificate = certify_few_outputs(rows, model, check, rng)
        outcome = recovered(exact.Attempt(model, certificate, rank=1), kind, {})
        outcome.diagnostics = diagnostics
        return outcome
    diagnostics["noise_std"] = float(np.sqrt(check.sum_of_squares / max(1, n - d)))
    message = (
        f"global least-squares optimum of one {kind.activation} neuron: no other pattern of the {walk.visits:,} "
        f"visited fits better; noise of standard deviation {diagnostics['noise_std']:.2g}: no certificate"
    )
    certificate = Certificate(
        certified=False,
        residual=check.residual,
        n_rows=n,
        activity=check.activity,
        rank=1,
        reason="only exact labels can be certified",
    )
    return Outcome("global_optimum", message, True, model, certificate, diagnostics, {})
