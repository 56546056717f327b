"""What the kernels of `fastmom.kernels.even_odd`, `.gated_products` and `.lattice` compute, in plain NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def pack(M: Array) -> Array:
    """A symmetric matrix as one row: (0, 0), (0, 1), ..., (0, d - 1), (1, 1), ..."""
    return M[np.triu_indices(len(M))]


def joint_gram(X: Array, active: npt.NDArray[np.bool_], i: int, j: int) -> Array:
    """``sum of x x^T`` over the rows on which neurons i and j are active, packed; active (n, k)."""
    both = X[active[:, i] & active[:, j]]
    return pack(both.T @ both)


def joint_products(G: Array, V: Array) -> Array:
    """``G_ij v_j`` (k, k, d) of G (k, k, d, d)."""
    return np.einsum("ijab,jb->ija", G, V)


def normal_matrix(G: Array, projected: Array, coupling: Array, held: Array, scale: Array) -> Array:
    """``((G - P) * coupling + blockdiag(h_i h_i^T)) * (scale scale^T)`` (k d, k d); G (k, k, d, d), P (k d, k d)."""
    k, d = scale.shape
    N = (G.transpose(0, 2, 1, 3) - projected.reshape(k, d, k, d)) * coupling[:, None, :, None]
    for i, h in enumerate(held):
        N[i, :, i, :] += np.outer(h, h)
    flat: Array = (N * scale[:, :, None, None] * scale).reshape(k * d, k * d)
    return flat


def jacobian_product(X: Array, gates: Array, P: Array, outer: Array) -> Array:
    """Outputs (n, m) moved by moving the hidden weights by P (k, d); gates (n, k), outer (k, m)."""
    return np.einsum("ni,nd,id,im->nm", gates, X, P, outer)


def transposed_product(X: Array, gates: Array, R: Array, outer: Array) -> Array:
    """``J^T R`` (k, d) of residuals R (n, m)."""
    return np.einsum("ni,nd,nm,im->id", gates, X, R, outer)
