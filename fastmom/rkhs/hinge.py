"""The hinge loss over a ball, one output or several against the rest: coordinate ascent and Newton on the free ones.

With dual coordinates 0 <= p <= 1, z = p y, the fit is f = K z / s, where s = n times the multiplier of the ball. At
the optimum p = 1 where the margin y f is below 1 (bounded), p = 0 where it is above, and the free coordinates F have
margin 1: K_FF z_F = s y_F - K_FB y_B. So z_F is affine in s, ||z||^2 is quadratic without a linear term, and the s of
the ball is known in closed form as long as no coordinate changes sides. A few rounds of ascent, to find the sides, and
of this step, to find s and z_F together, reach the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from fastmom.kernels.hinge import ascent
from fastmom.rkhs.ball import BallFit

Array = npt.NDArray[np.float64]

_ROUNDS = 200
_STEPS = 0.25  # coordinate steps of a round, times rows,
_BALANCE = 0.01  # or times free^3 / rows: as long as Newton's factors take
_SMALL = 0.3  # while margins are short by more than this part of the mean gap: Newton does the rest
_LENGTHS = 1.0, 0.25, 0.05, 0.01  # of a Newton step, cut to the box
_MOST_FREE = 4000  # coordinates that a Newton step solves for
_JITTER = 1e-12
_FARTHEST = 8.0  # factor by which a step changes s at most


def hinge_ball(K: Array, Y: Array, radius: float, *, tolerance: float = 3e-5, max_rounds: int = _ROUNDS) -> BallFit:
    """Minimise the mean hinge loss over functions of norm at most `radius`.

    Parameters
    ----------
    K : ndarray (n, n)
        Kernel matrix of the rows.
    Y : ndarray (n, q)
        Labels -1 and 1, a column for each output; the ball is joint, ||f_1||^2 + .. + ||f_q||^2 <= radius^2.
    radius : float
        B.
    tolerance : float
        Gap P - max(D, 0) at which to stop.
    max_rounds : int
        Rounds at most.

    Returns
    -------
    BallFit
        Coefficients (n, q), zero for rows beyond the margin; the loss is summed over outputs, iterations are rounds.
        The gap holds against the whole ball: D = (sum_i p_i - B sqrt(tr z^T K z)) / n, true of any p.

    Notes
    -----
    Own form. Without an offset a single coordinate may move; its exact gain is what second-order working sets
    (Steinwart, Hush, Scovel 2011) maximise.
    """
    ball = _Ball(K, np.ascontiguousarray(Y.T, dtype=np.float64), radius, tolerance)
    point, rounds = ball.anew(np.ones_like(ball.Y)), 0
    best = point
    while not ball.settled(point) and rounds < max_rounds:
        point = ball.ascend(point)
        point = point if ball.settled(point) else ball.newton(point)
        best = point if point.gap < best.gap or ball.settled(point) else best
        rounds += 1
    best = ball.anew(best.P)
    alpha = (best.P * ball.Y).T / best.s
    return BallFit(
        coefficients=alpha,
        norm=best.norm,
        penalty=best.s / len(K),
        primal=best.primal,
        dual=max(0.0, best.lower),
        iterations=rounds,
    )


@dataclass(frozen=True, eq=False)
class _Point:
    """Dual coordinates P and values G = K z, both (q, n), and what they prove.

    The fit is f = G / s, in the ball. `merit` is what rises: the dual of the ball, at the least s the penalised one.
    """

    P: Array
    G: Array
    s: float
    norm: float
    primal: float
    lower: float
    merit: float

    @property
    def gap(self) -> float:
        """How far the loss is at most above the smallest of the ball: no loss is negative."""
        return self.primal - max(0.0, self.lower)


class _Ball:
    """A hinge problem; s has a floor at which the penalty costs half the tolerance, for balls that need none."""

    def __init__(self, K: Array, Y: Array, radius: float, tolerance: float) -> None:
        self.K, self.Y, self.radius, self.tolerance = K, Y, radius, tolerance
        self.floor = tolerance * len(K) / radius**2

    def at(self, P: Array, G: Array) -> _Point:
        n, B = len(self.K), self.radius
        size, total = float(np.sqrt(max(0.0, float(np.vdot(P * self.Y, G))))), float(P.sum())
        s = max(size / B, self.floor)
        primal = float(np.maximum(0.0, 1.0 - self.Y * G / s).sum()) / n
        merit = total - 0.5 * (size * size / s + s * B * B)
        return _Point(P, G, s, size / s, primal, (total - B * size) / n, merit / n)

    def ascend(self, point: _Point) -> _Point:
        """Coordinate steps of the penalised dual with this s, which touches the merit from below."""
        q, n = self.Y.shape
        P, G = point.P.copy(), point.G.copy()
        free = int(np.count_nonzero((P > 0) & (P < 1), axis=1).max())
        most = max(_STEPS * n, _BALANCE * free**3 / n)
        short = _SMALL * point.gap / q  # what it gains to mend a margin short by so much:
        limits = np.array([1.0 / point.s, 0.5 * short * min(1.0, point.s * short), most])
        ascent(self.K, self.Y, P, G, limits, np.empty((q, 3, n)), np.empty(q))
        return self.at(P, G)

    def newton(self, point: _Point) -> _Point:
        """Free coordinates at margin 1 and the norm at the radius, if nothing changes sides; less if merit is lost."""
        target = self._target(point)
        for length in _LENGTHS:
            if target is None:
                break
            P = np.clip(point.P + length * (target - point.P), 0.0, 1.0)
            candidate = self.anew(P)
            if candidate.merit > point.merit:
                return candidate
        return self.anew(point.P)

    def settled(self, point: _Point) -> bool:
        """Whether the gap is closed; without a lower bound only at the least s, where the norm is small as well."""
        return point.gap <= self.tolerance and (point.lower > 0 or point.s <= self.floor)

    def anew(self, P: Array) -> _Point:
        """The point of P with fresh values: sums of changes would keep the round-off of larger ones."""
        return self.at(P, (P * self.Y) @ self.K)

    def _target(self, point: _Point) -> Array | None:
        """Coordinates where Newton's step leads, outside the box or in it; None where no factor exists."""
        outer, inner = 0.0, 0.0
        solved = []
        for y, p, G in zip(self.Y, point.P, point.G, strict=True):
            free = np.flatnonzero((p > 0) & (p < 1))
            if len(free) > _MOST_FREE:
                return None
            z, block = (p * y)[free], self.K[np.ix_(free, free)].T  # in the order that LAPACK takes as it is
            along = block @ z
            rest = G[free] - along  # K_FB y_B
            block[np.diag_indices(len(free))] += _JITTER * max(1.0, float(np.trace(block)))
            try:
                factor = cho_factor(block, lower=True, overwrite_a=True, check_finite=False)
            except np.linalg.LinAlgError:  # not positive definite in floating point: coordinates go on alone
                return None
            u, v = cho_solve(factor, np.stack([y[free], rest]).T, check_finite=False).T
            outer += float(y[free] @ u)
            inner += float(p * y @ G) - 2 * float(z @ G[free]) + float(z @ along) - float(rest @ v)
            solved.append((free, u, v))
        room = self.radius**2 - outer
        s = float(np.sqrt(max(inner, 0.0) / room)) if room > 0 else np.inf
        if (point.P < 1).all() and room > 0:
            s = self.floor  # nothing at its bound: f does not depend on s
        else:
            s = max(min(max(s, point.s / _FARTHEST), point.s * _FARTHEST), self.floor)
        P = point.P.copy()
        for c, (y, (free, u, v)) in enumerate(zip(self.Y, solved, strict=True)):
            P[c, free] = y[free] * (s * u - v)
        return P
