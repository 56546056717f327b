"""The normal matrix of a step on neurons beside free functions, as products: rows times neurons, never squared."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.kernels import gated_products
from fastmom.patterns.even_odd_system import State, System
from fastmom.runtime import progress

Array = npt.NDArray[np.float64]


class NormalProducts:
    """``J^T (I - Q Q^T - F F^+) J`` of a state, J the Jacobian with respect to the hidden weights, applied.

    The matrix of `System.scaled_normal_matrix` before it is scaled and the neurons' scales are held. A product is
    ``4 n k (e + m)`` operations against the ``n (k e)^2`` of forming it.

    Parameters
    ----------
    system : System
        Rows and free functions.
    state : State
        Where it is linearised.
    dtype : type
        Precision of the products over a tile of rows; sums over tiles are float64.
    """

    def __init__(self, system: System, state: State, dtype: type) -> None:
        self._X: npt.NDArray[Any] = system.inputs(dtype)
        self._state, self._free = state, system.free
        self._outer: npt.NDArray[Any] = np.ascontiguousarray(state.outer, dtype=dtype)
        self._slope = self._X.dtype.type(system.slope)
        n, k = len(self._X), len(state.V)
        self._F: npt.NDArray[Any] = np.empty((n, k), dtype)
        np.matmul(self._X, state.V.T.astype(dtype), out=self._F)
        if system.slope:
            np.multiply(self._F, self._slope, out=self._F, where=~state.active)
        else:
            np.maximum(self._F, 0, out=self._F)
        lanes = gated_products.jacobian_products.lanes(self._X.size * k)
        self._scratch = gated_products.gated_scratch(lanes, k, self._X.dtype)

    def __call__(self, P: Array) -> Array:
        """Product with P (k, e)."""
        state, X = self._state, self._X
        (n, e), (k, m) = X.shape, state.outer.shape
        R = np.empty((n, m), X.dtype)
        sums = np.empty((gated_products.tiles(n), k, m), X.dtype)
        directions = np.ascontiguousarray(P.T, dtype=X.dtype)
        gated_products.jacobian_products(X, self._F, self._slope, directions, self._outer, self._scratch, R, sums)
        self._project(R, sums.sum(axis=0, dtype=np.float64))
        back = np.empty((len(sums), k, e), X.dtype)
        outer = np.ascontiguousarray(self._outer.T)
        gated_products.transposed_products(X, self._F, self._slope, R, outer, self._scratch, back)
        progress.report("recovering")
        return np.asarray(back.sum(axis=0, dtype=np.float64))

    def _project(self, R: npt.NDArray[Any], neurons: Array) -> None:
        """Take out of R (n, m) what free functions and neurons explain; `neurons` is F^T R."""
        state = self._state
        free = self._free.T @ R
        own = state.inverse_root @ (state.inverse_root.T @ (neurons - state.overlap.T @ free))
        R -= self._F @ own.astype(R.dtype)
        R -= (self._free @ (free - state.overlap @ own)).astype(R.dtype)
