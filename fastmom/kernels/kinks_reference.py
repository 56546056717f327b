"""What the kernels of kinks compute, in plain NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def codes(X: Array, B: Array) -> npt.NDArray[np.int64]:
    """The code of every row: bit j says b_j.x > 0."""
    return np.asarray((X @ B.T > 0) @ (1 << np.arange(len(B))))


def residuals(X: Array, y: Array, B: Array, v: Array, signs: Array, slope: float) -> Array:
    """``v.x + sum_j s_j phi(b_j.x) - y``, phi(t) = t where t > 0 and slope t elsewhere."""
    T = X @ B.T
    return np.asarray(X @ v + np.where(T > 0, T, slope * T) @ signs - y)


def rows_by_code(X: Array, weights: Array, code: npt.NDArray[np.int64], n_codes: int) -> Array:
    """Sums of the weighted rows of each code (n_codes, d)."""
    return np.array([weights[code == c] @ X[code == c] for c in range(n_codes)])


def grouped_product(X: Array, code: npt.NDArray[np.int64], E: Array) -> Array:
    """Sums of (x.E[code]) x over the rows of each code (n_codes, d)."""
    return rows_by_code(X, np.einsum("ij,ij->i", X, E[code]), code, len(E))


def pattern_fit(Z: Array, y: Array, B: Array) -> Array:
    """Least-squares unknowns (1 + k, m), v and then s_j b_j, for the patterns of B (k, m) held fixed."""
    G = np.column_stack([np.ones(len(Z)), np.where(Z @ B.T > 0, 1.0, -1.0)])
    design = (G[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)
    return np.asarray(np.linalg.lstsq(design, y, rcond=None)[0].reshape(-1, Z.shape[1]))
