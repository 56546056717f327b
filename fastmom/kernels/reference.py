"""What the compiled kernels compute, in plain NumPy: obvious and slow. Tests hold the kernels to these."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.kernels.pattern import MAX_STEPS, RIDGE, STALL

Array = npt.NDArray[np.float64]


def gated_gram(XZ: Array, v: Array) -> Array:
    """``M = X_S^T [X_S, Z_S]`` (d, d + r), XZ = [X, Z] (n, d + r), S the rows with x.v > 0."""
    active = XZ[XZ[:, : len(v)] @ v > 0]
    return active[:, : len(v)].T @ active


def snap_step(XZ: Array, n_known: int, slope: float, v: Array) -> tuple[float, Array]:
    """Top canonical correlation rho^2 of the gated inputs with the label space, and its direction.

    ``D = diag(s) X``, s_i = 1 where x_i.v > 0 and `slope` elsewhere; Z = [Z_0, Z_1], its first `n_known`
    columns apart. ``C = D^T D - (D^T Z_0)(D^T Z_0)^T + ridge I`` and ``B = D^T Z_1``: rho^2 is the largest
    eigenvalue of ``B^T C^-1 B``, a its eigenvector; ``C^-1 B a``, normalised and on the side of v, the direction.
    The ridge is `RIDGE` times the mean diagonal of the active rows' Gram. Without correlation v stays.
    """
    X, Z = XZ[:, : len(v)], XZ[:, len(v) :]
    active = X @ v > 0
    D = np.where(active[:, None], X, slope * X)
    known, B = np.hsplit(D.T @ Z, [n_known])
    if not B.any():
        return 0.0, v
    C = D.T @ D - known @ known.T + RIDGE / len(v) * np.sum(X[active] ** 2) * np.eye(len(v))
    values, vectors = np.linalg.eigh(B.T @ np.linalg.solve(C, B))
    w = np.linalg.solve(C, B @ vectors[:, -1])
    return float(values[-1]), w / np.linalg.norm(w) * (1 if w @ v > 0 else -1)


def snap_ascent(XZ: Array, n_known: int, slope: float, v: Array) -> tuple[float, int, Array]:
    """``v <- snap_step(v)`` until the active rows stay the same: (rho^2, steps, v).

    Also stops without any correlation, after `MAX_STEPS`, and when `STALL` steps brought no better one.
    """
    rho2 = best = 0.0
    best_step, active = 0, None
    for step in range(MAX_STEPS):
        before, active = active, XZ[:, : len(v)] @ v > 0
        if np.array_equal(active, before) or step > best_step + STALL:
            return rho2, step, v
        rho2, v = snap_step(XZ, n_known, slope, v)
        if rho2 == 0:
            return rho2, step + 1, v
        if rho2 > best * (1 + 1e-12):
            best, best_step = rho2, step
    return rho2, MAX_STEPS, v


def gram_of_rows(X: Array, rows: npt.NDArray[np.int64]) -> Array:
    """``sum over the given rows of x x^T`` (d, d): a group of `pattern_grams`."""
    return X[rows].T @ X[rows]


def pair_gram(X: Array, gates: npt.NDArray[np.uint8], i: int, j: int) -> Array:
    """``sum of g_i g_j x x^T`` (d, d) over all rows, g_i in {0, 1} a row of `gates`: one of `pair_grams`."""
    return (X.T * (gates[i] & gates[j])) @ X


def network(X: Array, hidden: Array, outer: Array, slopes: Array) -> tuple[Array, Array, Array]:
    """``F = [f(X hidden), 1]`` (n, k + 1), the derivatives f' (n, k), and the outputs ``F outer`` (n, m)."""
    T = X @ hidden
    gates = np.where(T > 0, 1.0, slopes)
    F = np.column_stack([T * gates, np.ones(len(X))])
    return F, gates, F @ outer


def residual_pass(X: Array, Y: Array, hidden: Array, outer: Array, slopes: Array) -> tuple[Array, Array]:
    """``R = F outer - Y``: squares by output, then rows with f > 1e-12 |x| |w| by neuron (m + k); by row (n).

    A row's squares are relative to ``(|y| + |c| + |x| sum_j |w_j| |a_j|)^2``.
    """
    F, _, outputs = network(X, hidden, outer, slopes)
    squares, length = (outputs - Y) ** 2, np.linalg.norm
    reach = length(hidden, axis=0) @ length(outer[:-1], axis=1)
    size = length(Y, axis=1) + length(outer[-1]) + reach * length(X, axis=1)
    edge = 1e-12 * np.outer(length(X, axis=1), length(hidden, axis=0))
    return np.concatenate([squares.sum(axis=0), (F[:, :-1] > edge).sum(axis=0)]), squares.sum(axis=1) / size**2


def gradient_pass(X: Array, Y: Array, hidden: Array, outer: Array, slopes: Array) -> Array:
    """``|R|^2``, then the gradient of half of it by hidden^T, ``((R outer_k^T) * f')^T X`` (1 + k d)."""
    _, gates, outputs = network(X, hidden, outer, slopes)
    R = outputs - Y
    return np.concatenate([[np.sum(R**2)], (((R @ outer[:-1].T) * gates).T @ X).ravel()])


def label_moments_pass(X: Array, Y: Array, hidden: Array, outer: Array, slopes: Array) -> Array:
    """``F^T F`` (k + 1, k + 1), then ``F^T Y`` (k + 1, m), flattened."""
    F, _, _ = network(X, hidden, outer, slopes)
    return np.concatenate([(F.T @ F).ravel(), (F.T @ Y).ravel()])
