"""The recursive kernel of Zhang, Lee and Jordan 2015: its values, and its products with vectors, never stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.kernels.recursive_kernel import (
    PANEL,
    kernel_gram,
    kernel_product,
    kernel_tiles,
    panel_scratch,
    tile_scratch,
)
from fastmom.runtime import progress
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_labels, as_matrix, as_number, as_real_array, require_finite

Array = npt.NDArray[Any]

MAX_DEPTH = 1e6  # beyond it the round-off of x.z near one is no longer small beside 1 / depth
_CALL_ENTRIES = 1 << 26  # kernel values of a call: about 0.2 s
_SLACK = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}  # by which round-off may leave the unit ball


def recursive_kernel(X: Any, Z: Any = None, depth: float = 1.0, out: Array | None = None) -> Array:
    """Kernel values K_depth(x, z) of all pairs of rows: K_0(x, z) = x.z, K_{p+1} = 1 / (2 - K_p).

    By the closed form ``1 - K = s / (1 + depth s)``, s = 1 - x.z, which makes the depth a real number (our own form).

    Parameters
    ----------
    X : array_like (n, d)
        Inputs of norm at most one. float32 stays float32 if Z is too; everything else becomes float64.
    Z : array_like (m, d), optional
        The other inputs; X itself unless given, and then the result is exactly symmetric.
    depth : float
        Number of hidden layers, any real number in [0, 1e6]; 0 is the linear kernel.
    out : ndarray (n, m), optional
        Where to write: C-contiguous, of the dtype of the result.

    Returns
    -------
    ndarray (n, m)
        `out` if it was given.

    Raises
    ------
    ValueError
        For inputs outside the unit ball, NaN or infinities, shapes that do not match, an unfit `out`, or a depth
        out of range.
    TypeError
        For what is not real numbers.

    References
    ----------
    .. [1] Y. Zhang, J. D. Lee, M. I. Jordan, "l1-regularized neural networks are improperly learnable in polynomial
       time", 2015, arXiv 1510.03528.

    Examples
    --------
    >>> import fastmom as fm
    >>> fm.recursive_kernel([[1.0, 0.0], [0.0, 0.5]], depth=1.0)
    array([[1.        , 0.5       ],
           [0.5       , 0.57142857]])
    """
    p = as_number(depth, "depth", 0.0, MAX_DEPTH)
    left, right = _read_pair(X, Z)
    shape = len(left), len(left if right is None else right)
    if out is None:
        out = np.empty(shape, dtype=left.dtype)
    elif not isinstance(out, np.ndarray) or (out.shape, out.dtype) != (shape, left.dtype) or not out.flags.c_contiguous:
        raise ValueError(f"out: expected a C-contiguous array {shape} of {left.dtype}; leave it out to get one")
    elif not out.flags.writeable:
        raise ValueError("out: is read-only; pass an array that can be written")
    with single_blas_thread():
        return kernel_values(left, right, p, out)


def kernel_matmul(X: Any, Z: Any, V: Any, depth: float = 1.0) -> Array:
    """Product K_depth(X, Z) V, of which no more than a tile of kernel values exists at a time.

    Parameters
    ----------
    X, Z : array_like (n, d), (m, d)
        Inputs of norm at most one, as in `recursive_kernel`; Z None means X.
    V : array_like (m, q) or (m,)
        What to multiply.
    depth : float
        Number of hidden layers, any real number in [0, 1e6].

    Returns
    -------
    ndarray (n, q) or (n,)
        float32 if all arguments are, else float64. Sums across tiles are float64 in both.

    Raises
    ------
    ValueError, TypeError
        As `recursive_kernel`; ValueError for V of another number of rows than Z.

    Examples
    --------
    >>> import fastmom as fm
    >>> fm.kernel_matmul([[1.0, 0.0], [0.0, 0.5]], None, [1.0, 2.0])
    array([2.        , 1.64285714])
    """
    p = as_number(depth, "depth", 0.0, MAX_DEPTH)
    left, right = _read_pair(X, Z)
    given = as_real_array(V, "V")
    values = as_labels(given, len(left if right is None else right), "V")
    require_finite(values, "V")
    if values.dtype != np.float32 and left.dtype == np.float32:
        left, right = _working(left, np.dtype(np.float64)), None if right is None else _working(right, np.dtype("f8"))
    with single_blas_thread():
        product = product_with(left, left if right is None else right, values, p)
    product = product.astype(left.dtype, copy=False)
    return product[:, 0] if given.ndim == 1 else product


def kernel_values(X: Array, Z: Array | None, depth: float, out: Array | None = None) -> Array:
    """Kernel values of rows that `as_ball_rows` has read: (n, m), or the symmetric (n, n) of X alone."""
    n, m = len(X), len(X if Z is None else Z)
    if out is None:
        out = np.empty((n, m), dtype=X.dtype)
    p = np.array([depth], dtype=X.dtype)
    if Z is None and n * n <= _CALL_ENTRIES:
        lanes = kernel_gram.lanes(n * n)
        kernel_gram(np.empty((lanes, tile_scratch(n, n)), dtype=X.dtype), X, p, out)
        return out
    if Z is None:
        return _gram_by_panels(X, depth, out)
    scratch = np.empty((kernel_tiles.lanes(n * m), panel_scratch(n, m)), dtype=X.dtype)
    for first, last in _calls(n, m):
        kernel_tiles(scratch, X[first:last], Z, p, out[first:last])
        progress.report("kernel", last, n)
    return out


def product_with(X: Array, Z: Array, V: Array, depth: float) -> Array:
    """Kernel values times V (m, q), in float64 (n, q), from rows that `as_ball_rows` has read."""
    n, m, q = len(X), len(Z), V.shape[1]
    factor = _working(V, X.dtype)
    out = np.zeros((n, q))
    p = np.array([depth], dtype=X.dtype)
    scratch = np.empty((kernel_product.lanes(n * m), tile_scratch(n, m, q)), dtype=X.dtype)
    for first, last in _calls(n, m):
        kernel_product(scratch, X[first:last], Z, factor, p, out[first:last])
        progress.report("kernel product", last, n)
    return out


def as_ball_rows(X: Any, name: str = "X", scale: float = 1.0, dtype: Any = None) -> Array:
    """Rows in the unit ball after division by `scale`, C-contiguous and read-only.

    float32 that needs no scaling stays float32 and everything else becomes float64, unless a dtype is given.

    Raises
    ------
    ValueError, TypeError
        For what is no matrix of finite numbers; ValueError for the first row outside the ball.
    """
    matrix = as_matrix(X, name)
    require_finite(matrix, name)
    single = scale == 1.0 and matrix.dtype.newbyteorder("=") == np.float32
    kind = np.dtype(dtype or (np.float32 if single else np.float64))
    rows = np.ascontiguousarray(matrix, dtype=kind) if scale == 1.0 else np.divide(matrix, scale, dtype=np.float64)
    rows = _working(rows, kind)
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    outside = np.flatnonzero(~(squares <= (1 + _SLACK[kind]) ** 2))
    if len(outside):
        i = int(outside[0])
        size = scale * float(np.sqrt(squares[i]))
        limit = "1" if scale == 1.0 else f"{scale:.6g}, by which inputs are divided"
        raise ValueError(
            f"{name}[{i}] has norm {size:.6g}: the kernel needs inputs of norm at most {limit}; divide all of them by "
            "the largest norm that can occur (rescale= does)"
        )
    return rows


def _read_pair(X: Any, Z: Any) -> tuple[Array, Array | None]:
    left = as_ball_rows(X)
    if Z is None:
        return left, None
    right = as_ball_rows(Z, "Z")
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"Z: has {right.shape[1]} columns, X {left.shape[1]}; pass inputs of the same dimension")
    if left.dtype != right.dtype:
        left, right = (_working(rows, np.dtype(np.float64)) for rows in (left, right))
    return left, right


def _working(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array C-contiguous, of a dtype, read-only: kernels compile for one type."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def _calls(n: int, m: int) -> list[tuple[int, int]]:
    """First and last rows of calls that Ctrl-C need not wait for; at multiples of any tile."""
    size = max(1, _CALL_ENTRIES // (4096 * m)) * 4096
    return [(first, min(n, first + size)) for first in range(0, n, size)]


def _gram_by_panels(X: Array, depth: float, out: Array) -> Array:
    """The symmetric kernel matrix of many rows: panels of rows up to the diagonal, mirrored; beside it one panel."""
    size = PANEL
    for first in range(0, len(X), size):
        rows = slice(first, min(len(X), first + size))
        out[rows, rows] = kernel_values(X[rows], None, depth)
        if first:
            left = kernel_values(X[rows], X[:first], depth)
            out[rows, :first] = left
            out[:first, rows] = left.T
    return out
