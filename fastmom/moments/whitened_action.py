"""How a Hermite moment acts on vectors of whitened coordinates, T(I, v, .., v), straight from the samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.moments.contraction import contract
from fastmom.moments.quadratic import moments
from fastmom.moments.tensor_action import Contraction
from fastmom.runtime.passes import Rows
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_labels, as_matrix, require_finite

Array = npt.NDArray[np.float64]


def whitened_action(Z: npt.ArrayLike, w: npt.ArrayLike, metric: npt.ArrayLike, order: int = 4) -> Contraction:
    """Contraction of a Hermite moment with vectors in whitened coordinates, from the samples, without any tensor.

    For z = Wh^T x of standard Gaussian x and any map Wh (d, k), with M = Wh^T Wh, the moment T = E[w S(x)](Wh, .., Wh)
    acts as

        order 3: T(I, v, v) = mean w t^2 z - q m - 2 (m.v) M v
        order 4: T(I, v, v, v) = mean w t^3 z - 3 q N v - 3 (v.N v) M v + 3 mean(w) q M v

    with t = z.v, q = v.M v, m = mean w z, N = mean w z z^T. `contract` makes the same pass with M = I, so its
    corrections are taken back and these put in their place.

    Parameters
    ----------
    Z : array_like (n, k)
        Whitened inputs X Wh.
    w : array_like (n,)
        Weights: labels, better what `hermite_residual` leaves of them.
    metric : array_like (k, k)
        M = Wh^T Wh, the covariance of z.
    order : int
        3 or 4.

    Returns
    -------
    callable
        From vectors as rows (r, k) to rows (r, k), one pass over the samples.

    Raises
    ------
    ValueError
        For another order, a metric of another size, or invalid samples.
    TypeError
        For entries that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.tensor_action import action_of
    >>> from fastmom.moments.tensors import small_tensor
    >>> from fastmom.moments.whitened_action import whitened_action
    >>> Z, V = np.random.default_rng(0).standard_normal((1000, 2)), np.array([[1.0, 0.0], [0.6, 0.8]])
    >>> w = Z[:, 0] ** 4
    >>> np.allclose(whitened_action(Z, w, np.eye(2))(V), action_of(small_tensor(Z, w, np.eye(2), 4))(V))
    True
    """
    inputs = as_matrix(Z, "Z")
    weights = as_labels(w, len(inputs), "w")
    M = np.asarray(as_matrix(metric, "metric"), dtype=np.float64)
    n, k = inputs.shape
    if M.shape != (k, k):
        raise ValueError(f"metric: expected shape {(k, k)} as Z has {k} columns, got {M.shape}")
    if order not in (3, 4):
        raise ValueError(f"order: expected 3 or 4, got {order!r}")
    with single_blas_thread():
        means = moments(Rows(inputs, weights))[0] / n
    if not np.isfinite(means).all():
        require_finite(inputs, "Z")
        require_finite(weights, "w")
    column = np.ascontiguousarray(weights[:, 0])
    act = _third if order == 3 else _fourth
    return lambda V: act(contract(inputs, column, np.ascontiguousarray(V.T), order).T, V, M, means)


def _third(spherical: Array, V: Array, M: Array, means: Array) -> Array:
    """T(I, v, v) from what it would be with M = I."""
    MV, mean = V @ M, means[-1, :-1]
    excess = np.einsum("ra,ra->r", V, MV - V)
    return np.asarray(spherical - np.outer(excess, mean) - 2 * (V @ mean)[:, None] * (MV - V))


def _fourth(spherical: Array, V: Array, M: Array, means: Array) -> Array:
    """T(I, v, v, v) from what it would be with M = I."""
    MV, NV = V @ M, V @ means[:-1, :-1]
    size, q, form = (np.einsum("ra,ra->r", V, image)[:, None] for image in (V, MV, NV))
    return np.asarray(spherical - 3 * (q - size) * NV - 3 * form * (MV - V) + 3 * means[-1, -1] * (q * MV - size * V))
