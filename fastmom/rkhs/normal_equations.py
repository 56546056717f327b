"""Least squares in the span of landmarks from sums over rows: one accumulation gives every penalty and every ball."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh, solve_triangular
from scipy.linalg.blas import dsyrk, ssyrk

from fastmom.rkhs.ball import BallFit, dual_value
from fastmom.rkhs.features import Nystrom
from fastmom.rkhs.products import kernel_values
from fastmom.rkhs.squared import penalty_at
from fastmom.runtime import progress

Array = npt.NDArray[np.float64]

_BLOCK = 2048


class NormalEquations:
    """Sums ``k k^T``, ``k y^T`` and ``|y|^2`` over rows, k the kernel values at the landmarks; they grow and merge.

    Parameters
    ----------
    span : Nystrom
        Landmarks and their factor. In float32 products of a block are float32, sums of blocks float64.
    n_outputs : int
        Columns of the labels.
    """

    def __init__(self, span: Nystrom, n_outputs: int) -> None:
        r = len(span.landmarks)
        self.span, self.n_rows, self.square = span, 0, 0.0
        self._upper, self.labels = np.zeros((r, r), order="F"), np.zeros((r, n_outputs))

    def update(self, X: Array, Y: Array) -> NormalEquations:
        """Take in rows that `as_ball_rows` has read, and their labels (n, q)."""
        r = len(self.span.landmarks)
        values = np.empty(r * min(_BLOCK, len(X)), dtype=self.span.landmarks.dtype)
        for first in range(0, len(X), _BLOCK):
            y = np.asarray(Y[first : first + _BLOCK], dtype=np.float64)
            K = values[: r * len(y)].reshape(r, len(y))
            kernel_values(self.span.landmarks, X[first : first + _BLOCK], self.span.depth, K)
            if K.dtype == np.float64:  # the upper triangle, where it is
                self._upper = dsyrk(1.0, K.T, beta=1.0, c=self._upper, trans=1, overwrite_c=1)
            else:
                self._upper += ssyrk(1.0, K.T, trans=1)
            self.labels += K @ y.astype(K.dtype)
            self.square += float(np.vdot(y, y))
            self.n_rows += len(y)
            progress.report("normal equations", first + len(y), len(X))
        return self

    @property
    def products(self) -> Array:
        """Sum of k k^T (r, r)."""
        return np.asarray(np.triu(self._upper) + np.triu(self._upper, 1).T)

    def merge(self, other: NormalEquations) -> NormalEquations:
        """Take in the rows of another one over the same landmarks; sums round, so their order shows in last bits."""
        if not np.array_equal(self.span.landmarks, other.span.landmarks) or self.span.depth != other.span.depth:
            raise ValueError("other: has other landmarks or another depth; merge sums over the same span")
        self._upper += other._upper
        self.labels += other.labels
        self.square += other.square
        self.n_rows += other.n_rows
        return self

    def solved(self) -> Spectrum:
        """The problem in the axes in which it is diagonal."""
        R = self.span.factor
        half = solve_triangular(R, self.products, lower=True, overwrite_b=True)
        A = solve_triangular(R, half.T, lower=True, overwrite_b=True)
        values, axes = eigh(A, driver="evd", overwrite_a=True, check_finite=False)
        labels = solve_triangular(R, self.labels, lower=True)
        return Spectrum(self, np.maximum(values, 0.0), axes, axes.T @ labels)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Normal equations by eigenvalues (r,) and axes (r, r) of the features; `along` (r, q) the labels by axes."""

    sums: NormalEquations
    values: Array
    axes: Array
    along: Array

    def penalty(self, radius: float) -> float:
        """The penalty, times n, at which the norm is the radius; next to none where the ball does not bind."""
        return penalty_at(self.values, np.sum(self.along**2, axis=1), radius)[0]

    def norm_and_slope(self, penalty: float) -> tuple[float, float]:
        """Norm of the minimiser at a penalty, and its derivative."""
        shifted, squares = self.values + penalty, np.sum(self.along**2, axis=1)
        norm = math.sqrt(float(np.sum(squares / shifted**2)))
        return norm, -float(np.sum(squares / shifted**3)) / max(norm, 1e-300)

    def weights(self, penalty: float) -> Array:
        """Weights (r, q) of the features at a penalty."""
        return self.axes @ (self.along / (self.values + penalty)[:, np.newaxis])

    def fit(self, penalty: float, radius: float, unseen: float = 0.0, exact: bool = False) -> BallFit:
        """The best function of the span at a penalty, with its dual value.

        `unseen` is what tr a^T K a, a = Y - f, has beyond the span; without it the dual bounds the span alone.
        """
        sums, w = self.sums, self.along / (self.values + penalty)[:, np.newaxis]
        n, explained = sums.n_rows, float(np.vdot(w, self.along))
        primal = max(0.0, 0.5 * (sums.square - 2 * explained + float(np.sum(self.values[:, np.newaxis] * w * w))) / n)
        left = self.along - self.values[:, np.newaxis] * w
        dual = dual_value(
            np.empty((n, 0)), sums.square - explained - n * primal, float(np.vdot(left, left)) + unseen, radius
        )
        return BallFit(
            coefficients=sums.span.coefficients(self.axes @ w),
            norm=float(np.linalg.norm(w)),
            penalty=penalty / n,
            primal=primal,
            dual=dual,
            iterations=1,
            exact_gap=exact,
        )

    def error_on(self, other: NormalEquations, penalty: float) -> float:
        """Mean squared error of the fit at a penalty on the rows of other sums over the same span."""
        beta = self.sums.span.coefficients(self.weights(penalty))
        total = other.square - 2 * float(np.vdot(beta, other.labels)) + float(np.vdot(beta, other.products @ beta))
        return total / other.n_rows
