"""The symmetric learner: its moment stage alone, the algebraic route, noise; each beside an L-BFGS student."""

import time
from typing import ClassVar

import numpy as np

import fastmom as fm
from fastmom.activations import resolve
from fastmom.experiments.rivals import lbfgs_student
from fastmom.patterns.gauss_newton import descend
from fastmom.patterns.model import ModelClass
from fastmom.runtime.passes import Rows

SEEDS = 10
STARTS = 5
RECOVERED = 1e-10
LAWS = ("gaussian", "mixture", "hypercube", "student t5")
ALGEBRAIC = {
    "10-10-10, n=310": (10, 10, 10, 310, {}, "gaussian"),
    "5-10-10, n=210": (5, 10, 10, 210, {}, "gaussian"),
    "20-20-20, n=620": (20, 20, 20, 620, {}, "gaussian"),
    "32-32-32, n=1560": (32, 32, 32, 1560, {}, "gaussian"),
    "10-10-10, n=150, exponential": (10, 10, 10, 150, {}, "exponential"),
    "10-10-10, n=400, biases": (10, 10, 10, 400, {"bias": True}, "gaussian"),
}


def orthonormal(k, seed):
    """Both weight matrices orthonormal, as in the paper's experiments."""
    rng = np.random.default_rng([seed, k])
    W, A = (np.linalg.qr(rng.standard_normal((k, k)))[0] for _ in range(2))
    return fm.TwoLayerNetwork(W, A)


def inputs(law, n, d, seed):
    rng = np.random.default_rng([seed, n, d])
    return rng.standard_t(5, (n, d)) if law == "student t5" else fm.sample_inputs(n, d, law, rng=rng)


def output_error(network, teacher):
    """Relative Frobenius error of A, neurons matched; infinite if one is missing."""
    order = fm.compare(network, teacher).assignment
    if (order < 0).any():
        return np.inf
    return float(np.linalg.norm(network.A[:, order] - teacher.A) / np.linalg.norm(teacher.A))


class Moments:
    """Without polish, noiseless, orthonormal, d = k = m = 10, n = 10,000: error of A."""

    params: ClassVar = [["refined", "paper"], list(LAWS)]
    param_names: ClassVar = ["variant", "law"]
    shape: ClassVar = (10, 10_000)

    def setup(self, variant, law):
        k, n = self.shape
        self.draws = []
        for seed in range(SEEDS):
            teacher, X = orthonormal(k, seed), inputs(law, n, k, seed)
            self.draws.append((teacher, X, teacher.predict(X)))

    def estimate(self, variant, draw):
        _, X, Y = draw
        return fm.learn_symmetric(X, Y, self.shape[0], variant=variant, polish=False, rng=0).network

    def track_median_error(self, variant, law):
        errors = [output_error(self.estimate(variant, draw), draw[0]) for draw in self.draws]
        return float(np.clip(np.median(errors), 0, 1e3))

    def time_estimate(self, variant, law):
        self.estimate(variant, self.draws[0])


class Algebraic:
    """Exact recovery through a null space: error, time, and a student with five starts on the same rows."""

    params: ClassVar = list(ALGEBRAIC)
    param_names: ClassVar = ["problem"]
    timeout = 600

    def draw(self, name, seed):
        d, k, m, n, options, law = ALGEBRAIC[name]
        teacher = fm.random_teacher(d, k, m, rng=seed, **options)
        return teacher, *fm.make_samples(teacher, n, law=law, rng=seed + 1000), options.get("bias", False)

    def learn(self, X, Y, bias):
        return fm.learn_symmetric(X, Y, variant="algebraic", bias=bias, rng=0)

    def setup(self, name):
        self.drawn = self.draw(name, 0)
        self.learn(*self.drawn[1:])

    def track_worst_error(self, name):
        errors = []
        for seed in range(SEEDS if name.startswith(("10", "5")) else min(4, SEEDS)):
            teacher, X, Y, bias = self.draw(name, seed)
            errors.append(fm.compare(self.learn(X, Y, bias), teacher).max_error)
        return float(max(errors))

    def track_student_success_fraction(self, name):
        teacher, X, Y, bias = self.drawn
        student = lbfgs_student(X, Y, teacher.n_hidden, bias=bias, rng=1, starts=STARTS, patience=200)
        return float(np.mean(student.residuals < RECOVERED))

    def track_cpu_over_one_student_start(self, name):
        teacher, X, Y, bias = self.drawn
        began = time.process_time()
        self.learn(X, Y, bias)
        ours = time.process_time() - began
        student = lbfgs_student(X, Y, teacher.n_hidden, bias=bias, rng=1, starts=STARTS, patience=200)
        return ours / float(np.median(student.seconds))

    def time_learn(self, name):
        self.learn(*self.drawn[1:])


class Noise:
    """Noise 0.3, orthonormal, d = k = m = 10, n = 2000: the loss against that of a descent from the truth."""

    def draw(self, seed):
        k, n = 10, 2000
        teacher, rng = orthonormal(k, seed), np.random.default_rng([seed, n])
        X = rng.standard_normal((n, k))
        return teacher, X, teacher.predict(X) + 0.3 * rng.standard_normal((n, k))

    def track_fraction_at_the_optimum(self):
        reached = 0
        for seed in range(SEEDS):
            teacher, X, Y = self.draw(seed)
            result = fm.learn_symmetric(X, Y, 10, rng=0)
            kind = ModelClass(resolve("relu"), False, False, 10)
            truth = descend(Rows(X, Y), kind, teacher.W, settled=1e-6).point.loss
            reached += bool(np.sum((result.predict(X) - Y) ** 2) <= 1.001 * truth)
        return reached / SEEDS

    def track_cpu_over_one_student_start(self):
        ratios = []
        for seed in range(3):
            _, X, Y = self.draw(seed)
            began = time.process_time()
            fm.learn_symmetric(X, Y, 10, rng=0)
            ours = time.process_time() - began
            ratios.append(ours / float(lbfgs_student(X, Y, 10, rng=1, patience=200).seconds[0]))
        return float(np.median(ratios))
