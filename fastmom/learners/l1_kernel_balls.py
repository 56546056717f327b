"""The ball problems of the l1-kernel learner: by the kernel matrix, in the span of landmarks, and which radius."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastmom.rkhs.ball import BallFit, dual_value
from fastmom.rkhs.features import nystrom_features
from fastmom.rkhs.hinge import hinge_ball
from fastmom.rkhs.logistic import logistic_ball, logistic_in_features
from fastmom.rkhs.logistic_loss import entropy, loss, loss_gradient
from fastmom.rkhs.products import kernel_values
from fastmom.rkhs.squared import squared_ball, squared_in_features

Array = npt.NDArray[np.float64]

LOSSES: dict[str, Callable[[Array, Array, float], BallFit]] = {
    "squared": squared_ball,
    "logistic": logistic_ball,
    "hinge": hinge_ball,
}
HINGE_ROWS = 20_000  # whose matrix of features' products is formed
_HELD_OUT, _TRIAL_ROWS = 0.25, 1500
_TRIAL_RADII = tuple(2.0**power for power in range(-1, 9))


@dataclass(frozen=True, eq=False)
class Ball:
    """Rows (n, d) in the unit ball, labels (n, q), and which loss over which ball."""

    rows: Array
    labels: Array
    depth: float
    radius: float
    loss: str

    def trace(self) -> float:
        """Trace of the kernel matrix."""
        s = 1.0 - np.einsum("ij,ij->i", self.rows, self.rows)
        return float(np.sum(1.0 - s / (1.0 + self.depth * s)))

    def loss_of_zero(self) -> float:
        """Mean loss of the function that is zero."""
        return mean_loss(np.zeros_like(self.labels), self.labels, self.loss)


def mean_loss(values: Array, labels: Array, kind: str) -> float:
    """Mean loss of values (n, q), summed over outputs."""
    if kind == "logistic":
        return loss(values, labels)
    if kind == "hinge":
        return float(np.maximum(0.0, 1.0 - labels * values).sum()) / len(values)
    return 0.5 * float(np.sum((values - labels) ** 2)) / len(values)


def dense_fit(ball: Ball) -> tuple[Array, BallFit]:
    """All rows as points; the gap is proven for the whole ball."""
    K = kernel_values(ball.rows, None, ball.depth)
    return ball.rows, LOSSES[ball.loss](K, ball.labels, ball.radius)


def landmark_fit(ball: Ball, count: int, rng: np.random.Generator) -> tuple[Array, BallFit]:
    """Random rows as points; the gap bounds what other functions in their span could do, not the whole ball."""
    n = len(ball.rows)
    if ball.loss == "hinge" and n > HINGE_ROWS:
        raise ValueError(f"loss: 'hinge' takes at most {HINGE_ROWS} rows, X has {n}; 'logistic' takes more")
    chosen = np.sort(rng.choice(n, min(count, n), replace=False))
    space = nystrom_features(np.ascontiguousarray(ball.rows[chosen]), ball.depth)
    features = np.ascontiguousarray(space.features(ball.rows))
    if ball.loss == "hinge":
        inner = hinge_ball(features @ features.T, ball.labels, ball.radius)
        weights = features.T @ inner.coefficients
        fit = inner
    else:
        weights, fit = _smooth_fit(features, ball)
    return space.landmarks, replace(fit, coefficients=space.coefficients(weights), exact_gap=False)


def _smooth_fit(features: Array, ball: Ball) -> tuple[Array, BallFit]:
    """Squared and logistic loss in features."""
    Y = ball.labels
    if ball.loss == "logistic":
        found = logistic_in_features(features, Y, ball.radius)
        weights, penalty, steps = found.weights, found.penalty, found.steps
    else:
        weights, penalty, steps = squared_in_features(features, Y, ball.radius)
    values = features @ weights
    a = -loss_gradient(values, Y) if ball.loss == "logistic" else Y - values
    conjugate = entropy(values) if ball.loss == "logistic" else float(np.sum(a * Y - 0.5 * a * a))
    fit = BallFit(
        coefficients=weights,
        norm=float(np.linalg.norm(weights)),
        penalty=penalty,
        primal=mean_loss(values, Y, ball.loss),
        dual=dual_value(a, conjugate, float(np.sum((features.T @ a) ** 2)), ball.radius),
        iterations=steps,
        exact_gap=False,
    )
    return weights, fit


def best_radius(rows: Array, labels: Array, depth: float, kind: str, rng: np.random.Generator) -> float:
    """The radius, of 0.5, 1, .. 256 (times the labels' size for numbers), with the least loss on held-out rows."""
    order = rng.permutation(len(rows))[:_TRIAL_ROWS]
    cut = max(1, int(_HELD_OUT * len(order)))
    held, kept = order[:cut], order[cut:]
    size = float(np.sqrt(np.mean(labels**2))) if kind == "squared" else 1.0
    if len(kept) == 0 or size == 0:
        return 1.0
    K = kernel_values(np.ascontiguousarray(rows[order]), None, depth)
    inner, outer = np.ascontiguousarray(K[cut:, cut:]), K[:cut, cut:]
    losses = []
    for factor in _TRIAL_RADII:
        fit = LOSSES[kind](inner, labels[kept], factor * size)
        losses.append(mean_loss(outer @ fit.coefficients, labels[held], kind))
    return _TRIAL_RADII[int(np.argmin(losses))] * size
