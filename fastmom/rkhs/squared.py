"""The squared loss over a ball: penalised least squares, and the penalty at which the norm is the radius."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from fastmom.rkhs.ball import BallFit, dual_value

Array = npt.NDArray[np.float64]

_STEPS = 100
_FACTORS = 8
_SETTLED = 1e-10  # relative to the radius
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
    penalty, steps = penalty_at(spectrum, spectrum * np.sum(along * along, axis=1), radius)
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


def squared_by_factors(K: Array, Y: Array, radius: float, start: float) -> BallFit:
    """As `squared_ball`, by a few Cholesky factorisations: Newton on 1 / norm from a penalty near the right one.

    Parameters
    ----------
    K, Y, radius
        As in `squared_ball`; K comes back with its diagonal changed by round-off at most.
    start : float
        Penalty to begin with, times n: that of the best function of the span of some landmarks.
    """
    diagonal = np.diag_indices(len(K))
    own = K[diagonal].copy()
    floor = _NONE * float(own.sum())
    penalty, steps = max(start, floor), 0
    while True:
        K[diagonal] = own + penalty
        factor = cho_factor(K, lower=True, check_finite=False)
        K[diagonal] = own
        steps += 1
        alpha = cho_solve(factor, Y, check_finite=False)
        norm = math.sqrt(max(0.0, float(np.vdot(alpha, Y - penalty * alpha))))
        if abs(norm - radius) <= _SETTLED * radius or steps == _FACTORS or (norm <= radius and penalty == floor):
            break
        beyond = cho_solve(factor, alpha, check_finite=False)
        slope = float(np.vdot(alpha, alpha - penalty * beyond)) / norm
        penalty = max(floor, 0.1 * penalty, penalty + norm / radius * (norm - radius) / slope)
    del factor
    return certified_squared(K @ alpha, alpha, Y, penalty, radius, steps)


def certified_squared(
    values: Array, alpha: Array, Y: Array, penalty: float, radius: float, iterations: int, exact: bool = True
) -> BallFit:
    """What coefficients alpha amount to, given their values K alpha: brought into the ball, with the dual value.

    The dual point is penalty alpha, for which tr a^T K a = (penalty |f|)^2 without another product; at the exact
    solution it is Y - f. `penalty` is the multiplier times n.
    """
    n, norm = len(Y), math.sqrt(max(0.0, float(np.vdot(alpha, values))))
    a = penalty * alpha
    dual = dual_value(a, float(np.sum(a * Y - 0.5 * a * a)), (penalty * norm) ** 2, radius)
    shrink = min(1.0, radius / norm) if norm > 0 else 1.0
    misfit = Y - shrink * values
    primal = 0.5 * float(np.vdot(misfit, misfit)) / n
    return BallFit(
        coefficients=shrink * alpha,
        norm=shrink * norm,
        penalty=penalty / n,
        primal=primal,
        dual=dual,
        iterations=iterations,
        exact_gap=exact,
    )


def penalty_at(spectrum: Array, squares: Array, radius: float) -> tuple[float, int]:
    """The p > 0 with sum_i squares_i / (spectrum_i + p)^2 = radius^2, by Newton on 1 / norm, from below; the steps."""
    penalty = max(_NONE * float(spectrum[-1]), np.finfo(np.float64).tiny)
    for step in range(_STEPS):
        shifted = spectrum + penalty
        norm = math.sqrt(float(np.sum(squares / shifted**2)))
        if norm <= radius * (1 + 1e-13):
            return penalty, step
        slope = float(np.sum(squares / shifted**3)) / norm
        penalty += norm / radius * (norm - radius) / slope
    return penalty, _STEPS
