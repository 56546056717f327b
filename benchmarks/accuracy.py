"""How often and how exactly networks are recovered."""

from typing import ClassVar

import numpy as np

import fastmom as fm

from . import cramer_rao
from .problems import EXACT, NOISY

EXACT_TO = 1e-12


class Exact:
    """Exact labels: every network is recovered to round-off and certified."""

    params: ClassVar = list(EXACT)
    param_names: ClassVar = ["problem"]
    timeout = 600

    def setup_cache(self):
        return {name: [self._outcome(p, seed) for seed in range(p.seeds)] for name, p in EXACT.items()}

    @staticmethod
    def _outcome(problem, seed):
        """Whether certified to be the only network, the worst neuron's error, starts for each neuron."""
        teacher, X, Y = problem.draw(seed)
        result = problem.learn(X, Y, seed)
        certified = bool(result.certificate) and not result.certificate.unidentified
        starts = result.diagnostics.get("starts", np.nan) / problem.n_hidden
        return certified, fm.compare(result, teacher).max_error, starts

    def track_recovered_fraction(self, outcomes, name):
        return float(np.mean([certified and error <= EXACT_TO for certified, error, _ in outcomes[name]]))

    def track_false_certificates(self, outcomes, name):
        return int(sum(certified and error > EXACT_TO for certified, error, _ in outcomes[name]))

    def track_worst_error(self, outcomes, name):
        return max((error for certified, error, _ in outcomes[name] if certified), default=np.nan)

    def track_starts_per_neuron(self, outcomes, name):
        return float(np.mean([starts for *_, starts in outcomes[name]]))


class Noisy:
    """Gaussian label noise: the squared error of the hidden weights over its Cramer-Rao bound."""

    params: ClassVar = list(NOISY)
    param_names: ClassVar = ["problem"]
    timeout = 600

    def setup_cache(self):
        return {name: [self._outcome(p, seed) for seed in range(p.seeds)] for name, p in NOISY.items()}

    @staticmethod
    def _outcome(problem, seed):
        """Whether the least-squares optimum was reached with every neuron, and the error over the bound."""
        teacher, X, Y = problem.draw(seed)
        result = problem.learn(X, Y, seed)
        if not result.success or result.n_hidden != problem.n_hidden:
            return False, np.nan
        sigma = problem.noise * np.sqrt(np.mean(teacher.predict(X) ** 2))
        assignment = fm.compare(result, teacher).assignment
        error = cramer_rao.squared_error(result.network, teacher, assignment)
        return True, error / cramer_rao.bound(teacher, X, sigma)

    def track_success_fraction(self, outcomes, name):
        return float(np.mean([reached for reached, _ in outcomes[name]]))

    def track_error_over_bound(self, outcomes, name):
        ratios = [ratio for reached, ratio in outcomes[name] if reached]
        return float(np.mean(ratios)) if ratios else np.nan


def _deficient(rng, teacher, X, Y):
    return X, Y @ rng.standard_normal((10, 6)) @ rng.standard_normal((6, 10))


def _few_rows(rng, teacher, X, Y):
    return X[:38], Y[:38]


def _random_labels(rng, teacher, X, Y):
    return X, rng.standard_normal(Y.shape)


def _tanh(rng, teacher, X, Y):
    return X, np.tanh(X @ teacher.W.T) @ teacher.A.T


WRONG = {
    "labels of deficient rank": _deficient,
    "fewer than 2d rows": _few_rows,
    "random labels": _random_labels,
    "tanh network": _tanh,
}


class Wrong:
    """Data without a network in it: nothing is called recovered."""

    params: ClassVar = list(WRONG)
    param_names: ClassVar = ["data"]

    def track_false_successes(self, name):
        rng = np.random.default_rng(0)
        teacher = fm.random_teacher(20, 10, 10, rng=rng)
        X, Y = WRONG[name](rng, teacher, *fm.make_samples(teacher, 400, rng=rng))
        result = fm.learn(X, Y, rng=1)
        return int(result.success) + int(bool(result.certificate))
