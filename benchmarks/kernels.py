"""Kernels beside what they compete with, as ratios of CPU time in one run."""

import time
from typing import ClassVar

import numpy as np
import scipy.linalg

from fastmom.activations import resolve
from fastmom.kernels import forward, gram, pattern
from fastmom.patterns.activation_gram import activation_gram
from fastmom.patterns.model import Model, ModelClass, label_scale, verify
from fastmom.patterns.normal_system import normal_matrix
from fastmom.runtime.passes import Rows
from fastmom.runtime.threads import single_blas_thread

ROUNDS = 9


def cpu_ratio(ours, rival):
    """Median over interleaved rounds of the CPU time of `rival` over that of `ours`, one thread each."""
    with single_blas_thread():
        ours(), rival()
        ratios = []
        for _ in range(ROUNDS):
            started = time.process_time()
            ours()
            middle = time.process_time()
            rival()
            ratios.append((time.process_time() - middle) / (middle - started))
    return float(np.median(ratios))


def cpu_seconds(call):
    """Median CPU time of a call on one thread."""
    with single_blas_thread():
        call()
        times = []
        for _ in range(ROUNDS):
            started = time.process_time()
            call()
            times.append(time.process_time() - started)
    return float(np.median(times))


class GatedGram:
    """X_S^T [X_S, Z_S] of one direction against gather + GEMM in NumPy."""

    params: ClassVar = ["300-50-20", "2000-20-10", "20000-50-20", "5000-100-50", "5000-200-100"]
    param_names: ClassVar = ["n-d-k"]

    def setup(self, shape):
        n, d, k = map(int, shape.split("-"))
        rng = np.random.default_rng(0)
        self.rows = rng.standard_normal((n, d + k))
        self.V = rng.standard_normal((1, d))
        self.d = d
        self.scratch, self.gates = pattern.ascent_scratch(1, n, d, k)
        self.out = np.empty((1, d, d + k))
        self.flops = n * d * (d + k)  # half of the rows, two operations each
        self.repeats = max(1, int(2e8 / self.flops))

    def ours(self):
        for _ in range(self.repeats):
            pattern.gated_grams.serial(self.rows, self.V, self.gates, self.scratch, self.out)

    def rival(self):
        for _ in range(self.repeats):
            X = self.rows[:, : self.d]
            active = self.rows[X @ self.V[0] > 0]
            active[:, : self.d].T @ active

    def track_numpy_over_ours(self, shape):
        return cpu_ratio(self.ours, self.rival)

    def track_gigaflops(self, shape):
        return self.flops * self.repeats / cpu_seconds(self.ours) / 1e9


class ActivationGram:
    """The Gram of all pairs of neurons against an explicit design and against one masked syrk a pair."""

    params: ClassVar = ["100000-50-8", "2000-20-8", "2000-50-20"]
    param_names: ClassVar = ["n-d-k"]

    def setup(self, shape):
        n, d, k = map(int, shape.split("-"))
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((n, d))
        self.active = self.X @ rng.standard_normal((d, k)) > 0
        self.gates = np.ascontiguousarray(self.active.T).astype(np.uint8)
        self.kept = gram.pattern_grams.parallel, gram.pair_grams.parallel
        gram.pattern_grams.parallel = gram.pattern_grams.serial
        gram.pair_grams.parallel = gram.pair_grams.serial

    def teardown(self, shape):
        gram.pattern_grams.parallel, gram.pair_grams.parallel = self.kept

    def ours(self):
        activation_gram(self.X, self.gates)

    def design(self):
        design = (self.active[:, :, None] * self.X[:, None, :]).reshape(len(self.X), -1)
        design.T @ design

    def pairs(self):
        for i, j in zip(*np.triu_indices(len(self.gates)), strict=True):
            scipy.linalg.blas.dsyrk(1.0, self.X[self.active[:, i] & self.active[:, j]].T)

    def track_design_over_ours(self, shape):
        return cpu_ratio(self.ours, self.design)

    def track_pairs_over_ours(self, shape):
        return cpu_ratio(self.ours, self.pairs)


VERIFIED_ROWS = 100_000


class Verify:
    """The fused residual pass at n = 1e5, d = 100, k = m = 50: 1.5 GFlop."""

    def setup(self):
        rng = np.random.default_rng(0)
        n, d, k, m = VERIFIED_ROWS, 100, 50, 50
        X = rng.standard_normal((n, d))
        self.W, outer = rng.standard_normal((k, d)), rng.standard_normal((k + 1, m))
        self.A = outer[:-1].T
        self.Y = np.maximum(X @ self.W.T, 0) @ outer[:-1] + outer[-1]
        self.rows, self.X = Rows(X, self.Y), X
        self.model = Model(self.W, outer, k, ModelClass(resolve("relu"), False, True, None))
        self.scale = label_scale(self.rows)
        self.flops = 2 * n * k * (d + m)

    def ours(self):
        verify(self.rows, self.model, self.scale)

    def rival(self):
        residual = np.maximum(self.X @ self.W.T, 0) @ self.A.T + self.model.outer[-1] - self.Y
        np.einsum("ij,ij->j", residual, residual)

    def track_numpy_over_ours(self):
        return cpu_ratio(self.ours, self.rival)

    def track_gigaflops_a_core(self):
        return self.flops / cpu_seconds(self.ours) / 1e9

    def track_two_products_over_ours(self):
        """One is the speed of the two matrix products alone."""
        return cpu_ratio(self.ours, lambda: (self.X @ self.W.T) @ self.A.T)

    def time_verify(self):
        self.ours()


class Passes:
    """Gradient and normal matrix of a Gauss-Newton step at n = 2e4, d = 50, k = 20."""

    def setup(self):
        rng = np.random.default_rng(0)
        n, d, k = 20_000, 50, 20
        X, W = rng.standard_normal((n, d)), rng.standard_normal((k, d))
        outer = rng.standard_normal((k + 1, k))
        self.model = Model(W, outer, k, ModelClass(resolve("relu"), False, False, None))
        self.rows = Rows(X, np.maximum(X @ W.T, 0) @ outer[:-1])
        hidden, outer, slopes = self.model.parameters()
        work = np.empty((1, 512, 2 * k + k))
        self.arguments = (X, self.rows.take(np.arange(n))[1], hidden, outer, slopes, work)
        self.sums = np.empty((-(-n // 512), 1 + k * d))
        self.values = np.empty(n)

    def gradient(self):
        forward.gradient_pass.serial(*self.arguments, self.values, self.sums)

    def plain_gradient(self):
        X, Y, hidden, outer, _, _ = self.arguments
        T = X @ hidden
        R = np.maximum(T, 0) @ outer[:-1] - Y
        ((R @ outer[:-1].T) * (T > 0)).T @ X

    def track_numpy_gradient_over_ours(self):
        return cpu_ratio(self.gradient, self.plain_gradient)

    def time_normal_matrix(self):
        normal_matrix(self.rows, self.model)
