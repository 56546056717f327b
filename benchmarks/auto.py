"""What `fm.learn` makes of mixed problems without being told which: the right network, or an honest refusal."""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import fastmom as fm

RIGHT, REFUSED, WRONG = "right", "refused", "wrong"
EXACT_TO = 1e-9


@dataclass(frozen=True)
class Mixed:
    """One problem: shape (d, k, m), rows, law, noise, biases, corrupted rows, and whether the width is told."""

    shape: tuple[int, int, int]
    n_rows: int
    law: str = "gaussian"
    noise: float = 0.0
    bias: bool = False
    told: bool = False
    corruption: float = 0.0
    determined: bool = True  # whether the rows determine the network

    def draw(self, seed):
        """Teacher and samples."""
        teacher_stream, rows_stream = np.random.default_rng(seed).spawn(2)
        teacher = fm.random_teacher(*self.shape, bias=self.bias, rng=teacher_stream)
        rows = {"law": self.law, "noise": self.noise, "corruption": self.corruption, "rng": rows_stream}
        return teacher, *fm.make_samples(teacher, self.n_rows, **rows)

    def outcome(self, seed):
        """RIGHT: the teacher's network. REFUSED: no success claimed. WRONG: anything else. And CPU seconds."""
        teacher, X, Y = self.draw(seed)
        began = time.process_time()
        result = fm.learn(X, Y, n_hidden=self.shape[1] if self.told else None, rng=seed)
        seconds = time.process_time() - began
        if not result.success:
            return WRONG if result.certificate else REFUSED, seconds
        exact = result.certificate.certified
        error = fm.compare(result, teacher).max_error
        if exact and result.certificate.unidentified:  # right as far as the rows determine it, and said so
            return RIGHT if fm.compare(result, teacher, X).function_error < EXACT_TO else WRONG, seconds
        right = result.n_hidden == self.shape[1] and exact == (self.noise == 0)
        limit = EXACT_TO if exact else 6 * self.noise
        return RIGHT if right and error < limit else WRONG, seconds

    def acceptable(self, outcome):
        """Whether that is what was to be had."""
        return outcome == RIGHT or (outcome == REFUSED and not self.determined)


WIDE_LABELS = [
    Mixed((10, 5, 6), 300, bias=bias, told=told, law=law)
    for law in ("gaussian", "laplace", "uniform")
    for bias in (False, True)
    for told in (False, True)
]
MORE_NEURONS_THAN_INPUTS = [
    Mixed((5, 8, 8), 300, told=told, law=law) for law in ("gaussian", "mixture") for told in (False, True)
]
FEW_LABELS = [
    Mixed((d, k, m), n, bias=bias, told=told)
    for d, k, m, n in ((10, 4, 1, 800), (12, 6, 2, 700), (20, 10, 3, 1200))
    for bias in (False, True)
    for told in (False, True)
]
FEW_LABELS_OF_OTHER_LAWS = [
    Mixed((8, 4, 1), 1000, law=law, told=told) for law in ("laplace", "student_t", "mixture") for told in (False, True)
]
NOISY = [
    Mixed((10, 5, 6), 2000, noise=noise, bias=bias, told=told)
    for noise in (0.01, 0.1)
    for bias in (False, True)
    for told in (False, True)
]
NOISY_OF_OTHER_LAWS = [Mixed((10, 5, 6), 3000, noise=0.1, law=law) for law in ("laplace", "uniform")]
NOISY_FEW_LABELS = [
    Mixed((10, 5, m), 4000, noise=noise, bias=bias, told=told)
    for m, noise in ((1, 0.02), (2, 0.1))
    for bias in (False, True)
    for told in (False, True)
]
WRONG_ROWS = [
    *(Mixed((10, 5, 6), 1000, corruption=share, bias=bias) for share in (0.1, 0.3) for bias in (False, True)),
    Mixed((10, 5, 6), 1000, corruption=0.4, told=True),
    Mixed((10, 5, 6), 1000, law="laplace", corruption=0.2, told=True),
    Mixed((12, 6, 2), 2000, corruption=0.1, told=True),
    Mixed((10, 4, 1), 2000, corruption=0.05, told=True),
]
UNDETERMINED = [
    Mixed((20, 10, 10), 35, determined=False),  # fewer than two rows an input
    Mixed((10, 8, 1), 60, told=True, determined=False),  # fewer equations than unknowns
    Mixed((10, 8, 1), 60, determined=False),
    Mixed((20, 8, 10), 60, noise=0.3, determined=False),
    Mixed((10, 5, 1), 60, noise=0.1, told=True, determined=False),
    Mixed((10, 5, 2), 90, noise=3.0, determined=False),
    Mixed((10, 5, 6), 25, bias=True, determined=False),
    Mixed((6, 3, 1), 20, told=True, determined=False),
]
SWEEP = [
    *WIDE_LABELS,
    *MORE_NEURONS_THAN_INPUTS,
    *FEW_LABELS,
    *FEW_LABELS_OF_OTHER_LAWS,
    *NOISY,
    *NOISY_OF_OTHER_LAWS,
    *NOISY_FEW_LABELS,
    *UNDETERMINED,
    *WRONG_ROWS,
]


class Auto:
    """The sweep: each problem once."""

    timeout: ClassVar = 600

    def setup_cache(self):
        return [(problem, *problem.outcome(seed)) for seed, problem in enumerate(SWEEP)]

    def track_right_or_honest(self, outcomes):
        return float(np.mean([problem.acceptable(outcome) for problem, outcome, _ in outcomes]))

    def track_wrong(self, outcomes):
        return sum(outcome == WRONG for _, outcome, _ in outcomes)

    def track_slowest(self, outcomes):
        return max(seconds for *_, seconds in outcomes)

    track_slowest.unit = "s"
