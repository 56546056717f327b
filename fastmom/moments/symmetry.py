"""What a theorist asks of the inputs: whether they are symmetric, and whether they distinguish the neurons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.moments.whitening import symmetric_roots

Array = npt.NDArray[np.float64]


def distinguishing_values(X: Array, W: Array) -> Array:
    """Singular values of the distinguishing matrix of hidden weights W (k, d) on rows X, columns of unit norm.

    Columns E[s_i s_j 1{s_i s_j <= 0} x~ (x) x~], i < j, and E[x~ (x) x~], x~ the inputs with unit covariance: the
    paper's guarantee holds if the smallest is positive.
    """
    X = X / (np.abs(X).max() or 1.0)
    x, S = X @ symmetric_roots(X.T @ X / len(X)).inverse_root, X @ W.T
    i, j = np.triu_indices(len(W), 1)
    weights = np.column_stack([np.minimum(S[:, i] * S[:, j], 0.0), np.ones(len(X))])
    a, b = np.triu_indices(x.shape[1])
    products = x[:, a] * x[:, b] * np.where(a == b, 1.0, np.sqrt(2.0))
    D = products.T @ weights / len(X)
    norms = np.linalg.norm(D, axis=0)
    return np.asarray(np.linalg.svd(D / np.where(norms > 0, norms, 1.0), compute_uv=False))


def asymmetry(X: Array, rng: np.random.Generator) -> float:
    """Bound on the probability of so much asymmetry in rows X (n, d) whose law is that of -X.

    Sums of odd functions of random and coordinate directions, normalised by the root of their sum of squares. Given
    the rows up to sign they are sums of random signs, for which Hoeffding bounds P(|t| > a) by 2 exp(-a^2/2).
    """
    largest = np.abs(X).max(axis=0)
    x = X / np.where(largest > 0, largest, 1.0)
    x /= np.sqrt(np.maximum(np.mean(x**2, axis=0), np.finfo(float).tiny))
    d = x.shape[1]
    directions = np.hstack([np.eye(d), rng.standard_normal((d, d)) / np.sqrt(d)])
    t = x @ directions
    odd = np.hstack([np.sign(t), np.clip(t, -3.0, 3.0) ** 3])
    squares = np.einsum("ij,ij->j", odd, odd)
    score = odd.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1.0)
    return float(min(1.0, 2 * odd.shape[1] * np.exp(-score.max() / 2)))
