"""Small tensors and pair features beside the best NumPy known to us, as ratios of CPU time on one thread."""

import math
from typing import ClassVar

import numpy as np

from fastmom.kernels import hermite_products, tensor
from fastmom.moments.tensor_sums import mean_over_rows
from fastmom.moments.tensors import face_splitting_gram, hermite_coefficients, small_tensor
from fastmom.runtime.passes import Rows

from .kernels import cpu_ratio

DTYPES = ["float64", "float32"]


class OneThread:
    """Both forms of a kernel visit the same blocks; the serial one stands in for the threaded one."""

    drivers: ClassVar = [
        tensor.small_tensor_pass,
        tensor.face_splitting_pass,
        tensor.distinguishing_pass,
        hermite_products.hermite_pass,
    ]

    def setup(self, *parameters):
        self.kept = [driver.parallel for driver in self.drivers]
        for driver in self.drivers:
            driver.parallel = driver.serial

    def teardown(self, *parameters):
        for driver, parallel in zip(self.drivers, self.kept, strict=True):
            driver.parallel = parallel


def pairs(Z, scale=1.0):
    """Products z_i z_j, i <= j, of every row, off the diagonal times `scale`."""
    i, j = np.triu_indices(Z.shape[1])
    return Z[:, i] * Z[:, j] * np.where(i == j, 1.0, scale).astype(Z.dtype)


def all_pairs(Z):
    return (Z[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)


class SmallTensor(OneThread):
    """T_l(V, .., V) of 8 directions in 50 dimensions, which need not be orthonormal."""

    params: ClassVar = [[2, 3, 4], DTYPES]
    param_names: ClassVar = ["order", "dtype"]

    def setup(self, order, dtype):
        super().setup()
        rng = np.random.default_rng(0)
        shapes = (100_000, 50), (100_000, 1), (50, 8)
        self.X, self.w, self.V = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
        self.order = order

    def ours(self):
        small_tensor(self.X, self.w, self.V, self.order)

    def plain(self):
        """Without corrections of orders two and four, which cost nothing."""
        n, k = len(self.X), self.V.shape[1]
        Z = self.X @ self.V
        weighted = self.w * Z
        if self.order == 2:
            weighted.T @ Z
        elif self.order == 3:
            T = ((weighted[:, :, None] * Z[:, None, :]).reshape(n, -1).T @ Z).reshape(k, k, k)
            correction = np.multiply.outer(weighted.sum(axis=0), self.V.T @ self.V)
            T - correction - correction.transpose(1, 0, 2) - correction.transpose(1, 2, 0)
        else:
            P = pairs(Z)
            P.T @ (self.w * P), weighted.T @ Z

    def track_numpy_over_ours(self, order, dtype):
        return cpu_ratio(self.ours, self.plain)

    def time_small_tensor(self, order, dtype):
        self.ours()


class Rivals(OneThread):
    """Other ways to write orders three and four."""

    def setup(self):
        super().setup()
        rng = np.random.default_rng(0)
        self.X, self.w, self.V = (rng.standard_normal(shape) for shape in ((5_000, 50), (5_000, 1), (50, 8)))

    def einsum(self):
        Z = self.X @ self.V
        np.einsum("n,na,nb,nc->abc", self.w[:, 0], Z, Z, Z)

    def full_pairs(self):
        Z = self.X @ self.V
        P = all_pairs(Z)
        P.T @ (self.w * P), (self.w * Z).T @ Z

    def track_einsum_over_order_three(self):
        return cpu_ratio(lambda: small_tensor(self.X, self.w, self.V, 3), self.einsum)

    def track_full_pairs_over_order_four(self):
        return cpu_ratio(lambda: small_tensor(self.X, self.w, self.V, 4), self.full_pairs)


class FaceSplittingGram(OneThread):
    """Grams of kron(z, x) and of svec(z z^T), z and x of five entries."""

    params: ClassVar = [["products", "weighted products", "pairs"], DTYPES]
    param_names: ClassVar = ["features", "dtype"]

    def setup(self, features, dtype):
        super().setup()
        rng = np.random.default_rng(0)
        Z, X, w = (rng.standard_normal(shape).astype(dtype) for shape in ((100_000, 5), (100_000, 5), 100_000))
        self.arguments = {"products": (Z, X), "weighted products": (Z, X, w), "pairs": (Z,)}[features]

    def ours(self):
        face_splitting_gram(*self.arguments)

    def plain(self):
        Z, *others = self.arguments
        if others:
            phi = (Z[:, :, None] * others[0][:, None, :]).reshape(len(Z), -1)
        else:
            phi = pairs(Z, math.sqrt(2))
        (phi * others[1][:, None] if len(others) == 2 else phi).T @ phi / len(Z)

    def track_numpy_over_ours(self, features, dtype):
        return cpu_ratio(self.ours, self.plain)


class HermiteCoefficients(OneThread):
    """All coefficients of r directions up to a degree, NumPy building products as we do, for all rows at once."""

    params: ClassVar = ["5-6", "3-10"]
    param_names: ClassVar = ["directions-degree"]

    def setup(self, shape):
        super().setup()
        self.r, self.order = map(int, shape.split("-"))
        rng = np.random.default_rng(0)
        self.X, self.w = rng.standard_normal((20_000, 20)), rng.standard_normal(20_000)
        self.V = np.linalg.qr(rng.standard_normal((20, self.r)))[0]

    def ours(self):
        hermite_coefficients(self.X, self.w, self.V, self.order)

    def plain(self):
        Z = self.X @ self.V
        g = [np.ones_like(Z), Z]
        for a in range(1, self.order):
            g.append((Z * g[a] - math.sqrt(a) * g[a - 1]) / math.sqrt(a + 1))
        highest = np.array([polynomial[:, -1] for polynomial in g])

        def visit(j, degree, product):
            if j == self.r - 1:
                return [highest[: self.order - degree + 1] @ product]
            found = []
            for a in range(self.order - degree + 1):
                found += visit(j + 1, degree + a, product * g[a][:, j] if a else product)
            return found

        np.concatenate(visit(0, 0, self.w)) / len(self.X)

    def track_numpy_over_ours(self, shape):
        return cpu_ratio(self.ours, self.plain)


class PairFeatures(OneThread):
    """G^T F, G^T G and the sums of pair features of labels and inputs, k = d = m.

    Few rows, which favours NumPy: on ten times as many its features leave the cache.
    """

    params: ClassVar = ["20000-10", "8000-20", "2048-32"]
    param_names: ClassVar = ["n-k"]

    def setup(self, shape):
        super().setup()
        n, k = map(int, shape.split("-"))
        rng = np.random.default_rng(0)
        self.X, self.Y = rng.standard_normal((2, n, k))
        self.maps = rng.standard_normal((3, k, k))

    def ours(self):
        k = len(self.maps[0])
        widths = tensor.distinguishing_widths(k, k)
        parameters = *self.maps, np.ones(1)
        mean_over_rows(Rows(self.X, self.Y), tensor.distinguishing_pass, parameters, widths, "pair features")

    def plain(self):
        self.numpy(self.X, self.Y)

    def numpy(self, X, Y):
        coordinates, p_map, q_map = self.maps
        x, p = X @ coordinates, X @ p_map
        q = 2 * (Y @ q_map) - p
        G = pairs(x, math.sqrt(2))
        G /= np.einsum("ij,ij->i", x, x)[:, None]
        i, j = np.triu_indices(q.shape[1])
        F = (q[:, i] * q[:, j] - p[:, i] * p[:, j]) * np.where(i == j, 1.0, math.sqrt(2))
        return G.T @ F, G.T @ G, G.sum(axis=0), F.sum(axis=0)

    def blocks(self):
        totals = [0.0] * 4
        for first in range(0, len(self.X), 4096):
            rows = slice(first, first + 4096)
            totals = [total + part for total, part in zip(totals, self.numpy(self.X[rows], self.Y[rows]), strict=True)]

    def track_numpy_over_ours(self, shape):
        return cpu_ratio(self.ours, self.plain)

    def track_numpy_in_blocks_over_ours(self, shape):
        return cpu_ratio(self.ours, self.blocks)
