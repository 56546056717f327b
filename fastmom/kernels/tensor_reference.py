"""What `fastmom.kernels.tensor` and `hermite_products` compute, in plain NumPy: tests hold the kernels to these."""

from __future__ import annotations

from math import factorial

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite_e import hermeval

Array = npt.NDArray[np.float64]


def svec(Z: Array) -> Array:
    """``svec(z z^T)`` of every row (n, k (k + 1) / 2): z_i z_j, i <= j, row by row, times sqrt(2) where i < j."""
    i, j = np.triu_indices(Z.shape[1])
    return Z[:, i] * Z[:, j] * np.where(i == j, 1.0, np.sqrt(2.0))


def distinguishing_pass(
    X: Array, Y: Array, coordinates: Array, p_map: Array, q_map: Array, bounded: Array
) -> tuple[Array, Array, Array, Array]:
    """``G^T F``, ``G^T G`` and the sums of G and F over rows.

    ``F = svec(q q^T) - svec(p p^T)``, p = p_map^T x, q = 2 q_map^T y - p, and ``G = svec(x~ x~^T)``,
    x~ = coordinates^T x, of length one if bounded[0] > 0; x~ = 0 stays.
    """
    x, p = X @ coordinates, X @ p_map
    length = np.linalg.norm(x, axis=1, keepdims=True)
    G = svec(x / np.where((length > 0) & (bounded[0] > 0), length, 1.0))
    F = svec(2 * Y @ q_map - p) - svec(p)
    return G.T @ F, G.T @ G, G.sum(axis=0), F.sum(axis=0)


def small_tensor_pass(X: Array, w: Array, V: Array, order: int) -> tuple[Array, Array, Array]:
    """Sums over rows of w z, of w z_i z_j for i <= j, and the tensor of w z x .. x z, z = V^T x."""
    Z, axes = X @ V, "abcd"[:order]
    i, j = np.triu_indices(Z.shape[1])
    tensor = np.einsum("n," + ",".join("n" + a for a in axes) + "->" + axes, w, *[Z] * order)
    return w @ Z, w @ (Z[:, i] * Z[:, j]), tensor


def face_splitting_pass(Z: Array, X: Array, w: Array) -> Array:
    """``sum of w z_i z_j x_a x_b``, a row for each i <= j, a column for each a <= b."""
    (i, j), (a, b) = np.triu_indices(Z.shape[1]), np.triu_indices(X.shape[1])
    return (w[:, None] * Z[:, i] * Z[:, j]).T @ (X[:, a] * X[:, b])


def hermite_pass(X: Array, w: Array, V: Array, exponents: npt.NDArray[np.int64]) -> Array:
    """``sum of w prod_j He_{a_j}(z_j) / sqrt(a_j!)`` for every row a of the exponents, z = V^T x."""
    degrees = range(int(exponents.max(initial=0)) + 1)
    g = np.array([hermeval(X @ V, np.eye(len(degrees))[a]) / np.sqrt(factorial(a)) for a in degrees])
    return np.array([w @ np.prod([g[a, :, j] for j, a in enumerate(row)], axis=0) for row in exponents])
