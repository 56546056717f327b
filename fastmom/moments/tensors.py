"""Small symmetric tensors of the samples, and the coordinates in which symmetric matrices are vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.kernels.hermite_products import hermite_pass, hermite_widths
from fastmom.kernels.tensor import face_splitting_pass, face_splitting_widths, n_pairs
from fastmom.moments.tensor_sums import (
    gram,
    hermite_products,
    hermite_tensors,
    mean_over_rows,
    pair_gram,
    pair_numbers,
    pair_scales,
    precision,
    require_finite_result,
    small_tensor_moments,
)
from fastmom.runtime.passes import Rows
from fastmom.runtime.validation import as_count, as_labels, as_matrix, as_real_array, require_finite

Array = npt.NDArray[np.float64]

_MOST_COEFFICIENTS = 1_000_000


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
    return np.asarray(array[..., rows, columns] * pair_scales(array.shape[-1]))


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
    out[..., rows, columns] = array / pair_scales(k)
    out[..., columns, rows] = out[..., rows, columns]
    return out


def small_tensor(X: npt.ArrayLike, w: npt.ArrayLike, V: npt.ArrayLike, order: int) -> Array:
    """Moment tensor of the weighted samples on a few directions, ``T_l(V, .., V)``.

    ``T_l = mean_i w_i S_l(x_i)``, with the Hermite tensors S_l of the standard Gaussian, normalised by
    ``exp(<x, a> - |a|^2 / 2) = sum_l S_l(x)(a, .., a) / l!``. The columns of V need not be orthonormal: with z = V^T x,
    G = V^T V and M_j the means of w z x .. x z (j factors), T_2 = M_2 - M_0 G, T_3 is M_3 minus the three products of
    M_1 and G, and T_4 is M_4 minus the six of M_2 and G plus M_0 times the three of G and G. Neither S_l nor the
    projections of all rows are ever formed.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs. float32 rows are multiplied in float32 and summed in float64.
    w : array_like (n,) or (n, q)
        Weights, one tensor for each column: labels, or what remains of them.
    V : array_like (d, r)
        Directions.
    order : int
        l: 2, 3 or 4.

    Returns
    -------
    ndarray (r, .., r) or (q, r, .., r)
        Symmetric, with l axes of length r; the axis of length q only for 2-D weights.

    Raises
    ------
    ValueError
        For another order, shapes that do not fit, entries that are not finite, or a result that overflows.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.tensors import small_tensor
    >>> X = np.random.default_rng(0).standard_normal((200_000, 5))
    >>> w = np.abs(X[:, 0])  # E|t| He_2(t) = sqrt(2 / pi)
    >>> small_tensor(X, w, np.eye(5)[:, :2], 2).round(1) + 0.0
    array([[0.8, 0. ],
           [0. , 0. ]])
    """
    inputs, directions = _inputs_and_directions(X, V)
    weights = as_labels(w, len(inputs), "w")
    if as_count(order, "order", 2) > 4:
        raise ValueError(f"order: expected 2, 3 or 4, got {order}")
    moments = small_tensor_moments(inputs, weights, directions, order)
    require_finite_result(moments, X=inputs, w=weights, V=directions)
    tensors = hermite_tensors(moments, gram(inputs, directions), order)
    return tensors[0] if np.ndim(w) == 1 else tensors


def face_splitting_gram(Z: npt.ArrayLike, X: npt.ArrayLike | None = None, w: npt.ArrayLike | None = None) -> Array:
    """Weighted Gram matrix of the face-splitting (row-wise Kronecker) product of two matrices.

    ``mean_i w_i phi_i phi_i^T`` with ``phi_i = kron(z_i, x_i)``, or ``phi_i = svec(z_i z_i^T)`` without X. As entries
    with the same indices in another order agree, only a part is summed: a quarter, or a sixth.

    Parameters
    ----------
    Z : array_like (n, p)
        Rows z_i. float32 rows are multiplied in float32 and summed in float64.
    X : array_like (n, q), optional
        Rows x_i.
    w : array_like (n,), optional
        Weights of any sign, one unless given.

    Returns
    -------
    ndarray (p q, p q), or (p (p + 1) / 2, p (p + 1) / 2) without X
        Symmetric.

    Raises
    ------
    ValueError
        For shapes that do not fit, entries that are not finite, or a result that overflows.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> from fastmom.moments.tensors import face_splitting_gram
    >>> face_splitting_gram([[1.0, 2.0]], [[3.0, 5.0]])
    array([[  9.,  15.,  18.,  30.],
           [ 15.,  25.,  30.,  50.],
           [ 18.,  30.,  36.,  60.],
           [ 30.,  50.,  60., 100.]])
    """
    first = as_matrix(Z, "Z")
    n, p = first.shape
    weights = np.broadcast_to(np.ones(1), (n, 1)) if w is None else _one_weight(w, n)
    if X is None:
        square = small_tensor_moments(first, weights, np.eye(p), 4)[0, 1 + p + n_pairs(p) :].reshape(n_pairs(p), -1)
        require_finite_result(square, Z=first, w=weights)
        return pair_gram(square, p)
    second = as_labels(X, n, "X")
    q = second.shape[1]
    rows = Rows(first, second if w is None else np.column_stack([second, weights]), dtype=precision(first, second))
    weighted = np.array([0.0 if w is None else 1.0])
    square = mean_over_rows(rows, face_splitting_pass, (weighted,), face_splitting_widths(p, q), "face-splitting Gram")
    require_finite_result(square, Z=first, X=second, w=weights)
    entries = square.reshape(n_pairs(p), n_pairs(q))
    gram = entries[pair_numbers(p)[:, None, :, None], pair_numbers(q)[None, :, None, :]]
    return np.asarray(gram.reshape(p * q, p * q))


def hermite_coefficients(
    X: npt.ArrayLike, w: npt.ArrayLike, V: npt.ArrayLike, order: int
) -> tuple[npt.NDArray[np.int64], Array]:
    """Hermite coefficients of the weights on a few orthonormal directions, up to a total degree.

    ``c_a = mean_i w_i prod_j g_{a_j}(z_ij)``, Z = X V, with the normalised Hermite polynomials g_a = He_a / sqrt(a!):
    every coefficient has the noise std(w) / sqrt(n), whatever its degree. The entry of `small_tensor` at the indices
    that hold each j just a_j times is ``sqrt(prod_j a_j!) c_a``, hence ``|T_l(V, .., V)|^2 / l!`` is the sum of
    c_a^2 over degree l. For Gaussian rows, ``sum_a c_a prod_j g_{a_j}(z_j)`` is the best polynomial of that degree.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs. float32 rows are multiplied in float32 and summed in float64.
    w : array_like (n,)
        Weights: labels, or what remains of them.
    V : array_like (d, r)
        Directions; orthonormal columns.
    order : int
        Highest total degree, 0 to 10.

    Returns
    -------
    exponents : ndarray of int (N, r)
        N = C(r + order, order) rows a: by degree, and within one with large powers of early directions first,
        (2, 0), (1, 1), (0, 2).
    coefficients : ndarray (N,)

    Raises
    ------
    ValueError
        For columns that are not orthonormal, another order, more than a million coefficients, shapes that do not fit,
        entries that are not finite, or a result that overflows.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.tensors import hermite_coefficients
    >>> X = np.random.default_rng(0).standard_normal((200_000, 5))
    >>> exponents, coefficients = hermite_coefficients(X, X[:, 0] * X[:, 1], np.eye(5)[:, :2], 2)
    >>> exponents[np.argmax(coefficients)]
    array([1, 1])
    """
    inputs, directions = _inputs_and_directions(X, V)
    weights = _one_weight(w, len(inputs))
    if as_count(order, "order", 0) > 10:
        raise ValueError(f"order: expected at most 10, got {order}")
    r = directions.shape[1]
    n_coefficients = math.comb(r + order, order)
    if n_coefficients > _MOST_COEFFICIENTS:
        raise ValueError(f"V: {r} directions have {n_coefficients} coefficients up to degree {order}; pass fewer")
    require_finite(directions, "V")
    error = float(np.abs(gram(inputs, directions) - np.eye(r)).max())
    if error > (1e-5 if np.float32 in (inputs.dtype, directions.dtype) else 1e-8):
        raise ValueError(f"V: V^T V is off the identity by {error:.3g}; pass orthonormal columns, as from a QR")
    nodes, exponents = hermite_products(r, order)
    rows = Rows(inputs, weights, dtype=precision(inputs))
    parameters: tuple[Any, ...] = (np.ascontiguousarray(directions, dtype=rows.dtype), nodes)
    widths = hermite_widths(order, r), n_coefficients
    coefficients = mean_over_rows(rows, hermite_pass, parameters, widths, "Hermite coefficients")
    require_finite_result(coefficients, X=inputs, w=weights)
    sequence = np.lexsort((*-exponents.T[::-1], exponents.sum(axis=1)))
    return exponents[sequence], coefficients[sequence]


def _inputs_and_directions(X: npt.ArrayLike, V: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    inputs, directions = as_matrix(X), as_matrix(V, "V")
    if len(directions) != inputs.shape[1]:
        raise ValueError(f"V: has {len(directions)} rows, X {inputs.shape[1]} columns; pass one row for each input")
    return inputs, directions


def _one_weight(w: npt.ArrayLike, n_rows: int) -> npt.NDArray[Any]:
    weights = as_labels(w, n_rows, "w")
    if weights.shape[1] != 1:
        raise ValueError(f"w: expected one weight a row, got shape {weights.shape}")
    return weights
