"""Small symmetric tensors of the samples, and the coordinates in which symmetric matrices are vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.runtime.validation import as_real_array

Array = npt.NDArray[np.float64]


def svec(S: npt.ArrayLike) -> Array:
    """Coordinates of symmetric matrices in which the Euclidean product is the Frobenius product.

    Parameters
    ----------
    S : array_like (..., k, k)
        Symmetric matrices; only the upper triangles are read.

    Returns
    -------
    ndarray (..., k (k + 1) / 2)
        Upper triangle, row by row, its off-diagonal entries times sqrt(2).

    Raises
    ------
    ValueError
        If the last two axes are not square.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> from fastmom.moments.tensors import svec
    >>> svec([[1.0, 2.0], [2.0, 3.0]])
    array([1.  , 2.83, 3.  ])
    """
    array = as_real_array(S, "S")
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise ValueError(f"S: expected square matrices (..., k, k), got shape {array.shape}")
    rows, columns = np.triu_indices(array.shape[-1])
    return np.asarray(array[..., rows, columns] * _weights(rows, columns), dtype=np.float64)


def smat(v: npt.ArrayLike) -> Array:
    """Symmetric matrices from their coordinates: the inverse of `svec`.

    Parameters
    ----------
    v : array_like (..., k (k + 1) / 2)
        What `svec` returned.

    Returns
    -------
    ndarray (..., k, k)
        Symmetric matrices.

    Raises
    ------
    ValueError
        If no k has k (k + 1) / 2 coordinates.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> from fastmom.moments.tensors import smat, svec
    >>> smat(svec([[1.0, 2.0], [2.0, 3.0]]))
    array([[1., 2.],
           [2., 3.]])
    """
    array = as_real_array(v, "v")
    length = array.shape[-1] if array.ndim else 0
    k = (math.isqrt(8 * length + 1) - 1) // 2
    if length == 0 or k * (k + 1) // 2 != length:
        raise ValueError(f"v: expected k (k + 1) / 2 coordinates on the last axis, got shape {array.shape}")
    rows, columns = np.triu_indices(k)
    out: Array = np.empty((*array.shape[:-1], k, k))
    out[..., rows, columns] = array / _weights(rows, columns)
    out[..., columns, rows] = out[..., rows, columns]
    return out


def _weights(rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> Array:
    return np.where(rows == columns, 1.0, math.sqrt(2.0))
