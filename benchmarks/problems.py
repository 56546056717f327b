"""The problems that everything is measured on, by name."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastmom as fm

LAWS = ("student_t", "exponential", "hypercube", "sparse", "correlated", "mixture", "uniform")


@dataclass(frozen=True)
class Problem:
    """A family of random teachers and samples, one for each seed."""

    n_inputs: int
    n_hidden: int
    n_outputs: int
    n_rows: int
    law: str = "gaussian"
    noise: float = 0.0
    bias: bool = False
    seeds: int = 1
    teacher: dict[str, Any] = field(default_factory=dict)

    def draw(self, seed):
        """Teacher, inputs and labels."""
        teacher_stream, rows_stream = np.random.default_rng([seed, self.n_rows]).spawn(2)
        shape = self.n_inputs, self.n_hidden, self.n_outputs
        if self.law != "gaussian":
            X = fm.sample_inputs(self.n_rows, self.n_inputs, self.law, rng=rows_stream)
            teacher = _active_teacher(shape, X, teacher_stream)
            return teacher, X, teacher.predict(X)
        teacher = fm.random_teacher(*shape, bias=self.bias, rng=teacher_stream, **self.teacher)
        return teacher, *fm.make_samples(teacher, self.n_rows, noise=self.noise, rng=rows_stream)

    def learn(self, X, Y, seed=0):
        """What is measured; the learner is not told the number of neurons."""
        return fm.learn(X, Y, bias=self.bias, rng=seed)


def _active_teacher(shape, X, rng):
    """A teacher whose neurons are active on 15 to 85 % of the rows: others are not identifiable from few rows."""
    d, k, m = shape
    pool = fm.random_teacher(d, 50 * k, m, rng=rng)
    share = (X @ pool.W.T > 0).mean(axis=0)
    kept = np.flatnonzero((share > 0.15) & (share < 0.85))[:k]
    assert len(kept) == k, "too few neurons with both states"
    return fm.TwoLayerNetwork(pool.W[kept], pool.A[:, kept])


EXACT = {
    "20-10-10, n=80": Problem(20, 10, 10, 80, seeds=50),
    "20-10-10, n=60": Problem(20, 10, 10, 60, seeds=40),
    "50-20-20, n=200": Problem(50, 20, 20, 200, seeds=20),
    "10-40-40, n=400": Problem(10, 40, 40, 400, seeds=10),
    "5-30-30, n=500": Problem(5, 30, 30, 500, seeds=10),
    "20-10-10, n=400, condition 100": Problem(
        20, 10, 10, 400, seeds=10, teacher={"kind": "conditioned", "condition": 100.0}
    ),
    "50-20-25, n=500, biases": Problem(50, 20, 25, 500, bias=True, seeds=10),
    **{f"30-15-15, n=360, {law}": Problem(30, 15, 15, 360, law=law, seeds=10) for law in LAWS},
}
LARGE = {
    "100-50-50, n=1e5": Problem(100, 50, 50, 100_000),
    "200-100-100, n=2e4": Problem(200, 100, 100, 20_000),
}
FEW_OUTPUTS = {
    f"{d}-{k}-{m}, n={n}": Problem(d, k, m, n, seeds=seeds)
    for d, k, m, n, seeds in (
        (20, 5, 1, 500, 20),
        (20, 10, 1, 2000, 20),
        (30, 10, 1, 1500, 20),
        (20, 10, 3, 733, 20),
        (50, 20, 10, 590, 20),
        (10, 20, 1, 3000, 10),
        (20, 20, 1, 20_000, 10),
        (10, 30, 1, 20_000, 10),
        (5, 30, 1, 30_000, 10),
        (10, 50, 1, 30_000, 10),
        (20, 50, 1, 40_000, 10),
    )
}
WIDE = {
    "10-100-1, n=1e5": Problem(10, 100, 1, 100_000),
    "10-100-1, n=1e5, biases": Problem(10, 100, 1, 100_000, bias=True),
    "20-100-1, n=1e5": Problem(20, 100, 1, 100_000),
}
NOISY = {
    f"20-8-10, n=2000, noise {noise}": Problem(20, 8, 10, 2000, noise=noise, seeds=8) for noise in (0.01, 0.1, 0.3)
}


def trained(name):
    """A network trained on real data that ships with the package, and 1000 Gaussian rows of it."""
    teacher = fm.load(Path(fm.__file__).parent / "data" / f"trained_{name}.npz")
    X, Y = fm.make_samples(teacher, 1000, rng=7)
    return teacher, X, Y
