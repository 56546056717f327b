"""Quadratic models of the mean logistic loss, with a Hessian that is formed and factored, or only multiplied by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk, ssyrk

from fastmom.rkhs.logistic_loss import probabilities

Array = npt.NDArray[np.float64]

Solve = Callable[[float, Array, Array, float], Array]

_TILE = 512  # rows of a tile
_MOST = 300  # steps of conjugate gradients
_SINGLE = 1e-5  # of the largest curvature: float32 sums are accurate to a small part of greater multipliers
_FLAT = 1e-14  # of the curvature: added to directions without any


@dataclass(frozen=True, eq=False)
class Model:
    """The quadratic model of the mean loss: v -> H v, and (mu, b, guess, accuracy) -> (H + mu I)^-1 b."""

    product: Callable[[Array], Array]
    solve: Solve


class Factored:
    """One output: the Hessian Phi^T diag(p (1 - p)) Phi / n and its Cholesky factors."""

    keep = 0.03  # of the gap: while a step leaves less, the next one takes the same Hessian

    def __init__(self, features: Array, Y: Array) -> None:
        self.features, self.Y = features, Y

    def model(self, F: Array, mu: float) -> Model:
        """The model at values F, to be solved for multipliers near mu: single precision will do for large ones."""
        n, r = self.features.shape
        P = probabilities(F)
        spread = np.sqrt(P * (1 - P) / n)
        dtype, product = (np.float32, ssyrk) if mu > _SINGLE * float(spread.max()) ** 2 * n else (np.float64, dsyrk)
        sums = np.zeros((r, r), dtype, order="F")
        work = np.empty((min(n, _TILE), r), dtype)
        for first in range(0, n, _TILE):
            rows = slice(first, min(n, first + _TILE))
            tile = np.multiply(self.features[rows], spread[rows], out=work[: rows.stop - first], casting="same_kind")
            sums = product(1.0, tile.T, beta=1.0, c=sums, lower=1, overwrite_c=1)
        H = np.asfortranarray(sums, dtype=np.float64)
        H += np.tril(H, -1).T
        held: list[tuple[float, tuple[Array, bool]]] = []

        flat = _FLAT * float(np.trace(H))

        def solve(mu: float, b: Array, guess: Array, accuracy: float) -> Array:
            if not held or held[0][0] != mu:
                shifted = H.copy(order="F")
                shifted[np.diag_indices(r)] += mu + flat
                held[:] = [(mu, cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False))]
            return np.asarray(cho_solve(held[0][1], b, check_finite=False))

        return Model(lambda v: H @ v, solve)


class Iterative:
    """Any number of outputs, by products with features whose Gram matrix is diagonal: so is nearly the Hessian."""

    keep = 0.0

    def __init__(self, features: Array, Y: Array) -> None:
        self.features, self.Y = features, Y

    def model(self, F: Array, mu: float) -> Model:
        """The model at values F."""
        n = len(F)
        P = probabilities(F)
        spread = P * (1 - P) / n

        def product(v: Array) -> Array:
            U = self.features @ v
            if P.shape[1] > 1:
                U = P * (U - np.sum(P * U, axis=1, keepdims=True)) / n
            else:
                U *= spread
            return np.asarray(self.features.T @ U)

        diagonal = np.zeros((self.features.shape[1], P.shape[1]))
        for first in range(0, n, _TILE):
            diagonal += np.square(self.features[first : first + _TILE]).T @ spread[first : first + _TILE]

        flat = _FLAT * float(diagonal.max())

        def solve(mu: float, b: Array, guess: Array, accuracy: float) -> Array:
            return _conjugate_gradients(lambda v: product(v) + mu * v, b, guess, 1 / (diagonal + mu + flat), accuracy)

        return Model(product, solve)


def _conjugate_gradients(
    product: Callable[[Array], Array], b: Array, v: Array, inverse: Array, accuracy: float
) -> Array:
    """Solve by conjugate gradients from v with a diagonal preconditioner; the accuracy is relative to the change."""
    v = v.copy()
    residual = b - product(v)
    step = inverse * residual
    size = float(np.vdot(residual, step))
    target = accuracy**2 * size
    for _ in range(_MOST):
        if size <= target:
            break
        along = product(step)
        length = size / float(np.vdot(step, along))
        v += length * step
        residual -= length * along
        scaled = inverse * residual
        before, size = size, float(np.vdot(residual, scaled))
        step = scaled + (size / before) * step
    return v
