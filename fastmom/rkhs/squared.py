"""The squared loss over a ball: penalised least squares, and the penalty at which the norm is the radius."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastmom.rkhs.ball import BallFit, dual_value

Array = npt.NDArray[np.float64]

_STEPS = 100
_NONE = 1e-14  # of the largest eigenvalue: the least penalty


def squared_ball(K: Array, Y: Array, radius: float) -> BallFit:
    """Minimise half the mean squared error over functions of norm at most `radius`, by the eigenvalues of K.

    Parameters
    ----------
    K : ndarray (n, n)
        Kernel matrix of the rows.
    Y : ndarray (n, q)
        Labels; the ball is joint.
    radius : float
        B.

    Returns
    -------
    BallFit
        Coefficients (n, q); the gap is proven for the whole ball.
    """
    n = len(K)
    spectrum, vectors = np.linalg.eigh(K)
    spectrum = np.maximum(spectrum, 0.0)
    along = vectors.T @ Y
    penalty, steps = _penalty(spectrum, spectrum * np.sum(along * along, axis=1), radius)
    alpha = vectors @ (along / (spectrum + penalty)[:, np.newaxis])
    values = K @ alpha
    a = Y - values
    return BallFit(
        coefficients=alpha,
        norm=math.sqrt(max(0.0, float(np.vdot(alpha, values)))),
        penalty=penalty / n,
        primal=0.5 * float(np.vdot(a, a)) / n,
        dual=dual_value(a, float(np.sum(a * Y - 0.5 * a * a)), float(np.vdot(a, K @ a)), radius),
        iterations=steps,
    )


def squared_in_features(features: Array, Y: Array, radius: float) -> tuple[Array, float, int]:
    """Weights (r, q) of norm at most `radius` that minimise half the mean squared error; penalty, steps.

    By the normal equations, of features Phi (n, r) and labels Y (n, q).
    """
    spectrum, axes = np.linalg.eigh(features.T @ features)
    spectrum = np.maximum(spectrum, 0.0)
    along = axes.T @ (features.T @ Y)
    penalty, steps = _penalty(spectrum, np.sum(along * along, axis=1), radius)
    return axes @ (along / (spectrum + penalty)[:, np.newaxis]), penalty / len(features), steps


def _penalty(spectrum: Array, squares: Array, radius: float) -> tuple[float, int]:
    """The p >= 0 with sum_i squares_i / (spectrum_i + p)^2 = radius^2, by Newton on 1 / norm, from below; the steps."""
    penalty = max(_NONE * float(spectrum[-1]), np.finfo(np.float64).tiny)
    for step in range(_STEPS):
        shifted = spectrum + penalty
        norm = math.sqrt(float(np.sum(squares / shifted**2)))
        if norm <= radius * (1 + 1e-13):
            return penalty, step
        slope = float(np.sum(squares / shifted**3)) / norm
        penalty += norm / radius * (norm - radius) / slope
    return penalty, _STEPS
