"""The squared loss over a ball of many rows: preconditioned conjugate gradients, the kernel matrix never stored.

Products are float32, and so cheap; every claim is from one float64 product.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, eigh, solve_triangular

from fastmom.rkhs.ball import BallFit
from fastmom.rkhs.products import kernel_values, product_with
from fastmom.rkhs.squared import certified_squared, penalty_at

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]

_ROUNDS = 12
_STEPS = 100
_BLOCK = 64  # pivots drawn at once
_STEP = 1e-3  # relative residual of one solve: the gap is second order in it
_ON_RADIUS = 1e-4  # relative: the gap is second order in it
_APART = 1e-2  # of logarithms of penalties whose norms give a slope
_FLAT, _FARTHEST = 0.02, 2.0  # least slope that is trusted, longest step
_FLOOR = 1e-7  # least penalty, relative: products are float32


class Preconditioner:
    """``(F F^T + p I)^-1`` for every p, F F^T near K by randomly pivoted Cholesky (Chen et al. 2022), pivots in blocks.

    Attributes
    ----------
    values : ndarray (r,)
        Eigenvalues of F^T F.
    """

    def __init__(self, X: Single, depth: float, size: int, rng: np.random.Generator) -> None:
        F = _pivoted_factor(X, depth, size, rng)
        values, axes = eigh(np.asarray(F.T @ F, dtype=np.float64))
        self.values, self._axes, self._F = np.maximum(values, 0.0), axes, F

    def project(self, V: Array) -> Array:
        """F^T V along the eigenvectors (r, q)."""
        return self._axes.T @ (self._F.T @ V.astype(np.float32)).astype(np.float64)

    def apply(self, V: Array, penalty: float) -> Array:
        """``(F F^T + penalty I)^-1 V``."""
        inner = self._axes @ (self.project(V) / (self.values + penalty)[:, np.newaxis])
        return (V - self._F @ inner.astype(np.float32)) / penalty


def _pivoted_factor(X: Single, depth: float, size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """F (n, size): pivots are drawn by what of the diagonal of K is left, a block at a time."""
    n = len(X)
    F = np.zeros((n, size), dtype=np.float32)
    left = np.ones(n)
    for first in range(0, size, _BLOCK):
        count = min(_BLOCK, size - first)
        chances = np.maximum(left, 1e-12)
        pivots = np.sort(rng.choice(n, count, replace=False, p=chances / chances.sum()))
        G = kernel_values(X, np.ascontiguousarray(X[pivots]), depth)
        G -= F[:, :first] @ F[pivots, :first].T
        core = np.asarray(G[pivots], dtype=np.float64)
        core[np.diag_indices(count)] += 1e-5 * max(1e-3, float(np.trace(core)))
        R = cholesky(0.5 * (core + core.T), lower=True)
        F[:, first : first + count] = solve_triangular(R, G.T, lower=True).T
        left = np.maximum(left - np.einsum("ij,ij->i", F[:, first : first + count], F[:, first : first + count]), 0.0)
    return F


def _solve(
    product: Callable[[Array], Array], precondition: Callable[[Array], Array], B: Array, tolerance: float
) -> tuple[Array, int]:
    """Conjugate gradients for every column of B (n, q) at once, from zero; the solution and the steps."""
    x, r = np.zeros_like(B), B.copy()
    z = precondition(r)
    p, rz = z.copy(), np.sum(r * z, axis=0)
    goal = tolerance * np.linalg.norm(B, axis=0)
    for step in range(_STEPS):
        if np.all(np.linalg.norm(r, axis=0) <= goal):
            return x, step
        Ap = product(p)
        curvature = np.sum(p * Ap, axis=0)
        length = np.where(curvature > 0, rz / np.where(curvature > 0, curvature, 1.0), 0.0)
        x += length * p
        r -= length * Ap
        z = precondition(r)
        after = np.sum(r * z, axis=0)
        p = z + np.where(rz > 0, after / np.where(rz > 0, rz, 1.0), 0.0) * p
        rz = after
    return x, _STEPS


def squared_by_gradients(
    X: Array,
    Y: Array,
    depth: float,
    radius: float | None,
    rng: np.random.Generator,
    *,
    n_landmarks: int = 500,
    penalty: float | None = None,
    tolerance: float = 1e-6,
) -> BallFit:
    """Minimise half the mean squared error over a ball, or with a given penalty.

    Parameters
    ----------
    X, Y : ndarray (n, d), (n, q)
        Rows of `as_ball_rows`, and labels.
    depth, radius : float
        Of the kernel; of the ball, None with a penalty.
    rng : Generator
        Draws the pivots of the preconditioner.
    n_landmarks : int
        Size of the preconditioner.
    penalty : float, optional
        The multiplier instead of the radius.
    tolerance : float
        Relative gap at which to stop.

    Returns
    -------
    BallFit
        Coefficients (n, q); the gap is proven for the whole ball, by a float64 product.
    """
    problem = _Rows(X, Y, depth, min(len(Y), n_landmarks), rng)
    p = problem.start(radius) if penalty is None else max(problem.floor, penalty * len(Y))
    alpha, residual, total = np.zeros_like(Y), Y.copy(), 0
    if radius is not None:  # near the sphere in float32, before the float64 product is worth its price
        alpha, residual, p, total = problem.approach(p, radius)
    best: BallFit | None = None
    for _ in range(_ROUNDS):
        step, steps = problem.solve(residual, p)
        alpha, total = alpha + step, total + steps
        values = product_with(X, X, alpha, depth)
        norm = math.sqrt(max(0.0, float(np.vdot(alpha, values))))
        fit = certified_squared(values, alpha, Y, p, norm if radius is None else radius, total)
        stalled = best is not None and fit.relative_gap > 0.5 * best.relative_gap
        best = fit if best is None or fit.relative_gap < best.relative_gap else best
        if best.relative_gap <= tolerance or stalled:
            break
        p = p if radius is None else problem.next_penalty(p, norm, radius)
        residual = Y - values - p * alpha
    assert best is not None
    return best


class _Rows:
    """Rows, their preconditioner, and cheap steps."""

    def __init__(self, X: Array, Y: Array, depth: float, size: int, rng: np.random.Generator) -> None:
        self.small = np.ascontiguousarray(X, dtype=np.float32).view()
        self.small.flags.writeable = False
        self.Y, self.depth = Y, depth
        self.near = Preconditioner(self.small, depth, size, rng)
        self.squares = np.sum(self.near.project(Y) ** 2, axis=1)
        self.floor = _FLOOR * len(Y)
        self._before: tuple[float, float] | None = None
        self._slope = -1.0

    def start(self, radius: float | None) -> float:
        """The penalty of the span of the pivots."""
        assert radius is not None, "neither radius nor penalty"
        return max(self.floor, penalty_at(self.near.values, self.squares, radius)[0])

    def product(self, V: Array, p: float) -> Array:
        """``(K + p I) V``, in float32."""
        return product_with(self.small, self.small, V, self.depth) + p * V

    def solve(self, B: Array, p: float) -> tuple[Array, int]:
        """``(K + p I)^-1 B`` nearly, and the steps."""
        return _solve(lambda V: self.product(V, p), lambda V: self.near.apply(V, p), B, _STEP)

    def approach(self, p: float, radius: float) -> tuple[Array, Array, float, int]:
        """Coefficients whose norm is nearly the radius, their residual, the penalty, the steps."""
        alpha, residual, total = np.zeros_like(self.Y), self.Y.copy(), 0
        for _ in range(_ROUNDS):
            step, steps = self.solve(residual, p)
            alpha, total = alpha + step, total + steps
            values = self.product(alpha, 0.0)
            norm = math.sqrt(max(0.0, float(np.vdot(alpha, values))))
            settled = abs(norm - radius) <= _ON_RADIUS * radius or (p == self.floor and norm < radius)
            p = p if settled else self.next_penalty(p, norm, radius)
            residual = self.Y - values - p * alpha
            if settled:
                break
        return alpha, residual, p, total

    def next_penalty(self, p: float, norm: float, radius: float) -> float:
        """Newton's penalty on log norm by log penalty: the slope of the span of the pivots, then a secant's."""
        if self._before is not None and abs(math.log(p / self._before[0])) > _APART:
            self._slope = math.log(norm / self._before[1]) / math.log(p / self._before[0])
        elif self._before is None:
            shifted = self.near.values + p
            cubes, squares = (float(np.sum(self.squares / shifted**power)) for power in (3, 2))
            self._slope = -p * cubes / max(squares, 1e-300)
        self._before = p, norm
        step = math.log(radius / norm) / min(self._slope, -_FLAT)
        return max(self.floor, p * math.exp(max(-_FARTHEST, min(_FARTHEST, step))))
