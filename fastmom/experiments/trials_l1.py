"""Trials of Zhang, Lee and Jordan's class (arXiv 1510.03528): the norm of l1-bounded networks in the kernel's space."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import fastmom as fm
from fastmom.experiments.cells import Cell
from fastmom.experiments.trials import Key, Trial, count, number, one_of, seed
from fastmom.rkhs.networks import random_l1_network
from fastmom.rkhs.norms import ACTIVATIONS

Generator = np.random.Generator


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


def _check(cell: Cell) -> None:
    """Refuse bounds and sharpnesses that are not positive."""
    fm.network_norm_bound(1, cell["L"], cell["activation"], cell["c"])


TRIALS = {
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
    )
}
