"""Neurons beside functions that are fitted freely: loss, gradient and normal matrix on a sample of rows.

``Y = f(X W^T) A^T + Q C^T``: the free part Q C is eliminated by projecting everything on the complement of span(Q), A
by variable projection. With the inputs among the free functions, f(t) and f(-t) are the same neuron, and so are the
rectifier, its leaky forms and |t|: only the even part of the network is left to find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.kernels import even_odd
from fastmom.patterns.sample import INPUT_RANK, balance
from fastmom.runtime import progress

Array = npt.NDArray[np.float64]
Gates = npt.NDArray[np.bool_]

_DROPPED = 1e-14  # eigenvalue of the scaled Gram of the neurons below which a combination counts as absent
_CALL_WORK = 4e8  # additions of one call: a fraction of a second
_FLOOR = 1e-12  # of the diagonal, relative to its largest entry
_NOTHING = 1e-13  # of the labels


@dataclass(frozen=True)
class Sample:
    """Rows with orthonormal inputs.

    Attributes
    ----------
    X : ndarray (n, e)
        Orthonormal columns that span the inputs.
    Y : ndarray (n, m)
        Labels.
    constant : ndarray (n,)
        The constant function: one, or what balancing left of it.
    back : ndarray (d, e)
        Weights of the inputs: ``rows @ (back @ v) = X @ v``.
    forward : ndarray (e, d)
        Left inverse of `back`.
    """

    X: Array
    Y: Array
    constant: Array
    back: Array
    forward: Array


def read_sample(X: Array, Y: Array) -> Sample:
    """Balance rows X (n, d), Y (n, m) and orthonormalise the inputs, directions that no row sees left out."""
    X, Y, constant = balance(X, Y)
    scale = np.abs(X).max(axis=0)
    scale[scale == 0] = 1.0
    Q, R = scipy.linalg.qr(X / scale, mode="economic", check_finite=False)
    U, s, Vt = np.linalg.svd(R)
    e = int(np.count_nonzero(s > INPUT_RANK * s[0])) if s[0] > 0 else 0
    back = Vt[:e].T / s[:e] / scale[:, None]
    return Sample(np.ascontiguousarray(Q @ U[:, :e]), Y, constant, back, (Vt[:e] * s[:e, None]) * scale)


@dataclass(frozen=True)
class State:
    """Neurons with optimal output weights.

    Attributes
    ----------
    V : ndarray (k, e)
        Hidden weights of unit norm for the orthonormal inputs.
    outer : ndarray (k, m)
        Output weights.
    loss : float
        Squared residual relative to that of the free functions alone.
    gradient : ndarray (k, e)
        Of half the squared residual with respect to V.
    residual : ndarray (n, m)
        Labels minus fit.
    active : ndarray (n, k)
        Whose input is positive.
    overlap : ndarray (p, k)
        Q^T F, F the neurons' functions.
    gram, inverse_root : ndarray (k, k)
        F^T (I - Q Q^T) F, and a root of its inverse: ``inverse = root root^T``.
    """

    V: Array
    outer: Array
    loss: float
    gradient: Array
    residual: Array
    active: Gates
    overlap: Array
    gram: Array
    inverse_root: Array


class System:
    """Labels of a sample, free functions and the neurons' slope.

    Parameters
    ----------
    sample : Sample
        Rows.
    linear, constant : bool
        Whether the inputs and the constant are fitted freely.
    slope : float
        Of the neurons on their inactive side; immaterial, and taken as zero, where the inputs are free.

    Attributes
    ----------
    constant : ndarray (1, n) or (0, n)
        The constant beyond the other free functions, of unit norm; missing where it is not free or not beyond them.
    free : ndarray (n, p)
        Orthonormal basis of the free functions.
    labels : ndarray (n, m)
        What they leave of the labels.
    size : float
        Their sum of squares.
    explained : bool
        Whether that is nothing but round-off: there is no neuron to find.
    """

    def __init__(self, sample: Sample, *, linear: bool, constant: bool, slope: float) -> None:
        self.sample, self.linear, self.slope = sample, linear, 0.0 if linear else slope
        self.constant = _residual_direction(sample, linear) if constant else np.empty((0, len(sample.X)))
        free = [sample.X] if linear else []
        self.free = np.hstack([*free, self.constant.T]) if linear or constant else np.empty((len(sample.X), 0))
        self.labels = sample.Y - self.free @ (self.free.T @ sample.Y)
        self.labels -= self.free @ (self.free.T @ self.labels)
        self.size = float(np.sum(self.labels**2))
        self.explained = self.size <= _NOTHING**2 * float(np.sum(sample.Y**2))
        self._single = sample.X.astype(np.float32)

    def evaluate(self, V: Array) -> State:
        """Optimal output weights for the hidden weights V (k, e), the loss and its gradient."""
        V = V / np.linalg.norm(V, axis=1, keepdims=True).clip(min=np.finfo(float).tiny)
        F = self.sample.X @ V.T
        active = F > 0
        if self.slope:
            np.multiply(F, self.slope, out=F, where=~active)
        else:
            np.maximum(F, 0.0, out=F)
        overlap = self.free.T @ F
        gram = F.T @ F - overlap.T @ overlap
        root = _inverse_root(gram)
        outer = root @ (root.T @ (F.T @ self.labels))
        residual = self._without(F, overlap, outer, self.labels)
        correction = root @ (root.T @ (F.T @ residual))  # the digits that the square of F lost
        outer += correction
        residual = self._without(F, overlap, correction, residual)
        pull = residual @ outer.T
        if self.slope:
            np.multiply(pull, self.slope, out=pull, where=~active)
        else:
            pull *= active
        loss = 0.0 if self.explained else float(np.sum(residual**2)) / self.size
        return State(V, outer, loss, -(pull.T @ self.sample.X), residual, active, overlap, gram, root)

    def _without(self, F: Array, overlap: Array, outer: Array, labels: Array) -> Array:
        """Labels minus what the neurons with these output weights explain beyond the free functions."""
        return np.asarray(labels - F @ outer + self.free @ (overlap @ outer))

    def scaled_normal_matrix(self, state: State, dtype: type) -> tuple[Array, Array]:
        """Normal matrix of the hidden weights divided by its diagonal, lower triangle (k e, k e), and scale (k, e).

        The scale of a neuron, which the loss does not feel, is held. `dtype` is the precision of its Grams.
        """
        (k, e), outer = state.V.shape, state.outer
        pairs = np.column_stack(np.triu_indices(k))
        grams = self._joint_grams(state.active, pairs, dtype)
        own = np.flatnonzero(pairs[:, 0] == pairs[:, 1])
        cross = self._free_products(grams[own], state.active)
        H = np.empty((k, k, e))
        even_odd.joint_products(grams, pairs, state.V, H)
        H -= np.einsum("iap,pj->ija", cross, state.overlap)
        L = np.concatenate([cross, np.einsum("ija,jl->ial", H, state.inverse_root)], axis=2)
        coupling = outer @ outer.T
        diagonal = grams[:, _packed_diagonal(e)][own] - np.einsum("iap,iap->ia", L, L)
        diagonal *= np.diag(coupling)[:, None]
        held = np.zeros((k + 1, e))
        held[:k] = np.sqrt(np.maximum(diagonal.mean(axis=1), np.finfo(float).tiny))[:, None] * state.V
        diagonal += held[:k] ** 2
        scale = 1.0 / np.sqrt(np.maximum(diagonal, max(_FLOOR * diagonal.max(), np.finfo(float).tiny)))
        flat = L.reshape(k * e, -1)
        N = flat @ flat.T
        even_odd.normal_blocks(grams, pairs, coupling, held, scale, N)
        return N.T, scale

    def inputs(self, dtype: type) -> npt.NDArray[Any]:
        """Orthonormal inputs (n, e) in single or in double precision."""
        return self._single if dtype is np.float32 else self.sample.X

    def _joint_grams(self, active: Gates, pairs: npt.NDArray[np.int64], dtype: type) -> Array:
        """Packed sums of s_i s_j x x^T for all pairs, s the neurons' slopes on each row."""
        X = self.inputs(dtype)
        n, e = X.shape
        quad = even_odd.quads(active)
        grams = np.zeros((len(pairs), e * (e + 1) // 2))
        scratch = even_odd.joint_scratch(even_odd.joint_grams.lanes(X.size * len(pairs)), e, X.dtype)
        size = max(1, int(_CALL_WORK * 4 / grams.size) // even_odd.FLUSH) * even_odd.FLUSH
        for first in range(0, n, size):
            part = quad[first // 4 : (first + size) // 4]
            even_odd.joint_grams(X[first : first + size], part, pairs, even_odd.strips(e), scratch, grams)
            progress.report("recovering")
        if self.slope:
            own = grams[pairs[:, 0] == pairs[:, 1]]
            grams *= (1 - self.slope) ** 2
            grams += self.slope * (1 - self.slope) * (own[pairs[:, 0]] + own[pairs[:, 1]])
            grams[:, _packed_diagonal(e)] += self.slope**2
        return grams

    def _free_products(self, own: Array, active: Gates) -> Array:
        """Sums of s_i x q^T over the free functions q: (k, e, p)."""
        k, e = len(own), self.sample.X.shape[1]
        parts = []
        if self.linear:
            square = np.empty((k, e, e))
            upper = np.triu_indices(e)
            square[:, upper[0], upper[1]] = square[:, upper[1], upper[0]] = own
            parts.append(square)
        for c in self.constant:
            weighted = self.sample.X * c[:, None]
            parts.append(((1 - self.slope) * (active.T @ weighted) + self.slope * weighted.sum(axis=0))[:, :, None])
        return np.concatenate(parts, axis=2) if parts else np.empty((k, e, 0))


def _packed_diagonal(e: int) -> npt.NDArray[np.int64]:
    """Where a packed matrix keeps its diagonal."""
    a = np.arange(e)
    return a * e - a * (a - 1) // 2


def _residual_direction(sample: Sample, linear: bool) -> Array:
    """The constant as a unit vector (1, n), beyond the inputs if they are free; (0, n) if it is one of them."""
    c = sample.constant.copy()
    if linear:
        for _ in range(2):
            c -= sample.X @ (sample.X.T @ c)
    norm = np.linalg.norm(c)
    return c[None] / norm if norm > INPUT_RANK * np.linalg.norm(sample.constant) else np.empty((0, len(c)))


def _inverse_root(gram: Array) -> Array:
    """Root of the pseudo-inverse of a semidefinite matrix (k, k), its diagonal scaled to one beforehand."""
    scale = 1.0 / np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(gram * scale[:, None] * scale)
    kept = values > _DROPPED * values.max(initial=0.0)
    return np.where(kept, vectors / np.sqrt(np.where(kept, values, 1.0)), 0.0) * scale[:, None]
