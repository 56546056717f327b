"""What a route of the rectified learner comes to: a status, a message that says why, a certificate."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastmom.network import TwoLayerNetwork
from fastmom.patterns import exact, noisy
from fastmom.patterns.certificate import reproduces
from fastmom.patterns.majority import ENOUGH, exact_share
from fastmom.patterns.model import LabelScale, Model, ModelClass, verify
from fastmom.patterns.standard_errors import standard_errors
from fastmom.result import Certificate, Unidentified
from fastmom.runtime.passes import Rows

ROUNDING = 1e-12  # a residual this small, relative to labels and offset, is the rounding of the labels
ERROR_ROWS, ERROR_ROWS_PER_UNKNOWN = 4000, 12  # rows that give the standard errors
TELLING_ROWS = 8  # for each input, below which a residual shows no missing neuron
CONTRADICTION = 1e-4  # a residual that labels with exact neurons in their span cannot have


class Found(Protocol):
    """What a route has found."""

    def network(self) -> TwoLayerNetwork | None:
        """The network, if any."""
        return None


@dataclass
class Outcome:
    """What a route returns, before it becomes a FitResult."""

    status: str
    message: str
    success: bool
    model: Found | None
    certificate: Certificate | None
    diagnostics: dict[str, Any]
    timings: dict[str, float]
    variant: str = "snap"

    @property
    def network(self) -> TwoLayerNetwork | None:
        """The network found, if any."""
        return None if self.model is None else self.model.network()


def failure(status: str, message: str, timings: dict[str, float] | None = None) -> Outcome:
    """Outcome without a network."""
    return Outcome(status, message, False, None, None, {}, timings or {})


def _neurons(k: int, kind: ModelClass) -> str:
    return f"{k} {kind.activation} neuron{'' if k == 1 else 's'}"


def _search_diagnostics(attempt: exact.Attempt) -> dict[str, Any]:
    found = attempt.found
    return {
        "rank": attempt.rank,
        "starts": attempt.starts,
        "steps_per_start": found.steps / max(1, found.starts) if found else 0.0,
        "rounds": attempt.rounds,
        "sample_rows": attempt.sample_rows,
        "neurons_found": attempt.n_found,
        "best_correlation": found.best if found else 0.0,
    }


def recovered(attempt: exact.Attempt, kind: ModelClass, timings: dict[str, float]) -> Outcome:
    """Outcome of a successful exact route."""
    model, certificate = attempt.model, attempt.certificate
    assert model is not None and certificate is not None
    k, asked = model.n_neurons, kind.n_hidden
    message = f"recovered {_neurons(k, kind)} exactly"
    n_linear = len(model.hidden) - k
    if asked is not None and k + n_linear < asked:
        what = (
            f"n_hidden={asked} was asked, but the labels show {k + n_linear} neurons: the others are inactive on "
            "every row, parallel to another, or without visible output weight"
        )
        missing = Unidentified(None, what)
        certificate = Certificate(**{**vars(certificate), "unidentified": (*certificate.unidentified, missing)})
        message += "; " + what
    if certificate.unidentified:
        message += "; the rows leave something undetermined, see certificate.unidentified"
    success = certificate.certified
    return Outcome(
        "recovered" if success else "uncertified",
        message if success else f"labels reproduced, but {certificate.reason}",
        success,
        model,
        certificate,
        _search_diagnostics(attempt),
        timings,
    )


def not_recovered(attempt: exact.Attempt, rows: Rows, kind: ModelClass, timings: dict[str, float]) -> Outcome:
    """Which assumption of the exact route failed."""
    m, r = rows.n_outputs, attempt.rank
    hint = "" if kind.hidden_bias and kind.output_bias else " (or biases that `bias` does not allow)"
    if attempt.failure == "rank":
        status = "rank_excess"
        message = f"the labels have rank {r} > n_hidden={kind.n_hidden}: noise, or more neurons{hint}"
    elif attempt.failure == "residual":
        status = "residual"
        message = f"the neurons found leave a relative residual of {attempt.residual:.1e}: the labels are not exact"
    elif r == 0:
        status = "no_signal"
        message = "the labels vary by less than their own round-off: subtract their offset before rounding"
    elif r < min(m, kind.n_hidden or m):
        status = "rank_deficient"
        message = (
            f"the labels are exact but have rank {r} only, and {attempt.n_found} neurons lie in their span: "
            f"the network has more neurons than its labels have rank, or is not of this class{hint}"
        )
    else:
        status = "no_neurons_found"
        message = (
            f"{attempt.n_found} of {r} neurons found in {attempt.starts} starts: noisy labels, fewer outputs than "
            f"neurons, too few rows, or not a network of {kind.activation} neurons{hint}"
        )
    outcome = failure(status, message, timings)
    outcome.diagnostics = _search_diagnostics(attempt)
    return outcome


def least_squares(
    fit: noisy.NoisyFit, attempt: exact.Attempt, rows: Rows, scale: LabelScale, timings: dict[str, float]
) -> Outcome:
    """Outcome of the noisy route: an optimum of a model that fits, or what is wrong with it."""
    model, descent = fit.model, fit.descent
    started = time.perf_counter()
    check = verify(rows, model, scale)
    timings["verify"] = time.perf_counter() - started
    k = model.n_neurons
    freedom = rows.n_rows * rows.n_outputs - noisy.n_parameters(rows, model.kind, k)
    noise_std = float(np.sqrt(check.sum_of_squares / freedom)) if freedom > 0 else np.inf
    diagnostics = _search_diagnostics(attempt) | {
        "starts": attempt.starts + fit.starts,
        "noise_std": noise_std,
        "structure": fit.structure,
        "information": noisy.information(rows, descent),
        "iterations": descent.iterations,
    }
    signal = diagnostics["information"] < noisy.null_information(rows, float(scale.deviation.sum()))
    full = model.kind.hidden_bias and model.kind.output_bias
    hint = "" if full else ", has biases that `bias` does not allow"
    rounding = check.residual * scale.spread < ROUNDING * np.hypot(scale.spread, scale.offset)
    if fit.structure > noisy.STRUCTURE and not (reproduces(check) or rounding):
        status = "misfit"
        message = (
            f"the best fit of {_neurons(k, model.kind)} leaves residuals that still depend on the inputs: the network "
            f"is of another kind, has more neurons{hint}, or the labels are too noisy for these rows; "
            "noise of very different size in different outputs looks like this too"
        )
    elif not signal:
        status, message = "no_signal", "the labels do not depend on the inputs beyond chance"
    elif model.kind.n_hidden is None and rows.n_rows < TELLING_ROWS * rows.n_inputs and check.residual > CONTRADICTION:
        status = "too_few_rows"
        message = (
            f"{rows.n_rows} rows of {rows.n_inputs} inputs do not tell noise from neurons whose number is unknown: "
            f"give n_hidden, or at least {TELLING_ROWS * rows.n_inputs} rows"
        )
    elif attempt.n_found and check.residual > CONTRADICTION:
        status = "incomplete"
        message = (
            f"{attempt.n_found} neurons fit the labels exactly, so there is no noise, but the others were not found: "
            "more rows, or rows on which the missing neurons are active, would help"
        )
    elif not (rounding or (fit.agreed and descent.converged)):
        status = "not_converged"
        message = f"no two of {noisy.ATTEMPTS} starts reached the same optimum: too few rows for this noise"
    elif share := _exact_share(rows, model):
        status = "incomplete"
        message = (
            f"{share:.1%} of the rows are fitted to round-off where patterns stay as they are, so labels carry no "
            "noise, and the others contradict: neurons nearly coincide or cancel there and more rows would tell them "
            "apart, or these labels are wrong"
        )
    else:
        status = "least_squares"
        message = (
            f"least-squares optimum of {_neurons(k, model.kind)}; noise of standard deviation {noise_std:.2g}: "
            "no certificate; standard errors, in the diagnostics, say how far each weight is determined"
        )
    if status == "least_squares":
        diagnostics["standard_errors"] = _standard_errors(rows, model, noise_std)
    certificate = Certificate(
        certified=False,
        residual=check.residual,
        n_rows=rows.n_rows,
        activity=check.activity,
        rank=attempt.rank,
        reason="only exact labels can be certified" if status == "least_squares" else "the labels are not explained",
    )
    return Outcome(status, message, status == "least_squares", model, certificate, diagnostics, timings)


def _exact_share(rows: Rows, model: Model) -> float:
    """Share of the rows whose labels are exact, see `fastmom.patterns.majority`."""
    if not model.kind.activation.homogeneous:
        return 0.0
    step = max(1, rows.n_rows // ENOUGH)
    X, Y = rows.take(np.arange(0, rows.n_rows, step))
    gates = np.column_stack([np.ones(len(X)), X @ model.W.T > 0])
    if model.kind.output_bias and not model.kind.hidden_bias:
        return exact_share(np.column_stack([X, np.ones(len(X))]), noisy.residuals(X, Y, model), gates)
    return exact_share(X, noisy.residuals(X, Y, model), gates)


def _standard_errors(rows: Rows, model: Model, noise_std: float) -> dict[str, Any] | None:
    """Standard errors by parameter, from evenly spaced rows where there are many; None for very wide networks."""
    size = max(ERROR_ROWS, ERROR_ROWS_PER_UNKNOWN * model.W.size)
    part = rows
    if 2 * size < rows.n_rows:
        part = Rows(*rows.take(np.linspace(0, rows.n_rows - 1, size).astype(np.int64)))
    try:
        with np.errstate(all="ignore"):  # weights of extreme scales have no standard error
            errors = standard_errors(rows, model, noise_std, metric=part)
    except (np.linalg.LinAlgError, ValueError):
        return None
    if errors is None:
        return None
    return {name: value for name, value in vars(errors).items() if value is not None}
