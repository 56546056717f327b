"""Joint diagonalisation and tensor decompositions: time, accuracy, and both beside what else there is."""

import importlib.util
import itertools
import time
from typing import ClassVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from fastmom.moments.decomposition import deflated_power_iteration, jade, jennrich, orthogonal_power_iteration
from fastmom.moments.diagonalization import diagonalize_jointly, jacobi_diagonalize, random_pencil
from fastmom.moments.joint_fit import unit_rows
from fastmom.moments.tensors import small_tensor
from fastmom.moments.whitened_action import whitened_action
from fastmom.runtime.threads import single_blas_thread

NOISE = 0.02  # of an entry of distinct indices, times sqrt(24) / k


def shared(k, noise, orthogonal=False):
    """Rows Z, and k matrices sum_i c_i z_i z_i^T with noise of this relative size."""
    rng = np.random.default_rng(k)
    Z = rng.standard_normal((k, k))
    Z = np.linalg.qr(Z).Q if orthogonal else unit_rows(Z)
    S = np.einsum("li,ia,ib->lab", rng.standard_normal((k, k)), Z, Z)
    E = rng.standard_normal(S.shape)
    E += E.transpose(0, 2, 1)
    return Z, S + noise * np.linalg.norm(S) / np.linalg.norm(E) * E


def distance(found, Z):
    """Root mean square distance of unit rows after matching, up to signs."""
    cosines = found @ Z.T
    i, j = linear_sum_assignment(-np.abs(cosines))
    return float(np.linalg.norm(np.sign(cosines[i, j])[:, None] * found[i] - Z[j]) / np.sqrt(len(Z)))


def slow_ratio(ours, rival, repeats):
    """CPU time of one call of a slow rival over the mean of ours, one thread each."""
    with single_blas_thread():
        ours()
        started = time.process_time()
        for _ in range(repeats):
            ours()
        middle = time.process_time()
        rival()
        return (time.process_time() - middle) / (middle - started) * repeats


def numpy_jacobi(S):
    """The same rotations, one NumPy call for a pair of rows of all matrices."""
    S, V = S.copy(), np.eye(S.shape[1])
    negligible = 1e-26 / len(V) * np.sum(S * S)
    turned = True
    while turned:
        turned = False
        for p, q in zip(*np.triu_indices(len(V), 1), strict=True):
            difference, off = S[:, p, p] - S[:, q, q], S[:, p, q]
            square = off @ off
            t = np.arctan2(4 * (difference @ off), difference @ difference - 4 * square) / 4
            if square <= negligible or abs(np.sin(t)) <= 1e-13:
                continue
            turn = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
            S[:, [p, q], :] = turn @ S[:, [p, q], :]
            S[:, :, [p, q]] = S[:, :, [p, q]] @ turn.T
            V[[p, q]] = turn @ V[[p, q]]
            turned = True
    return V


class Jacobi:
    """Orthogonal joint diagonalisation of k matrices of side k."""

    params: ClassVar = [10, 20, 32]
    param_names: ClassVar = ["k"]

    def setup(self, k):
        self.S = shared(k, 0.01, orthogonal=True)[1]

    def time_jacobi(self, k):
        jacobi_diagonalize(self.S)

    def track_numpy_over_ours(self, k):
        return slow_ratio(lambda: jacobi_diagonalize(self.S), lambda: numpy_jacobi(self.S), 10)


class JointDiagonalization:
    """Joint diagonalisation by congruence of k matrices of side k."""

    params: ClassVar = [[10, 20, 32], [0.0, 0.01]]
    param_names: ClassVar = ["k", "noise"]

    def setup(self, k, noise):
        self.Z, self.S = shared(k, noise)

    def find(self):
        return diagonalize_jointly(self.S, np.random.default_rng(0)).Z

    def time_joint_diagonalization(self, k, noise):
        self.find()

    def track_error(self, k, noise):
        return distance(self.find(), self.Z)

    def track_error_of_a_pencil_over_ours(self, k, noise):
        return distance(random_pencil(self.S, np.random.default_rng(0)), self.Z) / max(
            distance(self.find(), self.Z), 1e-16
        )


class OrderFour:
    """A tensor of k orthonormal vectors with noise."""

    params: ClassVar = [10, 20]
    param_names: ClassVar = ["k"]

    def setup(self, k):
        rng = np.random.default_rng(0)
        self.V = np.linalg.qr(rng.standard_normal((k, k))).Q
        squares = np.einsum("ia,ib->iab", self.V, self.V).reshape(k, k * k)
        noise = rng.standard_normal((k,) * 4)
        noise = sum(noise.transpose(axes) for axes in itertools.permutations(range(4)))
        self.T = (squares.T @ squares).reshape(noise.shape) + NOISE / k * noise

    def ours(self):
        return orthogonal_power_iteration(self.T, rng=0)


class Decomposition(OrderFour):
    """Orthogonal decompositions: all vectors at once, one by one, by eigenmatrices, by one pencil."""

    def time_orthogonal_power_iteration(self, k):
        self.ours()

    def time_jade(self, k):
        jade(self.T)

    def track_deflation_over_ours(self, k):
        return slow_ratio(self.ours, lambda: deflated_power_iteration(self.T, k, 0), 3)

    def track_error(self, k):
        return distance(self.ours().vectors, self.V)

    def track_error_of_jade_over_ours(self, k):
        return distance(jade(self.T).vectors, self.V) / self.track_error(k)

    def track_error_of_deflation_over_ours(self, k):
        return distance(deflated_power_iteration(self.T, k, 0).vectors, self.V) / self.track_error(k)

    def track_error_of_jennrich_over_ours(self, k):
        return distance(jennrich(self.T, 0).vectors, self.V) / self.track_error(k)


class FromSamples:
    """The contraction of one iteration from 30 000 samples, k vectors at once."""

    params: ClassVar = [10, 20]
    param_names: ClassVar = ["k"]

    def setup(self, k):
        rng = np.random.default_rng(0)
        self.Z, self.w = rng.standard_normal((30_000, k)), rng.standard_normal(30_000)
        self.V = np.linalg.qr(rng.standard_normal((k, k))).Q
        self.action = whitened_action(self.Z, self.w, np.eye(k))

    def ours(self):
        self.action(self.V)

    def plain(self):
        ((self.w[:, None] * (self.Z @ self.V.T) ** 3).T @ self.Z) / len(self.Z)

    def time_action(self, k):
        self.ours()

    def track_numpy_over_ours(self, k):
        return slow_ratio(self.ours, self.plain, 5)

    def track_forming_the_tensor_over_ours(self, k):
        return slow_ratio(self.ours, lambda: small_tensor(self.Z, self.w, np.eye(k), 4), 5)


if importlib.util.find_spec("tensorly"):

    class Tensorly(OrderFour):
        """tensorly's CP decompositions of the same tensor."""

        params: ClassVar = [6, 10]

        def power_iteration(self):
            from tensorly.decomposition import symmetric_parafac_power_iteration

            return symmetric_parafac_power_iteration(self.T, len(self.T), n_repeat=10, n_iteration=10)[1]

        def parafac(self):
            from tensorly.decomposition import parafac

            return parafac(self.T, len(self.T), n_iter_max=25, init="svd")[1][0]

        def track_power_iteration_over_ours(self, k):
            return slow_ratio(self.ours, self.power_iteration, 3)

        def track_parafac_over_ours(self, k):
            return slow_ratio(self.ours, self.parafac, 3)

        def track_error_of_power_iteration_over_ours(self, k):
            return self.error_over_ours(self.power_iteration)

        def track_error_of_parafac_over_ours(self, k):
            return self.error_over_ours(self.parafac)

        def error_over_ours(self, rival):
            return distance(unit_rows(rival().T), self.V) / distance(self.ours().vectors, self.V)
