"""Trials of Zhang, Lee and Jordan's class (arXiv 1510.03528): norms in the kernel's space, and how well it predicts."""

from __future__ import annotations

import math
import time
from typing import Any, Literal

import numpy as np

import fastmom as fm
from fastmom.experiments.cells import Cell
from fastmom.experiments.trials import Key, Trial, count, number, one_of, seed
from fastmom.rkhs.networks import random_l1_network
from fastmom.rkhs.norms import ACTIVATIONS

Generator = np.random.Generator

CLASSES = ("digits", "convex", "rectangles")
NUMBERS = ("diabetes", "erf-1", "erf-2", "erf-3", "erf-1-large", "erf-2-large", "erf-3-large")


def kernel_norm(cell: Cell, data: Generator, method: Generator) -> dict[str, Any]:
    """Norm of a random network at the edge of the class, or the bound for all of the class.

    "network" draws one with two inputs, where the norm is a sum of few Taylor coefficients; "bound" is F(depth, L).
    """
    how = {"activation": cell["activation"], "c": cell["c"]}
    if cell["method"] == "bound":
        log_norm = fm.network_norm_bound(cell["depth"], cell["L"], **how)
        return {"log10_norm": log_norm / math.log(10), "norm": math.exp(log_norm) if log_norm < 700 else math.inf}
    norm = random_l1_network(2, cell["depth"], cell["L"], width=cell["width"], rng=data, **how).norm()
    return {"log10_norm": math.log10(norm) if norm > 0 else -math.inf, "norm": norm}


def prediction(cell: Cell, data: Generator, method: Generator) -> dict[str, Any]:
    """Test error on a data set: of the kernel with squared or hinge loss, or of scikit-learn's perceptron.

    The protocol is that of `fastmom.experiments.kernel_accuracy`; all methods see the same splits.
    """
    from fastmom.experiments.kernel_accuracy import kernel_accuracy

    loss: Literal["squared", "hinge"] = "hinge" if cell["method"] == "kernel_hinge" else "squared"
    rival = cell["method"] == "perceptron"
    began = time.process_time()
    found = kernel_accuracy(cell["task"], loss=loss, rival=rival, rng=data)
    seconds = time.process_time() - began  # those of the perceptron include the kernel's, which comes along
    values = {"error": found["rival_error" if rival else "error"], "chosen": None if rival else found["chosen"]}
    return {**values, "seconds": {"total": seconds}}


def _check_prediction(cell: Cell) -> None:
    if cell["method"] == "kernel_hinge" and cell["task"] not in CLASSES:
        raise ValueError(f"method: 'kernel_hinge' is for classes; the labels of {cell['task']!r} are numbers")


def _check(cell: Cell) -> None:
    """Refuse bounds and sharpnesses that are not positive."""
    fm.network_norm_bound(1, cell["L"], cell["activation"], cell["c"])


TRIALS = {
    "prediction": Trial(
        prediction,
        {
            "method": Key(one_of("kernel", "kernel_hinge", "perceptron")),
            "task": Key(one_of(*CLASSES, *NUMBERS)),
            "seed": Key(seed, 0),
        },
        check=_check_prediction,
    ),
    "kernel_norm": Trial(
        kernel_norm,
        {
            "method": Key(one_of("bound", "network")),
            "depth": Key(count),
            "L": Key(number, 1.0),
            "activation": Key(one_of(*ACTIVATIONS), "erf"),
            "c": Key(number, 0.25),
            "width": Key(count, 4),
            "seed": Key(seed, 0),
        },
        check=_check,
    ),
}
