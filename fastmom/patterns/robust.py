"""Labels of which a share is wrong: robust Gauss-Newton, with row weights that end on the rows that fit exactly.

Row weights of Geman and McClure, ``1 / (1 + (r / s)^2)^2`` with r the residual norm of a row and s the median of them
all. Once a network fits more than half of the rows the median, and with it the influence of the others, falls to
zero: the fit becomes exact, whatever the other labels are. The combination is our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.patterns import noisy
from fastmom.patterns.model import ModelClass
from fastmom.patterns.normal_system import solve_scaled
from fastmom.patterns.sample import draw_sample

Array = npt.NDArray[np.float64]

STEPS = 60  # of one start at most
LOCKED = 1e-9  # median residual, relative to that of the labels, at which a start has found its rows
PATIENCE = 12  # steps in which a start must have
STALLED = 0.9  # reduced its best median to this share, or it is given up
OUTSIZED = 5.0  # times the median of |y| / |x|: labels that large are left out of the search
_FAR = 1e50  # spreads: no weight
_DAMPING = 1e-2, 1e-7  # first and last, relative to the diagonal
_EASING = 0.4  # of the damping from step to step
_FLOOR = 1e-12  # of the diagonal, relative to its largest entry


@dataclass(frozen=True)
class Fitted:
    """Where one start ended.

    Attributes
    ----------
    W : ndarray (k, d)
        Hidden weights of unit norm.
    outer : ndarray (k + 1, m)
        Output weights, the output bias last.
    spread : float
        Residual norm that the share of the rows stays below, relative to the median of the labels.
    """

    W: Array
    outer: Array
    spread: float


def functions(X: Array, W: Array, kind: ModelClass) -> tuple[Array, Array]:
    """Gates (n, k), and the neurons' functions with the constant of an output bias (n, k + 0 or 1)."""
    T = X @ W.T
    gates = np.where(T > 0, 1.0, kind.slope)
    F = T * gates
    return gates, np.column_stack([F, np.ones(len(X))]) if kind.output_bias else F


def weighted_outer(F: Array, Y: Array, weights: Array) -> Array:
    """Output weights (q, m) of least weighted squares."""
    weighted = F * weights[:, None]
    return solve_scaled(weighted.T @ F, weighted.T @ Y)


def geman_mcclure(residuals: Array, spread: float) -> Array:
    """Row weights (n,) for residual norms (n,): one for rows far below the spread, zero for rows far above."""
    if spread == 0:
        return (residuals == 0).astype(float)
    return np.asarray(1.0 / (1.0 + np.minimum(residuals / spread, _FAR) ** 2) ** 2)


def robust_step(X: Array, W: Array, weights: Array, R: Array, outer: Array, damping: float, kind: ModelClass) -> Array:
    """Hidden weights after a Gauss-Newton step on weighted rows, output weights eliminated; see `normal_system`."""
    (n, d), k = X.shape, len(W)
    gates, F = functions(X, W, kind)
    root = np.sqrt(weights)
    D = ((gates * root[:, None])[:, :, None] * X[:, None, :]).reshape(n, k * d)
    F *= root[:, None]
    H = D.T @ F
    A = outer[:k]
    blocks = (D.T @ D - H @ solve_scaled(F.T @ F, H.T)).reshape(k, d, k, d) * (A @ A.T)[:, None, :, None]
    N = blocks.reshape(k * d, k * d)
    gradient = (gates * ((R * weights[:, None]) @ A.T)).T @ X
    diagonal = np.diag(N).copy()
    largest = diagonal.max()
    if not largest > 0:
        return W
    for i, w in enumerate(W):
        at = slice(i * d, (i + 1) * d)
        N[at, at] += max(diagonal[at].mean(), _FLOOR * largest) * np.outer(w, w)
    scale = np.sqrt(np.maximum(np.diag(N), _FLOOR * largest))
    N /= np.outer(scale, scale)
    N[np.diag_indices_from(N)] += damping
    factor, failed = scipy.linalg.lapack.dpotrf(N, lower=0, overwrite_a=1)
    if failed:
        return W
    step = scipy.linalg.lapack.dpotrs(factor, gradient.ravel() / scale)[0] / scale
    moved = W + step.reshape(k, d)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True))


def descend_robustly(
    X: Array, Y: Array, W: Array, kind: ModelClass, *, share: float = 0.5, patience: int = PATIENCE
) -> Fitted:
    """Robust Gauss-Newton from W (k, d) until the residual of that `share` of the rows is at round-off, or stalls."""
    unit = float(np.median(np.linalg.norm(Y, axis=1))) or 1.0
    W = W / np.linalg.norm(W, axis=1, keepdims=True)
    damping, weights = _DAMPING[0], np.ones(len(X))
    spreads: list[float] = []
    cut = min(len(X) - 1, int(share * len(X)))
    while True:
        _, F = functions(X, W, kind)
        for _ in range(2):  # weights and output weights that agree with each other
            outer = weighted_outer(F, Y, weights)
            R = Y - F @ outer
            residuals = np.linalg.norm(R, axis=1)
            spread = float(np.partition(residuals, cut)[cut])
            weights = geman_mcclure(residuals, max(spread, 1e-15 * unit))
        spreads.append(spread / unit)
        stalled = len(spreads) > patience and min(spreads[-patience:]) > STALLED * min(spreads[:-patience])
        if spreads[-1] < LOCKED or stalled or len(spreads) > STEPS:
            break
        W = robust_step(X, W, weights, R, outer, damping, kind)
        damping = max(_EASING * damping, _DAMPING[1])
    whole = np.vstack([outer, np.zeros((0 if kind.output_bias else 1, Y.shape[1]))])
    return Fitted(W, whole, spreads[-1])


def plausible_rows(X: Array, Y: Array) -> npt.NDArray[np.bool_]:
    """Rows whose labels are of ordinary size for their inputs."""
    centred = Y - np.median(Y, axis=0)
    size = np.linalg.norm(X, axis=1)
    ratio = np.linalg.norm(centred, axis=1) / np.where(size > 0, size, 1.0)
    typical = float(np.median(ratio))
    return np.asarray(ratio <= OUTSIZED * typical) if typical > 0 else np.ones(len(X), dtype=bool)


def first_weights(X: Array, Y: Array, kind: ModelClass, k: int, number: int, rng: np.random.Generator) -> Array:
    """Hidden weights (k, d) to start from: the neurons that ascents find, for the first starts; random ones then."""
    scale = np.sqrt(np.mean(X * X, axis=0))
    W = rng.standard_normal((k, X.shape[1])) / np.where(scale > 0, scale, 1.0)
    if number < 2 and k <= Y.shape[1]:
        known = np.ones((len(X), int(kind.output_bias)))
        sample = draw_sample(X, Y, known, max_rank=k)
        pool, _ = noisy.candidate_neurons(sample, kind.slope, rng)
        chosen = noisy.choose_greedily(sample, known, pool, kind.slope, k)
        W[: len(chosen)] = chosen
    return W
