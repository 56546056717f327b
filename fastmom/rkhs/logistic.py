"""The logistic loss over a ball, binary or of several classes: Newton steps whose model is minimised over the ball.

In features Phi (n, r) with Phi Phi^T = K a function of the space is w (r, q), of norm ||w||, so the ball of the
space is a ball of weights. The model of a step is minimised exactly over it: (H + mu I) v = H w - g with the mu >= 0
at which ||v|| is the radius, by Cholesky factors while H is small, else by conjugate gradients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from fastmom.rkhs.ball import BallFit, dual_value
from fastmom.rkhs.logistic_loss import entropy, loss, loss_gradient
from fastmom.rkhs.logistic_models import Factored, Iterative, Model

Array = npt.NDArray[np.float64]

_JITTER = 1e-15  # of the spectrum: features without it are none
_DENSE = 2500  # unknowns up to which the Hessian of one output is formed
_SHARE, _AMPLE = 8, 4  # the first steps see one row in eight, where these are still four times the unknowns
_COARSE = 1e-3  # gap at which part of the rows has done its part
_ROUND_OFF = 1e-15  # of the loss: a smaller decrease is not seen
_ARMIJO, _SHORTEST = 1e-4, 1e-9
_ON_SPHERE = 1e-3  # relative distance of a model's minimum to the sphere
_SOLVED, _SLOPE = 1e-2, 0.1  # relative residuals of a model's minimum, and of what it changes with the multiplier
_NONE = 1e-14  # a smaller multiplier is none


@dataclass(frozen=True, eq=False)
class FeatureFit:
    """The best function of a ball in the span of features.

    Attributes
    ----------
    weights : ndarray (r, q)
        Of the features.
    penalty : float
        Multiplier mu of the constraint: the fit minimises the mean loss + mu ||w||^2 / 2.
    primal, gap : float
        Mean loss, and how far it is at most above the smallest of the ball.
    steps : int
        Newton steps over all rows.
    """

    weights: Array
    penalty: float
    primal: float
    gap: float
    steps: int


def logistic_ball(K: Array, Y: Array, radius: float, *, tolerance: float = 1e-9, max_steps: int = 60) -> BallFit:
    """Minimise the mean logistic loss over functions of norm at most `radius`.

    Parameters
    ----------
    K : ndarray (n, n)
        Kernel matrix of the rows.
    Y, radius, tolerance, max_steps
        As in `logistic_in_features`.

    Returns
    -------
    BallFit
        Coefficients (n, q); its gap is proven for the whole ball. The factor of K carries a jitter of round-off size,
        which only lowers the dual value, and the loss is that of K itself.
    """
    if Y.shape[1] == 1:
        shifted = K.copy()
        shifted[np.diag_indices(len(K))] += _JITTER * float(np.trace(K))
        features = cholesky(shifted, lower=True, overwrite_a=True, check_finite=False)
        fit = logistic_in_features(features, Y, radius, tolerance=tolerance, max_steps=max_steps)
        alpha = solve_triangular(features, fit.weights, lower=True, trans="T", check_finite=False)
    else:
        spectrum, vectors = np.linalg.eigh(K)
        seen = spectrum > _JITTER * spectrum[-1]
        roots = np.sqrt(spectrum[seen])
        features = vectors[:, seen] * roots
        problem = Iterative(features, Y)
        fit = _newton(problem, np.zeros((len(roots), Y.shape[1])), 0.0, radius, tolerance, max_steps)
        alpha = vectors[:, seen] @ (fit.weights / roots[:, np.newaxis])
    values = K @ alpha
    slopes = loss_gradient(values, Y)
    return BallFit(
        coefficients=alpha,
        norm=float(np.sqrt(max(0.0, float(np.vdot(alpha, values))))),
        penalty=fit.penalty,
        primal=loss(values, Y),
        dual=dual_value(-slopes, entropy(values), float(np.vdot(slopes, K @ slopes)), radius),
        iterations=fit.steps,
    )


def logistic_in_features(
    features: Array,
    Y: Array,
    radius: float,
    *,
    start: Array | None = None,
    tolerance: float = 1e-9,
    max_steps: int = 60,
) -> FeatureFit:
    """Minimise the mean logistic loss over the weights of norm at most `radius`.

    Parameters
    ----------
    features : ndarray (n, r)
        Phi.
    Y : ndarray (n, q)
        One column of -1 and 1: log(1 + exp(-y f)). Several, with a single 1 in each row and else 0: the softmax loss.
    radius : float
        B, of the joint ball of all classes.
    start : ndarray (r, q), optional
        Weights in the ball to begin with.
    tolerance : float
        Certified gap at which to stop.
    max_steps : int
        Newton steps at most.

    Returns
    -------
    FeatureFit
        Its gap is <g, w> + B ||g||, g the gradient of the mean loss: P(w) - D(-loss') of the certificate.

    Notes
    -----
    Own form of Newton's method; a step is shortened by Armijo's rule along the segment, which stays in the ball.
    """
    n, r = features.shape
    q = Y.shape[1]
    begin, mu = (np.zeros((r, q)) if start is None else start), 0.0
    axes: Array | None = None
    kind: type[Factored] | type[Iterative] = Factored
    if q > 1 or r > _DENSE:
        kind = Iterative
        gram, axes = np.linalg.eigh(features.T @ features)
        axes = np.ascontiguousarray(axes[:, gram > _JITTER * gram[-1]])
        features, begin = features @ axes, axes.T @ begin
    if start is None and n >= _SHARE * _AMPLE * r:
        some = kind(np.ascontiguousarray(features[::_SHARE]), Y[::_SHARE])
        coarse = _newton(some, begin, 0.0, radius, _COARSE, max_steps)
        begin, mu = coarse.weights, coarse.penalty
    fit = _newton(kind(features, Y), begin, mu, radius, tolerance, max_steps)
    return fit if axes is None else replace(fit, weights=axes @ fit.weights)


def _newton(
    problem: Factored | Iterative, w: Array, mu: float, radius: float, tolerance: float, max_steps: int
) -> FeatureFit:
    """Newton's method from weights w in the ball and a guess at the multiplier, 0 for none."""
    Phi, Y = problem.features, problem.Y
    F, steps, before = Phi @ w, 0, 0.0
    model: Model | None = None
    while True:
        value = loss(F, Y)
        gradient = Phi.T @ (loss_gradient(F, Y) / len(F))
        size = float(np.linalg.norm(gradient))
        gap = min(value, float(np.vdot(gradient, w)) + radius * size)  # no loss is negative
        if gap <= tolerance or steps == max_steps:
            return FeatureFit(w, mu, value, gap, steps)
        if model is None or gap > problem.keep * before:
            model = problem.model(F, mu)
        target, mu = _model_minimum(model, w, gradient, mu or size / radius, radius)
        direction = target - w
        along = Phi @ direction
        slope, length = float(np.vdot(gradient, direction)), 1.0
        if -slope <= _ROUND_OFF * value and gap > 0.5 * before > 0:
            return FeatureFit(w, mu, value, gap, steps)
        highest = value * (1 + _ROUND_OFF)
        while length > _SHORTEST and loss(F + length * along, Y) > highest + _ARMIJO * length * slope:
            length /= 2
        w, F, steps, before = w + length * direction, F + length * along, steps + 1, gap


def _model_minimum(model: Model, w: Array, gradient: Array, mu: float, radius: float) -> tuple[Array, float]:
    """The v of norm at most `radius` with (H + mu I) v = H w - g, and its mu: Newton on 1 / ||v(mu)|| (Hebden).

    Near the sphere the last step is taken to first order, v(mu + e) = v - e (H + mu I)^-1 v.
    """
    b, v = model.product(w) - gradient, w
    low, high = 0.0, float(np.linalg.norm(b)) / radius  # ||v(mu)|| <= ||b|| / mu
    mu = min(mu, high)
    for _ in range(50):
        v = model.solve(mu, b, v, _SOLVED)
        norm = float(np.linalg.norm(v))
        low, high = (mu, high) if norm > radius else (low, mu)
        if high <= _NONE:
            return v, 0.0  # inside the ball
        u = model.solve(mu, v, np.zeros_like(v), _SLOPE)
        step = norm**2 / float(np.vdot(v, u)) * (norm - radius) / radius
        if abs(norm - radius) <= _ON_SPHERE * radius and mu + step > 0:
            v, mu = v - step * u, mu + step
            break
        mu = mu + step if low < mu + step < high else max(float(np.sqrt(low * high)), 1e-3 * high)
    return v * (radius / float(np.linalg.norm(v))), mu
