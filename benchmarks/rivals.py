"""Ratios of CPU time to the honest rival's, on the same rows in the same process: below one, we are faster."""

import time
from typing import ClassVar

import numpy as np

import fastmom as fm
from fastmom.experiments.rivals import lbfgs_student

from .problems import EXACT, trained

RECOVERED = 1e-10  # relative residual below which a start counts as a success
PATIENCE = 200
DRAWS = {"20-10-10, n=80": 5, "50-20-20, n=200": 5, "10-40-40, n=400": 2, "trained digits": 4}


class Lbfgs:
    """A float64 L-BFGS student that is told the width."""

    params: ClassVar = list(DRAWS)
    param_names: ClassVar = ["problem"]
    timeout = 600

    def setup_cache(self):
        return {name: [_race(name, seed) for seed in range(draws)] for name, draws in DRAWS.items()}

    def track_cpu_over_one_start(self, races, name):
        """Against one start that runs until it converges or 4000 iterations are over."""
        return float(np.median([ours / start for ours, start, *_ in races[name]]))

    def track_cpu_over_one_success(self, races, name):
        """Against starts that are given up once they stall, for each that succeeds (at least one is assumed)."""
        ours = sum(race[0] for race in races[name]) / len(races[name])
        spent = sum(race[2] for race in races[name])
        return ours / (spent / max(1, sum(race[3] for race in races[name])))

    def track_rival_success_fraction(self, races, name):
        return sum(race[3] for race in races[name]) / sum(race[4] for race in races[name])


def _race(name, seed):
    """Our CPU seconds; those of a full start; those of impatient starts, how many succeeded, how many ran."""
    if name == "trained digits":
        teacher, X, Y = trained("digits_8")
        bias = True
    else:
        teacher, X, Y = EXACT[name].draw(seed)
        bias = False
    fm.learn(X, Y, bias=bias, rng=seed)
    began = time.process_time()
    result = fm.learn(X, Y, bias=bias, rng=seed)
    ours = time.process_time() - began
    assert result.certificate, result.message
    full = lbfgs_student(X, Y, teacher.n_hidden, bias=bias, rng=seed)
    brief = lbfgs_student(X, Y, teacher.n_hidden, bias=bias, rng=seed + 1000, starts=4, patience=PATIENCE)
    successes = int((brief.residuals < RECOVERED).sum())
    return ours, float(full.seconds[0]), float(brief.seconds.sum()), successes, len(brief.seconds)
