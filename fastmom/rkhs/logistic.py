"""The logistic loss over a ball, binary or of several classes: Newton steps whose model is minimised over the ball.

In features Phi (n, r) with Phi Phi^T = K a function of the space is w (r, q), of norm ||w||, so the ball of the
space is a ball of weights. The model of a step is minimised exactly over it: (H + mu I) v = H w - g with the mu >= 0
at which ||v|| is the radius, by Cholesky factors while H is small, else by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk, ssyrk

Array = npt.NDArray[np.float64]
Solve = Callable[[float, Array, Array], Array]

_DENSE = 2500  # unknowns up to which the Hessian of one output is formed
_TILE = 512  # rows of a tile
_SHARE, _AMPLE = 8, 4  # the first steps see one row in eight, where these are still four times the unknowns
_COARSE = 1e-3  # gap at which part of the rows has done its part
_ROUND_OFF = 1e-17  # of the loss: a smaller decrease is not seen
_ARMIJO, _SHORTEST = 1e-4, 1e-9
_ON_SPHERE = 1e-3  # relative distance of a model's minimum to the sphere
_SOLVED = 1e-2, 300  # relative residual of conjugate gradients, and their most steps
_SINGLE = 1e-5  # of the largest curvature: float32 sums are accurate to a small part of greater multipliers
_FLAT = 1e-14  # of the curvature: added to directions without any
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


def logistic_ball(
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
    if q == 1 and r <= _DENSE:
        if start is None and n >= _SHARE * _AMPLE * r:
            some = _Factored(np.ascontiguousarray(features[::_SHARE]), Y[::_SHARE])
            coarse = _newton(some, begin, 0.0, radius, _COARSE, max_steps)
            begin, mu = coarse.weights, coarse.penalty
        return _newton(_Factored(features, Y), begin, mu, radius, tolerance, max_steps)
    gram, axes = np.linalg.eigh(features.T @ features)
    seen = gram > 1e-15 * gram[-1]
    axes = np.ascontiguousarray(axes[:, seen])
    fit = _newton(_Iterative(features @ axes, Y), axes.T @ begin, mu, radius, tolerance, max_steps)
    return replace(fit, weights=axes @ fit.weights)


def loss(F: Array, Y: Array) -> float:
    """Mean logistic loss of values F (n, q)."""
    if Y.shape[1] == 1:
        return float(np.mean(np.logaddexp(0.0, -Y * F)))
    top = F.max(axis=1, keepdims=True)
    logs = np.log(np.exp(F - top).sum(axis=1)) + top[:, 0]
    return float(np.mean(logs - np.sum(Y * F, axis=1)))


def probabilities(F: Array) -> Array:
    """Softmax of the rows of F (n, q); of one column, the probability of +1."""
    if F.shape[1] == 1:
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * F))
    powers = np.exp(F - F.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def loss_gradient(F: Array, Y: Array) -> Array:
    """Derivative (n, q) of each row's loss by its values."""
    if Y.shape[1] == 1:
        return np.asarray(-Y * probabilities(-Y * F))
    return probabilities(F) - Y


@dataclass(frozen=True, eq=False)
class _Model:
    """The quadratic model of the mean loss: v -> H v, and (mu, b, guess) -> (H + mu I)^-1 b."""

    product: Callable[[Array], Array]
    solve: Solve


class _Factored:
    """One output: the Hessian Phi^T diag(p (1 - p)) Phi / n and its Cholesky factors."""

    keep = 0.03  # of the gap: while a step leaves less, the next one takes the same Hessian

    def __init__(self, features: Array, Y: Array) -> None:
        self.features, self.Y = features, Y

    def model(self, F: Array, mu: float) -> _Model:
        """The model at values F, to be solved for multipliers near mu: single precision will do for large ones."""
        n, r = self.features.shape
        P = probabilities(F)
        spread = np.sqrt(P * (1 - P) / n)
        dtype, product = (np.float32, ssyrk) if mu > _SINGLE * float(spread.max()) ** 2 * n else (np.float64, dsyrk)
        sums = np.zeros((r, r), dtype, order="F")
        work = np.empty((min(n, _TILE), r), dtype)
        for first in range(0, n, _TILE):
            rows = slice(first, min(n, first + _TILE))
            tile = np.multiply(self.features[rows], spread[rows], out=work[: rows.stop - first], casting="same_kind")
            sums = product(1.0, tile.T, beta=1.0, c=sums, lower=1, overwrite_c=1)
        H = np.asfortranarray(sums, dtype=np.float64)
        H += np.tril(H, -1).T
        held: list[tuple[float, tuple[Array, bool]]] = []

        flat = _FLAT * float(np.trace(H))

        def solve(mu: float, b: Array, guess: Array) -> Array:
            if not held or held[0][0] != mu:
                shifted = H.copy(order="F")
                shifted[np.diag_indices(r)] += mu + flat
                held[:] = [(mu, cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False))]
            return np.asarray(cho_solve(held[0][1], b, check_finite=False))

        return _Model(lambda v: H @ v, solve)


class _Iterative:
    """Any number of outputs, by products with features whose Gram matrix is diagonal: so is nearly the Hessian."""

    keep = 0.0

    def __init__(self, features: Array, Y: Array) -> None:
        self.features, self.Y = features, Y

    def model(self, F: Array, mu: float) -> _Model:
        """The model at values F."""
        n = len(F)
        P = probabilities(F)
        spread = P * (1 - P) / n

        def product(v: Array) -> Array:
            U = self.features @ v
            if P.shape[1] > 1:
                U = P * (U - np.sum(P * U, axis=1, keepdims=True)) / n
            else:
                U *= spread
            return np.asarray(self.features.T @ U)

        diagonal = np.zeros((self.features.shape[1], P.shape[1]))
        for first in range(0, n, _TILE):
            diagonal += np.square(self.features[first : first + _TILE]).T @ spread[first : first + _TILE]

        flat = _FLAT * float(diagonal.max())

        def solve(mu: float, b: Array, guess: Array) -> Array:
            return _conjugate_gradients(lambda v: product(v) + mu * v, b, guess, 1 / (diagonal + mu + flat))

        return _Model(product, solve)


def _conjugate_gradients(product: Callable[[Array], Array], b: Array, v: Array, inverse: Array) -> Array:
    """Solve by conjugate gradients from v with a diagonal preconditioner; the accuracy is relative to the change."""
    accuracy, most = _SOLVED
    v = v.copy()
    residual = b - product(v)
    step = inverse * residual
    size = float(np.vdot(residual, step))
    target = accuracy**2 * size
    for _ in range(most):
        if size <= target:
            break
        along = product(step)
        length = size / float(np.vdot(step, along))
        v += length * step
        residual -= length * along
        scaled = inverse * residual
        before, size = size, float(np.vdot(residual, scaled))
        step = scaled + (size / before) * step
    return v


def _newton(
    problem: _Factored | _Iterative, w: Array, mu: float, radius: float, tolerance: float, max_steps: int
) -> FeatureFit:
    """Newton's method from weights w in the ball and a guess at the multiplier, 0 for none."""
    Phi, Y = problem.features, problem.Y
    F, steps, before = Phi @ w, 0, 0.0
    model: _Model | None = None
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
        if -slope <= _ROUND_OFF * value:
            return FeatureFit(w, mu, value, gap, steps)
        while length > _SHORTEST and loss(F + length * along, Y) > value + _ARMIJO * length * slope:
            length /= 2
        w, F, steps, before = w + length * direction, F + length * along, steps + 1, gap


def _model_minimum(model: _Model, w: Array, gradient: Array, mu: float, radius: float) -> tuple[Array, float]:
    """The v of norm at most `radius` with (H + mu I) v = H w - g, and its mu: Newton on 1 / ||v(mu)|| (Hebden).

    Near the sphere the last step is taken to first order, v(mu + e) = v - e (H + mu I)^-1 v.
    """
    b, v = model.product(w) - gradient, w
    low, high = 0.0, float(np.linalg.norm(b)) / radius  # ||v(mu)|| <= ||b|| / mu
    mu = min(mu, high)
    for _ in range(50):
        v = model.solve(mu, b, v)
        norm = float(np.linalg.norm(v))
        low, high = (mu, high) if norm > radius else (low, mu)
        if high <= _NONE:
            return v, 0.0  # inside the ball
        u = model.solve(mu, v, np.zeros_like(v))
        step = norm**2 / float(np.vdot(v, u)) * (norm - radius) / radius
        if abs(norm - radius) <= _ON_SPHERE * radius and mu + step > 0:
            v, mu = v - step * u, mu + step
            break
        mu = mu + step if low < mu + step < high else max(float(np.sqrt(low * high)), 1e-3 * high)
    return v * (radius / float(np.linalg.norm(v))), mu
