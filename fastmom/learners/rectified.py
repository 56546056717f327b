"""Rectified networks: Bakshi, Jayaram and Woodruff 2018, arXiv 1811.01885."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np

from fastmom.activations import Activation, resolve
from fastmom.patterns import exact, noisy
from fastmom.patterns.model import LabelScale, ModelClass, label_scale
from fastmom.patterns.sample import input_rank
from fastmom.patterns.verdict import Outcome, failure, least_squares, not_recovered, recovered
from fastmom.result import FitResult
from fastmom.runtime.passes import Rows
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import (
    as_choice,
    as_count,
    as_labels,
    as_matrix,
    as_rng,
    require_finite,
    require_visible,
)

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
    generator = generator.spawn(1)[0]  # never the stream that drew a teacher from the same seed
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


def _problem(X: Any, Y: Any, n_hidden: Any, bias: Any, activation: Any) -> tuple[Rows, ModelClass]:
    """Validated rows and model class."""
    X = as_matrix(X, "X")
    Y = as_labels(Y, X.shape[0])
    for array, name in ((X, "X"), (Y, "Y")):
        require_finite(array, name)
        require_visible(array, name)
    if not isinstance(bias, bool | str) or bias not in BIAS:
        raise ValueError(f"bias: expected False, True, 'hidden' or 'output', got {bias!r}")
    hidden_bias, output_bias = BIAS[bias]
    k = None if n_hidden is None else as_count(n_hidden, "n_hidden")
    return Rows(X, Y, ones=hidden_bias), ModelClass(resolve(activation), hidden_bias, output_bias, k)


def _recover(rows: Rows, kind: ModelClass, noise: str, rng: np.random.Generator) -> Outcome:
    """Refuse what cannot work, then the exact route, then least squares."""
    scale = label_scale(rows)
    refusal = _refusal(rows, kind, scale)
    if refusal is not None:
        return failure(*refusal)
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
    if not any(X.any() for _, X, _ in rows.chunks(1 << 14)):
        return "no_signal", "all inputs are zero: nothing can depend on them"
    spread, offset = scale.spread, scale.offset
    if spread == 0:
        return "no_signal", "the labels are constant: there is no network to recover"
    if spread < 1e-11 * offset:
        return (
            "no_signal",
            f"the labels vary by {spread:.1e} about an offset of {offset:.1e}, too little for their precision: "
            "subtract the offset where they are made",
        )
    return None
