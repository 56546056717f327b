"""Time and memory of the learners, kernels already compiled."""

import time
import tracemalloc
from typing import ClassVar

import fastmom as fm

from .problems import EXACT, LARGE, trained

TIMED = ("20-10-10, n=80", "50-20-20, n=200", "10-40-40, n=400", "50-20-25, n=500, biases")


class Random:
    """Random teachers."""

    params: ClassVar = [*TIMED, *LARGE]
    param_names: ClassVar = ["problem"]
    timeout = 300

    def setup(self, name):
        self.problem = {**EXACT, **LARGE}[name]
        _, self.X, self.Y = self.problem.draw(0)
        self.problem.learn(self.X, self.Y)

    def time_learn(self, name):
        self.problem.learn(self.X, self.Y)


class Large:
    """Many neurons, and many rows."""

    params: ClassVar = list(LARGE)
    param_names: ClassVar = ["problem"]
    timeout = 300

    def track_error(self, name):
        teacher, X, Y = LARGE[name].draw(0)
        return fm.compare(LARGE[name].learn(X, Y), teacher).max_error


class ManyRows:
    """Memory where the data are large."""

    def setup(self):
        self.problem = LARGE["100-50-50, n=1e5"]
        _, self.X, self.Y = self.problem.draw(0)
        self.problem.learn(self.X, self.Y)

    def track_memory_beyond_the_data(self):
        """The peak of all arrays that learning allocates."""
        tracemalloc.start()
        try:
            self.problem.learn(self.X, self.Y)
            return tracemalloc.get_traced_memory()[1] / 1e6
        finally:
            tracemalloc.stop()

    track_memory_beyond_the_data.unit = "MB"

    def peakmem_learn(self):
        self.problem.learn(self.X, self.Y)


class Trained:
    """Networks that were trained on real data, 1000 Gaussian rows."""

    params: ClassVar = ["digits_8", "wine_3"]
    param_names: ClassVar = ["network"]

    def setup(self, name):
        self.teacher, self.X, self.Y = trained(name)
        fm.learn(self.X, self.Y, bias=True, rng=0)

    def time_learn(self, name):
        fm.learn(self.X, self.Y, bias=True, rng=0)

    def track_certified_error(self, name):
        result = fm.learn(self.X, self.Y, bias=True, rng=0)
        return fm.compare(result, self.teacher).max_error if result.certificate else float("inf")


class FirstCall:
    """What the first call of a process costs when the kernels are in the on-disk cache."""

    unit = "s"

    def setup_cache(self):
        Trained().setup("digits_8")

    def track_first_call(self):
        _, X, Y = trained("digits_8")
        began = time.process_time()
        fm.learn(X, Y, bias=True, rng=0)
        return time.process_time() - began
