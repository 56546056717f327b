"""The landscape learner and its objective: speed beside what else computes the same, accuracy, and rivals' success."""

import importlib.util
import time
import tracemalloc
from functools import partial
from typing import ClassVar

import numpy as np

import fastmom as fm
from benchmarks.decompositions import distance, slow_ratio
from fastmom.experiments.rivals import lbfgs_student
from fastmom.moments.landscape_objective import LandscapeObjective
from fastmom.moments.landscape_search import descend_batches, minimise, surrogate_error
from fastmom.moments.quartic_forms import SampledForm
from fastmom.moments.tensors import small_tensor
from fastmom.runtime.threads import single_blas_thread

EXACT = 1e-12  # relative error of the weights


def draw(d, k, n, seed, *, a=None, noise=0.0, condition=None, activation="relu", orthonormal=True):
    """A teacher with positive output weights, and standard Gaussian rows."""
    rng = np.random.default_rng(seed)
    if condition is not None:
        left, right = (np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2))
        B = (left * np.linspace(1, condition, d)) @ right
    elif orthonormal:
        B = np.linalg.qr(rng.standard_normal((d, k)))[0].T
    else:
        B = rng.standard_normal((k, d))
        B /= np.linalg.norm(B, axis=1, keepdims=True)
    weights = np.ones(k) if a is None else rng.uniform(*a, k)
    teacher = fm.TwoLayerNetwork(B, weights, activation=activation)
    X = rng.standard_normal((n, d))
    return teacher, X, teacher.predict(X)[:, 0] + noise * rng.standard_normal(n)


def fresh_batches(teacher, X, y, rng):
    """Batches of 1000 Gaussian rows, their labels without the part of degree two or less that X, y show."""
    _, fit = fm.hermite_residual(X, y)
    while True:
        inputs = rng.standard_normal((1000, teacher.n_inputs))
        yield inputs, fit.residual(inputs, teacher.predict(inputs))[:, 0]


def summed_error(network, teacher):
    """Relative error of the hidden weights with the output weights in them."""
    if network is None:
        return float("inf")
    found, true = network.A.T * network.W, teacher.A.T * teacher.W
    size = np.linalg.norm(true, axis=1).mean()
    nearest = np.linalg.norm(found[:, None] - true, axis=2).min(axis=0)
    return float(np.linalg.norm(nearest) / np.sqrt(len(true)) / size)


def unblocked(X, w, B, alpha, beta):
    """Terms of degree four and their gradient, a NumPy call for each of them."""
    U = X @ B.T
    square = U * U
    S, F = square.sum(axis=1), (square * square).sum(axis=1)
    T = w[:, None] * U * (4 * alpha * S[:, None] + 4 * (beta - alpha) * square)
    return w @ (alpha * (S**2 - F) + beta * F), T.T @ X


SHAPES = {"2e5, 10, 10": (200_000, 10, 10), "1e5, 50, 50": (100_000, 50, 50), "5e4, 200, 20": (50_000, 200, 20)}


class Fused:
    """Value and gradient of G in one pass over the samples."""

    params: ClassVar = list(SHAPES)
    param_names: ClassVar = ["n, d, m"]

    def setup(self, shape):
        n, d, m = SHAPES[shape]
        rng = np.random.default_rng(0)
        self.X, self.w, self.B = rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal((m, d))
        self.form = SampledForm(self.X, self.w, np.eye(d))
        self.evaluate()

    def evaluate(self):
        return self.form.value_and_gradient(self.B, 0.5, -0.04)

    def time_value_and_gradient(self, shape):
        self.evaluate()

    def time_product(self, shape):
        self.form.product(self.B, self.B, 0.5, -0.04)

    def track_over_one_matrix_product(self, shape):
        """CPU time over that of X B^T alone: at most 1.5."""
        return float(np.median([1 / slow_ratio(self.evaluate, lambda: self.X @ self.B.T, 1) for _ in range(5)]))

    def track_unblocked_numpy_over_ours(self, shape):
        """At least 3."""
        rival = partial(unblocked, self.X, self.w, self.B, 0.5, -0.04)
        return float(np.median([slow_ratio(self.evaluate, rival, 1) for _ in range(3)]))

    def track_memory(self, shape):
        """Temporaries of an evaluation, one thread: below 2 MB."""
        tracemalloc.start()
        try:
            self.evaluate()
            return tracemalloc.get_traced_memory()[1] / 1e6
        finally:
            tracemalloc.stop()

    track_memory.unit = "MB"


PROBLEMS = {
    "10-10, n=3000": (10, 10, 3000, {}),
    "20-20, n=1e4": (20, 20, 10_000, {}),
    "50-10, n=4000": (50, 10, 4000, {}),
    "output weights 1 to 10": (20, 20, 20_000, {"a": (1, 10)}),
    "20-10, random rows": (20, 10, 20_000, {"orthonormal": False}),
    "singular values 1 to 2": (20, 20, 20_000, {"condition": 2}),
    "singular values 1 to 4": (20, 20, 20_000, {"condition": 4}),
    "singular values 1 to 8": (20, 20, 20_000, {"condition": 8}),
}
DRAWS = 2


class Exact:
    """Exact labels of one output: recovered, certified, and how fast."""

    params: ClassVar = list(PROBLEMS)
    param_names: ClassVar = ["problem"]
    timeout = 300

    def setup_cache(self):
        outcomes = {}
        for name, (d, k, n, options) in PROBLEMS.items():
            _, X, y = draw(d, k, n, 0, **options)
            fm.learn_landscape(X, y, k, rng=0)
            outcomes[name] = []
            for seed in range(DRAWS):
                teacher, X, y = draw(d, k, n, seed, **options)
                began = time.process_time()
                result = fm.learn_landscape(X, y, k, rng=seed)
                spent = time.process_time() - began
                exact = summed_error(result.network, teacher) < EXACT
                outcomes[name].append((exact and result.success, result.success and not exact, spent))
        return outcomes

    def track_success_fraction(self, outcomes, name):
        return float(np.mean([exact for exact, _, _ in outcomes[name]]))

    def track_false_successes(self, outcomes, name):
        return float(sum(false for _, false, _ in outcomes[name]))

    def track_cpu(self, outcomes, name):
        return float(np.median([spent for _, _, spent in outcomes[name]]))

    track_cpu.unit = "s"


class Rivals:
    """The same rows given to a student of the right width, and the explicit tensor to tensorly."""

    timeout = 300

    def setup_cache(self):
        _, X, y = draw(20, 20, 10_000, 0)
        fm.learn_landscape(X, y, 20, rng=0)
        began = time.process_time()
        result = fm.learn_landscape(X, y, 20, rng=0)
        ours = time.process_time() - began
        student = lbfgs_student(X, y, 20, starts=1, rng=0, max_iterations=1000, patience=100)
        return {
            "ours": ours,
            "exact": float(result.success),
            "student": float(student.seconds[0]),
            "residual": student.residual,
        }

    def track_lbfgs_start_over_ours(self, race):
        """CPU time of one start on the squared loss, given up once it stalls: at least 10."""
        return race["student"] / race["ours"]

    def track_our_success(self, race):
        return race["exact"]

    def track_lbfgs_residual(self, race):
        """Relative residual of that start: 1e-10 would be a success."""
        return race["residual"]


class Moments:
    """The moment stage alone, d = m = 20, n = 3e4."""

    timeout = 300

    def setup(self):
        self.teacher, self.X, self.y = draw(20, 20, 30_000, 0)
        self.ours()

    def ours(self):
        return fm.learn_landscape(self.X, self.y, 20, polish=False, rng=0).diagnostics["start"]

    def time_ours(self):
        self.ours()

    def track_direction_error(self):
        """At most 0.10."""
        return distance(self.ours(), self.teacher.W)

    def _tensorly(self):
        """Its symmetric power iteration on the explicit tensor, with our control variates."""
        import tensorly
        from tensorly.decomposition import symmetric_parafac_power_iteration

        residual, _ = fm.hermite_residual(self.X, self.y)
        T = tensorly.tensor(-small_tensor(self.X, residual, np.eye(20), 4))
        _, factor = symmetric_parafac_power_iteration(T, rank=20, n_repeat=10, n_iteration=10)
        return (factor / np.linalg.norm(factor, axis=0)).T

    def track_tensorly_over_ours(self):
        """CPU time; zero where tensorly is not installed."""
        if importlib.util.find_spec("tensorly") is None:
            return 0.0
        return slow_ratio(self.ours, self._tensorly, 1)

    def track_tensorly_direction_error(self):
        if importlib.util.find_spec("tensorly") is None:
            return 0.0
        return distance(self._tensorly(), self.teacher.W)


class Landscape:
    """The objective as such."""

    params: ClassVar = [10, 20]
    param_names: ClassVar = ["m"]
    timeout = 300

    def track_population_success_fraction(self, m):
        """Of random starts that reach a permutation of the truth to 1e-10: all."""
        G = LandscapeObjective.from_network(fm.TwoLayerNetwork(np.eye(m), np.ones(m)), mu=1.0, lam=0.4)
        found = [minimise(G, m, np.random.default_rng(seed), starts=1).diagnostics["B"] for seed in range(20)]
        return float(np.mean([surrogate_error(B, np.eye(m)) < 1e-10 for B in found]))

    def track_projected_empirical_error(self, m):
        """Direction error of G on the projected tensor, n = 1500 m."""
        teacher, X, y = draw(m, m, 1500 * m, 0)
        options = {"optimizer": "lbfgs", "mu": 4.0, "lam": 2.0, "polish": False, "rng": 0}
        return distance(fm.learn_landscape(X, y, m, **options).diagnostics["start"], teacher.W)


class Stochastic:
    """Gradient descent on G with fresh batches of 1000, m = d = 10: our settings of the paper's experiment."""

    timeout = 300

    def setup_cache(self):
        teacher, X, y = draw(10, 10, 20_000, 0)
        rng = np.random.default_rng(1)
        batches = fresh_batches(teacher, X, y, rng)
        start = rng.standard_normal((10, 10)) / np.sqrt(10)
        with single_blas_thread():
            return descend_batches(batches, start, sign=-1.0, truth=teacher.W).diagnostics["surrogate_trace"]

    def track_samples_to_a_tenth(self, trace):
        """Fresh samples until the surrogate error is below 0.1: at most 1.5e5."""
        return float(10_000 * (1 + np.argmax(trace < 0.1)))

    def track_final_surrogate_error(self, trace):
        """Below 2e-3."""
        return float(trace[-1])
