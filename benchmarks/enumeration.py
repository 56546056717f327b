"""Row-span trials of any inputs, and the walk through all activation patterns of one neuron."""

import time
from typing import ClassVar

import numpy as np

import fastmom as fm
from fastmom.experiments.rivals import lbfgs_student
from fastmom.patterns.enumeration import best_neuron
from fastmom.patterns.enumeration_pairs import best_pair


class RowSpans:
    """Trials double with every neuron."""

    params: ClassVar = [10, 14]
    param_names: ClassVar = ["neurons"]
    timeout = 300

    def setup(self, k):
        self.teacher = fm.random_teacher(20, k, k, rng=1)
        self.X, self.Y = fm.make_samples(self.teacher, 500, rng=6)
        self.learn()

    def learn(self):
        return fm.learn_rectified(self.X, self.Y, variant="enumerate", rng=1)

    def time_learn(self, k):
        self.learn()

    def track_error(self, k):
        return fm.compare(self.learn(), self.teacher).max_error

    def track_cpu_over_one_start_of_the_student(self, k):
        began = time.process_time()
        self.learn()
        seconds = time.process_time() - began
        return seconds / float(lbfgs_student(self.X, self.Y, k, rng=0).seconds.sum())


class Walk:
    """The best single neuron of noisy labels, d = 3."""

    params: ClassVar = [300, 1000]
    param_names: ClassVar = ["rows"]
    timeout = 300

    def setup(self, n):
        teacher = fm.random_teacher(3, 1, 1, rng=0)
        self.X, self.Y = fm.make_samples(teacher, n, noise=1.0, rng=1)
        best_neuron(self.X[:20], self.Y[:20, 0])

    def time_learn(self, n):
        fm.learn_rectified(self.X, self.Y, 1, variant="enumerate", rng=0)

    def track_patterns_per_cpu_second(self, n):
        began = time.process_time()
        walk = best_neuron(self.X, self.Y[:, 0])
        return walk.visits / (time.process_time() - began)

    def track_loss_over_that_of_students(self, n):
        """Best of four L-BFGS students over the global optimum: at least one."""
        result = fm.learn_rectified(self.X, self.Y, 1, variant="enumerate", rng=0)
        students = lbfgs_student(self.X, self.Y, 1, starts=4, rng=0)
        losses = [np.sum((model.predict(self.X) - self.Y) ** 2) for model in (students.network, result)]
        return float(losses[0] / losses[1])


class Pairs:
    """The best two neurons of noisy labels, d = 2."""

    params: ClassVar = [300, 1000]
    param_names: ClassVar = ["rows"]
    timeout = 300

    def setup(self, n):
        self.X, self.Y = fm.make_samples(fm.random_teacher(2, 2, 1, rng=0), n, noise=1.0, rng=1)
        best_pair(self.X[:20], self.Y[:20, 0])

    def time_learn(self, n):
        fm.learn_rectified(self.X, self.Y, 2, variant="enumerate", rng=0)

    def track_pairs_per_cpu_second(self, n):
        began = time.process_time()
        walk = best_pair(self.X, self.Y[:, 0])
        return walk.visits / (time.process_time() - began)

    def track_loss_over_that_of_students(self, n):
        """Best of four L-BFGS students over the global optimum: at least one."""
        result = fm.learn_rectified(self.X, self.Y, 2, variant="enumerate", rng=0)
        students = lbfgs_student(self.X, self.Y, 2, starts=4, rng=0)
        losses = [np.sum((model.predict(self.X) - self.Y) ** 2) for model in (students.network, result)]
        return float(losses[0] / losses[1])
