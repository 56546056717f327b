"""Rectified networks: Bakshi, Jayaram and Woodruff 2018, arXiv 1811.01885."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np

from fastmom.activations import Activation
from fastmom.learners.problem import fit_result, read_problem, refusal
from fastmom.patterns import exact, noisy, zero_set
from fastmom.patterns.model import LabelScale, ModelClass, label_scale
from fastmom.patterns.verdict import Outcome, failure, least_squares, not_recovered, recovered
from fastmom.result import FitResult
from fastmom.runtime.passes import Rows
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_choice, as_rng

VARIANTS = ("auto", "snap")
NOISE = ("auto", "none", "gaussian")


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
        "relu" or "leaky_relu(slope)", the slope known; from exact labels also "relu^p" and the other rectified ones.
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
    generator = generator.spawn(1)[0]  # never the stream that drew a teacher from the same seed
    rows, kind = read_problem(X, Y, n_hidden, bias, activation)
    started = time.perf_counter()
    with single_blas_thread():
        outcome = recover(rows, kind, label_scale(rows), noise, generator)
    outcome.timings["total"] = time.perf_counter() - started
    return fit_result(outcome, "rectified", "snap", seed)


def recover(rows: Rows, kind: ModelClass, scale: LabelScale, noise: str, rng: np.random.Generator) -> Outcome:
    """Refuse what cannot work, then the exact route, then least squares."""
    refused = refusal(rows, kind, scale)
    if refused is not None:
        return failure(*refused)
    if not kind.activation.homogeneous:
        return _by_zero_sets(rows, kind, scale, rng)
    timings: dict[str, float] = {}
    attempt = exact.Attempt(failure="skipped")
    if noise != "gaussian":
        started = time.perf_counter()
        attempt = exact.recover_exactly(rows, kind, scale, rng, persistent=noise == "none")
        timings["exact"] = time.perf_counter() - started
        if attempt.model is not None and attempt.certificate is not None:
            return recovered(attempt, kind, timings)
        searched = attempt.failure in ("no_neurons", "incomplete")
        deficient = searched and attempt.rank < min(rows.n_outputs, kind.n_hidden or rows.n_outputs)
        if noise == "none" or deficient:
            return not_recovered(attempt, rows, kind, timings)
    if rows.n_rows * rows.n_outputs < 2.0 * noisy.n_parameters(rows, kind, kind.n_hidden or 1):
        return failure("too_few_rows", "fewer than two labels for each parameter of a least-squares fit", timings)
    started = time.perf_counter()
    fit = noisy.fit_noisy(rows, kind, kind.n_hidden, rng)
    timings["least_squares"] = time.perf_counter() - started
    return least_squares(fit, attempt, rows, scale, timings)


def _by_zero_sets(rows: Rows, kind: ModelClass, scale: LabelScale, rng: np.random.Generator) -> Outcome:
    """The route of rectified activations that are not piecewise linear."""
    if not kind.activation.rectified:
        return failure("not_applicable", f"{kind.activation} is not zero for negative inputs: no rectified network")
    started = time.perf_counter()
    size = zero_set.ROWS_PER_UNKNOWN * max(rows.n_inputs, rows.n_outputs) + 400
    sample = exact.sample_rows(rows, kind, size, rng)
    fit = zero_set.recover_by_zero_sets(rows, kind, scale, sample, rng)
    timings = {"zero sets": time.perf_counter() - started}
    diagnostics = {"rank": fit.rank, "starts": fit.starts, "neurons_found": fit.n_found, "sample_rows": len(sample.X)}
    if fit.certificate is not None:
        message = f"recovered {fit.rank} {kind.activation} neurons exactly"
        return Outcome("recovered", message, True, fit, fit.certificate, diagnostics, timings)
    if fit.found is None:
        status = "no_neurons_found"
        message = (
            f"{fit.n_found} of {fit.rank} neurons found in {fit.starts} starts: noisy labels, fewer outputs than "
            f"neurons, too few rows, or not a network of {kind.activation} neurons"
        )
    else:
        status = "residual"
        message = f"the {fit.rank} {kind.activation} neurons found leave a relative residual of {fit.residual:.1e}"
    outcome = failure(status, message, timings)
    outcome.diagnostics = diagnostics
    return outcome
