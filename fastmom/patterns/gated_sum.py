"""Gauss-Newton for sums of neurons with positive output weights, y = sum_i f(w_i.x), f a (leaky) rectifier.

With positive output weights moved into w, a fixed activation pattern makes the network linear in all unknowns. Each
step is a least-squares problem for the current pattern, never formed: conjugate gradients with products over the rows,
preconditioned by the expectation of the normal matrix for standard Gaussian x, which has a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.kernels.gated_sum import gated_gradient_pass, gated_product_pass, gated_scratch
from fastmom.patterns.model import ModelClass
from fastmom.runtime.passes import Pass, Rows, sum_over_rows

Array = npt.NDArray[np.float64]

ROWS_PER_UNKNOWN = 10  # on which a start is brought to rest before all rows count
_BLOCK = 4096
_TOLERANCE = 1e-3  # of the conjugate gradients, relative
_SLOW = 30  # iterations from which the preconditioner is renewed
_EXACT = 1e-29  # share of the labels' sum of squares that counts as none
SETTLED = 1e-2  # label variances gained by a step that count as none


@dataclass(frozen=True)
class GatedFit:
    """Where the iteration ended.

    Attributes
    ----------
    W : ndarray (k, d)
        Hidden weights with the output weights in them.
    loss : float
        Sum of squared residuals.
    gradient : ndarray (k, d)
        Of half the loss.
    converged : bool
        Whether the loss is stationary.
    steps : int
        Gauss-Newton steps.
    """

    W: Array
    loss: float
    gradient: Array
    converged: bool
    steps: int


def fit_gated_sum(
    X: Array, y: Array, kind: ModelClass, W: Array, *, max_steps: int = 40, settled: float = SETTLED
) -> GatedFit:
    """Descend from W (k, d), first on as many rows as determine it, then on all.

    Parameters
    ----------
    X : ndarray (n, d)
        Inputs, about standard Gaussian for speed.
    y : ndarray (n,)
        Labels.
    kind : ModelClass
        The activation, "relu" or "leaky_relu".
    W : ndarray (k, d)
        Start.
    max_steps : int
        Gauss-Newton steps at most.
    settled : float
        Gain of a step, in label variances, that counts as none.
    """
    few = ROWS_PER_UNKNOWN * W.size
    if 2 * few < len(X):
        chosen = np.linspace(0, len(X) - 1, few).astype(np.int64)
        W = _descend(np.ascontiguousarray(X[chosen]), y[chosen], kind, W, max_steps, settled).W
    return _descend(X, y, kind, W, max_steps, settled)


def _descend(X: Array, y: Array, kind: ModelClass, W: Array, max_steps: int, settled: float) -> GatedFit:
    rows, energy = Rows(X, y[:, None]), float(y @ y)
    loss, gradient = _evaluate(rows, kind, W)
    factor, iterations = population_factor(W, kind.slope), 0
    for step in range(max_steps):
        if loss <= _EXACT * energy:
            return GatedFit(W, loss, gradient, True, step)
        if iterations > _SLOW:
            factor = population_factor(W, kind.slope)
        direction, iterations = _solve(X, kind, W, -gradient, factor)
        trial = None
        for shrink in (1.0, 0.5, 0.25, 0.125, 0.03):
            candidate = W + shrink * direction
            value, slope = _evaluate(rows, kind, candidate)
            if value < loss:
                trial = candidate, value, slope
                break
        if trial is None:
            return GatedFit(W, loss, gradient, True, step)
        gain = (loss - trial[1]) / loss
        W, loss, gradient = trial
        if gain < settled / rows.n_rows:
            return GatedFit(W, loss, gradient, True, step + 1)
    return GatedFit(W, loss, gradient, False, max_steps)


def _evaluate(rows: Rows, kind: ModelClass, W: Array) -> tuple[float, Array]:
    """Loss, and the gradient of half of it."""
    parameters = (np.ascontiguousarray(W), np.array([kind.slope]))
    sums = _sum(rows, gated_gradient_pass, parameters, 1 + W.size)
    return float(sums[0]), sums[1:].reshape(W.shape)


def _sum(rows: Rows, kernel: Pass, parameters: tuple[Array, ...], width: int) -> Array:
    k, d = parameters[0].shape
    size = min(_BLOCK, rows.n_rows)
    return sum_over_rows(
        rows,
        kernel,
        parameters,
        width=width,
        scratch_width=-(-gated_scratch(d, k) // size),
        row_flops=4.0 * k * d,
        stage="fitting",
        size=size,
    )


def _solve(X: Array, kind: ModelClass, W: Array, right: Array, factor: Array) -> tuple[Array, int]:
    """Solution (k, d) of the normal equations, and the conjugate gradient iterations it took."""
    gated = _gated_rows(X, kind, W)
    k, d = W.shape

    def product(P: Array) -> Array:
        return _sum(gated, gated_product_pass, (P,), k * d).reshape(k, d)

    def precondition(R: Array) -> Array:
        return np.asarray(scipy.linalg.lapack.dpotrs(factor, R.reshape(-1))[0].reshape(k, d))

    solution, residual = np.zeros_like(right), right.copy()
    z = precondition(residual)
    direction, energy = z.copy(), float(np.sum(residual * z))
    limit = _TOLERANCE**2 * energy
    for iteration in range(100):
        image = product(direction)
        curvature = float(np.sum(direction * image))
        if curvature <= 0 or not np.isfinite(curvature):
            return solution, iteration
        solution += energy / curvature * direction
        residual -= energy / curvature * image
        z = precondition(residual)
        before, energy = energy, float(np.sum(residual * z))
        if energy <= limit:
            return solution, iteration + 1
        direction = z + energy / before * direction
    return solution, 100


def _gated_rows(X: Array, kind: ModelClass, W: Array) -> Rows:
    """Inputs, with the gates of every neuron as labels."""
    gates = np.empty((len(X), len(W)))
    for first in range(0, len(X), _BLOCK):
        gates[first : first + _BLOCK] = np.where(X[first : first + _BLOCK] @ W.T > 0, 1.0, kind.slope)
    return Rows(X, gates)


def population_normal(W: Array, slope: float = 0.0) -> Array:
    """E[g_i g_j x x^T] for standard Gaussian x, all blocks (k d, k d); g_i is one where w_i.x > 0, else the slope.

    For the rectifier, with unit u_i and the angle t between two: block (i, i) is I / 2, block (i, j) is
    ((pi - t) I + n_ij u_j^T + n_ji u_i^T) / (2 pi), n_ij = (u_i - cos t u_j) / sin t.
    """
    k, d = W.shape
    U = W / np.linalg.norm(W, axis=1, keepdims=True)
    cosines = np.clip(U @ U.T, -1.0, 1.0)
    angles = np.arccos(cosines)
    np.fill_diagonal(angles, 0.0)
    sines = np.sqrt(np.maximum(1 - cosines**2, 1e-12))
    out = np.empty((k, d, k, d))
    for i in range(k):
        normal = (U[i] - cosines[i][:, None] * U) / sines[i][:, None]  # n_ij
        other = (U - cosines[i][:, None] * U[i]) / sines[i][:, None]  # n_ji
        block = normal[:, :, None] * U[:, None, :] + other[:, :, None] * U[i]
        block[i] = 0.0
        block += (np.pi - angles[i])[:, None, None] * np.eye(d)
        block *= (1 - slope) ** 2 / (2 * np.pi)
        block += slope * np.eye(d)  # slope^2 + slope (1 - slope), as E[g x x^T] = I / 2
        out[i] = block.transpose(1, 0, 2)
    return out.reshape(k * d, k * d)


def population_factor(W: Array, slope: float) -> Array:
    """Cholesky factor (upper, for LAPACK) of the population normal matrix; raised a little where it is singular."""
    for ridge in (1e-10, 1e-6, 1e-2):
        N = population_normal(W, slope)
        N[np.diag_indices_from(N)] += ridge
        factor, failed = scipy.linalg.lapack.dpotrf(N.T, lower=0, overwrite_a=1)
        if not failed:
            return np.asarray(factor)
    return np.eye(W.size, order="F")


def smallest_eigenvalue(X: Array, kind: ModelClass, W: Array) -> float:
    """Smallest eigenvalue of the normal matrix of all weights, relative to its expectation for standard Gaussian X.

    About (1 - sqrt(unknowns / rows))^2 for Gaussian rows, zero where they leave a weight open. By Lanczos iterations on
    the preconditioned matrix, stopped early: an estimate from above by at most a few per cent.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    k, d = W.shape
    upper = population_factor(W, kind.slope)
    few = ROWS_PER_UNKNOWN * W.size
    if 2 * few < len(X):  # what some rows determine, all do
        X = np.ascontiguousarray(X[np.linspace(0, len(X) - 1, few).astype(np.int64)])
    gated = _gated_rows(X, kind, W)

    def product(v: Array) -> Array:
        P = scipy.linalg.blas.dtrsv(upper, v).reshape(k, d)
        image = _sum(gated, gated_product_pass, (P,), k * d) / len(X)
        return np.asarray(scipy.linalg.blas.dtrsv(upper, image, trans=1))

    if k * d < 30:
        columns = [product(e) for e in np.eye(k * d)]
        return float(np.linalg.eigvalsh(np.array(columns))[0])
    operator = LinearOperator((k * d, k * d), matvec=product, dtype=np.float64)
    try:
        found = eigsh(
            operator, k=1, which="SA", tol=0.05, maxiter=40, v0=np.cos(np.arange(k * d)), return_eigenvectors=False
        )
    except ArpackNoConvergence:
        return 0.0
    return float(found[0])
