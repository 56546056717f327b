"""The published narrow learners beside the refined one: as accurate as their nets, as exact as the polish, as fast."""

from typing import ClassVar

import numpy as np

import fastmom as fm
from benchmarks.narrow import function_error, timed
from fastmom.moments.narrow_moments import moment_subspace

# kind, d, k, n
NETS = {
    "d=10 k=2": ("gaussian", 10, 2, 20_000),
    "d=30 k=2": ("gaussian", 30, 2, 20_000),
    "d=10 k=3": ("gaussian", 10, 3, 20_000),
    "d=30 k=3": ("gaussian", 30, 3, 20_000),
    "d=20 k=3 opposite .1": ("opposite", 20, 3, 20_000),
    "d=20 no second moment": ("balanced", 20, 4, 20_000),
}
# k, d, n: neurons of positive output weight
MANY = {
    "k=12 d=20": (12, 20, 50_000),
    "k=20 d=30": (20, 30, 100_000),
    "k=12 d=6": (12, 6, 100_000),
}
VARIANTS = ("paper", "one_stage", "refined")
DRAWS = {"nets": 3, "many": 2}
EXACT = 1e-12
NOTHING = 10.0  # error of no network at all


def draw(name, seed):
    """Teacher and samples."""
    kind, d, k, n = NETS[name]
    teacher = fm.random_teacher(d, k, kind=kind, rng=seed)
    return teacher, *fm.make_samples(teacher, n, rng=seed + 1_000_000)


class Published:
    """Error before the polish, success after it, and CPU seconds."""

    params: ClassVar = [list(NETS), list(VARIANTS)]
    param_names: ClassVar = ["net", "variant"]
    timeout = 600

    def setup_cache(self):
        outcomes = {}
        for variant in VARIANTS:
            _, X, y = draw("d=10 k=2", 0)
            fm.learn_narrow(X, y, 2, variant=variant, rng=0)  # compiles
            for name in NETS:
                outcomes[name, variant] = [self._outcome(name, variant, seed) for seed in range(DRAWS["nets"])]
        return outcomes

    def _outcome(self, name, variant, seed):
        teacher, X, y = draw(name, seed)
        k = teacher.n_hidden
        estimate, _ = timed(fm.learn_narrow, X, y, k, variant=variant, polish=False, rng=seed)
        result, spent = timed(fm.learn_narrow, X, y, k, variant=variant, rng=seed)
        exact = function_error(result.network, teacher) < EXACT
        return function_error(estimate.network, teacher), exact, bool(result.certificate) and not exact, spent

    def track_error_before_the_polish(self, outcomes, name, variant):
        return float(np.median([min(error, NOTHING) for error, *_ in outcomes[name, variant]]))

    def track_success_fraction(self, outcomes, name, variant):
        return float(np.mean([exact for _, exact, _, _ in outcomes[name, variant]]))

    def track_false_certificates(self, outcomes, name, variant):
        return float(sum(false for _, _, false, _ in outcomes[name, variant]))

    def track_cpu(self, outcomes, name, variant):
        return float(np.median([spent for *_, spent in outcomes[name, variant]]))

    track_cpu.unit = "s"


class Subspace:
    """Sine of the largest angle between a neuron and the span of the contracted moments."""

    params: ClassVar = [list(NETS), [False, True]]
    param_names: ClassVar = ["net", "contracted in all dimensions"]

    def track_sine(self, name, ambient):
        sines = []
        for seed in range(DRAWS["nets"]):
            teacher, X, y = draw(name, seed)
            rank = np.linalg.matrix_rank(teacher.W)
            space = moment_subspace(X, y[:, 0], rank, np.random.default_rng(seed), ambient=ambient)
            sines.append(np.sqrt(np.max(1 - np.sum((teacher.W @ space.V) ** 2, axis=1))))
        return float(np.median(sines))


class Tower:
    """Many positive neurons from the implicit tower, before and after the polish."""

    params: ClassVar = list(MANY)
    param_names: ClassVar = ["net"]
    timeout = 600

    def _errors(self, name, polish):
        k, d, n = MANY[name]
        for seed in range(DRAWS["many"]):
            teacher = fm.random_teacher(d, k, output="positive", rng=seed)
            X, y = fm.make_samples(teacher, n, rng=seed + 1_000_000)
            result = fm.learn_narrow(X, y, k, variant="implicit", polish=polish, rng=seed)
            yield function_error(result.network, teacher)

    def track_error_before_the_polish(self, name):
        return float(np.median([min(error, NOTHING) for error in self._errors(name, False)]))

    def track_success_fraction(self, name):
        return float(np.mean([error < EXACT for error in self._errors(name, True)]))
