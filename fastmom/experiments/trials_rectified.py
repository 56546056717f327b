"""Trials of rectified networks: how many rows exact recovery takes, and noisy labels against the Cramer-Rao bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import fastmom as fm
from fastmom.experiments.cells import Cell
from fastmom.experiments.trials import PROBLEM, Key, Trial, count, number, one_of, seed, word
from fastmom.experiments.trials import TRIALS as BASIC
from fastmom.patterns.model import Model, ModelClass
from fastmom.patterns.standard_errors import standard_errors
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]
Generator = np.random.Generator


def scaled_recovery(cell: Cell, data: Generator, method: Generator) -> dict[str, Any]:
    """The trial "recovery" with sizes in proportion: rows and neurons by the number of inputs, outputs by neurons."""
    return BASIC["recovery"].run(_sized(cell), data, method)


def _sized(cell: Cell) -> Cell:
    d = cell["n_inputs"]
    k = max(1, round(cell["hidden_per_input"] * d))
    m = max(1, round(cell["outputs_per_hidden"] * k))
    return {**cell, "n_hidden": k, "n_outputs": m, "n_samples": max(1, round(cell["samples_per_input"] * d))}


def cramer_rao(cell: Cell, data: Generator, method: Generator) -> dict[str, Any]:
    """Squared error of the hidden weights over its Cramer-Rao bound, both at these rows.

    The bound is that of ``sum_i |P_i (w'_i - w_i)|^2`` for unbiased learners, P_i the projection on the tangent space
    of |w_i| = 1: what no data can tell, the scale, is left out.
    """
    teacher = fm.random_teacher(cell["n_inputs"], cell["n_hidden"], cell["n_outputs"], rng=data)
    X, Y = fm.make_samples(teacher, cell["n_samples"], noise=cell["noise"], rng=data)
    sigma = cell["noise"] * float(np.sqrt(np.mean(teacher.predict(X) ** 2)))
    bound = tangent_bound(teacher, X, Y, sigma)
    result = fm.learn(X, Y, cell["method"], n_hidden=teacher.n_hidden, rng=method)
    squared = tangent_error(result.network, teacher)
    values = {"success": result.success, "status": result.status, "ratio": squared / bound}
    return values | {"error": float(np.sqrt(squared)), "bound": float(np.sqrt(bound))}


def tangent_bound(teacher: fm.TwoLayerNetwork, X: Array, Y: Array, sigma: float) -> float:
    """The trace of the Cramer-Rao bound of the hidden weights, which have unit norm."""
    outer = np.vstack([teacher.A.T, np.zeros((1, teacher.n_outputs))])
    kind = ModelClass(teacher.activation, False, False, teacher.n_hidden)
    errors = standard_errors(Rows(X, Y), Model(teacher.W, outer, teacher.n_hidden, kind), sigma)
    if errors is None:
        raise ValueError("n_inputs, n_hidden: more hidden weights than a covariance is formed of")
    return float(np.sum(errors.W**2))


def tangent_error(network: fm.TwoLayerNetwork | None, teacher: fm.TwoLayerNetwork) -> float:
    """``sum_i |P_i (w'_i - w_i)|^2`` for unit rows; infinite unless every neuron has a match."""
    if network is None:
        return np.inf
    matched = fm.compare(network, teacher).assignment
    if (matched < 0).any():
        return np.inf
    found = network.W[matched]
    difference = found / np.linalg.norm(found, axis=1, keepdims=True) - teacher.W
    tangential = difference - teacher.W * np.sum(difference * teacher.W, axis=1, keepdims=True)
    return float(np.sum(tangential**2))


_SIZES = ("n_inputs", "n_hidden", "n_outputs", "n_samples")

TRIALS = {
    "scaled_recovery": Trial(
        scaled_recovery,
        {
            "method": Key(word, "auto"),
            "n_inputs": Key(count),
            "samples_per_input": Key(number),
            "hidden_per_input": Key(number, 0.5),
            "outputs_per_hidden": Key(number, 1.0),
            **{name: key for name, key in PROBLEM.items() if name not in _SIZES},
        },
        check=lambda cell: BASIC["recovery"].check(_sized(cell)),
        takes_options=True,
    ),
    "cramer_rao": Trial(
        cramer_rao,
        {
            "method": Key(one_of("rectified", "auto"), "rectified"),
            **{name: Key(count) for name in _SIZES},
            "noise": Key(number),
            "seed": Key(seed, 0),
        },
    ),
}
