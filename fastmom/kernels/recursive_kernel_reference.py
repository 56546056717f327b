"""What the compiled kernels of `fastmom.kernels.recursive_kernel` compute, in plain NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def recursion(t: Array, depth: int) -> Array:
    """``K_0 = t``, ``K_{p+1} = 1 / (2 - K_p)``: the definition, for whole depths."""
    for _ in range(depth):
        t = 1.0 / (2.0 - t)
    return t


def kernel_tiles(X: Array, Z: Array, depth: float) -> Array:
    """``1 - s / (1 + p s)``, s = 1 - x.z (n, m); the products themselves at depth zero."""
    s = 1.0 - X @ Z.T
    return 1.0 - s / (1.0 + depth * s)


def kernel_product(X: Array, Z: Array, V: Array, depth: float) -> Array:
    """Kernel values times V (n, q)."""
    return kernel_tiles(X, Z, depth) @ V


def triangle_products(K: Array) -> Array:
    """K K^T (m, m): what the lower triangle of `add_triangle` gains from the features K (m, h) of h rows."""
    return K @ K.T
