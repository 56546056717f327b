"""Exact labels at a poor optimum: most rows have the right activation pattern there, and an exact fit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ENOUGH = 10_000  # rows, more than take part
MAX_UNKNOWNS = 600  # of one output whose fit costs less than a second
_SHARE, _SPARE = 0.5, 1.25  # of the rows, or times the unknowns: the majority
_LEFT_OUT = 0.1  # of the rows, at least: else there is no test
_ROWS = 8, 2000  # for each unknown or in all, that take part
_ROUNDS, _LESS = 6, 0.5  # of choosing the majority anew, while that leaves less by such a factor
_NO_NOISE = 1e-6  # residual of the majority, relative to that of all, that noise does not leave


def exact_share(X: Array, residuals: Array, gates: Array) -> float:
    """Share of the rows whose labels are exact although a least-squares optimum is not; 0 where there may be noise.

    Few patterns are wrong at a poor optimum of exact labels: of rows between a kink and where it should be. With
    patterns as they are labels are linear in the weights, so the half of the rows with the smallest residuals can be
    fitted exactly; noise leaves no such fit to many more rows than unknowns. Our own form.

    Parameters
    ----------
    X : ndarray (n, d)
        Inputs, with a column of ones for biases.
    residuals : ndarray (n, m)
        Of the optimum, which is linear where the gates do not change.
    gates : ndarray (n, q)
        One for a linear part, then what each neuron multiplies its inputs by.
    """
    p = gates.shape[1] * X.shape[1]
    n = min(len(X), max(_ROWS[0] * p, _ROWS[1]))
    most = int(max(_SHARE * n, _SPARE * p))
    if p > MAX_UNKNOWNS or most > (1 - _LEFT_OUT) * n:
        return 0.0
    chosen = np.linspace(0, len(X) - 1, n).astype(np.int64)
    X, residuals, gates = X[chosen], residuals[chosen], gates[chosen]
    design = (gates[:, :, None] * X[:, None, :]).reshape(n, -1)
    allowed = _NO_NOISE * np.sqrt(np.mean(residuals**2) * residuals.shape[1])
    size, before = np.linalg.norm(residuals, axis=1), np.inf
    for _ in range(_ROUNDS):
        kept = np.sort(np.argpartition(size, most)[:most])
        left = residuals - design @ np.linalg.lstsq(design[kept], residuals[kept], rcond=None)[0]
        size = np.linalg.norm(left, axis=1)
        if size[kept].max() <= allowed:
            return float(np.mean(size <= allowed))
        after = float(np.sum(size[kept] ** 2))
        if after > _LESS * before:
            break
        before = after
    return 0.0
