"""What every learner of networks asks of its input, the data on which none can work, and the answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmom.activations import resolve
from fastmom.patterns import noisy
from fastmom.patterns.model import LabelScale, ModelClass
from fastmom.patterns.sample import input_rank, label_space
from fastmom.patterns.verdict import Outcome
from fastmom.result import FitResult
from fastmom.runtime.passes import Rows
from fastmom.runtime.validation import as_count, as_labels, as_matrix, require_finite, require_visible

_PROBE_ROWS = 20_000
BIAS = {False: (False, False), True: (True, True), "hidden": (True, False), "output": (False, True)}


def read_problem(X: Any, Y: Any, n_hidden: Any, bias: Any, activation: Any) -> tuple[Rows, ModelClass]:
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


def refusal(rows: Rows, kind: ModelClass, scale: LabelScale) -> tuple[str, str] | None:
    """Status and message for data on which no route of this learner can work."""
    n, d = rows.n_rows, rows.n_inputs
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


def fit_result(outcome: Outcome, method: str, variant: str, seed: int | None) -> FitResult:
    """The outcome of a route, as users see it."""
    return FitResult(
        network=outcome.network,
        success=outcome.success,
        status=outcome.status,
        message=outcome.message,
        method=method,
        variant=variant,
        certificate=outcome.certificate,
        diagnostics=outcome.diagnostics,
        timings=outcome.timings,
        seed=seed,
    )


def label_rank(rows: Rows, kind: ModelClass, rng: np.random.Generator) -> int:
    """Rank of the labels on a part of the rows, beyond an output bias, to round-off."""
    _, Y = noisy.subsample(rows, _PROBE_ROWS, rng)
    basis, n_known = label_space(Y, np.ones((len(Y), int(kind.output_bias))))
    return basis.shape[1] - n_known


def regression_rank(rows: Rows, rng: np.random.Generator) -> int:
    """Rank of the regression of noisy labels on the inputs: canonical correlations that Bartlett's test finds."""
    X, Y = noisy.subsample(rows, _PROBE_ROWS, rng)
    n, m = Y.shape
    u, v = (np.linalg.svd(Z - Z.mean(axis=0), full_matrices=False)[0] for Z in (X, Y))
    correlations = np.linalg.svd(u.T @ v, compute_uv=False)
    unexplained = -np.log1p(-(np.minimum(correlations, 1 - 1e-12) ** 2))
    weight = n - (X.shape[1] + m + 3) / 2
    for r in range(len(correlations)):
        freedom = (X.shape[1] - r) * (m - r)
        if weight * unexplained[r:].sum() < freedom + 4 * np.sqrt(2 * freedom) + 8:
            return r
    return len(correlations)
