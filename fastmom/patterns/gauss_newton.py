"""Gauss-Newton to the least-squares optimum on all rows, output weights eliminated.

With the pattern fixed, the network is linear in the hidden weights and, apart from them, in the output weights A.
Eliminating A exactly (variable projection, Kaufman's form) leaves a system in the hidden weights alone, see
`fastmom.patterns.normal_system`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels import forward
from fastmom.patterns.model import Model, ModelClass
from fastmom.patterns.normal_system import normal_system, solve_scaled
from fastmom.runtime.passes import Rows, sum_over_rows

Array = npt.NDArray[np.float64]

SETTLED = 1e-2  # label variances gained by a step; the optimum lies p of them below the truth, p parameters


@dataclass(frozen=True)
class Point:
    """A network with optimal output weights.

    Attributes
    ----------
    model : Model
        Hidden weights of unit norm, output weights by least squares.
    loss : float
        Sum of squared residuals over all rows.
    gradient : ndarray (k, d)
        Of half the loss with respect to the hidden weights.
    """

    model: Model
    loss: float
    gradient: Array


@dataclass(frozen=True)
class Descent:
    """Outcome of the iteration.

    Attributes
    ----------
    point : Point
        Where it ended.
    converged : bool
        Whether the loss is stationary: the last step reduced it by less than `settled` label variances.
    iterations : int
        Steps taken.
    """

    point: Point
    converged: bool
    iterations: int


def evaluate(rows: Rows, kind: ModelClass, W: Array) -> Point:
    """Optimal output weights for the hidden weights W (k, d), the loss and its gradient, in two passes."""
    W = W / np.linalg.norm(W, axis=1, keepdims=True)
    (k, d), m = W.shape, rows.n_outputs
    q = k + kind.output_bias
    empty = Model(W, np.zeros((k + 1, m)), k, kind)
    sums = sum_over_rows(
        rows,
        forward.label_moments_pass,
        empty.parameters(),
        width=(k + 1) * (k + 1 + m),
        scratch_width=3 * k + 1,
        row_flops=2.0 * k * (d + k + m),
        stage="fitting output weights",
    )
    feature_gram = sums[: (k + 1) ** 2].reshape(k + 1, k + 1)[:q, :q]
    cross = sums[(k + 1) ** 2 :].reshape(k + 1, m)[:q]
    outer = np.zeros((k + 1, m))
    outer[:q] = solve_scaled(feature_gram, cross)
    model = Model(W, outer, k, kind)
    sums = sum_over_rows(
        rows,
        forward.gradient_pass,
        model.parameters(),
        width=1 + k * d,
        scratch_width=2 * k + m,
        row_flops=2.0 * k * (2 * d + 2 * m),
        stage="fitting",
    )
    return Point(model, float(sums[0]), sums[1:].reshape(k, d))


def descend(
    rows: Rows,
    kind: ModelClass,
    W: Array,
    *,
    metric: Rows | None = None,
    max_iterations: int = 60,
    damping: float = 1e-3,
    settled: float = SETTLED,
) -> Descent:
    """Levenberg-Marquardt from W (k, d) until the loss is stationary.

    Parameters
    ----------
    rows : Rows
        All rows that count: loss and gradient are theirs.
    kind : ModelClass
        Activation and biases.
    W : ndarray (k, d)
        Hidden weights to start from, bias included.
    metric : Rows, optional
        A sample of the rows that gives the normal matrix; many rows need no more of them to find the way.
    max_iterations : int
        Steps at most.
    damping : float
        Of the first step, relative to the diagonal; zero for a plain Gauss-Newton step.
    settled : float
        Gain of a step, in label variances, that counts as none.
    """
    point = evaluate(rows, kind, W)
    for iteration in range(max_iterations):
        trial, damping = _step(rows, kind, point, damping, metric or rows)
        if trial is None:
            return Descent(point, True, iteration)
        gain = (point.loss - trial.loss) / point.loss if point.loss else 0.0
        point = trial
        if gain < settled / (rows.n_rows * rows.n_outputs):
            return Descent(point, True, iteration + 1)
    return Descent(point, False, max_iterations)


def _step(rows: Rows, kind: ModelClass, point: Point, damping: float, metric: Rows) -> tuple[Point | None, float]:
    """One accepted step and the next damping; None when no damping reduces the loss."""
    W = point.model.W
    system = normal_system(metric, point.model)
    right = -point.gradient * (metric.n_rows / rows.n_rows)
    for _ in range(12):
        step = system.solve(right, damping)
        if step is not None:
            trial = evaluate(rows, kind, W + step)
            if trial.loss < point.loss:
                return trial, max(damping / 10, 1e-14)
            if np.abs(step).max() < 1e-14:
                return None, damping
        damping = max(8 * damping, 1e-12)
    return None, damping
