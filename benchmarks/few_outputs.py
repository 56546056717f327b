"""Exact labels of fewer outputs than neurons: how often, how exactly, and at what cost beside an L-BFGS student.

The student gets the same rows in the same process, is told the width, and gives a start up when it stalls.
"""

import time
from typing import ClassVar

import numpy as np

import fastmom as fm
from fastmom.experiments.rivals import lbfgs_student

from .problems import FEW_OUTPUTS, WIDE

EXACT_TO = 1e-12
RECOVERED = 1e-10  # relative residual below which a start of the student counts as a success
STUDENTS = 4  # starts of the student for each network
PATIENCE = 200


class Recovery:
    """Networks of the exact width: recovered to round-off, certified, and the CPU time of a success."""

    params: ClassVar = list(FEW_OUTPUTS)
    param_names: ClassVar = ["problem"]
    timeout = 600

    def setup_cache(self):
        return {name: [_outcome(p, seed) for seed in range(p.seeds)] for name, p in FEW_OUTPUTS.items()}

    def track_recovered_fraction(self, outcomes, name):
        return float(np.mean([error <= EXACT_TO for _, error, *_ in outcomes[name]]))

    def track_false_certificates(self, outcomes, name):
        return int(sum(certified and not error <= EXACT_TO for certified, error, *_ in outcomes[name]))

    def track_worst_error(self, outcomes, name):
        return float(max(error for _, error, *_ in outcomes[name]))

    def track_starts(self, outcomes, name):
        return float(np.mean([starts for _, _, starts, _ in outcomes[name]]))

    def track_cpu_seconds_of_a_success(self, outcomes, name):
        successes = sum(error <= EXACT_TO for _, error, *_ in outcomes[name])
        return sum(seconds for *_, seconds in outcomes[name]) / max(1, successes)


class Student:
    """CPU seconds of a success over those of the student's (at least one of its starts is taken to succeed)."""

    params: ClassVar = [name for name, p in FEW_OUTPUTS.items() if p.n_hidden <= 10]
    param_names: ClassVar = ["problem"]
    timeout = 600

    def setup_cache(self):
        return {
            name: [_race(FEW_OUTPUTS[name], seed) for seed in range(FEW_OUTPUTS[name].seeds)] for name in self.params
        }

    def track_cpu_over_student(self, races, name):
        ours = sum(seconds for seconds, *_ in races[name]) / len(races[name])
        return ours / (sum(spent for _, spent, _ in races[name]) / max(1, sum(hits for *_, hits in races[name])))

    def track_student_success_fraction(self, races, name):
        return sum(hits for *_, hits in races[name]) / (STUDENTS * len(races[name]))


class Wide:
    """One output, more neurons than inputs: one network, with biases and without."""

    params: ClassVar = list(WIDE)
    param_names: ClassVar = ["problem"]
    timeout = 600

    def setup(self, name):
        self.problem = WIDE[name]
        self.samples = self.problem.draw(0)

    def time_recovery(self, name):
        _learn(self.problem, *self.samples[1:], 0)

    def track_error(self, name):
        teacher, X, Y = self.samples
        return fm.compare(_learn(self.problem, X, Y, 0), teacher).max_error


def _learn(problem, X, Y, seed):
    return fm.learn_rectified(X, Y, problem.n_hidden, bias=problem.bias, rng=seed)


def _outcome(problem, seed):
    """Whether certified to be the only network, its error, starts, CPU seconds."""
    teacher, X, Y = problem.draw(seed)
    began = time.process_time()
    result = _learn(problem, X, Y, seed)
    seconds = time.process_time() - began
    certified = bool(result.certificate) and not result.certificate.unidentified
    error = fm.compare(result, teacher).max_error if result.n_hidden == problem.n_hidden else np.inf
    return certified, error, result.diagnostics.get("starts", np.nan), seconds


def _race(problem, seed):
    """Our CPU seconds, the student's, and how many of its starts succeeded."""
    _, X, Y = problem.draw(seed)
    _learn(problem, X, Y, seed)
    began = time.process_time()
    assert _learn(problem, X, Y, seed).certificate
    ours = time.process_time() - began
    student = lbfgs_student(X, Y, problem.n_hidden, starts=STUDENTS, patience=PATIENCE, rng=seed)
    return ours, float(student.seconds.sum()), int((student.residuals < RECOVERED).sum())
