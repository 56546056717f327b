"""How a symmetric tensor of order 3 or 4 acts on vectors, T(I, v, .., v), and on symmetric matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastmom.moments.joint_fit import outer_squares
from fastmom.moments.tensors import smat, svec
from fastmom.runtime.validation import as_real_array, require_finite

Array = npt.NDArray[np.float64]
Contraction = Callable[[Array], Array]

_SKEW = 1e-8  # relative difference of mirrored entries up to which they count as equal


def as_tensor(T: npt.ArrayLike, orders: tuple[int, ...] = (3, 4)) -> Array:
    """Read a symmetric tensor (k,) * order.

    Raises
    ------
    ValueError
        For another order, unequal sides, entries that are not finite, or an unfolding that is not symmetric.
    TypeError
        For entries that are not real numbers.
    """
    tensor = np.asarray(as_real_array(T, "T"), dtype=np.float64)
    if tensor.ndim not in orders or len(set(tensor.shape)) != 1 or tensor.size == 0:
        wanted = " or ".join("(" + ", ".join("k" * order) + ")" for order in orders)
        raise ValueError(f"T: expected a tensor {wanted}, got shape {tensor.shape}")
    require_finite(tensor.reshape(len(tensor), -1), "T")
    mirrored = ((1, 0, 2), (0, 2, 1)) if tensor.ndim == 3 else ((1, 0, 2, 3), (2, 3, 0, 1))
    skew = max(float(np.abs(tensor - tensor.transpose(axes)).max()) for axes in mirrored)
    if skew > _SKEW * float(np.abs(tensor).max()):
        raise ValueError(f"T: not symmetric, entries differ from their mirror by {skew:.3g}; average over permutations")
    return tensor


def unfolding(tensor: Array) -> Array:
    """An order-4 tensor as a symmetric matrix on symmetric matrices, in the coordinates of `svec`."""
    return svec(svec(tensor).transpose(2, 0, 1))


def action_of(tensor: Array) -> Contraction:
    """Vectors as rows (r, k) to rows T(I, v, .., v), for a tensor of order 3 or 4."""
    if tensor.ndim == 3:
        half = np.ascontiguousarray(svec(tensor).T)
        return lambda V: outer_squares(V) @ half
    full = unfolding(tensor)
    return lambda V: np.einsum("rab,rb->ra", smat(outer_squares(V) @ full), V)


def powers(V: Array, order: int) -> Array:
    """Columns v (x) .. (x) v (d^order, k), a row of V (k, d) each."""
    out = V
    for _ in range(order - 1):
        out = (out[:, :, None] * V[:, None, :]).reshape(len(V), -1)
    return out.T


def remainder(tensor: Array, V: Array, weights: Array) -> Array:
    """What sum_i w_i v_i (x) .. (x) v_i leaves of a tensor."""
    first = powers(V, tensor.ndim // 2)
    second = powers(V, tensor.ndim - tensor.ndim // 2)
    return np.asarray(tensor - ((first * weights) @ second.T).reshape(tensor.shape))
