"""The last resort: a student trained by L-BFGS from random starts, on our own compiled loss and gradient."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.patterns.gauss_newton import Descent, Point, descend, evaluate
from fastmom.patterns.model import ModelClass
from fastmom.runtime import progress
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

ITERATIONS = 300  # of L-BFGS a start; Gauss-Newton finishes
MEMORY = 20


def train(rows: Rows, kind: ModelClass, k: int, rng: np.random.Generator, *, starts: int = 4) -> Descent:
    """Best of several students of width k: L-BFGS on the loss with optimal output weights, then Gauss-Newton.

    Parameters
    ----------
    rows : Rows
        All rows.
    kind : ModelClass
        Activation and biases.
    k : int
        Neurons.
    rng : numpy.random.Generator
        Draws hidden weights, directions uniform where inputs have equal scale.
    starts : int
        Students at most; a residual at round-off ends the search.
    """
    scale = _input_scale(rows)
    best: Descent | None = None
    for start in range(starts):
        W = rng.standard_normal((k, rows.n_inputs)) / scale
        trial = descend(rows, kind, _quasi_newton(rows, kind, W, scale))
        progress.report(f"training a student, start {start + 1} of {starts}")
        if best is None or trial.point.loss < best.point.loss:
            best = trial
        if best.point.loss < 1e-24 * _energy(rows):
            break
    assert best is not None
    return best


def _quasi_newton(rows: Rows, kind: ModelClass, W: Array, scale: Array) -> Array:
    """Hidden weights after L-BFGS from W (k, d), in coordinates of equal input scale."""
    from scipy.optimize import minimize  # a second to import: only when asked for

    unit = _energy(rows) or 1.0

    def loss(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(W.shape) / scale
        length = np.linalg.norm(weights, axis=1, keepdims=True)
        point: Point = evaluate(rows, kind, weights)
        # the loss does not depend on the lengths, so the gradient at unit length is divided by them
        return point.loss / unit, (2 * point.gradient / length / scale / unit).ravel()

    options = {"maxiter": ITERATIONS, "maxcor": MEMORY, "ftol": 1e-14, "gtol": 1e-12}
    found = minimize(loss, (W * scale).ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x).reshape(W.shape) / scale


def _input_scale(rows: Rows) -> Array:
    """RMS of every input, one where it is zero."""
    total = np.zeros(rows.n_inputs)
    for _, X, _ in rows.chunks(1 << 14):
        total += np.einsum("ij,ij->j", X, X)
    rms = np.sqrt(total / rows.n_rows)
    return np.where(rms > 0, rms, 1.0)


def _energy(rows: Rows) -> float:
    """Sum of squares of the labels."""
    return float(sum(np.einsum("ij,ij->", Y, Y) for Y in rows.label_chunks(1 << 16)))
