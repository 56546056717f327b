"""Directions on which labels depend, from second moments weighted by the labels and by their squares.

For Gaussian x and any function h, E[h(y) (x x^T - I)] has its range in the span of the hidden weights. h(r) = r, the
residual of the linear fit, is the moment T_2, which may vanish; h(r) = r^2 then shows what it hides (our own
addition). What stands out is told by the same moment with the rows of h permuted: the edge of its noise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

EDGE = 1.05  # times the largest eigenvalue of the permuted moment
_CLIPPED = 0.9995  # quantile of r^2 beyond which it is cut: few rows must not be the moment
_ROWS = 4096


def label_subspace(X: Array, root: Array, r: Array, most: int, rng: np.random.Generator) -> Array:
    """Orthonormal directions (q, e) of whitened inputs on which r depends, strongest first, q <= most.

    Parameters
    ----------
    X : ndarray (n, d)
        Inputs.
    root : ndarray (d, e)
        ``X root`` has second moment I.
    r : ndarray (n,)
        Labels without what is known of them: at least without their linear part.
    most : int
        Directions at most; at least one is returned.
    rng : numpy.random.Generator
        Permutes rows.
    """
    square = np.minimum(r**2, np.quantile(r**2, _CLIPPED))
    weights = [r - r.mean(), square - square.mean()]
    shuffled = rng.permutation(len(r))
    moments = weighted_moments(X, root, np.array([*weights, *(w[shuffled] for w in weights)]))
    strength: list[float] = []
    directions: list[Array] = []
    for moment, chance in zip(moments[:2], moments[2:], strict=True):
        edge = float(np.abs(np.linalg.eigvalsh(chance)).max()) or 1.0
        values, vectors = np.linalg.eigh(moment)
        strength.extend(np.abs(values) / edge)
        directions.extend(vectors.T)
    order = np.argsort(-np.array(strength), kind="stable")
    kept: list[Array] = []
    for i in order:
        if len(kept) == most or (kept and strength[i] < EDGE):
            break
        rest = directions[i] - sum((q * (q @ directions[i]) for q in kept), np.zeros(root.shape[1]))
        if np.linalg.norm(rest) > 0.1:
            kept.append(rest / np.linalg.norm(rest))
    return np.array(kept)


def weighted_moments(X: Array, root: Array, weights: Array) -> Array:
    """Means of w z z^T over the rows (p, e, e) for each row of weights (p, n), z = root^T x, in one pass."""
    e = root.shape[1]
    out = np.zeros((len(weights), e, e))
    for first in range(0, len(X), _ROWS):
        Z = X[first : first + _ROWS] @ root
        for moment, w in zip(out, weights[:, first : first + _ROWS], strict=True):
            moment += (Z * w[:, None]).T @ Z
    return out / len(X)
