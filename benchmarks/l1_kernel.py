"""The recursive kernel and the squared-loss balls: time, memory, and ratios of CPU time in the same process."""

import time
from typing import ClassVar

import numpy as np

import fastmom as fm
from fastmom.rkhs.conjugate_gradients import squared_by_gradients
from fastmom.rkhs.products import as_ball_rows

ROWS = {"gram": 4096, "product": 20_000, "dense": 5000, "penalty": 5000, "pcg": 10_000, "nystrom": 20_000}
LANDMARKS = 1500


def inputs(n, d=20, dtype=np.float64):
    X = np.random.default_rng(0).standard_normal((n, d))
    return np.ascontiguousarray(X / (np.linalg.norm(X, axis=1)[:, None] * 1.000001), dtype=dtype)


def samples(n):
    """Six neurons of tanh, and noise."""
    X = inputs(n)
    y = np.tanh(X @ np.random.default_rng(9).standard_normal((20, 6))).sum(axis=1)
    return X, y + 0.4 * np.random.default_rng(1).standard_normal(n)


def seconds(work, repeats=3):
    """Least CPU time, after one call that compiles."""
    work()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return max(1e-9, min(times))


class Gram:
    """Kernel values of all pairs against the matrix product that they need."""

    params: ClassVar = [[64, 256, 784], ["float64", "float32"]]
    param_names: ClassVar = ["inputs", "dtype"]

    def setup(self, d, dtype):
        n = ROWS["gram"]
        self.X, self.Z = inputs(n, d, dtype), inputs(n, d, dtype)[::-1].copy()
        self.out = np.empty((n, n), dtype)

    def track_over_matrix_product(self, d, dtype):
        product = seconds(lambda: np.dot(self.X, self.Z.T, out=self.out))
        return seconds(lambda: fm.recursive_kernel(self.X, self.Z, 3.0, self.out)) / product

    def track_recursion_in_numpy_over_ours(self, d, dtype):
        """As one writes it, with a new array at every step, and so has ours: at least 3 for 64 inputs."""

        def recursion():
            K = self.X @ self.Z.T
            for _ in range(3):
                K = 1 / (2 - K)

        return seconds(recursion) / seconds(lambda: fm.recursive_kernel(self.X, self.Z, 3.0))

    def track_recursion_in_place_over_ours(self, d, dtype):
        def recursion():
            np.dot(self.X, self.Z.T, out=self.out)
            for _ in range(3):
                np.divide(1, np.subtract(2, self.out, out=self.out), out=self.out)

        return seconds(recursion) / seconds(lambda: fm.recursive_kernel(self.X, self.Z, 3.0, self.out))

    def time_symmetric(self, d, dtype):
        fm.recursive_kernel(self.X, None, 3.0, self.out)


class Product:
    """Products that store no kernel matrix."""

    params: ClassVar = ["float64", "float32"]
    param_names: ClassVar = ["dtype"]

    def setup(self, dtype):
        self.X = inputs(ROWS["product"], dtype=dtype)
        self.v = np.ones(len(self.X), dtype)

    def track_nanoseconds_an_entry(self, dtype):
        return 1e9 * seconds(lambda: fm.kernel_matmul(self.X, None, self.v, 3.0), 2) / len(self.X) ** 2

    def peakmem_product(self, dtype):
        fm.kernel_matmul(self.X, None, self.v, 3.0)


class Ball:
    """Half the mean squared error over a ball of radius eight."""

    params: ClassVar = ["dense", "pcg", "nystrom"]
    param_names: ClassVar = ["solver"]
    timeout = 600

    def setup(self, solver):
        self.X, self.y = samples(ROWS[solver])
        self.size = min(LANDMARKS, ROWS[solver]) if solver == "nystrom" else None

    def fit(self, solver):
        return fm.learn_l1_kernel(
            self.X, self.y, depth=2.0, radius=8.0, solver=solver, n_landmarks=self.size, rng=0
        ).diagnostics

    def time_fit(self, solver):
        self.fit(solver)

    def peakmem_fit(self, solver):
        self.fit(solver)

    def track_relative_gap(self, solver):
        return self.fit(solver)["relative_gap"]


class Penalty:
    """One penalty by conjugate gradients."""

    def setup(self):
        self.X, self.y = samples(ROWS["penalty"])

    def track_ridge_over_ours(self):
        """CPU time of the kernel matrix and one Cholesky solve, over ours."""
        from scipy.linalg import solve

        n, rows = len(self.X), as_ball_rows(self.X)
        gradients = seconds(
            lambda: squared_by_gradients(
                rows,
                self.y[:, None],
                2.0,
                None,
                np.random.default_rng(0),
                n_landmarks=300,
                penalty=1e-3,
                tolerance=1e-8,
            )
        )

        def ridge():
            K = fm.recursive_kernel(self.X, depth=2.0)
            K[np.diag_indices(n)] += 1e-3 * n
            solve(K, self.y, assume_a="pos", overwrite_a=True)

        return seconds(ridge, 1) / gradients
