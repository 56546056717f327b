"""Convex losses over a ball of the kernel's space: what a solver returns, and its certificate against the whole ball.

The problem: minimise ``P(f) = (1/n) sum_i loss(f(x_i), y_i)`` over functions f (q outputs) with
``sum_c |f_c|^2 <= radius^2``: one ball for all outputs together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class BallFit:
    """The function ``f = sum_i coefficients[i] K(points[i], .)`` of a ball that a solver found.

    Attributes
    ----------
    coefficients : ndarray (r, q)
        One row a point: all rows of the data, or the landmarks.
    norm : float
        Of f; never above the radius but for round-off.
    penalty : float
        lambda >= 0 for which f minimises ``P(f) + lambda |f|^2 / 2``; 0 where the ball does not bind.
    primal : float
        P(f).
    dual : float
        A lower bound of P over the whole ball, or an estimate of one.
    iterations : int
        Of the solver: factorisations, conjugate gradient steps or Newton steps.
    exact_gap : bool
        Whether `dual` is a proven bound; else it is an estimate.
    """

    coefficients: Array
    norm: float
    penalty: float
    primal: float
    dual: float
    iterations: int
    exact_gap: bool = True

    @property
    def relative_gap(self) -> float:
        """(primal - dual) / primal; 0 if both vanish."""
        gap = max(0.0, self.primal - self.dual)
        return gap / self.primal if gap > 0 else 0.0


def dual_value(a: Array, conjugate: float, square: float, radius: float) -> float:
    """Lower bound of P over the ball: ``D(a) = (conjugate - radius sqrt(tr a^T K a)) / n``, at least 0.

    True of every a (n, q): ``P(f) >= (1/n) sum_i [-loss*(-a_i) - <a_i, f(x_i)>]``, and the last term is an inner
    product with sum_i a_i K(x_i, .), whose norm is ``sqrt(tr a^T K a)``. Best at a_i = -loss'(f(x_i)).

    Parameters
    ----------
    a : ndarray (n, q)
        Dual point.
    conjugate : float
        ``-sum_i loss*(-a_i)``: ``sum(a y - a^2 / 2)`` for the squared loss (f - y)^2 / 2, the binary entropy of a y in
        [0, 1] for the logistic loss, a y for the hinge loss, entropies of one-hot - a for softmax.
    square : float
        tr(a^T K a), e.g. ``np.vdot(a, K @ a)``.
    radius : float
        Of the ball.
    """
    return max(0.0, (conjugate - radius * math.sqrt(max(0.0, square))) / len(a))


def rademacher_bound(radius: float, trace: float, n: int) -> float:
    """``radius sqrt(trace / n) / sqrt(n)``: Rademacher complexity of the ball on n rows, trace that of their kernel.

    With a loss of slope at most G and size at most M on the ball, the risk of the minimiser exceeds that of the best of
    the ball by at most ``4 G`` times this ``+ 2 M sqrt(log(4 / delta) / (2 n))``, with probability 1 - delta.
    """
    return radius * math.sqrt(trace) / n
