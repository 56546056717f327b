"""Control variates and accumulated moments: what they gain, and their cost beside NumPy's on one thread."""

import time
import tracemalloc
from typing import ClassVar

import numpy as np

from fastmom.kernels import quadratic, tensor
from fastmom.moments.accumulator import MomentAccumulator
from fastmom.moments.hermite import hermite_residual
from fastmom.moments.quadratic import moments
from fastmom.runtime.passes import Rows
from fastmom.runtime.threads import single_blas_thread

from .kernels import cpu_ratio
from .tensors import OneThread


def samples(n, d):
    """Standard Gaussian inputs, and the sum of d orthonormal relu neurons."""
    X = np.random.default_rng(0).standard_normal((n, d))
    return X, np.maximum(X, 0).sum(axis=1)


def products(X, e):
    """Means of e, e x and e (x x^T - I) / sqrt(2)."""
    square = (X.T * e) @ X - e.sum() * np.eye(X.shape[1])
    return np.concatenate([[e.sum()], e @ X, square.ravel() / np.sqrt(2)]) / len(X)


def polynomial(X, v):
    """Values of the polynomial with these coefficients."""
    d = X.shape[1]
    S = v[1 + d :].reshape(d, d)
    return v[0] + X @ v[1 : 1 + d] + (np.einsum("ij,ij->i", X @ S, X) - np.trace(S)) / np.sqrt(2)


def conjugate_gradients(X, y, tol=1e-6):
    """The residual of degree two in NumPy, without a design matrix."""
    r = products(X, y)
    x, p = np.zeros_like(r), r.copy()
    start = square = r @ r
    while square > tol**2 * start:
        image = products(X, polynomial(X, p))
        step = square / (p @ image)
        x, r = x + step * p, r - step * image
        before, square = square, r @ r
        p = r + square / before * p
    return y - polynomial(X, x)


class SerialPasses(OneThread):
    """The passes of this file on one thread."""

    drivers: ClassVar = [quadratic.quadratic_pass, tensor.small_tensor_pass]


class QuadraticPass(SerialPasses):
    """One pass of conjugate gradients: values of a quadratic function, and their products with all quadratics."""

    params: ClassVar = ["100000-10-1", "100000-50-1", "20000-50-5", "5000-200-1"]
    param_names: ClassVar = ["n-d-m"]

    def setup(self, shape):
        super().setup()
        n, d, m = map(int, shape.split("-"))
        self.X, _ = samples(n, d)
        self.rows = Rows(self.X, np.empty((n, 0)))
        self.V = np.random.default_rng(1).standard_normal((m, 1 + d + d * d))
        self.forms = np.random.default_rng(1).standard_normal((m, d + 1, d + 1))

    def track_numpy_over_ours(self, shape):
        X = self.X
        return cpu_ratio(
            lambda: moments(self.rows, self.forms), lambda: [products(X, polynomial(X, v)) for v in self.V]
        )


class HermiteResidual(SerialPasses):
    """The residual of degree two of one output."""

    params: ClassVar = ["20000-10", "10000-50"]
    param_names: ClassVar = ["n-d"]

    def setup(self, shape):
        super().setup()
        self.X, self.y = samples(*map(int, shape.split("-")))

    def track_numpy_over_ours(self, shape):
        return cpu_ratio(lambda: hermite_residual(self.X, self.y), lambda: conjugate_gradients(self.X, self.y))

    def track_peak_megabytes_beside_data_and_residual(self, shape):
        hermite_residual(self.X, self.y)
        tracemalloc.start()
        hermite_residual(self.X, self.y)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return (peak - self.y.nbytes) / 1e6


class ExplicitDesign(SerialPasses):
    """The same residual by least squares on the matrix of all 231 products, at n = 2e4, d = 20."""

    def setup(self):
        super().setup()
        self.X, self.y = samples(20_000, 20)
        hermite_residual(self.X, self.y)

    def lstsq(self):
        i, j = np.triu_indices(20)
        design = np.column_stack([np.ones(len(self.X)), self.X, self.X[:, i] * self.X[:, j]])
        return self.y - design @ np.linalg.lstsq(design, self.y)[0]

    def track_lstsq_over_ours(self):
        """One round: it is long."""
        with single_blas_thread():
            started = time.process_time()
            hermite_residual(self.X, self.y)
            middle = time.process_time()
            self.lstsq()
            return (time.process_time() - middle) / (middle - started)


class ControlVariates:
    """Samples saved for T_4(I, b, b, b): mean squared error from the labels over that from their Hermite residual."""

    params: ClassVar = ["10-20000-40", "50-40000-5"]
    param_names: ClassVar = ["neurons and inputs-n-draws"]

    def track_gain(self, shape):
        d, n, draws = map(int, shape.split("-"))
        b = np.eye(d)[0]
        errors = np.zeros(2)
        for seed in range(draws):
            X = np.random.default_rng(seed).standard_normal((n, d))
            y = np.maximum(X, 0).sum(axis=1)
            for i, labels in enumerate((y, hermite_residual(X, y)[0])):
                t = X @ b
                moment = X.T @ (labels * (t**3 - 3 * t)) / n - 3 * np.mean(labels * (t**2 - 1)) * b
                errors[i] += np.sum((moment + b / np.sqrt(2 * np.pi)) ** 2)
        return float(errors[0] / errors[1])


class Accumulator(SerialPasses):
    """Pieces of 1e4 rows of 50 inputs."""

    params: ClassVar = [[1, 10], [0, 10]]
    param_names: ClassVar = ["m", "directions"]

    def setup(self, m, r):
        super().setup()
        rng = np.random.default_rng(0)
        self.X, self.Y = rng.standard_normal((10_000, 50)), rng.standard_normal((10_000, m))
        V = rng.standard_normal((50, r)) if r else None
        self.accumulators = [MomentAccumulator(50, m, directions=V) for _ in range(2)]
        for i, accumulator in enumerate(self.accumulators):
            accumulator.update(self.X[i:], self.Y[i:])

    def update(self):
        self.accumulators[0].update(self.X, self.Y)

    def plain_sums(self):
        """Without moments of order three and four."""
        X, Y = self.X, self.Y
        return X.sum(axis=0), Y.sum(axis=0), X.T @ X, Y.T @ X, Y.T @ Y, [(X.T * y) @ X for y in Y.T]

    def track_plain_numpy_sums_over_update(self, m, r):
        return cpu_ratio(self.update, self.plain_sums)

    def track_update_over_merge(self, m, r):
        """How many merges cost as much as taking in 1e4 rows."""
        one, other = self.accumulators
        return cpu_ratio(lambda: [one.merge(other) for _ in range(10)], self.update) * 10

    def time_result(self, m, r):
        self.accumulators[0].result()
