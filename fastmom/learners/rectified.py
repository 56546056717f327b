"""Rectified networks: Bakshi, Jayaram and Woodruff 2018, arXiv 1811.01885."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fastmom.activations import Activation, resolve
from fastmom.patterns import exact, noisy
from fastmom.patterns.certificate import reproduces
from fastmom.patterns.model import LabelScale, Model, ModelClass, label_scale, verify
from fastmom.patterns.sample import input_rank
from fastmom.result import Certificate, FitResult, Unidentified
from fastmom.runtime.passes import Rows
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_choice, as_count, as_labels, as_matrix, as_rng, require_finite

STRUCTURE = 1.15  # a right model stays below 1.06 in trials, most wrong ones grow with n from 1.3 at 7 rows an input
CONTRADICTION = 1e-4  # a residual that labels with exact neurons in their span cannot have
VARIANTS = ("auto", "snap")
NOISE = ("auto", "none", "gaussian")
BIAS = {False: (False, False), True: (True, True), "hidden": (True, False), "output": (False, True)}


def learn_rectified(
    X: Any,
    Y: Any,
    n_hidden: int | None = None,
    *,
    variant: Literal["auto", "snap"] = "auto",
    bias: bool | Literal["hidden", "output"] = False,
    noise: Literal["auto", "none", "gaussian"] = "auto",
    activation: str | Activation = "relu",
    rng: int | np.random.Generator | None = None,
) -> FitResult:
    """Recover the network Y = A f(X W^T + b) + c from its labels, f a (leaky) rectifier.

    Exact labels of at least as many outputs as neurons: SNAP (`fastmom.patterns.snap`) on a sample of rows, a Newton
    finish, then one pass that verifies the network on all rows. Any input law; no moments. Noisy labels: SNAP starts,
    then Gauss-Newton to the least-squares optimum on all rows.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs; arrays and memory maps of any real dtype are read in place.
    Y : array_like (n, m) or (n,)
        Labels. Needs m >= k: the labels of k neurons must have rank k.
    n_hidden : int, optional
        Number of neurons k; found from the rank of the labels if None.
    variant : {"auto", "snap"}
        The only route so far is "snap"; "auto" chooses it.
    bias : {False, True, "hidden", "output"}
        Which biases the network may have; True means both.
    noise : {"auto", "none", "gaussian"}
        "none": exact labels only. "gaussian": least squares at once. "auto": exact if that succeeds, else least
        squares.
    activation : str or Activation
        "relu" or "leaky_relu(slope)", the slope known.
    rng : int, Generator or None
        Same value, same bits.

    Returns
    -------
    FitResult
        ``status`` is "recovered" (exact, certified), "least_squares" (noisy labels, optimum reached), or says what
        failed: "too_few_rows", "too_few_outputs", "rank_deficient", "rank_excess", "no_neurons_found", "incomplete",
        "residual", "misfit", "no_signal", "not_converged". Weight vectors have unit norm, the scale is in A.

    Raises
    ------
    ValueError, TypeError
        For input that is not two aligned arrays of finite real numbers, or options that do not exist.

    References
    ----------
    .. [1] A. Bakshi, R. Jayaram, D. Woodruff, "Learning two layer rectified neural networks in polynomial time",
       2018, arXiv 1811.01885. The canonical-correlation step (SNAP) is our own form of its exact step.

    Examples
    --------
    >>> import fastmom as fm
    >>> teacher = fm.random_teacher(10, 4, 5, rng=0)
    >>> X, Y = fm.make_samples(teacher, 200, rng=1)
    >>> result = fm.learn_rectified(X, Y, rng=2)
    >>> result.status, result.certificate.certified, fm.compare(result, teacher).max_error < 1e-12
    ('recovered', True, True)
    """
    as_choice(variant, "variant", VARIANTS)
    as_choice(noise, "noise", NOISE)
    generator, seed = as_rng(rng)
    rows, kind = _problem(X, Y, n_hidden, bias, activation)
    started = time.perf_counter()
    with single_blas_thread():
        outcome = _recover(rows, kind, noise, generator)
    outcome.timings["total"] = time.perf_counter() - started
    return FitResult(
        network=outcome.network,
        success=outcome.success,
        status=outcome.status,
        message=outcome.message,
        method="rectified",
        variant="snap",
        certificate=outcome.certificate,
        diagnostics=outcome.diagnostics,
        timings=outcome.timings,
        seed=seed,
    )


@dataclass
class _Outcome:
    """What a route returns, before it becomes a FitResult."""

    status: str
    message: str
    success: bool
    model: Model | None
    certificate: Certificate | None
    diagnostics: dict[str, Any]
    timings: dict[str, float]

    @property
    def network(self) -> Any:
        return None if self.model is None else self.model.network()


def _problem(X: Any, Y: Any, n_hidden: Any, bias: Any, activation: Any) -> tuple[Rows, ModelClass]:
    """Validated rows and model class."""
    X = as_matrix(X, "X")
    Y = as_labels(Y, X.shape[0])
    require_finite(X, "X")
    require_finite(Y, "Y")
    if not isinstance(bias, bool | str) or bias not in BIAS:
        raise ValueError(f"bias: expected False, True, 'hidden' or 'output', got {bias!r}")
    hidden_bias, output_bias = BIAS[bias]
    k = None if n_hidden is None else as_count(n_hidden, "n_hidden")
    return Rows(X, Y, ones=hidden_bias), ModelClass(resolve(activation), hidden_bias, output_bias, k)


def _recover(rows: Rows, kind: ModelClass, noise: str, rng: np.random.Generator) -> _Outcome:
    """Refuse what cannot work, then the exact route, then least squares."""
    scale = label_scale(rows)
    refusal = _refusal(rows, kind, scale)
    if refusal is not None:
        return _failure(*refusal)
    timings: dict[str, float] = {}
    attempt = exact.Attempt(failure="skipped")
    if noise != "gaussian":
        started = time.perf_counter()
        attempt = exact.recover_exactly(rows, kind, scale, rng, persistent=noise == "none")
        timings["exact"] = time.perf_counter() - started
        if attempt.model is not None and attempt.certificate is not None:
            return _recovered(attempt, kind, timings)
        deficient = attempt.failure != "rank" and attempt.rank < min(rows.n_outputs, kind.n_hidden or rows.n_outputs)
        if noise == "none" or deficient:
            return _not_recovered(attempt, rows, kind, timings)
    if rows.n_rows * rows.n_outputs < 1.2 * noisy.n_parameters(rows, kind, kind.n_hidden or 1):
        return _failure("too_few_rows", "fewer labels than a least-squares fit has parameters", timings)
    started = time.perf_counter()
    fit = noisy.fit_noisy(rows, kind, kind.n_hidden, rng)
    timings["least_squares"] = time.perf_counter() - started
    return _least_squares(fit, attempt, rows, scale, timings)


def _refusal(rows: Rows, kind: ModelClass, scale: LabelScale) -> tuple[str, str] | None:
    """Status and message for data on which no route of this learner can work."""
    n, d, m = rows.n_rows, rows.n_inputs, rows.n_outputs
    if kind.n_hidden is not None and kind.n_hidden > m:
        return (
            "too_few_outputs",
            f"{m} output(s) for {kind.n_hidden} neurons: this learner needs at least as many outputs as neurons, "
            "so that the labels have rank k",
        )
    if n < 2 * d:
        rank = input_rank(rows.take(np.arange(n))[0])
        if n < 2 * rank or n < rank + 6:
            return (
                "too_few_rows",
                f"{n} rows for inputs of {d} dimensions (hidden bias included): a neuron is active on about half of "
                f"the rows and needs more than {d} of them, so take at least {3 * d}",
            )
    if scale.deviation.sum() <= 1e-28 * rows.n_rows * scale.largest_row:
        return "no_signal", "the labels are constant: there is no network to recover"
    return None


def _failure(status: str, message: str, timings: dict[str, float] | None = None) -> _Outcome:
    return _Outcome(status, message, False, None, None, {}, timings or {})


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


def _recovered(attempt: exact.Attempt, kind: ModelClass, timings: dict[str, float]) -> _Outcome:
    """Outcome of a successful exact route."""
    model, certificate = attempt.model, attempt.certificate
    assert model is not None and certificate is not None
    k, asked = model.n_neurons, kind.n_hidden
    message = f"recovered {k} neurons exactly"
    n_linear = len(model.hidden) - k
    if asked is not None and k + n_linear < asked:
        what = (
            f"n_hidden={asked} was asked, but the labels show {k + n_linear} neurons: the others are inactive on "
            "every row, parallel to another, or without output weight"
        )
        missing = Unidentified(None, what)
        certificate = Certificate(**{**vars(certificate), "unidentified": (*certificate.unidentified, missing)})
        message += "; " + what
    if certificate.unidentified:
        message += "; the rows leave something undetermined, see certificate.unidentified"
    success = certificate.certified
    return _Outcome(
        "recovered" if success else "uncertified",
        message if success else f"labels reproduced, but {certificate.reason}",
        success,
        model,
        certificate,
        _search_diagnostics(attempt),
        timings,
    )


def _not_recovered(attempt: exact.Attempt, rows: Rows, kind: ModelClass, timings: dict[str, float]) -> _Outcome:
    """Which assumption of the exact route failed."""
    m, r = rows.n_outputs, attempt.rank
    hint = "" if kind.hidden_bias and kind.output_bias else " (or biases that `bias` does not allow)"
    if attempt.failure == "rank":
        status = "rank_excess"
        message = f"the labels have rank {r} > n_hidden={kind.n_hidden}: noise, or more neurons{hint}"
    elif attempt.failure == "residual":
        status = "residual"
        message = f"the neurons found leave a relative residual of {attempt.residual:.1e}: the labels are not exact"
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
    outcome = _failure(status, message, timings)
    outcome.diagnostics = _search_diagnostics(attempt)
    return outcome


def _least_squares(
    fit: noisy.NoisyFit, attempt: exact.Attempt, rows: Rows, scale: LabelScale, timings: dict[str, float]
) -> _Outcome:
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
        "iterations": descent.iterations,
    }
    signal = noisy.information(rows, descent) < noisy.null_information(rows, float(scale.deviation.sum()))
    full = model.kind.hidden_bias and model.kind.output_bias
    hint = "" if full else ", has biases that `bias` does not allow"
    if not signal:
        status, message = "no_signal", "the labels do not depend on the inputs beyond chance"
    elif fit.structure > STRUCTURE and not reproduces(check):
        status = "misfit"
        message = (
            f"the best fit of {k} {model.kind.activation} neurons leaves residuals that still depend on the inputs: "
            f"the network is of another kind, has more neurons{hint}, or the labels are too noisy for these rows"
        )
    elif attempt.n_found and check.residual > CONTRADICTION:
        status = "incomplete"
        message = (
            f"{attempt.n_found} neurons fit the labels exactly, so there is no noise, but the others were not found: "
            "more rows, or rows on which the missing neurons are active, would help"
        )
    elif not (fit.agreed and descent.converged):
        status = "not_converged"
        message = f"no two of {noisy.ATTEMPTS} starts reached the same optimum: too few rows for this noise"
    else:
        status = "least_squares"
        message = f"least-squares optimum of {k} neurons; noise of standard deviation {noise_std:.2g}: no certificate"
    certificate = Certificate(
        certified=False,
        residual=check.residual,
        n_rows=rows.n_rows,
        activity=check.activity,
        rank=attempt.rank,
        reason="only exact labels can be certified" if status == "least_squares" else message,
    )
    return _Outcome(status, message, status == "least_squares", model, certificate, diagnostics, timings)
