"""Contractions of the Hermite moments E[w S_l(x)], straight from the samples: no tensor is ever formed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.kernels import contractions as kernels
from fastmom.kernels.few_contractions import few_contractions, few_rows
from fastmom.moments import quadratic
from fastmom.moments.tensor_sums import precision, require_finite_result
from fastmom.runtime.passes import Rows, block_rows, sum_over_rows
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_matrix, as_real_array

Array = npt.NDArray[np.float64]

HIGHEST_ORDER = 10
_CHUNK = 4096
FEW = 3  # vectors up to which the row loop beats the two matrix products


def contract(X: Any, w: Any, U: Any, order: int, *, normalized: bool = False, out: Array | None = None) -> Array:
    """Contract the Hermite moment of an order with one vector, or with each of many, up to one open index.

    ``T_l(I, u, .., u) = mean_i w_i S_l(x_i)(I, u, .., u)``, S_l the probabilists' Hermite tensor: for unit u and
    t = x.u it is ``mean w He_{l-1}(t) x - (l - 1) mean(w He_{l-2}(t)) u``, and homogeneous of degree l - 1 in u.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs, standard Gaussian for the moments to be those of the network. float32 is read as it is and summed in
        float64; everything else as float64.
    w : array_like (n,)
        Weights: labels, or what `hermite_residual` leaves of them.
    U : array_like (d,) or (d, r)
        Vectors, of any length.
    order : int
        l, from 1 to 10.
    normalized : bool
        Divide by sqrt(l!): then the noise of every order is that of order one.
    out : ndarray (d,) or (d, r), optional
        float64, receives the result.

    Returns
    -------
    ndarray (d,) or (d, r)
        The contractions, in float64.

    Raises
    ------
    ValueError, TypeError
        For arrays that are not aligned, not finite or not real, an order out of range, an `out` that does not fit.

    Notes
    -----
    One pass over X. Internally the orthonormal recurrence g_{j+1} = (t g_j - sqrt(j) g_{j-1}) / sqrt(j + 1).

    Examples
    --------
    >>> import numpy as np
    >>> import fastmom as fm
    >>> X, w, u = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([1.0, 2.0]), np.array([1.0, 0.0])
    >>> fm.contract(X, w, u, 2)                      # mean w ((x.u) x - u)
    array([-1.,  1.])
    """
    inputs, weights = _rows(X, w)
    vectors = _vectors(U, inputs.shape[1])
    level = _order(order, 1)
    shape = (inputs.shape[1],) if vectors.ndim == 1 else vectors.shape
    if out is not None and (not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.float64):
        raise ValueError(f"out: expected a float64 array of shape {shape}, got {_described(out)}")
    size = np.linalg.norm(vectors, axis=0, keepdims=True)
    units = vectors / np.where(size > 0, size, 1.0)
    sums = _contractions(inputs, weights, units.reshape(inputs.shape[1], -1).T, level)
    result = sums.T.reshape(shape) * size.reshape(size.shape[1:]) ** (level - 1)
    result = result * (math.sqrt(math.factorial(level - 1)) / (math.sqrt(math.factorial(level)) if normalized else 1.0))
    require_finite_result(result, X=inputs, w=weights[:, None], U=vectors.reshape(inputs.shape[1], -1))
    if out is None:
        return np.asarray(result)
    out[...] = result
    return out


def _contractions(X: npt.NDArray[Any], w: npt.NDArray[Any], units: Array, order: int) -> Array:
    """T_l(I, v, .., v) / sqrt((l - 1)!) for each unit row v of `units` (r, d)."""
    dtype = precision(X)
    r, d = units.shape
    rows = Rows(X, w[:, None], dtype=dtype)
    scratch_width, width = kernels.contraction_widths(d, r)
    few = r <= FEW
    parameters: tuple[Any, ...] = (np.ascontiguousarray(units, dtype=dtype), kernels.hermite_steps(order - 1, dtype))
    if not few:
        parameters += (np.array([kernels.tile_rows(d)]),)
    with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        sums = sum_over_rows(
            rows,
            few_contractions if few else kernels.many_contractions,
            parameters,
            width=width,
            scratch_width=scratch_width,
            row_flops=4.0 * r * d,
            stage="contracting",
            size=few_rows(d, dtype().itemsize) if few else max(block_rows(d, width), kernels.tile_rows(d)),
        )
        mean = sums / rows.n_rows
        return np.asarray(mean[: r * d].reshape(r, d) - math.sqrt(order - 1) * mean[r * d :][:, None] * units)


def contract_matrix(X: Any, w: Any, u: Any = None, order: int = 2, *, normalized: bool = False) -> Array:
    """Contract the Hermite moment of an order with one vector, up to two open indices.

    ``T_l(I, I, u, .., u)``, for unit u and h_j = He_j(x.u): ``mean w [h_{l-2} (x x^T - I) - (l - 2) h_{l-3} (x u^T +
    u x^T) + (l - 2) (l - 3) h_{l-4} u u^T]``, homogeneous of degree l - 2 in u.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs.
    w : array_like (n,) or (n, q)
        Weights; several weightings share one pass over X.
    u : array_like (d,), optional
        Vector; order 2 needs none.
    order : int
        l, from 2 to 10.
    normalized : bool
        Divide by sqrt(l!).

    Returns
    -------
    ndarray (d, d) or (q, d, d)
        Symmetric.

    Raises
    ------
    ValueError, TypeError
        As `contract`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmom as fm
    >>> X, w = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([1.0, 2.0])
    >>> fm.contract_matrix(X, w, order=2)            # mean w (x x^T - I)
    array([[-1. ,  1. ],
           [ 1. ,  1.5]])
    """
    inputs, weights = _rows(X, w, several=True)
    level = _order(order, 2)
    d = inputs.shape[1]
    if u is None and level > 2:
        raise ValueError(f"u: order {level} needs a vector; only order 2 does without")
    vector = np.zeros(d) if u is None else _vectors(u, d)
    if vector.ndim != 1:
        raise ValueError(f"u: expected one vector of length {d}, got shape {vector.shape}")
    size = float(np.linalg.norm(vector))
    unit = vector / size if size > 0 else vector
    labels = np.asarray(weights, dtype=np.float64).reshape(len(inputs), -1)
    rows = Rows(inputs, labels)
    with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        t = np.concatenate([part @ unit for _, part, _ in rows.chunks(_CHUNK)])
        h = _hermite(t, level - 2)
        top = quadratic.moments(Rows(inputs, labels * h[-1][:, None])) / len(inputs)
        result = top[:, :d, :d] - top[:, d, d][:, None, None] * np.eye(d)
        if level > 2:
            lower = Rows(inputs, labels * h[-2][:, None])
            p = np.sum([values.T @ part for _, part, values in lower.chunks(_CHUNK)], axis=0) / len(inputs)
            cross = p[:, :, None] * unit
            result -= (level - 2) * (cross + cross.transpose(0, 2, 1))
        if level > 3:
            mean = (labels * h[-3][:, None]).mean(axis=0)
            result += (level - 2) * (level - 3) * mean[:, None, None] * np.outer(unit, unit)
    result *= size ** (level - 2) if level > 2 else 1.0
    if normalized:
        result /= math.sqrt(math.factorial(level))
    require_finite_result(result, X=inputs, w=labels, u=vector[:, None])
    return np.asarray(result if np.ndim(weights) == 2 else result[0])


def weighted_covariance(X: Any, w: Any) -> Array:
    """Weighted second moments ``mean_i w_i x_i x_i^T``, (d, d) for w (n,), (q, d, d) for w (n, q), in one pass.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs.
    w : array_like (n,) or (n, q)
        Weights of any sign.

    Returns
    -------
    ndarray (d, d) or (q, d, d)
        Symmetric.

    Raises
    ------
    ValueError, TypeError
        As `contract`.

    Examples
    --------
    >>> from fastmom.moments.contraction import weighted_covariance
    >>> weighted_covariance([[1.0, 2.0], [0.0, 1.0]], [1.0, -2.0])
    array([[0.5, 1. ],
           [1. , 1. ]])
    """
    inputs, weights = _rows(X, w, several=True)
    labels = np.asarray(weights, dtype=np.float64).reshape(len(inputs), -1)
    d = inputs.shape[1]
    with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        result = quadratic.moments(Rows(inputs, labels))[:, :d, :d] / len(inputs)
    require_finite_result(result, X=inputs, w=labels)
    return np.asarray(result if np.ndim(weights) == 2 else result[0])


def _hermite(t: Array, order: int) -> list[Array]:
    """He_0(t) .. He_order(t)."""
    values = [np.ones_like(t), t][: order + 1]
    for j in range(1, order):
        values.append(t * values[j] - j * values[j - 1])
    return values


def _rows(X: Any, w: Any, several: bool = False) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Inputs and as many weights."""
    inputs, weights = as_matrix(X, "X"), as_real_array(w, "w")
    if weights.ndim not in ((1, 2) if several else (1,)) or 0 in weights.shape:
        raise ValueError(f"w: expected shape (n,){' or (n, q)' if several else ''}, got {weights.shape}")
    if len(weights) != len(inputs):
        raise ValueError(f"w: {len(weights)} weights for {len(inputs)} rows of X; pass one a row")
    return inputs, weights


def _vectors(U: Any, d: int) -> Array:
    """One vector (d,) or several (d, r), finite, as float64."""
    array = as_real_array(U, "U")
    if array.ndim not in (1, 2) or array.shape[0] != d or 0 in array.shape:
        raise ValueError(f"U: expected shape ({d},) or ({d}, r) for inputs of {d} columns, got {array.shape}")
    vectors = np.array(array, dtype=np.float64)
    if not np.isfinite(vectors).all():
        raise ValueError("U: has entries that are not finite; drop those vectors")
    return vectors


def _order(order: Any, least: int) -> int:
    level = as_count(order, "order")
    if not least <= level <= HIGHEST_ORDER:
        raise ValueError(f"order: expected {least} to {HIGHEST_ORDER}, got {level}")
    return level


def _described(out: Any) -> str:
    return f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
