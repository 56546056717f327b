"""Trials of Ge, Lee and Ma's experiments (arXiv 1711.00501): what gradient descent does on two objectives.

They follow the design of the paper, with our settings: its batch sizes and steps are not known to us.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import fastmom as fm
from fastmom.experiments.cells import Cell
from fastmom.experiments.trials import Key, Trial, count, one_of, seed
from fastmom.moments.landscape_search import STEPS, descend_batches, surrogate_error
from fastmom.runtime.threads import single_blas_thread

Array = npt.NDArray[np.float64]
Generator = np.random.Generator

BATCH, EVERY = 500, 40  # of the descent on the squared loss: rows a step, steps a point of the trace
STEP = 0.3  # as large as converges
LANDSCAPE_BATCH, PILOT = 1000, 20_000  # of the descent on G: rows a step, rows that show the Hermite part
FITS = 1e-6  # residual, far below a plateau and far above round-off
RECOVERED = 0.01  # surrogate error: every row within 8 degrees of its own


def squared_loss(cell: Cell, data: Generator, method: Generator) -> dict[str, Any]:
    """Fit y = sum_i relu(b_i.x), rows orthonormal, d = k: "gradient" with fresh batches, or a learner with few rows.

    "gradient" is stochastic gradient descent on the squared loss over the hidden weights alone, output weights known
    and step falling linearly: the start is N(0, 1/d). Any other method is a learner.
    """
    d = cell["size"]
    teacher = fm.TwoLayerNetwork(np.linalg.qr(data.standard_normal((d, d)))[0], np.ones(d))
    if cell["method"] == "gradient":
        with single_blas_thread():
            B, trace = _descend(teacher.W, cell["steps"], data, method)
    else:
        n = cell["n_samples"]
        X = data.standard_normal((n, d))
        result = fm.learn(X, teacher.predict(X), cell["method"], n_hidden=d, rng=method)
        B = np.zeros((d, d)) if result.network is None else result.network.A.T * result.network.W
        trace = [(n, _residual(B, teacher.W, data.standard_normal((10 * BATCH, d))))]
    found = surrogate_error(B, teacher.W)
    samples, residuals = zip(*trace, strict=True)
    values = {"exact": residuals[-1] < FITS, "surrogate_error": found, "residual": residuals[-1]}
    return values | {"trace_samples": list(samples), "trace_residual": list(residuals)}


def _descend(truth: Array, steps: int, data: Generator, method: Generator) -> tuple[Array, list[tuple[int, float]]]:
    """Hidden weights after the last step, and the residual of every few batches."""
    d = len(truth)
    B, trace = method.standard_normal((d, d)) / np.sqrt(d), []
    for i in range(steps):
        X = data.standard_normal((BATCH, d))
        pre, wanted = X @ B.T, np.maximum(X @ truth.T, 0.0).sum(axis=1)
        residual = np.maximum(pre, 0.0).sum(axis=1) - wanted
        B -= STEP * (1 - i / steps) / BATCH * ((pre > 0) * residual[:, None]).T @ X
        if i % EVERY == EVERY - 1:
            trace.append(((i + 1) * BATCH, float(np.sqrt(np.mean(residual**2)) / np.std(wanted))))
    return B, trace


def _residual(B: Array, truth: Array, X: Array) -> float:
    wanted = np.maximum(X @ truth.T, 0.0).sum(axis=1)
    return float(np.sqrt(np.mean((np.maximum(X @ B.T, 0.0).sum(axis=1) - wanted) ** 2)) / np.std(wanted))


def designed_objective(cell: Cell, data: Generator, method: Generator) -> dict[str, Any]:
    """Descend on G with fresh batches of 1000, mu = lam = 1, rows orthonormal, d = k.

    "raw_labels" descends with the labels as they are, "control_variates" with their Hermite part of degree two or less
    removed, as a pilot of 20,000 rows shows it.
    """
    d = cell["size"]
    teacher = fm.TwoLayerNetwork(np.linalg.qr(data.standard_normal((d, d)))[0], np.ones(d))
    start = method.standard_normal((d, d)) / np.sqrt(d)
    controlled = cell["method"] == "control_variates"
    with single_blas_thread():
        batches = _batches(teacher, data, PILOT if controlled else 0)
        found = descend_batches(batches, start, sign=-1.0, steps=cell["steps"], truth=teacher.W)
    trace = found.diagnostics["surrogate_trace"]
    samples = LANDSCAPE_BATCH * 10 * np.arange(1, len(trace) + 1) + (PILOT if controlled else 0)
    error = float(trace[-1])
    values = {"success": error < RECOVERED, "surrogate_error": error}
    return values | {"trace_samples": samples.tolist(), "trace_error": trace.tolist()}


def _batches(teacher: fm.TwoLayerNetwork, rng: Generator, pilot: int) -> Iterator[tuple[Array, Array]]:
    X = rng.standard_normal((max(pilot, 1), teacher.n_inputs))
    fit = fm.hermite_residual(X, teacher.predict(X))[1] if pilot else None
    while True:
        X = rng.standard_normal((LANDSCAPE_BATCH, teacher.n_inputs))
        y = teacher.predict(X)
        yield X, (y if fit is None else fit.residual(X, y))[:, 0]


_SIZES = {"size": Key(count, 10), "seed": Key(seed, 0)}

TRIALS = {
    "squared_loss": Trial(
        squared_loss,
        {
            "method": Key(one_of("gradient", "landscape", "auto")),
            **_SIZES,
            "steps": Key(count, 4000),
            "n_samples": Key(count, 10_000),
        },
    ),
    "designed_objective": Trial(
        designed_objective,
        {"method": Key(one_of("control_variates", "raw_labels")), **_SIZES, "steps": Key(count, STEPS)},
    ),
}
