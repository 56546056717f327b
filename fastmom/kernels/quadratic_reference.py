"""What the kernel of `fastmom.kernels.quadratic` computes, in plain NumPy: tests hold the kernel to it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def quadratic_pass(X: Array, Y: Array, forms: Array) -> tuple[Array, Array]:
    """``e_o = y_o - z^T forms_o z`` by row (n, q), z = [x, 1], and the sums of ``e z z^T`` (q, d + 1, d + 1).

    Labels (n, 0) count as zero.
    """
    Z = np.column_stack([X, np.ones(len(X))])
    values = np.einsum("na,oab,nb->no", Z, forms, Z)
    e = -values if Y.shape[1] == 0 else Y - values
    return e, np.einsum("no,na,nb->oab", e, Z, Z)
