"""Levenberg-Marquardt for sums of neurons with unit weight vectors, y = sum_i a_i f(b_i.x), f any activation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.activations import Activation
from fastmom.runtime import progress

Array = npt.NDArray[np.float64]

MAX_UNKNOWNS = 1500  # whose normal matrix is formed
_CHUNK = 1 << 21  # entries of the Jacobian at once
_EXACT = 1e-29  # share of the labels' sum of squares that counts as none
_SETTLED = 1e-2  # label variances gained by a step that count as none


@dataclass(frozen=True)
class SmoothFit:
    """Where the iteration ended.

    Attributes
    ----------
    B : ndarray (k, d)
        Unit rows.
    a : ndarray (k,)
        Output weights.
    loss : float
        Sum of squared residuals.
    converged : bool
        Whether the loss is stationary.
    steps : int
        Accepted steps.
    weakest : float
        Smallest eigenvalue of the normal matrix, its diagonal scaled to one: zero where the rows leave something open.
    """

    B: Array
    a: Array
    loss: float
    converged: bool
    steps: int
    weakest: float


def fit_smooth_sum(X: Array, y: Array, f: Activation, B: Array, a: Array, *, max_steps: int = 60) -> SmoothFit:
    """Descend from unit rows B (k, d) and output weights a (k,) to the least-squares optimum on X (n, d), y (n,)."""
    energy, damping = float(y @ y), 1e-3
    loss, N, right = _normal(X, y, f, B, a)
    for step in range(max_steps):
        progress.report("fitting")
        if loss <= _EXACT * energy:
            return SmoothFit(B, a, loss, True, step, _weakest(N))
        trial = None
        while damping < 1e6 and trial is None:
            trial = _trial(X, y, f, B, a, loss, N, right, damping)
            damping = max(damping / 10, 1e-14) if trial is not None else 10 * damping
        if trial is None:
            return SmoothFit(B, a, loss, True, step, _weakest(N))
        B, a, found = trial
        gain = (loss - found) / loss
        loss, N, right = _normal(X, y, f, B, a)
        if gain < _SETTLED / len(X):
            return SmoothFit(B, a, loss, True, step + 1, _weakest(N))
    return SmoothFit(B, a, loss, False, max_steps, _weakest(N))


def squared_loss(X: Array, y: Array, f: Activation, B: Array, a: Array) -> float:
    """Sum of squared residuals."""
    total = 0.0
    for first in range(0, len(X), 1 << 13):
        r = y[first : first + (1 << 13)] - f(X[first : first + (1 << 13)] @ B.T) @ a
        total += float(r @ r)
    return total


def _trial(
    X: Array, y: Array, f: Activation, B: Array, a: Array, loss: float, N: Array, right: Array, damping: float
) -> tuple[Array, Array, float] | None:
    """The network after a step, and its loss, if that is lower."""
    scale = np.sqrt(np.maximum(np.diag(N), np.finfo(float).tiny))
    system = N / np.outer(scale, scale)
    system[np.diag_indices_from(system)] += damping + 1e-13
    try:
        step = scipy.linalg.solve(system, right / scale, assume_a="pos") / scale
    except np.linalg.LinAlgError:
        return None
    moved = B + step[: B.size].reshape(B.shape)
    rows, weights = moved / np.linalg.norm(moved, axis=1, keepdims=True), a + step[B.size :]
    found = squared_loss(X, y, f, rows, weights)
    return (rows, weights, found) if found < loss else None


def _normal(X: Array, y: Array, f: Activation, B: Array, a: Array) -> tuple[float, Array, Array]:
    """Loss, normal matrix with the rows' lengths held, and right-hand side."""
    k, d = B.shape
    q = k * d + k
    N, right, loss = np.zeros((q, q)), np.zeros(q), 0.0
    size = max(64, _CHUNK // q)
    for first in range(0, len(X), size):
        x = X[first : first + size]
        t = x @ B.T
        value = f(t)
        r = y[first : first + size] - value @ a
        J = np.empty((len(x), q))
        J[:, : k * d] = ((f.derivative(t) * a)[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        J[:, k * d :] = value
        N += J.T @ J
        right += J.T @ r
        loss += float(r @ r)
    for i, b in enumerate(B):
        at = slice(i * d, (i + 1) * d)
        N[at, at] += max(float(np.trace(N[at, at])) / d, np.finfo(float).tiny) * np.outer(b, b)
    return loss, N, right


def _weakest(N: Array) -> float:
    scale = np.sqrt(np.maximum(np.diag(N), np.finfo(float).tiny))
    return float(scipy.linalg.eigvalsh(N / np.outer(scale, scale), subset_by_index=(0, 0))[0])
