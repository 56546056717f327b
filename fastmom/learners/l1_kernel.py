"""l1-bounded networks of any depth, improperly: Zhang, Lee and Jordan 2015, arXiv 1510.03528."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastmom.learners.l1_kernel_balls import LOSSES, Ball, best_radius, dense_fit, landmark_fit
from fastmom.result import FitResult
from fastmom.rkhs.ball import BallFit, rademacher_bound
from fastmom.rkhs.classes import Classes, decide, read_classes
from fastmom.rkhs.norms import network_norm_bound
from fastmom.rkhs.products import MAX_DEPTH, as_ball_rows, product_with
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import (
    as_choice,
    as_count,
    as_labels,
    as_matrix,
    as_number,
    as_rng,
    require_finite,
)

Array = npt.NDArray[np.float64]

DENSE_ROWS = 3000  # up to which "auto" forms the kernel matrix
LANDMARKS = 1000
_CLOSED = {"squared": 1e-9, "logistic": 1e-8, "hinge": 1e-4}  # gap, over the loss of the zero function, of a success


@dataclass(frozen=True, eq=False)
class KernelModel:
    """A function ``f(x) = sum_i coefficients[i] K(points[i], x / scale)``, or the class it speaks for.

    Attributes
    ----------
    points : ndarray (r, d)
        Rows of the data, or landmarks, in the unit ball.
    coefficients : ndarray (r, q)
    depth, scale : float
        Of the kernel; what inputs are divided by.
    classes : ndarray, optional
        Names of the classes that values decide; None for numbers.
    """

    points: Array
    coefficients: Array
    depth: float
    scale: float = 1.0
    classes: npt.NDArray[Any] | None = None

    def values(self, X: npt.ArrayLike) -> Array:
        """Values (n, q) of the function; no kernel matrix is stored.

        Raises
        ------
        ValueError
            For inputs outside the ball, or of another dimension.
        """
        rows = as_ball_rows(X, scale=self.scale, dtype=np.float64)
        if rows.shape[1] != self.points.shape[1]:
            raise ValueError(f"X: has {rows.shape[1]} columns, the model takes {self.points.shape[1]}")
        with single_blas_thread():
            return product_with(rows, self.points, self.coefficients, self.depth)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Values (n, q), or class names (n,)."""
        values = self.values(X)
        return values if self.classes is None else decide(self.classes, values)


def learn_l1_kernel(
    X: Any,
    Y: Any,
    *,
    depth: float = 1.0,
    radius: float | Literal["theory"] | None = None,
    loss: Literal["squared", "logistic", "hinge"] = "squared",
    solver: Literal["auto", "dense", "nystrom"] = "auto",
    n_landmarks: int | None = None,
    rescale: bool = False,
    rng: int | np.random.Generator | None = None,
) -> FitResult:
    """Predict as well as the best l1-bounded network of a depth: a convex loss over a ball of the recursive kernel.

    The ball of radius F(depth, L), `network_norm_bound`, holds every network whose neurons have weights of l1 norm at
    most L, whatever its width. The duality gap bounds how much better any function of the ball could be on these rows.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs in the unit ball, or `rescale`.
    Y : array_like (n, m) or (n,)
        Numbers for the squared loss; else a class for each row: integers or strings.
    depth : float
        Hidden layers k of the networks; any real number in [0, 1e6] is a kernel, and a bandwidth to choose.
    radius : float, "theory" or None
        Of the ball. "theory": F(depth, 1) for erf(t / 2). None: chosen on a quarter of (at most 1500) rows.
    loss : {"squared", "logistic", "hinge"}
        Half the squared error; logistic, softmax of more than two classes; hinge, one class against the rest.
    solver : {"auto", "dense", "nystrom"}
        The kernel matrix, or the span of some rows; "auto" by the number of rows (3000).
    n_landmarks : int, optional
        Rows whose span "nystrom" takes; 1000, or all.
    rescale : bool
        Divide inputs by the largest norm, which `predict` then does too; in ``diagnostics["scale"]``.
    rng : None, int or Generator
        Source of landmarks and held-out rows.

    Returns
    -------
    FitResult
        ``model`` predicts numbers (n, m) or classes (n,); no ``network``. Success means that the gap is closed.
        Diagnostics: "rkhs_norm", "radius", "penalty", "primal", "dual", "relative_gap", "gap_against" ("ball", or
        "landmarks" where only their span is searched and bounded), "rademacher_bound", "iterations", "scale".

    Raises
    ------
    ValueError, TypeError
        For bad data or options; labels that are no classes; inputs outside the unit ball; a "theory" radius beyond
        the range of floats.

    References
    ----------
    .. [1] Y. Zhang, J. D. Lee, M. I. Jordan, "l1-regularized neural networks are improperly learnable in polynomial
       time", 2015, arXiv 1510.03528.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmom as fm
    >>> X = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3))
    >>> result = fm.learn_l1_kernel(X, np.where(X[:, 0] > 0, "right", "left"), loss="logistic", radius=20.0)
    >>> result.success, str(result.predict([[0.4, 0.0, 0.1]])[0])
    (True, 'right')
    """
    began = time.perf_counter()
    layers = as_number(depth, "depth", 0.0, MAX_DEPTH)
    as_choice(loss, "loss", LOSSES)
    as_choice(solver, "solver", ("auto", "dense", "nystrom"))
    generator, seed = as_rng(rng)
    rows, scale = _read_inputs(X, rescale)
    classes, labels = _read_labels(Y, len(rows), loss)
    landmarks = LANDMARKS if n_landmarks is None else as_count(n_landmarks, "n_landmarks")
    bound = None if radius is None else _read_radius(radius, layers)
    chosen = ("dense" if len(rows) <= DENSE_ROWS else "nystrom") if solver == "auto" else solver
    with single_blas_thread():
        if bound is None:
            bound = best_radius(rows, labels, layers, loss, generator)
        ball = Ball(rows, labels, layers, bound, loss)
        points, fit = dense_fit(ball) if chosen == "dense" else landmark_fit(ball, landmarks, generator)
    model = KernelModel(points, fit.coefficients, layers, scale, None if classes is None else classes.names)
    timings = {"total": time.perf_counter() - began}
    return _result(ball, fit, model, chosen, timings, seed)


def _read_inputs(X: Any, rescale: Any) -> tuple[Array, float]:
    if not isinstance(rescale, bool):
        raise ValueError(f"rescale: expected True or False, got {rescale!r}")
    matrix = as_matrix(X, "X")
    require_finite(matrix, "X")
    scale = 1.0
    if rescale:
        norms = np.linalg.norm(np.asarray(matrix, dtype=np.float64), axis=1)
        scale = float(norms.max()) or 1.0
    return as_ball_rows(matrix, scale=scale, dtype=np.float64), scale


def _read_labels(Y: Any, n: int, loss: str) -> tuple[Classes | None, Array]:
    if loss == "squared":
        labels = as_labels(Y, n)
        require_finite(labels, "Y")
        return None, np.ascontiguousarray(labels, dtype=np.float64)
    classes = read_classes(Y, n)
    return classes, classes.columns(loss)


def _read_radius(radius: Any, depth: float) -> float:
    if not isinstance(radius, str):
        number = as_number(radius, "radius", 0.0)
        if number == 0:
            raise ValueError("radius: expected a positive number, got 0")
        return number
    as_choice(radius, "radius", ("theory",))
    if depth != int(depth):
        raise ValueError(f"radius: 'theory' is for a whole number of layers, depth is {depth:g}; give a number")
    logarithm = network_norm_bound(int(depth), 1.0, "erf", 0.25)
    if logarithm > 100:
        raise ValueError(f"radius: 'theory' is e^{logarithm:.3g} for depth {depth:g}, beyond any use; give a number")
    return math.exp(logarithm)


def _result(
    ball: Ball, fit: BallFit, model: KernelModel, solver: str, timings: dict[str, float], seed: int | None
) -> FitResult:
    n = len(ball.rows)
    zero = ball.loss_of_zero()
    closed = fit.primal - fit.dual <= _CLOSED[ball.loss] * max(zero, np.finfo(np.float64).tiny)
    where = "the ball" if fit.exact_gap else "the landmarks' span"
    message = f"{ball.loss} loss {fit.primal:.4g}, at most {max(0.0, fit.primal - fit.dual):.2g} above the least of "
    diagnostics = {
        "rkhs_norm": fit.norm,
        "radius": ball.radius,
        "penalty": fit.penalty,
        "primal": fit.primal,
        "dual": fit.dual,
        "relative_gap": fit.relative_gap,
        "gap_against": "ball" if fit.exact_gap else "landmarks",
        "rademacher_bound": rademacher_bound(ball.radius, ball.trace(), n),
        "iterations": fit.iterations,
        "scale": model.scale,
    }
    return FitResult(
        success=bool(closed),
        status="optimal" if closed else "not_converged",
        model=model,
        message=message + f"{where} of norm {ball.radius:.4g}",
        method="l1_kernel",
        variant=solver,
        diagnostics=diagnostics,
        timings=timings,
        seed=seed,
    )
