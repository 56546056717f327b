"""Gauss-Newton to the least-squares optimum on all rows, output weights eliminated.

With the pattern fixed, the network is linear in the hidden weights and, apart from them, in the output weights A.
Eliminating A exactly (variable projection, Kaufman's form) leaves a system in the hidden weights alone,
``(G - H K^-1 H^T) * (A^T A)``: G the activation Gram, H = D^T F, K = F^T F, the product blockwise. Because
F = D w, both H and K follow from G. The number of outputs does not enter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.kernels import forward
from fastmom.patterns.activation_gram import activation_gram
from fastmom.patterns.model import Model, ModelClass
from fastmom.runtime.passes import Rows, sum_over_rows

Array = npt.NDArray[np.float64]

MAX_UNKNOWNS = 4000  # hidden weights whose normal matrix is held and factored
NEGLIGIBLE = 1e-3  # the optimum itself lies p label variances below the truth, p parameters
_PAIR_CHUNK = 1 << 12
_PATTERN_CHUNK = 1 << 16


@dataclass(frozen=True)
class Point:
    """A network with optimal output weights.

    Attributes
    ----------
    model : Model
        Hidden weights of unit norm, output weights by least squares.
    loss : float
        Sum of squared residuals over all rows.
    gradient : ndarray (k, d)
        Of half the loss with respect to the hidden weights.
    feature_gram : ndarray (q, q)
        F^T F of the neurons' functions, and of the constant when there is an output bias.
    """

    model: Model
    loss: float
    gradient: Array
    feature_gram: Array


@dataclass(frozen=True)
class Descent:
    """Outcome of the iteration.

    Attributes
    ----------
    point : Point
        Where it ended.
    converged : bool
        Whether the loss is stationary: steps reduce it by less than `NEGLIGIBLE` of one label's noise.
    iterations : int
        Steps taken.
    """

    point: Point
    converged: bool
    iterations: int


def evaluate(rows: Rows, kind: ModelClass, W: Array) -> Point:
    """Optimal output weights for the hidden weights W (k, d), the loss and its gradient, in two passes."""
    W = W / np.linalg.norm(W, axis=1, keepdims=True)
    (k, d), m = W.shape, rows.n_outputs
    q = k + kind.output_bias
    empty = Model(W, np.zeros((k + 1, m)), k, kind)
    sums = sum_over_rows(
        rows,
        forward.label_moments_pass,
        empty.parameters(),
        width=(k + 1) * (k + 1 + m),
        scratch_width=3 * k + 1,
        row_flops=2.0 * k * (d + k + m),
        stage="fitting output weights",
    )
    feature_gram = sums[: (k + 1) ** 2].reshape(k + 1, k + 1)[:q, :q]
    cross = sums[(k + 1) ** 2 :].reshape(k + 1, m)[:q]
    outer = np.zeros((k + 1, m))
    outer[:q] = _solve_scaled(feature_gram, cross)
    model = Model(W, outer, k, kind)
    sums = sum_over_rows(
        rows,
        forward.gradient_pass,
        model.parameters(),
        width=1 + k * d,
        scratch_width=2 * k + m,
        row_flops=2.0 * k * (2 * d + 2 * m),
        stage="fitting",
    )
    return Point(model, float(sums[0]), sums[1:].reshape(k, d), feature_gram)


def _solve_scaled(gram: Array, right: Array) -> Array:
    """Solve a semidefinite system after scaling its diagonal to one; directions at round-off are dropped."""
    scale = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
    values, vectors = scipy.linalg.eigh(gram / np.outer(scale, scale), check_finite=False)
    kept = values > 1e-14 * values[-1]
    inner = vectors[:, kept]
    return np.asarray((inner @ ((inner.T @ (right / scale[:, None])) / values[kept, None])) / scale[:, None])


def normal_matrix(rows: Rows, point: Point) -> Array:
    """Reduced normal matrix (k d, k d) of the hidden weights, output weights eliminated; scale left free."""
    model = point.model
    W, slope = model.W, model.kind.slope
    k, d = W.shape
    q = len(point.feature_gram)
    G = np.zeros((k, d, k, d))
    constant = np.zeros((k, d))
    upper = np.triu_indices(k)
    by_pattern = k <= 12 and rows.n_rows >= 4 << k
    for _, X, _ in rows.chunks(_PATTERN_CHUNK if by_pattern else _PAIR_CHUNK):
        gates = np.ascontiguousarray((X @ W.T > 0).T)
        blocks = activation_gram(X, gates.view(np.uint8))
        if slope:
            blocks = _leaky(blocks, X.T @ X, slope, k)
        for block, i, j in zip(blocks, *upper, strict=True):
            G[i, :, j, :] += block
        constant += np.where(gates, 1.0, slope) @ X
    for i, j in zip(*upper, strict=True):
        G[j, :, i, :] = G[i, :, j, :].T
    H = np.empty((k, d, q))
    H[:, :, :k] = np.einsum("iajb,jb->iaj", G, W)
    if q > k:
        H[:, :, k] = constant
    flat = H.reshape(k * d, q)
    G -= (flat @ _solve_scaled(point.feature_gram, flat.T)).reshape(k, d, k, d)
    outer = model.outer[:k]
    G *= (outer @ outer.T)[:, None, :, None]
    return G.reshape(k * d, k * d)


def _leaky(blocks: Array, total: Array, slope: float, k: int) -> Array:
    """Turn Grams over common active rows into sums of s_i s_j x x^T with slopes {1, slope}."""
    own = {i: block for block, i, j in zip(blocks, *np.triu_indices(k), strict=True) if i == j}
    out = np.empty_like(blocks)
    for p, (i, j) in enumerate(zip(*np.triu_indices(k), strict=True)):
        out[p] = slope**2 * total + slope * (1 - slope) * (own[i] + own[j]) + (1 - slope) ** 2 * blocks[p]
    return out


def descend(rows: Rows, kind: ModelClass, W: Array, *, max_iterations: int = 60, damping: float = 1e-3) -> Descent:
    """Levenberg-Marquardt from W (k, d) until the loss is stationary.

    Parameters
    ----------
    rows : Rows
        All rows that count.
    kind : ModelClass
        Activation and biases.
    W : ndarray (k, d)
        Hidden weights to start from, bias included.
    max_iterations : int
        Steps at most.
    damping : float
        Of the first step, relative to the diagonal; zero for a plain Gauss-Newton step.
    """
    point = evaluate(rows, kind, W)
    for iteration in range(max_iterations):
        trial, damping = _step(rows, kind, point, damping)
        if trial is None:
            return Descent(point, True, iteration)
        gain = (point.loss - trial.loss) / point.loss if point.loss else 0.0
        point = trial
        if gain < NEGLIGIBLE / (rows.n_rows * rows.n_outputs):
            return Descent(point, True, iteration + 1)
    return Descent(point, False, max_iterations)


def _step(rows: Rows, kind: ModelClass, point: Point, damping: float) -> tuple[Point | None, float]:
    """One accepted step and the next damping; None when no damping reduces the loss."""
    W = point.model.W
    k, d = W.shape
    N = normal_matrix(rows, point)
    diagonal = np.diag(N).copy()
    for i in range(k):  # hold the scale of each neuron, along which the loss is flat
        at = slice(i * d, (i + 1) * d)
        N[at, at] += max(diagonal[at].mean(), np.finfo(float).tiny) * np.outer(W[i], W[i])
    scale = np.sqrt(np.maximum(np.diag(N), 1e-12 * np.diag(N).max()))
    N /= np.outer(scale, scale)
    right = -point.gradient.reshape(-1) / scale
    for _ in range(12):
        system = N.copy()
        system[np.diag_indices_from(system)] += damping + 1e-13
        factor, failed = scipy.linalg.lapack.dpotrf(system, lower=0, overwrite_a=1)
        if not failed:
            step = scipy.linalg.lapack.dpotrs(factor, right)[0] / scale
            trial = evaluate(rows, kind, W + step.reshape(k, d))
            if trial.loss < point.loss:
                return trial, max(damping / 10, 1e-14)
            if np.abs(step).max() < 1e-14:
                return None, damping
        damping = max(8 * damping, 1e-12)
    return None, damping
