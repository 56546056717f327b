"""What every learner of networks asks of its input, and the data on which none can work."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmom.activations import resolve
from fastmom.patterns.model import LabelScale, ModelClass
from fastmom.patterns.sample import input_rank
from fastmom.runtime.passes import Rows
from fastmom.runtime.validation import as_count, as_labels, as_matrix, require_finite, require_visible

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
