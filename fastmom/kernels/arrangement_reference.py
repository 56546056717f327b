"""What the kernels of `arrangement` compute, in plain NumPy: obvious and slow. Tests hold the kernels to these."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def best_explained(X: Array, y: Array) -> float:
    """Largest square of y along f(X w) over all w: least squares on all 2^n patterns, with up to d - 1 rows on edges.

    A point counts if its pattern is the one it was solved on.
    """
    n, d = X.shape
    best = 0.0
    for pattern in itertools.product((False, True), repeat=n):
        active = np.array(pattern)
        for edges in (e for size in range(d) for e in itertools.combinations(range(n), size)):
            plane = np.linalg.svd(X[list(edges)])[2][len(edges) :].T if edges else np.eye(d)
            w = plane @ np.linalg.lstsq(X[active] @ plane, y[active], rcond=None)[0]
            for v in (w, -w):
                t = X @ v
                t[list(edges)] = 0.0
                others = np.delete(np.arange(n), edges)
                f = np.maximum(t, 0.0)
                if f.any() and np.array_equal(t[others] > 0, active[others]):
                    best = max(best, float((f @ y) ** 2 / (f @ f)))
    return best


def vanishing(Z: Array, a: Array, tolerance: float) -> npt.NDArray[np.bool_]:
    """Rows of Z (n, r) on which the vector a (r,) vanishes, to a tolerance relative to both."""
    return np.asarray(np.abs(Z @ a) < tolerance * np.linalg.norm(Z, axis=1) * np.linalg.norm(a))
