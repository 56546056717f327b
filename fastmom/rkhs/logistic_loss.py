"""The logistic loss of one column of values and labels -1 and 1, and the softmax loss of several."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def loss(F: Array, Y: Array) -> float:
    """Mean logistic loss of values F (n, q)."""
    if Y.shape[1] == 1:
        return float(np.mean(np.logaddexp(0.0, -Y * F)))
    top = F.max(axis=1, keepdims=True)
    logs = np.log(np.exp(F - top).sum(axis=1)) + top[:, 0]
    return float(np.mean(logs - np.sum(Y * F, axis=1)))


def probabilities(F: Array) -> Array:
    """Softmax of the rows of F (n, q); of one column, the probability of +1."""
    if F.shape[1] == 1:
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * F))
    powers = np.exp(F - F.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def entropy(F: Array) -> float:
    """Sum over rows of the entropy of the probabilities: -loss* of the certificate at a = -loss'."""
    P = probabilities(F)
    if F.shape[1] == 1:
        P = np.hstack([P, 1 - P])
    return -float(np.sum(P * np.log(np.maximum(P, np.finfo(np.float64).tiny))))


def loss_gradient(F: Array, Y: Array) -> Array:
    """Derivative (n, q) of each row's loss by its values."""
    if Y.shape[1] == 1:
        return np.asarray(-Y * probabilities(-Y * F))
    return probabilities(F) - Y
