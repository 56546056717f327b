"""How far noisy labels determine each weight: the Cramer-Rao bound at the fitted network.

With the patterns fixed, the Jacobian of the labels in (W, A, c) has the information

    J^T S^-1 J = [[G * (A L A^T), B], [B^T, K (x) L]],   B[(i, a), (q, o)] = H[(i, a), q] A_io L_o,

L = S^-1 the precision of the outputs, G the activation Gram, H = D^T F and K = F^T F for the gated inputs D and the
functions F = [f(X W^T), 1]. Eliminating A and c leaves ``(G - H K^-1 H^T) * (A L A^T)`` for the hidden weights,
which is inverted on the tangent space of |w_i| = 1; with M = K^-1 H^T, the covariance of the weights of output o is
``K^-1 / L_o + M diag(A_o) C diag(A_o) M^T``, C that of the hidden weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.patterns.model import Model
from fastmom.runtime import progress
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

MAX_UNKNOWNS = 2500  # hidden weights whose covariance is formed: 50 MB, and six such arrays on the way
WELL_POSED = 1e-4  # pivot of a Cholesky factor above which its inverse is accurate
UNSEEN = 1e-10  # information, relative to what a weight has by itself, that counts as none
_INVOLVED = 1e-8  # squared share of an unseen direction from which a weight is part of it
_CHUNK = 1 << 21  # gated inputs formed at once


@dataclass(frozen=True)
class StandardErrors:
    """Standard deviations of the parameters of a `TwoLayerNetwork` with unit weight vectors, in their shapes.

    Infinite where the rows do not determine a parameter. ``estimate +- 1.96 error`` holds the true value in 95 % of
    the cases.

    Attributes
    ----------
    W : ndarray (k, d)
    A : ndarray (m, k)
    hidden_bias : ndarray (k,) or None
    output_bias : ndarray (m,) or None
    linear : None
        Networks fitted to noisy labels have no linear part.
    """

    W: Array
    A: Array
    hidden_bias: Array | None
    output_bias: Array | None
    linear: None = None


def standard_errors(
    rows: Rows, model: Model, noise_std: float | Array, metric: Rows | None = None
) -> StandardErrors | None:
    """Cramer-Rao standard errors of a least-squares network.

    Parameters
    ----------
    rows : Rows
        The rows it was fitted to.
    model : Model
        Neurons only, no linear functions.
    noise_std : float or ndarray (m,)
        Standard deviation of the labels' noise; one for each output asks for an estimate that weights the outputs
        accordingly, positive.
    metric : Rows, optional
        A sample of the rows that stands for all; n (k d)^2 operations go through it.

    Returns
    -------
    StandardErrors or None
        In the gauge of `Model.network`; None beyond `MAX_UNKNOWNS` hidden weights.
    """
    if model.W.size > MAX_UNKNOWNS:
        return None
    metric = metric or rows
    network, kind = model.network(), model.kind
    V = network.W if network.hidden_bias is None else np.column_stack([network.W, network.hidden_bias])
    k, m = len(V), rows.n_outputs
    level = np.sqrt(np.mean(np.square(noise_std)))
    variance = np.square(np.broadcast_to(noise_std, m) / level) if level > 0 else np.ones(m)
    moments = _moments(metric, V, kind.slope, kind.output_bias)
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = _Covariance(moments, V, network.W.shape[1], network.A.T, variance)
    level *= np.sqrt(metric.n_rows / rows.n_rows)
    hidden, outer = level * covariance.hidden(), level * covariance.outer()
    hidden[covariance.unseen_hidden()] = np.inf
    outer[covariance.unseen_outer()] = np.inf
    return StandardErrors(
        W=hidden[:, : network.W.shape[1]].copy(),
        A=outer[:k].T.copy(),
        hidden_bias=hidden[:, -1].copy() if kind.hidden_bias else None,
        output_bias=outer[k].copy() if kind.output_bias else None,
    )


class _Moments(NamedTuple):
    """G (k d, k d), H (k d, q) and K (q, q); q counts the neurons and an output bias."""

    G: Array
    H: Array
    K: Array


def _moments(rows: Rows, V: Array, slope: float, output_bias: bool) -> _Moments:
    """Moments of gated inputs D and functions F: as F = D V, those of D and its sums say all."""
    k, d = V.shape
    G, sums = np.zeros((k * d, k * d)), np.zeros(k * d)
    for first, X, _ in rows.chunks(max(64, _CHUNK // V.size)):
        gates = np.where(X @ V.T > 0, 1.0, slope)
        D = (gates[:, :, None] * X[:, None, :]).reshape(len(X), k * d)
        G += D.T @ D
        sums += D.sum(axis=0)
        progress.report("standard errors", first + len(X), rows.n_rows)
    H = np.einsum("pjb,jb->pj", G.reshape(k * d, k, d), V)
    K = np.einsum("ia,iaj->ij", V, H.reshape(k, d, k))
    if output_bias:
        constant = np.einsum("ia,ia->i", V, sums.reshape(k, d))
        H = np.column_stack([H, sums])
        K = np.block([[K, constant[:, None]], [constant[None], np.array([[float(rows.n_rows)]])]])
    return _Moments(G, H, K)


def _scale(diagonal: Array) -> Array:
    """Square roots that normalise a diagonal; entries of zero stay as they are."""
    return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))


def _invert(matrix: Array) -> tuple[Array, Array]:
    """Inverse of a semidefinite matrix of unit size, beyond its null space, and an orthonormal basis of that."""
    if not matrix.size:
        return matrix, matrix
    factor, failed = scipy.linalg.lapack.dpotrf(matrix, lower=1)
    if not failed and np.diag(factor).min() > WELL_POSED:
        inverse = np.tril(scipy.linalg.lapack.dpotri(factor, lower=1)[0])
        return inverse + np.tril(inverse, -1).T, np.empty((len(matrix), 0))
    if not np.isfinite(matrix).all():  # scales beyond floating point: nothing can be said of any direction
        return np.zeros_like(matrix), np.eye(len(matrix))
    values, vectors = scipy.linalg.eigh(matrix, check_finite=False)
    seen = values > UNSEEN
    part = vectors[:, seen] / np.sqrt(values[seen])
    return part @ part.T, vectors[:, ~seen]


class _Covariance:
    """Covariances for noise of the given variances (m,), each hidden weight in units of its own information.

    These units make the tangent space and the rank independent of the units of the inputs.
    """

    def __init__(self, moments: _Moments, V: Array, n_gauge: int, outer: Array, variance: Array) -> None:
        (k, d), q = V.shape, len(moments.K)
        self._outer, self._variance = outer, variance
        coupling = (outer / variance) @ outer.T
        own = np.diag(moments.G).reshape(k, d) * np.where(np.diag(coupling) > 0, np.diag(coupling), 1.0)[:, None]
        self._unit = _scale(own)
        self._norms = _scale(np.diag(moments.K))
        self._inverse, self._unseen = _invert(moments.K / np.outer(self._norms, self._norms))
        cross = (moments.H / self._norms) / self._unit.reshape(-1, 1)
        reduced = moments.G / np.outer(self._unit, self._unit) - cross @ self._inverse @ cross.T
        reduced = reduced.reshape(k, d, k, d).transpose(0, 2, 1, 3) * coupling[:, :, None, None]
        basis = _tangents(V[:, :n_gauge] / self._unit[:, :n_gauge], d)
        system = basis.transpose(0, 2, 1)[:, None] @ reduced @ basis[None]
        inverse, unseen = _invert(system.transpose(0, 2, 1, 3).reshape(k * (d - 1), k * (d - 1)))
        blocks = inverse.reshape(k, d - 1, k, d - 1).transpose(0, 2, 1, 3)
        self._C = basis[:, None] @ blocks @ basis.transpose(0, 2, 1)[None]  # (k, k, d, d)
        self._directions = basis @ unseen.reshape(k, d - 1, unseen.shape[1])  # (k, d, unseen)
        self._response = (self._inverse @ cross.T).reshape(q, k, d)  # of the output weights, M

    def hidden(self) -> Array:
        """Standard errors of the hidden weights (k, d)."""
        variances = np.maximum(np.einsum("iiaa->ia", self._C), 0.0)
        return np.sqrt(variances) / self._unit

    def unseen_hidden(self) -> npt.NDArray[np.bool_]:
        """Hidden weights (k, d) that the rows do not determine."""
        return np.asarray(np.sum(self._directions**2, axis=2) > _INVOLVED)

    def outer(self) -> Array:
        """Standard errors of the output weights and biases (q, m)."""
        shared = np.stack([self._shared(i) for i in range(len(self._outer))], axis=1)  # (q, k, k)
        moved = np.sum((shared @ self._outer) * self._outer, axis=1)
        variances = np.outer(np.diag(self._inverse), self._variance) + np.maximum(moved, 0.0)
        return np.sqrt(variances) / self._norms[:, None]

    def _shared(self, i: int) -> Array:
        """M_qi C_ij M_qj^T for all q and j."""
        left = np.einsum("qa,jab->qjb", self._response[:, i], self._C[i])
        return np.sum(left * self._response, axis=2)

    def unseen_outer(self) -> npt.NDArray[np.bool_]:
        """Output weights and biases (q, m) that the rows do not determine."""
        q, m = len(self._norms), self._outer.shape[1]
        alone = np.sum(self._unseen**2, axis=1)
        moves = np.einsum("qia,iau->qiu", self._response, self._directions).transpose(0, 2, 1) @ self._outer
        weight = 1.0 / np.sqrt(self._variance)
        return np.asarray(alone[:, None] + np.sum((moves * weight) ** 2, axis=1).reshape(q, m) > _INVOLVED)


def _tangents(gauge: Array, d: int) -> Array:
    """Orthonormal bases (k, d, d - 1) of what is orthogonal to each gauge vector (k, d or fewer)."""
    padded = np.zeros((len(gauge), d, 1))
    padded[:, : gauge.shape[1], 0] = gauge
    size = np.linalg.norm(padded, axis=1, keepdims=True)
    return np.asarray(np.linalg.qr(padded / np.where(size > 0, size, 1.0), mode="complete")[0][:, :, 1:])
