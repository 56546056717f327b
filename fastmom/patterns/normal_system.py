"""The Gauss-Newton system of the hidden weights, output weights eliminated: factored, or solved by products.

``(G - H K^-1 H^T) * (A^T A)``: G the activation Gram, H = D^T F, K = F^T F, the product blockwise. Because F = D w,
both H and K follow from G. The number of outputs does not enter. The loss is flat along the scale of each neuron:
the system holds that direction.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.patterns.activation_gram import activation_gram
from fastmom.patterns.model import Model
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

MAX_FACTORED = 1500  # hidden weights whose normal matrix is formed and factored
_PAIR_CHUNK = 1 << 12
_PATTERN_CHUNK = 1 << 16
_FLOOR = 1e-12  # of the diagonal, relative to its largest entry


class NormalSystem(Protocol):
    """What a step needs."""

    def solve(self, right: Array, damping: float) -> Array | None:
        """Solution (k, d), the diagonal raised by the share `damping`; None if that is not positive definite."""


def normal_system(rows: Rows, model: Model) -> NormalSystem:
    """Normal system of a network on the given rows, in the form that its size asks for."""
    return Factored(rows, model) if model.W.size <= MAX_FACTORED else ByProducts(rows, model)


def solve_scaled(gram: Array, right: Array) -> Array:
    """Solve a semidefinite system after scaling its diagonal to one; directions at round-off are dropped."""
    scale = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
    values, vectors = scipy.linalg.eigh(gram / np.outer(scale, scale), check_finite=False)
    kept = values > 1e-14 * values[-1]
    inner = vectors[:, kept]
    return np.asarray((inner @ ((inner.T @ (right / scale[:, None])) / values[kept, None])) / scale[:, None])


class Factored:
    """The normal matrix itself (k d, k d)."""

    def __init__(self, rows: Rows, model: Model) -> None:
        k, d = model.W.shape
        N = normal_matrix(rows, model)
        diagonal = np.diag(N).copy()
        for i, w in enumerate(model.W):
            at = slice(i * d, (i + 1) * d)
            N[at, at] += max(diagonal[at].mean(), np.finfo(float).tiny) * np.outer(w, w) / (w @ w)
        self._shape = k, d
        largest = diagonal.max()  # round-off alone where every direction is a matter of scale
        self._scale = np.sqrt(np.maximum(np.diag(N), _FLOOR * largest)) if largest > 0 else None
        self._matrix = N if self._scale is None else N / np.outer(self._scale, self._scale)

    def solve(self, right: Array, damping: float) -> Array | None:
        """See `NormalSystem.solve`."""
        if self._scale is None:
            return None
        system = self._matrix.copy()
        system[np.diag_indices_from(system)] += damping + 1e-13
        factor, failed = scipy.linalg.lapack.dpotrf(system, lower=0, overwrite_a=1)
        if failed:
            return None
        flat = scipy.linalg.lapack.dpotrs(factor, right.reshape(-1) / self._scale)[0]
        return np.asarray((flat / self._scale).reshape(self._shape))


class ByProducts:
    """Products with the normal matrix, never formed; conjugate gradients preconditioned by its diagonal blocks.

    Solves to the relative residual `tolerance`, loosely by default, as the outer iteration corrects itself.
    """

    def __init__(self, rows: Rows, model: Model, tolerance: float = 1e-3) -> None:
        self._tolerance = tolerance
        self._X, _ = rows.take(np.arange(rows.n_rows))
        self._W = model.W
        k, d = self._W.shape
        T = self._X @ self._W.T
        self._gates = np.where(T > 0, 1.0, model.kind.slope)
        F = T * self._gates
        if model.kind.output_bias:
            F = np.column_stack([F, np.ones(len(F))])
        self._Q = scipy.linalg.qr(F, mode="economic", check_finite=False)[0]
        outer = model.outer[:k]
        self._coupling = outer @ outer.T
        self._blocks = np.empty((k, d, d))
        for i in range(k):
            D = self._X * self._gates[:, i, None]
            self._blocks[i] = self._coupling[i, i] * (D.T @ D)
        self._hold = np.trace(self._blocks, axis1=1, axis2=2) / d

    def _product(self, P: Array) -> Array:
        V = (self._gates * (self._X @ P.T)) @ self._coupling
        V -= self._Q @ (self._Q.T @ V)
        held = self._hold * np.einsum("ia,ia->i", self._W, P) / np.einsum("ia,ia->i", self._W, self._W)
        return np.asarray((self._gates * V).T @ self._X + held[:, None] * self._W)

    def solve(self, right: Array, damping: float) -> Array | None:
        """See `NormalSystem.solve`."""
        from scipy.sparse.linalg import LinearOperator, cg  # wide networks alone pay for loading it

        shape = right.shape
        diagonal = np.einsum("iaa->ia", self._blocks)
        raised = (damping + 1e-13) * np.maximum(diagonal, _FLOOR * diagonal.max())
        factors = [scipy.linalg.cho_factor(b + np.diag(r)) for b, r in zip(self._blocks, raised, strict=True)]

        def product(p: Array) -> Array:
            P = p.reshape(shape)
            return np.asarray(self._product(P) + raised * P).reshape(-1)

        def precondition(p: Array) -> Array:
            parts = zip(factors, p.reshape(shape), strict=True)
            return np.concatenate([scipy.linalg.cho_solve(factor, part) for factor, part in parts])

        size = right.size
        solution, _ = cg(
            LinearOperator((size, size), matvec=product, dtype=np.float64),
            right.reshape(-1),
            rtol=self._tolerance,
            maxiter=200,
            M=LinearOperator((size, size), matvec=precondition, dtype=np.float64),
        )
        return np.asarray(solution.reshape(shape))


def normal_matrix(rows: Rows, model: Model) -> Array:
    """Reduced normal matrix (k d, k d) of the hidden weights on the given rows; scale left free."""
    W, slope = model.W, model.kind.slope
    k, d = W.shape
    G = np.zeros((k, d, k, d))
    constant = np.zeros((k, d))
    upper = np.triu_indices(k)
    by_pattern = k <= 12 and rows.n_rows >= 4 << k
    for _, X, _ in rows.chunks(_PATTERN_CHUNK if by_pattern else _PAIR_CHUNK):
        gates = np.ascontiguousarray((X @ W.T > 0).T)
        blocks = activation_gram(X, gates.view(np.uint8))
        if slope:
            blocks = _leaky(blocks, X.T @ X, slope, k)
        for block, i, j in zip(blocks, *upper, strict=True):
            G[i, :, j, :] += block
        constant += np.where(gates, 1.0, slope) @ X
    for i, j in zip(*upper, strict=True):
        G[j, :, i, :] = G[i, :, j, :].T
    H = np.einsum("iajb,jb->iaj", G, W)
    K = np.einsum("ia,iaj->ij", W, H)
    if model.kind.output_bias:
        H = np.concatenate([H, constant[:, :, None]], axis=2)
        sums = np.einsum("ia,ia->i", W, constant)
        K = np.block([[K, sums[:, None]], [sums[None], np.array([[float(rows.n_rows)]])]])
    flat = H.reshape(k * d, -1)
    G -= (flat @ solve_scaled(K, flat.T)).reshape(k, d, k, d)
    outer = model.outer[:k]
    G *= (outer @ outer.T)[:, None, :, None]
    return G.reshape(k * d, k * d)


def _leaky(blocks: Array, total: Array, slope: float, k: int) -> Array:
    """Turn Grams over common active rows into sums of s_i s_j x x^T with slopes {1, slope}."""
    pairs = list(zip(*np.triu_indices(k), strict=True))
    own = {i: block for block, (i, j) in zip(blocks, pairs, strict=True) if i == j}
    out = np.empty_like(blocks)
    for p, (i, j) in enumerate(pairs):
        out[p] = slope**2 * total + slope * (1 - slope) * (own[i] + own[j]) + (1 - slope) ** 2 * blocks[p]
    return out
