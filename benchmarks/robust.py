"""Labels of which a share is wrong: how often the network is recovered exactly, and what it costs."""

import functools
import time
from typing import ClassVar

import numpy as np

import fastmom as fm
from fastmom.experiments.rivals import lbfgs_student

EXACT = 1e-12
DRAWS = 3
# (d, k, m), rows, share of wrong rows, kind
CASES = {
    "20-8-8, n=1000, gross .45": ((20, 8, 8), 1000, 0.45, "gross"),
    "20-8-8, n=1000, shuffle .4": ((20, 8, 8), 1000, 0.4, "shuffle"),
    "20-8-8, n=1000, flip .4": ((20, 8, 8), 1000, 0.4, "flip"),
    "20-8-3, n=1500, gross .2": ((20, 8, 3), 1500, 0.2, "gross"),
    "20-5-1, n=1500, shuffle .05": ((20, 5, 1), 1500, 0.05, "shuffle"),
}


def draw(name, seed):
    """Teacher and samples."""
    shape, n, share, kind = CASES[name]
    teacher = fm.random_teacher(*shape, rng=seed)
    return teacher, *fm.make_samples(teacher, n, corruption=share, corruption_kind=kind, rng=seed + 1000)


@functools.cache
def runs(name):
    """For each draw: CPU seconds, whether it was exact, whether a certificate was wrong."""
    outcomes = []
    for seed in range(-1, DRAWS):  # the first one loads the kernels
        teacher, X, Y = draw(name, abs(seed))
        began = time.process_time()
        result = fm.learn_rectified(X, Y, teacher.n_hidden, noise="gross", rng=abs(seed))
        seconds = time.process_time() - began
        exact = result.network is not None and fm.compare(result, teacher).max_error <= EXACT
        if seed >= 0:
            outcomes.append((seconds, exact, bool(result.certificate) and not exact))
    return np.array(outcomes, dtype=float)


@functools.cache
def student(name):
    """CPU seconds and error of one start of L-BFGS, told the width; it knows nothing of wrong rows."""
    teacher, X, Y = draw(name, 0)
    fit = lbfgs_student(X, Y, teacher.n_hidden, rng=0, max_iterations=300)
    truth = teacher.predict(X)
    return float(fit.seconds.sum()), float(np.linalg.norm(fit.network.predict(X) - truth) / np.linalg.norm(truth))


class Corrupted:
    """Recovery from labels that are partly garbage, flipped or shuffled."""

    params: ClassVar = list(CASES)
    param_names: ClassVar = ["problem"]
    timeout = 300

    def track_exact_fraction(self, name):
        return float(runs(name)[:, 1].mean())

    def track_wrong_certificates(self, name):
        return float(runs(name)[:, 2].sum())

    def track_cpu_seconds(self, name):
        return float(np.median(runs(name)[:, 0]))

    def track_cpu_over_one_start_of_the_student(self, name):
        return float(np.median(runs(name)[:, 0]) / student(name)[0])

    def track_error_of_the_student(self, name):
        """Relative error of the student's predictions on the teacher's labels."""
        return student(name)[1]
