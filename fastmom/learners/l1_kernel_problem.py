"""What `fastmom.learners.l1_kernel` solves: rows in the unit ball and labels, solver by solver."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.rkhs.ball import BallFit
from fastmom.rkhs.classes import read_classes
from fastmom.rkhs.conjugate_gradients import squared_by_gradients
from fastmom.rkhs.features import Nystrom, nystrom_features
from fastmom.rkhs.hinge import hinge_ball
from fastmom.rkhs.logistic import logistic_ball, logistic_in_features
from fastmom.rkhs.normal_equations import NormalEquations, Spectrum
from fastmom.rkhs.products import MAX_DEPTH, as_ball_rows, kernel_values, product_with
from fastmom.rkhs.squared import squared_ball, squared_penalised
from fastmom.runtime.validation import as_count, as_labels, as_matrix, as_number, require_finite

Array = npt.NDArray[Any]

_SEARCH = 400  # landmarks that choose the radius
_SAMPLE = 1000  # rows that estimate what the dual value has beyond the span
_PENALTIES = np.logspace(-10, 1, 45)


class Problem:
    """Rows, labels, and what solvers share. All random choices come from one generator."""

    def __init__(
        self,
        X: Array,
        Y: Array,
        depth: float,
        loss: str,
        scale: float,
        names: Array | None,
        n_landmarks: int | None,
        rng: np.random.Generator,
    ) -> None:
        self.X, self.Y, self.depth, self.loss, self.scale, self.names = X, Y, depth, loss, scale, names
        self.n_rows, self.n_landmarks = len(X), n_landmarks
        self._search_rng, self._span_rng, self._solver_rng = rng.spawn(3)

    @property
    def loss_at_zero(self) -> float:
        """Loss of the function zero, to the order of magnitude."""
        return 0.5 * float(np.vdot(self.Y, self.Y)) / self.n_rows if self.loss == "squared" else 1.0

    @functools.cached_property
    def trace(self) -> float:
        """Trace of the kernel matrix."""
        s = 1.0 - np.einsum("ij,ij->i", self.X, self.X, dtype=np.float64)
        return float(np.sum(1.0 - s / (1.0 + self.depth * s)))

    @functools.cached_property
    def kernel(self) -> Array:
        """The kernel matrix (n, n), float64."""
        return kernel_values(self.double, None, self.depth)

    @functools.cached_property
    def double(self) -> Array:
        """Rows in float64."""
        return as_ball_rows(self.X, dtype=np.float64) if self.X.dtype == np.float64 else _clipped(self.X)

    def span(self, size: int, rng: np.random.Generator) -> Nystrom:
        """Features of some rows, drawn without replacement."""
        rows = np.sort(rng.choice(self.n_rows, min(self.n_rows, size), replace=False))
        landmarks = np.ascontiguousarray(self.X[rows])
        landmarks.flags.writeable = False
        return nystrom_features(landmarks, self.depth)

    @functools.cached_property
    def _search(self) -> tuple[Spectrum, Spectrum, NormalEquations]:
        """The least-squares problems of all rows and of three quarters, and the sums of the held-out quarter."""
        span = self.span(_SEARCH, self._search_rng)
        order = self._search_rng.permutation(self.n_rows)
        held, kept = (np.sort(part) for part in np.split(order, [max(1, self.n_rows // 4)]))
        sums = [NormalEquations(span, self.Y.shape[1]).update(self.X[rows], self.Y[rows]) for rows in (kept, held)]
        part = sums[0].solved()
        whole = NormalEquations(span, self.Y.shape[1]).merge(sums[0]).merge(sums[1]).solved()
        return whole, part, sums[1]

    def held_out_radius(self) -> float:
        """Norm at the penalty with the least squared error on the held-out quarter."""
        whole, part, held = self._search
        errors = [part.error_on(held, penalty * part.sums.n_rows) for penalty in _PENALTIES]
        norm = whole.norm_and_slope(float(_PENALTIES[int(np.argmin(errors))]) * self.n_rows)[0]
        return norm if norm > 0 else 1.0

    def solve(self, solver: str, radius: float) -> tuple[BallFit, Array]:
        """The fit of a solver, and the points of its coefficients."""
        if solver == "nystrom":
            span = self._span[0]
            return (
                self._squared_span(radius) if self.loss == "squared" else self._logistic_span(radius)
            ), span.landmarks
        if solver == "pcg":
            return self._by_gradients(radius), self.double
        if self.loss == "squared":
            return squared_ball(self.kernel, self.Y, radius), self.double
        return (logistic_ball if self.loss == "logistic" else hinge_ball)(self.kernel, self.Y, radius), self.double

    def penalised(self, solver: str, penalty: float) -> tuple[BallFit, Array]:
        """The fit of the squared loss with a penalty, in the ball of its norm, and the points of its coefficients."""
        if solver == "nystrom":
            norm = self._spectrum.norm_and_slope(penalty * self.n_rows)[0]
            return self._span_fit(penalty * self.n_rows, norm), self._span[0].landmarks
        if solver == "pcg":
            return self._by_gradients(None, penalty), self.double
        return squared_penalised(self.kernel, self.Y, penalty), self.double

    def _by_gradients(self, radius: float | None, penalty: float | None = None) -> BallFit:
        size = self.n_landmarks or (500 if self.n_rows < 10_000 else 1000)
        rng = np.random.default_rng(self._solver_seed)
        return squared_by_gradients(self.double, self.Y, self.depth, radius, rng, n_landmarks=size, penalty=penalty)

    @functools.cached_property
    def _solver_seed(self) -> int:
        return int(self._solver_rng.integers(2**62))

    @functools.cached_property
    def _span(self) -> tuple[Nystrom, Array]:
        """The landmarks' span, and the rows that estimate what is beyond it."""
        size = self.n_landmarks or max(100, min(1000, 4 * math.isqrt(self.n_rows)))
        span = self.span(size, self._span_rng)
        return span, np.sort(self._span_rng.choice(self.n_rows, min(self.n_rows, _SAMPLE), replace=False))

    @functools.cached_property
    def _spectrum(self) -> Spectrum:
        return NormalEquations(self._span[0], self.Y.shape[1]).update(self.X, self.Y).solved()

    def _squared_span(self, radius: float) -> BallFit:
        return self._span_fit(self._spectrum.penalty(radius), radius)

    def _span_fit(self, penalty: float, radius: float) -> BallFit:
        """The fit at a penalty times n, with an estimate of its dual value in the whole ball."""
        spectrum = self._spectrum
        fit = spectrum.fit(penalty, radius)
        return spectrum.fit(penalty, radius, self._unseen(spectrum, penalty, fit))

    def _unseen(self, spectrum: Spectrum, penalty: float, fit: BallFit) -> float:
        """Estimate of tr a^T (K - K_span) a, a = Y - f, from some rows: K_span is the control variate."""
        span, rows = self._span
        a = self.Y - product_with(self.X, span.landmarks, fit.coefficients, self.depth)
        own = span.coefficients(spectrum.axes @ (spectrum.along * penalty / (spectrum.values + penalty)[:, np.newaxis]))
        sample = np.ascontiguousarray(self.X[rows])
        sample.flags.writeable = False
        beyond = product_with(sample, self.X, a, self.depth) - product_with(sample, span.landmarks, own, self.depth)
        return max(0.0, float(np.vdot(a[rows], beyond)) * self.n_rows / len(rows))

    def _logistic_span(self, radius: float) -> BallFit:
        span = self._span[0]
        found = logistic_in_features(span.features(self.X), self.Y, radius)
        return BallFit(
            coefficients=span.coefficients(found.weights),
            norm=float(np.linalg.norm(found.weights)),
            penalty=found.penalty,
            primal=found.primal,
            dual=found.primal - found.gap,
            iterations=found.steps,
            exact_gap=False,
        )


def read_problem(
    X: Any, Y: Any, depth: Any, loss: str, n_landmarks: Any, rescale: Any, rng: np.random.Generator
) -> Problem:
    """Validated rows and labels."""
    p = as_number(depth, "depth", 0.0, MAX_DEPTH)
    size = None if n_landmarks is None else as_count(n_landmarks, "n_landmarks")
    if not isinstance(rescale, bool):
        rescale = as_number(rescale, "rescale", np.finfo(np.float64).tiny)
    matrix = as_matrix(X)
    require_finite(matrix, "X")
    scale = 1.0 if isinstance(rescale, bool) else rescale
    if rescale is True:
        squares = np.einsum("ij,ij->i", *(2 * [np.asarray(matrix, dtype=np.float64)]))
        scale = float(np.sqrt(squares.max())) or 1.0
    rows = as_ball_rows(matrix, scale=scale)
    if loss == "squared":
        labels = as_labels(Y, len(rows))
        require_finite(labels, "Y")
        return Problem(rows, np.ascontiguousarray(labels, dtype=np.float64), p, loss, scale, None, size, rng)
    classes = read_classes(Y, len(rows))
    return Problem(rows, classes.columns(loss), p, loss, scale, classes.names, size, rng)


def _clipped(X: Array) -> Array:
    """float32 rows in float64, those that round-off left outside the ball brought back."""
    rows = np.asarray(X, dtype=np.float64)
    rows = rows / np.maximum(1.0, np.linalg.norm(rows, axis=1))[:, np.newaxis]
    rows.flags.writeable = False
    return rows
