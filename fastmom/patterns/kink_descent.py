"""Gauss-Newton for sums of kinks, f(x) = v.x + sum_j s_j phi(b_j.x): activation patterns make them linear.

With the pattern of every row fixed, f is linear in v and c_j = s_j b_j. A step solves that least-squares problem, by
conjugate gradients whose products group the rows by pattern (`fastmom.kernels.kinks`), preconditioned by the
expectation of the normal matrix for Gaussian x of the rows' second moment. phi(t) is t where t > 0 and slope t
elsewhere: slope -1 with v is the canonical form of every network without hidden biases (`fastmom.patterns.kinks`),
slope 0 without v the rectifiers themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.kernels.kinks import grouped_product_pass, grouped_scratch, kink_pass, kink_scratch
from fastmom.patterns.gated_sum import population_normal
from fastmom.runtime.passes import Pass, Rows, sum_over_rows

Array = npt.NDArray[np.float64]

EVEN, RECTIFIED = -1.0, 0.0  # slopes of |t| and of the rectifier
_BLOCK = 4096
_RANK = 1e-12  # eigenvalue of the scaled second moment, relative, that counts as none
_MOMENT_ROWS = 50  # for each input, at least, that give the second moment
_EXACT = 1e-30  # share of the labels' sum of squares that counts as none
_TOLERANCE = 1e-2  # of the conjugate gradients, relative: a step is followed by another
_ITERATIONS = 60
_SHRINK = (1.0, 0.5, 0.2, 0.05, 0.01)
SETTLED = 1e-2  # label variances gained by a step that count as none


@dataclass(frozen=True, eq=False)
class KinkRows:
    """Rows, and the coordinates in which their second moment is the identity.

    Attributes
    ----------
    X : ndarray (n, d)
    y : ndarray (n,)
    root : ndarray (d, r)
        ``X root`` has second moment I; r is the rank of X.
    back : ndarray (r, d)
        Left inverse of `root`.
    """

    X: Array
    y: Array
    root: Array
    back: Array

    @property
    def energy(self) -> float:
        """Sum of squared labels."""
        return float(self.y @ self.y)

    def part(self, size: int) -> KinkRows:
        """Evenly spaced rows, all of them where that is not many more."""
        if 1.5 * size >= len(self.X):
            return self
        chosen = np.linspace(0, len(self.X) - 1, size).astype(np.int64)
        return replace(self, X=np.ascontiguousarray(self.X[chosen]), y=self.y[chosen])


def read_rows(X: Array, y: Array) -> KinkRows:
    """Measure the second moment of X (n, d), directions that no row sees left out."""
    unit = np.maximum(X.max(axis=0), -X.min(axis=0))
    unit[unit == 0] = 1.0
    step = max(1, len(X) // (_MOMENT_ROWS * X.shape[1]))
    values, vectors = _second_moment(X[::step], unit)
    if step > 1 and not (values > _RANK * values[-1]).all():  # a direction that only the other rows may see
        values, vectors = _second_moment(X, unit)
    kept = values > _RANK * values[-1]
    scale = np.sqrt(values[kept])
    return KinkRows(X, y, vectors[:, kept] / scale / unit[:, None], (vectors[:, kept] * scale).T * unit)


def _second_moment(X: Array, unit: Array) -> tuple[Array, Array]:
    """Eigenvalues and vectors of the second moment of X / unit."""
    second = np.zeros((X.shape[1], X.shape[1]))
    for first in range(0, len(X), _BLOCK):
        block = X[first : first + _BLOCK] / unit
        second += block.T @ block
    values, vectors = np.linalg.eigh(second / len(X))
    return values, vectors


@dataclass(frozen=True, eq=False)
class KinkPoint:
    """Kinks on some rows.

    Attributes
    ----------
    B : ndarray (k, d)
        Kinks, the size of their coefficients in them.
    signs : ndarray (k,)
        Of the coefficients; zero for kinks without effect so far.
    v : ndarray (d,)
        Linear part, zero where there is none.
    loss : float
        Sum of squared residuals.
    pulled : ndarray (2^k, d)
        Rows weighted by their residuals, summed by pattern.
    codes : ndarray (n,)
        Pattern of every row, whole numbers.
    """

    B: Array
    signs: Array
    v: Array
    loss: float
    pulled: Array
    codes: Array

    @property
    def unknowns(self) -> Array:
        """v, then s_j b_j (1 + k, d)."""
        return np.vstack([self.v, self.signs[:, None] * self.B])


@dataclass(frozen=True, eq=False)
class KinkFit:
    """Where a descent ended: the point, whether its loss is stationary, and the steps it took."""

    point: KinkPoint
    converged: bool
    steps: int


def evaluate(rows: KinkRows, slope: float, B: Array, signs: Array, v: Array) -> KinkPoint:
    """Loss, gradient by pattern, and patterns, in one pass."""
    k, d = B.shape
    codes = np.empty(len(rows.X))

    def keep(first: int, values: Array) -> None:
        codes[first : first + len(values)] = values

    parameters = (np.vstack([B, v]), np.ascontiguousarray(signs), np.array([slope]))
    width, scratch = 1 + (d << k), kink_scratch(d, k)
    sums = _sum(Rows(rows.X, rows.y[:, None]), kink_pass, parameters, width, scratch, 2.0 * d * (k + 2), keep)
    return KinkPoint(B, signs, v, float(sums[0]), sums[1:].reshape(-1, d), codes)


def _sum(
    rows: Rows,
    kernel: Pass,
    parameters: tuple[Array, ...],
    width: int,
    scratch: int,
    flops: float,
    visit: Callable[[int, Array], None] | None = None,
) -> Array:
    size = min(_BLOCK, rows.n_rows)
    return sum_over_rows(
        rows,
        kernel,
        parameters,
        width=width,
        scratch_width=-(-scratch // size),
        row_flops=flops,
        stage="fitting kinks",
        size=size,
        visit=visit,
    )


def start(rows: KinkRows, B: Array, *, slope: float = EVEN) -> KinkPoint:
    """Kinks b_j of no effect yet: their first step is the least-squares fit for their patterns."""
    return evaluate(rows, slope, B, np.zeros(len(B)), np.zeros(B.shape[1]))


def descend(
    rows: KinkRows,
    point: KinkPoint,
    *,
    slope: float = EVEN,
    linear: bool = True,
    max_steps: int = 40,
    settled: float = SETTLED,
) -> KinkFit:
    """Gauss-Newton from a point of these rows.

    Parameters
    ----------
    rows : KinkRows
        Rows that count.
    point : KinkPoint
        Start.
    slope : float
        Of phi where its argument is negative, -1 or 0.
    linear : bool
        Whether v is fitted; it stays zero if not.
    max_steps : int
        At most.
    settled : float
        Gain of a step, in label variances, that counts as none.
    """
    factors = np.where(np.arange(1 << len(point.B))[:, None] >> np.arange(len(point.B)) & 1, 1.0, slope)
    factors = np.hstack([np.full((len(factors), 1), float(linear)), factors])
    for step in range(max_steps):
        if point.loss <= _EXACT * rows.energy:
            return KinkFit(point, True, step)
        direction = _direction(rows, point, factors, slope, linear)
        trial = _line_search(rows, point, direction, slope)
        if trial is None:
            return KinkFit(point, True, step)
        gain = (point.loss - trial.loss) / point.loss
        point = trial
        if gain < settled / len(rows.X):
            return KinkFit(point, True, step + 1)
    return KinkFit(point, False, max_steps)


def _line_search(rows: KinkRows, point: KinkPoint, direction: Array, slope: float) -> KinkPoint | None:
    """The first of some shrinking steps that lowers the loss; None if none does."""
    before = point.unknowns
    for shrink in _SHRINK:
        after = before + shrink * direction
        along = np.einsum("ij,ij->i", after[1:] @ rows.back.T, point.B @ rows.back.T)
        signs = np.where(along < 0, -1.0, 1.0)
        trial = evaluate(rows, slope, signs[:, None] * after[1:], signs, after[0])
        if trial.loss < point.loss:
            return trial
    return None


def _direction(rows: KinkRows, point: KinkPoint, factors: Array, slope: float, linear: bool) -> Array:
    """Solution (1 + k, d) of the normal equations of the fixed pattern, by preconditioned conjugate gradients."""
    (codes, q), d = factors.shape, rows.X.shape[1]
    coded = Rows(rows.X, point.codes[:, None])
    scratch = grouped_scratch(d, codes)

    def product(P: Array) -> Array:
        sums = _sum(coded, grouped_product_pass, (factors @ P,), codes * d, scratch, 4.0 * d)
        return np.asarray(factors.T @ sums.reshape(codes, d))

    precondition = Preconditioner(rows, point.B, slope, linear)
    solution, residual = np.zeros((q, d)), -(factors.T @ point.pulled)
    z = precondition(residual)
    direction, energy = z.copy(), float(np.sum(residual * z))
    limit = _TOLERANCE**2 * energy
    for _ in range(_ITERATIONS):
        image = product(direction)
        curvature = float(np.sum(direction * image))
        if curvature <= 0 or not np.isfinite(curvature):
            break
        solution += energy / curvature * direction
        residual -= energy / curvature * image
        z = precondition(residual)
        before, energy = energy, float(np.sum(residual * z))
        if energy <= limit:
            break
        direction = z + energy / before * direction
    return solution


class Preconditioner:
    """Inverse of the expected normal matrix of all patterns, for Gaussian x.

    In whitened coordinates E[g_i g_j x x^T] is C_ij I beyond the span of the kinks, C_ij = E[g_i g_j], and a small
    matrix on it: cheap for any d. The g are 1 for the linear part, then phi'(b_j.x).
    """

    def __init__(self, rows: KinkRows, B: Array, slope: float, linear: bool) -> None:
        self._rows, self._linear = rows, linear
        whitened = B @ rows.back.T
        k = len(B)
        self._basis = np.linalg.qr(whitened.T)[0]
        inner = whitened @ self._basis
        r = inner.shape[1]
        mean = (1 + slope) / 2
        span = np.zeros((1 + k, r, 1 + k, r))
        span[0, :, 0, :] = np.eye(r)
        for j in range(1, 1 + k):
            span[0, :, j, :] = span[j, :, 0, :] = mean * np.eye(r)
        span[1:, :, 1:, :] = population_normal(inner, slope).reshape(k, r, k, r)
        units = whitened / np.linalg.norm(whitened, axis=1, keepdims=True).clip(min=1e-300)
        angles = np.arccos(np.clip(units @ units.T, -1.0, 1.0))
        np.fill_diagonal(angles, 0.0)
        beyond = np.full((1 + k, 1 + k), mean)
        beyond[0, 0] = 1.0
        beyond[1:, 1:] = mean**2 + ((1 - slope) / 2) ** 2 * (1 - 2 * angles / np.pi)
        first = 0 if linear else 1
        self._span = _factor(span[first:, :, first:, :].reshape((1 + k - first) * r, -1))
        self._beyond = _factor(beyond[first:, first:])
        self._first = first

    def __call__(self, G: Array) -> Array:
        """Apply to G (1 + k, d); the row of a linear part that is not fitted stays zero."""
        whitened = G[self._first :] @ self._rows.root
        inner = whitened @ self._basis
        outer = scipy.linalg.cho_solve(self._beyond, whitened - inner @ self._basis.T, check_finite=False)
        inner = scipy.linalg.cho_solve(self._span, inner.reshape(-1), check_finite=False).reshape(inner.shape)
        out = np.zeros_like(G)
        out[self._first :] = (outer + inner @ self._basis.T) @ self._rows.root.T
        return out


def _factor(matrix: Array) -> tuple[Array, bool]:
    """Cholesky factor for `cho_solve`, raised a little where the matrix is singular."""
    for ridge in (1e-10, 1e-6, 1e-3):
        raised = matrix.copy()
        raised[np.diag_indices_from(raised)] += ridge
        try:
            return scipy.linalg.cho_factor(raised, check_finite=False)
        except np.linalg.LinAlgError:
            continue
    return np.eye(len(matrix)), False
