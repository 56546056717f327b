"""What the passes of `quartic` and `gated_sum` compute, in plain NumPy."""

import numpy as np


def quartic_gradient(X, w, B, alpha, beta):
    """Sum of w (alpha (S^2 - F) + beta F), S = sum_j u_j^2, F = sum_j u_j^4, u = B x, and its gradient by B."""
    u = X @ B.T
    S, F = np.sum(u**2, axis=1), np.sum(u**4, axis=1)
    slopes = w[:, None] * (4 * alpha * u * (S[:, None] - u**2) + 4 * beta * u**3)
    return np.sum(w * (alpha * (S**2 - F) + beta * F)), slopes.T @ X


def quartic_product(X, w, B, D, alpha, beta):
    """Derivative of that gradient along D."""
    u, e = X @ B.T, X @ D.T
    S, c = np.sum(u**2, axis=1, keepdims=True), np.sum(u * e, axis=1, keepdims=True)
    curved = e * (4 * alpha * (S - u**2) + 12 * beta * u**2) + 8 * alpha * u * (c - u * e)
    return (w[:, None] * curved).T @ X


def gated_gradient(X, y, W, slope):
    """Sum of squared residuals of sum_j f(w_j.x), f the rectifier of that slope, and the gradient of half of it."""
    t = X @ W.T
    r = np.where(t > 0, t, slope * t).sum(axis=1) - y
    return r @ r, (np.where(t > 0, 1.0, slope) * r[:, None]).T @ X


def gated_product(X, gates, P):
    """Normal matrix of the gated inputs times P."""
    design = (gates[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    return (design.T @ (design @ P.ravel())).reshape(P.shape)
