"""Pure neurons: directions of label space in which a single neuron speaks, from moments of symmetric inputs.

Ge, Kuditipudi, Li, Wang 2018, arXiv 1810.06793. Labels y = A relu(W x) + noise, x and -x of equal law, s = W x. As
relu(s) = (s + |s|)/2, the regression of y on x is B = A W / 2, and with p = 2 B x = A s and q = 2 (y - B x) = A|s|

    E[((u.q)^2 - (u.p)^2) g(x)] = 4 sum_{i<j} c_i c_j E[(|s_i s_j| - s_i s_j) g(x)] + noise(u) E[g],   c = A^T u,

for every even g: it vanishes where u.y holds one neuron only (c has one entry). In matrices u u^T this is linear, and
its null space is spanned by the z_i z_i^T that single out the neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels import tensor
from fastmom.moments.tensors import smat
from fastmom.moments.whitening import symmetric_roots
from fastmom.runtime.passes import Rows, block_rows, sum_over_rows

Array = npt.NDArray[np.float64]

_CHUNK = 4096
_SPANNED = 1e-10  # eigenvalue of E[g g^T], relative to its trace, below which test functions are dependent


@dataclass(frozen=True)
class Regression:
    """Second moments of rows, and the regression of labels on inputs.

    Attributes
    ----------
    unit : float
        RMS of an input.
    mean_label : ndarray (m,)
        E[y].
    B : ndarray (m, d)
        E[y x^T] E[x x^T]^-1, half of A W for symmetric inputs.
    root, inverse_root : ndarray (d, d)
        Of E[x x^T]; the latter on its range.
    """

    unit: float
    mean_label: Array
    B: Array
    root: Array
    inverse_root: Array


def regress(rows: Rows) -> Regression:
    """Regression of the labels on the inputs, in one pass."""
    d, m = rows.n_inputs, rows.n_outputs
    unit = max(max(float(np.abs(X).max()) for _, X, _ in rows.chunks(_CHUNK)), np.finfo(float).tiny)
    covariance, cross, total = np.zeros((d, d)), np.zeros((m, d)), np.zeros(m)
    for _, X, Y in rows.chunks(_CHUNK):
        X = X / unit
        covariance += X.T @ X
        cross += Y.T @ X
        total += Y.sum(axis=0)
    rms = np.sqrt(np.trace(covariance) / (rows.n_rows * d))
    roots = symmetric_roots(covariance / (rows.n_rows * rms**2))
    B = cross / (rows.n_rows * rms) @ roots.inverse_root @ roots.inverse_root
    unit *= rms
    return Regression(unit, total / rows.n_rows, B / unit, roots.root * unit, roots.inverse_root / unit)


@dataclass(frozen=True)
class Frame:
    """Label and input coordinates of k dimensions: U_y^T y / sigma and U_y^T B x / sigma, of unit covariance.

    Attributes
    ----------
    basis : ndarray (m, k)
        U_y, leading left singular vectors of B E[x x^T]^(1/2).
    scale : ndarray (k,)
        Their singular values sigma.
    spectrum : ndarray
        All singular values; those beyond k are noise.
    B : ndarray (m, d)
        The regression they belong to.
    """

    basis: Array
    scale: Array
    spectrum: Array
    B: Array

    @property
    def p_map(self) -> Array:
        """(d, k), x to its coordinates."""
        return np.ascontiguousarray((self.B.T @ self.basis) / self.scale)

    @property
    def q_map(self) -> Array:
        """(m, k), y to half of its coordinates."""
        return np.ascontiguousarray(self.basis / (2 * self.scale))

    def network(self, Z: Array, mean_label: Array) -> tuple[Array, Array]:
        """Output weights A (m, k) and unit hidden weights W (k, d) of the neurons that the rows of Z single out.

        Algorithm 1 of the paper: z.y = relu(w.x), so w is twice its regression on x.
        """
        sign = np.where((Z / self.scale) @ (self.basis.T @ mean_label) < 0, -1.0, 1.0)
        Z = sign[:, None] * Z
        W = 2 * (Z / self.scale) @ self.basis.T @ self.B
        A = (self.basis * self.scale) @ np.linalg.pinv(Z)
        length = np.linalg.norm(W, axis=1)
        length[length == 0] = 1.0
        return A * length, W / length[:, None]

    def rows_of(self, A: Array) -> Array:
        """The Z (k, k), unit rows, that single out neurons with output weights A."""
        Z = np.linalg.pinv((self.basis / self.scale).T @ A)
        length = np.linalg.norm(Z, axis=1, keepdims=True)
        return np.asarray(Z / np.where(length > 0, length, 1.0))


def frame(regression: Regression, B: Array, k: int) -> Frame:
    """Coordinates of the k leading directions of the regression B (m, d)."""
    U, s, _ = np.linalg.svd(B @ regression.root, full_matrices=False)
    return Frame(U[:, :k], s[:k], s, B)


@dataclass(frozen=True)
class Detector:
    """The pure-neuron detector as a matrix on symmetric matrices.

    Attributes
    ----------
    matrix : ndarray (P', P), P = k (k + 1) / 2
        E[g F^T] without the image of E[g], where the noise is; F = svec(q q^T) - svec(p p^T).
    spectrum : ndarray (min(P', P),)
        Its singular values: k of them vanish, in the population.
    null_matrices : ndarray (k, k, k)
        Right singular vectors of the k smallest, as symmetric matrices.
    """

    matrix: Array
    spectrum: Array
    null_matrices: Array

    @property
    def gap(self) -> float:
        """The k-th smallest singular value over the next: small where the samples tell the neurons apart."""
        k, P = self.null_matrices.shape[0], self.matrix.shape[1]
        values = np.zeros(P)
        values[: len(self.spectrum)] = self.spectrum
        if P == k:
            return 0.0
        return float(values[P - k] / values[P - k - 1]) if values[P - k - 1] > 0 else 1.0


def detector(rows: Rows, at: Frame, *, plain: float) -> Detector:
    """The detector of one pass over the rows.

    Parameters
    ----------
    rows : Rows
        Samples.
    at : Frame
        Coordinates of labels.
    plain : float
        Zero: g = svec(p p^T)/|p|^2 in the k dimensions, brought to unit covariance; bounded, so heavy tails do no
        harm. Otherwise g = x (x) x as in the paper, x in this unit.
    """
    d, m, k = rows.n_inputs, rows.n_outputs, len(at.scale)
    p_map, q_map = at.p_map, at.q_map
    coordinates = np.eye(d) / plain if plain else p_map
    e = coordinates.shape[1]
    P, Pe = k * (k + 1) // 2, e * (e + 1) // 2
    scratch_width, width = tensor.distinguishing_widths(k, e)
    sums = sum_over_rows(
        rows,
        tensor.distinguishing_pass,
        (coordinates, p_map, q_map, np.array([0.0 if plain else 1.0])),
        width=width,
        scratch_width=scratch_width,
        row_flops=2.0 * Pe * (P + Pe) + 2.0 * (d * (e + k) + m * k),
        stage="correlating labels",
        size=block_rows(d + m, width),
    )
    mean = sums / rows.n_rows
    T = mean[: Pe * P].reshape(Pe, P)
    g = mean[Pe * (P + Pe) : Pe * (P + Pe) + Pe]
    if not plain:
        second = mean[Pe * P : Pe * (P + Pe)].reshape(Pe, Pe)
        inverse_root = symmetric_roots(second, floor=_SPANNED * np.trace(second)).inverse_root
        T, g = inverse_root @ T, inverse_root @ g
    g = g / np.linalg.norm(g)
    T = T - np.outer(g, g @ T)
    _, spectrum, vectors = np.linalg.svd(T)
    return Detector(T, spectrum, smat(vectors[-k:]))
