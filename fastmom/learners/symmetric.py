"""Networks of symmetric inputs: Ge, Kuditipudi, Li and Wang 2018, arXiv 1810.06793."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastmom.learners.problem import fit_result, label_rank, read_problem, refusal, regression_rank
from fastmom.learners.rectified_routes import recover
from fastmom.moments import label_products
from fastmom.moments.neuron_estimate import Estimate, estimate_neurons
from fastmom.patterns import exact, noisy
from fastmom.patterns.gauss_newton import evaluate
from fastmom.patterns.model import LabelScale, Model, ModelClass, label_scale, verify
from fastmom.patterns.sample import Sample, coordinates
from fastmom.patterns.verdict import Outcome, failure, least_squares, recovered
from fastmom.result import Certificate, FitResult
from fastmom.runtime.passes import Rows
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_choice, as_rng

Array = npt.NDArray[np.float64]

VARIANTS = ("refined", "paper", "algebraic")
CORRECTIONS = 4  # of the regression by the residual; a polish needs one only
NO_GAP = 0.5  # ratio of the k-th smallest singular value of the detector to the next


def learn_symmetric(
    X: Any,
    Y: Any,
    n_hidden: int | None = None,
    *,
    variant: Literal["refined", "paper", "algebraic"] = "refined",
    polish: bool = True,
    bias: bool | Literal["hidden", "output"] = False,
    rng: int | np.random.Generator | None = None,
) -> FitResult:
    """Learn Y = A relu(X W^T) + noise where x and -x have the same law, with at least as many outputs as neurons.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs; for the moment variants of a law symmetric about zero.
    Y : array_like (n, m) or (n,)
        Labels, m >= k.
    n_hidden : int, optional
        Number of neurons k; found from the rank of the labels, or of their regression on the inputs, if None.
    variant : {"refined", "paper", "algebraic"}
        "paper": pure-neuron detector on x (x) x, its bottom-k singular space, one random pencil, a regression for each
        neuron (k <= d). "refined": bounded test functions of unit covariance in the k dimensions that matter, joint
        diagonalisation, refinement, and regressions corrected by the residual; where it cannot work, the routes of
        `learn_rectified`. "algebraic": exact labels only, any input law, k > d and biases too: the null space of
        label products (our own).
    polish : bool
        Finish on activation patterns: exact where labels are, else the least-squares optimum. Without it the moment
        estimate itself is returned.
    bias : {False, True, "hidden", "output"}
        Biases the network may have. A hidden bias is no symmetric input: "paper" refuses it, "refined" goes
        another way.
    rng : int, Generator or None
        Same value, same bits.

    Returns
    -------
    FitResult
        ``status``: "recovered" (exact, certified), "least_squares", "estimated" (without polish), or what failed:
        "asymmetric_inputs", "no_gap", "degenerate", "nullity", "rank", "residual", "not_applicable",
        "too_few_outputs", ... Diagnostics: ``symmetry_p_value`` (a bound, for any symmetric law), ``detector_gap``,
        ``detector_values``, ``distinguishing_value`` (smallest singular value of the distinguishing matrix),
        ``regression_values``, ``corrections``, ``nullity``.

    Raises
    ------
    ValueError, TypeError
        For input that is not two aligned arrays of finite real numbers, or options that do not exist.

    Notes
    -----
    With m >= k an L-BFGS student with a few restarts is a strong rival: it needs fewer rows. What it lacks is the
    certificate, and the last digits.

    References
    ----------
    .. [1] R. Ge, R. Kuditipudi, Z. Li, X. Wang, "Learning two-layer neural networks with symmetric inputs", 2018,
       arXiv 1810.06793. The algorithm box was not at hand: "paper" follows its statements.

    Examples
    --------
    >>> import fastmom as fm
    >>> teacher = fm.random_teacher(10, 4, 5, rng=0)
    >>> X, Y = fm.make_samples(teacher, 2000, law="laplace", rng=1)
    >>> result = fm.learn_symmetric(X, Y, 4, rng=2)
    >>> result.status, fm.compare(result, teacher).max_error < 1e-12
    ('recovered', True)
    """
    as_choice(variant, "variant", VARIANTS)
    if not isinstance(polish, bool | np.bool_):
        raise TypeError(f"polish: expected True or False, got {polish!r}")
    generator, seed = as_rng(rng)
    generator = generator.spawn(1)[0]  # never the stream that drew a teacher from the same seed
    rows, kind = read_problem(X, Y, n_hidden, bias, "relu")
    started = time.perf_counter()
    with single_blas_thread():
        outcome = _learn(rows, kind, variant, bool(polish), generator)
    outcome.timings["total"] = time.perf_counter() - started
    return fit_result(outcome, "symmetric", variant, seed)


def _learn(rows: Rows, kind: ModelClass, variant: str, polish: bool, rng: np.random.Generator) -> Outcome:
    """Refuse what cannot work, count the neurons, take the route asked for."""
    scale = label_scale(rows)
    refused = refusal(rows, kind, scale)
    if refused is not None:
        return failure(*refused)
    if kind.n_hidden is not None and kind.n_hidden > rows.n_outputs:
        return failure(
            "too_few_outputs",
            f"{rows.n_outputs} output(s) for {kind.n_hidden} neurons: this learner needs at least as many, so that the "
            "labels have rank k; learn_rectified does not",
        )
    rank = label_rank(rows, kind, rng)
    if kind.n_hidden is None:
        noisy_labels = rank == rows.n_outputs > 1
        count = regression_rank(rows, rng) if noisy_labels and variant != "algebraic" else rank
        kind = replace(kind, n_hidden=max(1, count if count < rows.n_inputs else rank))
    if variant == "algebraic":
        return _algebraic(rows, kind, scale, polish, rng)
    obstacle = _obstacle(rows, kind, rank)
    if obstacle and (variant == "paper" or not polish):
        return failure("not_applicable", obstacle)
    if obstacle:
        return _another_way(rows, kind, scale, rng, obstacle, {}, {})
    started = time.perf_counter()
    plain = variant == "paper"
    corrections = 0 if plain else 1 if polish else CORRECTIONS
    estimate = estimate_neurons(rows, kind.n_hidden or 0, rng, plain=plain, corrections=corrections)
    timings = {"moments": time.perf_counter() - started}
    if not polish:
        return _moments_alone(rows, kind, scale, estimate, timings)
    return _polished(rows, kind, scale, estimate, timings, variant, rng)


def _obstacle(rows: Rows, kind: ModelClass, rank: int) -> str:
    """Why the moments of this paper do not apply, or nothing."""
    k = kind.n_hidden or 0
    if kind.hidden_bias or kind.output_bias:
        return "moments of symmetric inputs have no room for a bias; variant='algebraic' has"
    if rank < k:
        return f"the labels have rank {rank}, not {k}: neurons are inactive, or cannot be told apart"
    if k > rows.n_inputs:
        return (
            f"{k} neurons of {rows.n_inputs} inputs: the moments need hidden weights of rank k; "
            "variant='algebraic' does not"
        )
    return ""


def _estimated(
    rows: Rows, model: Model, scale: LabelScale, message: str, timings: dict[str, float], status: str = "estimated"
) -> Outcome:
    """An estimate as it is, with its residual."""
    check = verify(rows, model, scale)
    certificate = Certificate(
        certified=False,
        residual=check.residual,
        n_rows=rows.n_rows,
        activity=check.activity,
        reason="an estimate without polish is not certified",
    )
    return Outcome(status, message, status == "estimated", model, certificate, {}, timings)


def _moments_alone(
    rows: Rows, kind: ModelClass, scale: LabelScale, estimate: Estimate, timings: dict[str, float]
) -> Outcome:
    """The moment estimate itself, and whether its assumptions held."""
    k, m = len(estimate.W), rows.n_outputs
    status, message = "estimated", f"moment estimate of {k} neurons, not polished"
    if not estimate.symmetric:
        status, message = "asymmetric_inputs", _asymmetric(estimate)
    elif estimate.gap > NO_GAP:
        status, message = "no_gap", _no_gap(estimate)
    model = Model(estimate.W, np.vstack([estimate.A.T, np.zeros(m)]), k, kind)
    unexplained = scale.deviation.sum() + rows.n_rows * (
        scale.mean @ scale.mean - np.sum(estimate.diagnostics["regression_values"] ** 2)
    )
    if status == "estimated" and verify(rows, model, scale).sum_of_squares > unexplained:
        status, message = "degenerate", f"the {k} neurons found explain the labels no better than a linear map"
    outcome = _estimated(rows, model, scale, message, timings, status)
    outcome.diagnostics = estimate.diagnostics
    return outcome


def _asymmetric(estimate: Estimate) -> str:
    p_value = estimate.diagnostics["symmetry_p_value"]
    return f"the inputs are not symmetric about zero (probability at most {p_value:.1e}), so their moments mislead"


def _no_gap(estimate: Estimate) -> str:
    return (
        f"the detector has no gap: its k-th smallest singular value is {estimate.gap:.2f} of the next; more rows, or "
        "hidden weights that are nearly parallel"
    )


def _polished(
    rows: Rows,
    kind: ModelClass,
    scale: LabelScale,
    estimate: Estimate,
    timings: dict[str, float],
    variant: str,
    rng: np.random.Generator,
) -> Outcome:
    """Finish the estimate on activation patterns; where that fails, the refined variant goes another way."""
    started = time.perf_counter()
    attempt = exact.refine_exactly(rows, kind, scale, estimate.W, rng)
    if attempt.certificate is None:
        fit = noisy.polish(rows, kind, estimate.W, rng)
        if fit.structure < noisy.STRUCTURE or fit.descent.point.loss < 1e-16 * scale.deviation.sum():
            attempt = exact.refine_exactly(rows, kind, scale, fit.model.W, rng)
    timings["polish"] = time.perf_counter() - started
    if attempt.certificate is not None:
        outcome = recovered(attempt, kind, timings)
    else:
        outcome = least_squares(fit, attempt, rows, scale, timings)
    if variant == "refined" and outcome.status == "least_squares":  # of exact labels, that is a bad optimum
        attempt = exact.recover_exactly(rows, kind, scale, rng, persistent=False)
        if attempt.certificate is not None:
            outcome = recovered(attempt, kind, timings)
    if variant == "refined" and not outcome.success:
        why = _doubt(estimate) or f"their start led nowhere: {outcome.status}"
        return _another_way(rows, kind, scale, rng, why, estimate.diagnostics, timings)
    outcome.diagnostics = outcome.diagnostics | estimate.diagnostics
    if not estimate.symmetric:
        outcome.message += f"; warning: {_asymmetric(estimate)}; the result rests on the polish"
    return outcome


def _doubt(estimate: Estimate) -> str:
    """Which assumption of the moments the samples contradict, or nothing."""
    if not estimate.symmetric:
        return _asymmetric(estimate)
    return _no_gap(estimate) if estimate.gap > NO_GAP else ""


def _another_way(
    rows: Rows,
    kind: ModelClass,
    scale: LabelScale,
    rng: np.random.Generator,
    why: str,
    diagnostics: dict[str, Any],
    timings: dict[str, float],
) -> Outcome:
    """The routes of the rectified learner, which ask nothing of the inputs' law."""
    outcome = recover(rows, kind, scale, "auto", rng)
    outcome.message += f" (not by moments: {why})"
    outcome.diagnostics = outcome.diagnostics | diagnostics
    outcome.timings = timings | outcome.timings
    return outcome


def _algebraic(rows: Rows, kind: ModelClass, scale: LabelScale, polish: bool, rng: np.random.Generator) -> Outcome:
    """Null space of label products on a sample of rows, on all of them if need be: its dimension must be k."""
    k = kind.n_hidden or 0
    started = time.perf_counter()
    n_products = k * (k + 1) // 2 + (k + kind.output_bias) * (rows.n_inputs + kind.output_bias)
    size = n_products + n_products // 2 + 200
    while True:
        sample = exact.sample_rows(rows, kind, size, rng)
        if sample.rank != k:
            return failure("rank", f"the labels have rank {sample.rank}, not {k}: noise, or another number of neurons")
        space, W = _null_space_neurons(sample, kind, rng)
        if space.nullity <= k or len(sample.X) == rows.n_rows:
            break
        size *= 2
    timings = {"null space": time.perf_counter() - started}
    diagnostics = {"nullity": space.nullity, "null_values": space.values, "sample_rows": len(sample.X)}
    if space.nullity != k:
        outcome = failure("nullity", _wrong_nullity(space.nullity, k, n_products, sample), timings)
        outcome.diagnostics = diagnostics
        return outcome
    started = time.perf_counter()
    if polish:
        attempt = exact.refine_exactly(rows, kind, scale, W, rng)
        outcome = recovered(attempt, kind, timings) if attempt.certificate else _not_reproduced(attempt, timings)
    else:
        model = evaluate(rows, kind, W).model
        outcome = _estimated(rows, model, scale, f"null space of {k} neurons, not polished", timings)
    timings["polish"] = time.perf_counter() - started
    outcome.diagnostics = outcome.diagnostics | diagnostics
    return outcome


def _null_space_neurons(
    sample: Sample, kind: ModelClass, rng: np.random.Generator
) -> tuple[label_products.NullSpace, Array]:
    """The null space of the sample's label products, and the hidden weights of its neurons if its dimension is k."""
    d = sample.X.shape[1] - kind.hidden_bias
    inputs, back, _ = coordinates(sample.X[:, :d])
    biased = kind.hidden_bias or kind.output_bias
    X = np.column_stack([inputs, sample.ones]) if biased else inputs
    Z = sample.basis[:, sample.n_known :] * np.sqrt(len(X))
    k = Z.shape[1]
    space = label_products.null_space(Z, X, sample.ones if kind.output_bias else None, k, rng)
    if space.nullity != k:
        return space, np.empty((0, sample.X.shape[1]))
    neurons = label_products.neurons_of(space, Z.sum(axis=0) / sample.ones.sum(), X.shape[1], kind.output_bias, rng)
    W = neurons.W[:, : inputs.shape[1]] @ back.T
    return space, np.column_stack([W, neurons.W[:, -1]]) if kind.hidden_bias else W


def _wrong_nullity(nullity: int, k: int, n_products: int, sample: Sample) -> str:
    if nullity < k:
        return (
            f"products of labels have {nullity} linear relations, {k} neurons make {k}: the labels are not exact, or "
            "not those of such a network"
        )
    silent = int(np.count_nonzero(np.abs(sample.Y).max(axis=1) == 0))
    return (
        f"products of labels have {nullity} linear relations where {k} neurons make {k}: too few informative rows "
        f"({len(sample.X)} rows, {silent} of them with every neuron off, for {n_products} products)"
    )


def _not_reproduced(attempt: exact.Attempt, timings: dict[str, float]) -> Outcome:
    return failure("residual", f"the neurons found leave a relative residual of {attempt.residual:.1e}", timings)
