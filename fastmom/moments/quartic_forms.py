"""Quartic forms of a Hermite moment T of order four, from samples, from a small tensor, or from a network.

    Q(B) = alpha sum_(j != k) T(b_j, b_j, b_k, b_k) + beta sum_j T(b_j, b_j, b_j, b_j)

for rows b_j of B (m, d). Each form offers `value_and_gradient(B)` and `product(B, D)`, the second derivative along D.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastmom.kernels.quartic import quartic_gradient_pass, quartic_product_pass, quartic_scratch
from fastmom.moments.quadratic import moments
from fastmom.runtime.passes import Pass, Rows, sum_over_rows
from fastmom.runtime.threads import single_blas_thread

Array = npt.NDArray[np.float64]

BLOCK_ROWS = 4096  # few partial sums, as each is a matrix


class QuarticForm(Protocol):
    """What an objective needs of a moment of order four."""

    def value_and_gradient(self, B: Array, alpha: float, beta: float) -> tuple[float, Array]:
        """Q(B) and its gradient (m, d)."""

    def product(self, B: Array, D: Array, alpha: float, beta: float) -> Array:
        """Second derivative of Q at B along D (m, d)."""


def matrix_pass(
    rows: Rows, kernel: Pass, parameters: tuple[Array, ...], *, width: int, projections: int, stage: str
) -> Array:
    """Sum a kernel of `fastmom.kernels.quartic` over rows; the first parameter is a matrix (m, d)."""
    m, d = parameters[0].shape
    size = min(BLOCK_ROWS, rows.n_rows)
    with single_blas_thread():
        return sum_over_rows(
            rows,
            kernel,
            parameters,
            width=width,
            scratch_width=-(-quartic_scratch(d, m, projections) // size),
            row_flops=2.0 * m * d * (1 + projections),
            stage=stage,
            size=size,
        )


class SampledForm:
    """T = mean w S_4(z) for rows z of covariance `metric` (that of standard Gaussian inputs: the identity).

    One pass over the rows an evaluation, 4 n d m operations; mean w and mean w z z^T are formed once.

    Parameters
    ----------
    Z : ndarray (n, d)
        Inputs, float64, or whitened inputs X Wh.
    w : ndarray (n,)
        Weights.
    metric : ndarray (d, d)
        Wh^T Wh.
    """

    def __init__(self, Z: Array, w: Array, metric: Array) -> None:
        self._rows = Rows(Z, w.reshape(-1, 1))
        self._metric = metric
        with single_blas_thread():
            means = moments(self._rows)[0] / len(Z)
        self._second, self._mean = means[:-1, :-1], float(means[-1, -1])

    def value_and_gradient(self, B: Array, alpha: float, beta: float) -> tuple[float, Array]:
        """See `QuarticForm`."""
        B = np.ascontiguousarray(B)
        parameters = (B, np.array([alpha, beta]))
        sums = matrix_pass(
            self._rows, quartic_gradient_pass, parameters, width=1 + B.size, projections=1, stage="landscape"
        )
        sums /= self._rows.n_rows
        value, gradient = self._lower(B, alpha, beta)
        return float(sums[0]) + value, sums[1:].reshape(B.shape) + gradient

    def product(self, B: Array, D: Array, alpha: float, beta: float) -> Array:
        """See `QuarticForm`."""
        B, D = np.ascontiguousarray(B), np.ascontiguousarray(D)
        parameters = (B, D, np.array([alpha, beta]))
        sums = matrix_pass(self._rows, quartic_product_pass, parameters, width=B.size, projections=2, stage="landscape")
        return np.asarray(sums.reshape(B.shape) / self._rows.n_rows + self._lower_product(B, D, alpha, beta))

    def _lower(self, B: Array, alpha: float, beta: float) -> tuple[float, Array]:
        """Terms of degree below four in z.

        For S_4 with metric M and N = mean w z z^T: T(v,v,w,w) = mean w (v.z)^2 (w.z)^2 - v.Mv w.Nw - w.Mw v.Nv
        - 4 v.Mw v.Nw + mean(w) (v.Mv w.Mw + 2 (v.Mw)^2).
        """
        MB, NB, mean = B @ self._metric, B @ self._second, self._mean
        G, H = MB @ B.T, NB @ B.T
        g, q = np.diag(G).copy(), np.diag(H).copy()
        off, oq = G - np.diag(g), H - np.diag(q)
        pair = -2 * (g.sum() * q.sum() - g @ q) - 4 * np.sum(off * oq)
        pair += mean * (g.sum() ** 2 - g @ g + 2 * np.sum(off * off))
        value = alpha * pair + beta * (-6 * g @ q + 3 * mean * g @ g)
        on_g = alpha * (-2 * (q.sum() - q) + 2 * mean * (g.sum() - g)) + beta * (-6 * q + 6 * mean * g)
        on_q = alpha * -2 * (g.sum() - g) + beta * -6 * g
        gradient = 2 * (on_g[:, None] * MB + on_q[:, None] * NB)
        gradient += alpha * (-8 * (oq @ MB + off @ NB) + 8 * mean * off @ MB)
        return float(value), gradient

    def _lower_product(self, B: Array, D: Array, alpha: float, beta: float) -> Array:
        """Derivative of the gradient of `_lower` along D."""
        MB, NB, MD, ND, mean = B @ self._metric, B @ self._second, D @ self._metric, D @ self._second, self._mean
        G, H, dG, dH = MB @ B.T, NB @ B.T, MB @ D.T, NB @ D.T
        dG, dH = dG + dG.T, dH + dH.T
        g, q, dg, dq = np.diag(G).copy(), np.diag(H).copy(), np.diag(dG).copy(), np.diag(dH).copy()
        off, oq, doff, doq = G - np.diag(g), H - np.diag(q), dG - np.diag(dg), dH - np.diag(dq)

        def on_g(g: Array, q: Array) -> Array:
            return alpha * (-2 * (q.sum() - q) + 2 * mean * (g.sum() - g)) + beta * (-6 * q + 6 * mean * g)

        def on_q(g: Array) -> Array:
            return np.asarray(alpha * -2 * (g.sum() - g) + beta * -6 * g)

        out = on_g(dg, dq)[:, None] * MB + on_g(g, q)[:, None] * MD + on_q(dg)[:, None] * NB + on_q(g)[:, None] * ND
        out = 2 * out - 8 * alpha * (doq @ MB + oq @ MD + doff @ NB + off @ ND)
        return np.asarray(out + 8 * alpha * mean * (doff @ MB + off @ MD))


class _SlicedForm(ABC):
    """A form known through the matrices T(b_j, c_j, ., .)."""

    @abstractmethod
    def _slices(self, B: Array, C: Array) -> Array:
        """T(b_j, c_j, ., .) for all rows, (m, d, d)."""

    def value_and_gradient(self, B: Array, alpha: float, beta: float) -> tuple[float, Array]:
        """See `QuarticForm`."""
        M = self._slices(B, B)
        along = 4 * alpha * M.sum(axis=0) + 4 * (beta - alpha) * M
        gradient = np.einsum("jab,jb->ja", along, B)
        return float(np.sum(gradient * B)) / 4, gradient

    def product(self, B: Array, D: Array, alpha: float, beta: float) -> Array:
        """See `QuarticForm`."""
        M, dM = self._slices(B, B), 2 * self._slices(B, D)
        along = 4 * alpha * M.sum(axis=0) + 4 * (beta - alpha) * M
        change = 4 * alpha * dM.sum(axis=0) + 4 * (beta - alpha) * dM
        return np.einsum("jab,jb->ja", along, D) + np.einsum("jab,jb->ja", change, B)


class TensorForm(_SlicedForm):
    """T (d, d, d, d) itself: 2 m d^4 operations, no samples."""

    def __init__(self, T: Array) -> None:
        d = len(T)
        self._unfolded, self._d = np.ascontiguousarray(T.reshape(d * d, d * d)), d

    def _slices(self, B: Array, C: Array) -> Array:
        products = np.einsum("ja,jb->jab", B, C).reshape(len(B), -1)
        return np.asarray((products @ self._unfolded).reshape(len(B), self._d, self._d))


class PopulationForm(_SlicedForm):
    """T = sum_i weight_i r_i^(x)4 for rows r_i (k, d): what infinitely many samples say."""

    def __init__(self, weights: Array, rows: Array) -> None:
        self._weights, self._rows = weights, rows

    def _slices(self, B: Array, C: Array) -> Array:
        strength = (B @ self._rows.T) * (C @ self._rows.T) * self._weights
        return np.asarray(np.einsum("ji,ia,ib->jab", strength, self._rows, self._rows, optimize=True))
