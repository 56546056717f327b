"""The squared loss over a ball: penalised least squares, and the penalty at which the norm is the radius."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, eigh_tridiagonal
from scipy.linalg.lapack import dpotrf, dpotrs

from fastmom.rkhs.ball import BallFit, dual_value

Array = npt.NDArray[np.float64]

_STEPS = 100
_FACTORS = 4
_LANCZOS = 40
_FIRST = 1e-3  # penalty tried first, relative to the trace
_SETTLED = 1e-12  # relative to the radius
_NONE = 1e-14  # of the largest eigenvalue: the least penalty


def squared_ball(K: Array, Y: Array, radius: float) -> BallFit:
    """Minimise half the mean squared error over functions of norm at most `radius`.

    By two or three Cholesky factors, four at most. The factor at one penalty tells the norm at all others to many
    digits, by some Lanczos steps with the inverse, and so the penalty of the ball (own form).

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
        Coefficients (n, q); the gap is proven for the whole ball. Iterations are factorisations.
    """
    n = len(K)
    diagonal = np.diag_indices(n)
    trace = float(np.trace(K))
    floor, penalty, steps = _NONE * trace, _FIRST * trace, 0
    while True:
        shifted = np.array(K, order="F")
        shifted[diagonal] += penalty
        factor, failed = dpotrf(shifted, lower=0, overwrite_a=1, clean=0)
        if failed:  # round-off asks for more than was thought to be none
            floor *= 10
            penalty = max(penalty, floor)
            continue
        steps += 1
        alpha = np.asarray(dpotrs(factor, Y, lower=0)[0])
        norm = math.sqrt(max(0.0, float(np.vdot(alpha, Y - penalty * alpha))))
        if abs(norm - radius) <= _SETTLED * radius or steps >= _FACTORS or (norm <= radius and penalty <= floor):
            break
        before, penalty = penalty, max(floor, penalty_at(*_norms(factor, Y, penalty), radius)[0])
        if penalty == before:
            break
    del factor, shifted
    return certified_squared(K @ alpha, alpha, Y, penalty, radius, steps)


def squared_penalised(K: Array, Y: Array, penalty: float) -> BallFit:
    """Minimise half the mean squared error + penalty |f|^2 / 2; the gap is that of the ball of the fit's own norm.

    Parameters
    ----------
    K, Y
        As in `squared_ball`.
    penalty : float
        Positive.
    """
    p = len(K) * penalty
    shifted = np.array(K, order="F")
    shifted[np.diag_indices(len(K))] += p
    alpha = cho_solve(cho_factor(shifted, overwrite_a=True, check_finite=False), Y, check_finite=False)
    values = K @ alpha
    norm = math.sqrt(max(0.0, float(np.vdot(alpha, values))))
    return certified_squared(values, alpha, Y, p, norm, 1)


def _norms(factor: Array, Y: Array, penalty: float) -> tuple[Array, Array]:
    """Spectrum and squares of `penalty_at`, by Lanczos steps with (K + penalty I)^-1 from Y, all columns one vector."""
    scale = float(np.linalg.norm(Y))
    if scale == 0:
        return np.ones(1), np.zeros(1)
    basis, diagonal, beside = [Y / scale], list[float](), list[float]()
    while True:
        image = dpotrs(factor, basis[-1], lower=0)[0]
        diagonal.append(float(np.vdot(image, basis[-1])))
        for vector in 2 * basis:  # twice is enough
            image -= float(np.vdot(image, vector)) * vector
        size = float(np.linalg.norm(image))
        if len(diagonal) == min(_LANCZOS, Y.size) or size <= 1e-14 * diagonal[0]:
            break
        beside.append(size)
        basis.append(image / size)
    inverse, axes = eigh_tridiagonal(np.array(diagonal), np.array(beside))
    spectrum = np.maximum(1.0 / np.maximum(inverse, np.finfo(np.float64).tiny) - penalty, 0.0)
    return spectrum, spectrum * (scale * axes[0]) ** 2


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
    penalty = max(_NONE * float(spectrum.max()), np.finfo(np.float64).tiny)
    for step in range(_STEPS):
        shifted = spectrum + penalty
        norm = math.sqrt(float(np.sum(squares / shifted**2)))
        if norm <= radius * (1 + 1e-13):
            return penalty, step
        slope = float(np.sum(squares / shifted**3)) / norm
        penalty += norm / radius * (norm - radius) / slope
    return penalty, _STEPS
