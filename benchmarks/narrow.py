"""Narrow networks: the grid of nets that are hard for gradient training, beside it; noise beside the truth; kernels."""

import time
from typing import ClassVar

import numpy as np

import fastmom as fm
from benchmarks.decompositions import slow_ratio
from fastmom.experiments.rivals import lbfgs_student
from fastmom.kernels import kinks as kernels
from fastmom.patterns.kink_descent import EVEN, evaluate, read_rows
from fastmom.patterns.kink_fit import rectified
from fastmom.patterns.kinks import kinks_of
from fastmom.runtime.passes import Rows, sum_over_rows

# kind, angle, d, k, n
NETS = {
    "separated": ("gaussian", None, 50, 3, 20_000),
    "opposite .1": ("opposite", 0.1, 50, 3, 20_000),
    "same .1": ("same", 0.1, 50, 3, 20_000),
    "clump .1": ("clump", 0.1, 50, 3, 20_000),
    "separated k=5": ("gaussian", None, 50, 5, 20_000),
    "separated k=5, n=800": ("gaussian", None, 50, 5, 800),
    "opposite .1, n=3000": ("opposite", 0.1, 50, 3, 3000),
    "no second moment": ("balanced", None, 50, 4, 20_000),
    "opposite .003": ("opposite", 0.003, 20, 2, 40_000),
    "d=200 k=5": ("gaussian", None, 200, 5, 20_000),
    "d=200 opposite .1": ("opposite", 0.1, 200, 3, 60_000),
}
NOISY = ("separated", "opposite .1", "same .1")
RIVALS = ("separated", "opposite .1", "same .1", "clump .1")
NUMBERS = {"d": 20, "n": 10_000}
DRAWS = {"nets": 3, "noisy": 2, "numbers": 2, "rivals": 2}
EXACT = 1e-12
RIVAL_SUCCESS = 1e-6  # residual that counts as success of a gradient student
RIVAL_ITERATIONS = 1000


def draw(name, seed, noise=0.0, law="gaussian"):
    """Teacher and samples."""
    kind, angle, d, k, n = NETS[name]
    teacher = fm.random_teacher(d, k, kind=kind, rng=seed, **({} if angle is None else {"angle": angle}))
    return teacher, *fm.make_samples(teacher, n, noise=noise, law=law, rng=seed + 1_000_000)


def function_error(network, teacher, seed=0):
    """Relative error of the outputs on fresh Gaussian rows."""
    if network is None:
        return float("inf")
    X = np.random.default_rng(seed).standard_normal((20_000, teacher.n_inputs))
    truth = teacher.predict(X)
    return float(np.linalg.norm(network.predict(X) - truth) / np.linalg.norm(truth))


def timed(learn, *arguments, **options):
    """Result and CPU seconds."""
    began = time.process_time()
    result = learn(*arguments, **options)
    return result, time.process_time() - began


class Exact:
    """Exact labels, k known: recovered, certified, and how fast."""

    params: ClassVar = list(NETS)
    param_names: ClassVar = ["net"]
    timeout = 600

    def setup_cache(self):
        _, X, y = draw("separated", 0)
        fm.learn_narrow(X, y, rng=0)
        outcomes = {}
        for name in NETS:
            outcomes[name] = []
            for seed in range(DRAWS["nets"]):
                teacher, X, y = draw(name, seed)
                result, spent = timed(fm.learn_narrow, X, y, teacher.n_hidden, rng=seed)
                exact = function_error(result.network, teacher) < EXACT
                outcomes[name].append((exact, bool(result.certificate) and not exact, spent))
        return outcomes

    def track_success_fraction(self, outcomes, name):
        return float(np.mean([exact for exact, _, _ in outcomes[name]]))

    def track_false_certificates(self, outcomes, name):
        return float(sum(false for _, false, _ in outcomes[name]))

    def track_cpu(self, outcomes, name):
        return float(np.median([spent for _, _, spent in outcomes[name]]))

    track_cpu.unit = "s"


class Noisy:
    """Noise of a tenth of the labels: the error over that of the same polish from the truth."""

    params: ClassVar = list(NOISY)
    param_names: ClassVar = ["net"]
    timeout = 600

    def track_error_over_that_from_the_truth(self, name):
        """At most 1.1, pairs of one sign 1.2."""
        ratios = []
        for seed in range(DRAWS["noisy"]):
            teacher, X, y = draw(name, seed, 0.1)
            result = fm.learn_narrow(X, y, teacher.n_hidden, rng=seed)
            truth = kinks_of(teacher)
            rows = read_rows(X, y[:, 0])
            point = rectified(rows, evaluate(rows, EVEN, truth.B, truth.signs, truth.linear)).point
            oracle = fm.TwoLayerNetwork(point.B, point.signs)
            ratios.append(function_error(result.network, teacher) / function_error(oracle, teacher))
        return float(np.median(ratios))


class Number:
    """The number of neurons, d = 20 and 10^4 rows."""

    params: ClassVar = [0.0, 0.1]
    param_names: ClassVar = ["noise"]
    timeout = 600

    def track_right_fraction(self, noise):
        """At least 0.95."""
        right = []
        for seed in range(DRAWS["numbers"]):
            for k in (1, 3, 5):
                teacher = fm.random_teacher(NUMBERS["d"], k, rng=seed)
                X, y = fm.make_samples(teacher, NUMBERS["n"], noise=noise, rng=seed + 1000)
                right.append(fm.learn_narrow(X, y, rng=seed).n_hidden == k)
        return float(np.mean(right))


class Rivals:
    """A student of the right width trained by L-BFGS, restarted until it succeeds, on the same rows."""

    params: ClassVar = list(RIVALS)
    param_names: ClassVar = ["net"]
    timeout = 1200

    def setup_cache(self):
        races = {}
        for name in RIVALS:
            ours, rival, succeeded = [], [], 0
            for seed in range(DRAWS["rivals"]):
                teacher, X, y = draw(name, seed)
                fm.learn_narrow(X, y, teacher.n_hidden, rng=seed)
                ours.append(timed(fm.learn_narrow, X, y, teacher.n_hidden, rng=seed)[1])
                student = lbfgs_student(
                    X, y, teacher.n_hidden, starts=2, rng=seed, max_iterations=RIVAL_ITERATIONS, patience=200
                )
                rival.append(float(student.seconds.sum()))
                succeeded += int(np.count_nonzero(student.residuals < RIVAL_SUCCESS))
            races[name] = float(np.median(ours)), sum(rival), succeeded
        return races

    def track_lbfgs_seconds_per_success_over_ours(self, races, name):
        """At least 4, at least 1 for the separated net; where no start succeeds, all its seconds count."""
        ours, spent, succeeded = races[name]
        return spent / max(1, succeeded) / ours

    def track_lbfgs_successes(self, races, name):
        return float(races[name][2])


ROWS = {50: 100_000, 200: 50_000}


class GroupedProduct:
    """A product with the normal matrix of the patterns: two visits to a row, however many kinks."""

    params: ClassVar = [[50, 200], [3, 5]]
    param_names: ClassVar = ["d", "k"]

    def setup(self, d, k):
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((ROWS[d], d))
        B, self.P = rng.standard_normal((k, d)), rng.standard_normal((k + 1, d))
        self.gates = np.column_stack([np.ones(len(self.X)), np.where(self.X @ B.T > 0, 1.0, -1.0)])
        codes = (self.gates[:, 1:] > 0) @ (1 << np.arange(k))
        self.rows = Rows(self.X, codes[:, None].astype(np.float64))
        self.E = np.column_stack([np.ones(1 << k), np.where(np.arange(1 << k)[:, None] >> np.arange(k) & 1, 1.0, -1.0)])
        self.ours()

    def ours(self):
        codes, d = len(self.E), self.X.shape[1]
        size = min(4096, len(self.X))
        widths = {"width": codes * d, "scratch_width": -(-kernels.grouped_scratch(d, codes) // size)}
        table = self.E @ self.P
        sums = sum_over_rows(
            self.rows, kernels.grouped_product_pass, (table,), row_flops=4.0 * d, stage="product", size=size, **widths
        )
        return self.E.T @ sums.reshape(codes, d)

    def numpy(self):
        """Two thin matrix products and einsum."""
        q = np.einsum("ij,ij->i", self.X @ self.P.T, self.gates)
        return (self.gates * q[:, None]).T @ self.X

    def time_ours(self, d, k):
        self.ours()

    def _ratio(self, rival):
        return float(np.median([slow_ratio(self.ours, rival, 1) for _ in range(9)]))

    def track_numpy_over_ours(self, d, k):
        """At least 5."""
        return self._ratio(self.numpy)

    def track_read_over_ours(self, d, k):
        """Reading the rows once, by a product with one vector: at least 0.6."""
        return self._ratio(lambda: self.X @ self.P[0])
