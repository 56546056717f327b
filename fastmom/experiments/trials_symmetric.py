"""Trials of Ge, Kuditipudi, Li and Wang's experiments (arXiv 1810.06793): square networks, both layers alike.

They follow the design of the paper, with our settings: its noise levels, mixtures and conditions are not known to us.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fastmom as fm
from fastmom.experiments.cells import Cell
from fastmom.experiments.rivals import lbfgs_student
from fastmom.experiments.trials import EXACT, Key, Trial, count, number, one_of, seed, timed, word

Generator = np.random.Generator

# What the methods of this trial are: options of `fm.learn_symmetric`.
VARIANTS: dict[str, dict[str, Any]] = {
    "published": {"variant": "paper", "polish": False},
    "moments": {"variant": "refined", "polish": False},
    "polished": {"variant": "refined", "polish": True},
}


def square_network(cell: Cell, data: Generator, method: Generator) -> dict[str, Any]:
    """Recover y = A relu(W x), d = k = m, both matrices of the given condition number (1: orthonormal).

    Errors are relative Frobenius norms, after the scale of a neuron is moved to A.
    """
    size, condition = cell["size"], cell["condition"]
    W, A = (_square(size, condition, data) for _ in range(2))
    teacher = fm.TwoLayerNetwork(W, A.T)
    X, Y = fm.make_samples(teacher, cell["n_samples"], law=cell["law"], noise=cell["noise"], rng=data)
    method_seed = int(method.integers(1 << 53))
    (network, status), seconds = timed(lambda: _fitted(cell["method"], X, Y, size, method_seed))
    hidden, output = layer_errors(network, teacher)
    error = max(hidden, output)
    errors = {"error": error, "hidden_error": hidden, "output_error": output}
    exact = None if cell["noise"] else error < EXACT
    return {"exact": exact, "status": status, **errors, "seconds": {"total": seconds}}


def _fitted(method: str, X: Any, Y: Any, size: int, rng: int) -> tuple[fm.TwoLayerNetwork | None, str]:
    if method in VARIANTS:
        result = fm.learn_symmetric(X, Y, size, rng=rng, **VARIANTS[method])
        return result.network, result.status
    return lbfgs_student(X, Y, size, rng=rng, patience=200).network, "trained"


def _square(size: int, condition: float, rng: Generator) -> Any:
    """Rows of unit norm."""
    if condition == 1.0:
        return fm.random_teacher(size, size, kind="orthonormal", rng=rng).W
    return fm.random_teacher(size, size, kind="conditioned", condition=condition, rng=rng).W


def layer_errors(network: fm.TwoLayerNetwork | None, teacher: fm.TwoLayerNetwork) -> tuple[float, float]:
    """Relative Frobenius errors of W, rows of unit norm, and of A; infinite unless every neuron has a match."""
    if network is None:
        return np.inf, np.inf
    matched = fm.compare(network, teacher).assignment
    if (matched < 0).any():
        return np.inf, np.inf
    length = np.linalg.norm(network.W, axis=1)
    length[length == 0] = 1.0
    W, A = (network.W / length[:, None])[matched], (network.A * length)[:, matched]
    pairs = ((W, teacher.W), (A, teacher.A))
    hidden, output = (float(np.linalg.norm(found - true) / np.linalg.norm(true)) for found, true in pairs)
    return hidden, output


def _check(cell: Cell) -> None:
    """Refuse laws, noise and conditions that cannot be, by asking for them."""
    rng = np.random.default_rng(0)
    fm.make_samples(
        fm.TwoLayerNetwork(_square(cell["size"], cell["condition"], rng), np.ones(cell["size"])),
        1,
        law=cell["law"],
        noise=cell["noise"],
        rng=rng,
    )


TRIALS = {
    "square_network": Trial(
        square_network,
        {
            "method": Key(one_of(*VARIANTS, "lbfgs_student")),
            "size": Key(count),
            "n_samples": Key(count),
            "law": Key(word, "gaussian"),
            "noise": Key(number, 0.0),
            "condition": Key(number, 1.0),
            "seed": Key(seed, 0),
        },
        check=_check,
    )
}
