"""Contractions of moments against the read bandwidth of the same run, NumPy, einsum, torch and JAX."""

import importlib
import importlib.util
from typing import ClassVar

import numba
import numpy as np

import fastmom as fm

from .kernels import cpu_ratio

RIVALS = ["read", "numpy", "einsum", *(name for name in ("torch", "jax") if importlib.util.find_spec(name))]
BYTES = 80_000_000  # the published figures are those of 800 MB


@numba.njit(fastmath=True)
def _sum(x):
    total = x.dtype.type(0)
    for i in range(len(x)):
        total += x[i]
    return total


@numba.njit
def _read(x):
    total = 0.0
    for first in range(0, len(x), 1 << 15):
        total += _sum(x[first : first + (1 << 15)])
    return total


class OneVector:
    """T_3(I, u, u) of one vector; the rivals leave out the lower-order terms. One is as fast as the rival."""

    params: ClassVar = [[10, 100, 1000], ["float64", "float32"], RIVALS]
    param_names: ClassVar = ["d", "dtype", "rival"]

    def setup(self, d, dtype, rival):
        rng = np.random.default_rng(0)
        n = BYTES // (np.dtype(dtype).itemsize * d)
        self.X = rng.standard_normal((n, d), dtype=dtype)
        self.w, self.u = rng.standard_normal(n, dtype=dtype), rng.standard_normal(d, dtype=dtype) / np.float32(d**0.5)
        self.threads = numba.get_num_threads()
        numba.set_num_threads(1)

    def teardown(self, d, dtype, rival):
        numba.set_num_threads(self.threads)

    def ours(self):
        fm.contract(self.X, self.w, self.u, 3)

    def rivals(self, name):
        X, w, u = self.X, self.w, self.u
        if name == "read":
            return lambda: _read(X.ravel())
        if name == "numpy":
            return lambda: X.T @ (w * (X @ u) ** 2)
        if name == "einsum":
            return lambda: np.einsum("n,na,n,n->a", w, X, X @ u, X @ u)
        library = importlib.import_module({"torch": "torch", "jax": "jax.numpy"}[name])
        if name == "torch":
            library.set_num_threads(1)
        X, w, u = (library.asarray(array) for array in (X, w, u))
        return lambda: np.asarray(X.T @ (w * (X @ u) ** 2))

    def track_rival_over_ours(self, d, dtype, rival):
        return cpu_ratio(self.ours, self.rivals(rival))


class ManyVectors:
    """Contractions with r vectors at d = 100 against NumPy, and against the two matrix products alone."""

    params: ClassVar = [[16, 64], [3, 10]]
    param_names: ClassVar = ["vectors", "order"]

    def setup(self, r, order):
        rng = np.random.default_rng(0)
        self.X, self.w = rng.standard_normal((40_000, 100)), rng.standard_normal(40_000)
        self.U = rng.standard_normal((100, r)) / 10
        self.threads = numba.get_num_threads()
        numba.set_num_threads(1)

    def teardown(self, r, order):
        numba.set_num_threads(self.threads)

    def numpy(self, order):
        T = self.X @ self.U
        below, value = np.ones_like(T), T
        for j in range(1, order - 1):
            below, value = value, T * value - j * below
        weighted = self.w[:, None] * value
        return self.X.T @ weighted - (order - 1) * (self.w @ below) * self.U

    def products(self):
        T = self.X @ self.U
        self.X.T @ T

    def track_numpy_over_ours(self, r, order):
        return cpu_ratio(lambda: fm.contract(self.X, self.w, self.U, order), lambda: self.numpy(order))

    def track_products_over_ours(self, r, order):
        return cpu_ratio(lambda: fm.contract(self.X, self.w, self.U, order), self.products)

    def time_contract(self, r, order):
        fm.contract(self.X, self.w, self.U, order)


class Matrix:
    """T_4(I, I, u, u) of several weightings in one pass against NumPy, one at a time."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.X, self.w = rng.standard_normal((20_000, 50)), rng.standard_normal((20_000, 4))
        self.u = rng.standard_normal(50) / 50**0.5

    def numpy(self):
        t = self.X @ self.u
        for w in self.w.T:
            (self.X * (w * (t * t - 1))[:, None]).T @ self.X

    def track_numpy_over_ours(self):
        return cpu_ratio(lambda: fm.contract_matrix(self.X, self.w, self.u, 4), self.numpy)

    def peakmem_contract_matrix(self):
        fm.contract_matrix(self.X, self.w, self.u, 4)
