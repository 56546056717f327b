"""The demonstration: recover a network that was trained on real data from its answers, beside the honest rival."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastmom as fm
from fastmom.experiments.rivals import StudentFit, lbfgs_student
from fastmom.runtime.validation import as_choice, as_count

Array = npt.NDArray[np.float64]
Say = Callable[[str], None]

RECOVERED = 1e-10  # relative residual below which a student counts as having found the network
ROWS = 1000
PATIENCE = 200  # stalled starts are given up, which is the cheapest way for the rival


@dataclass(frozen=True)
class _Network:
    """A network whose weights ship with the package."""

    file: str
    story: str


NETWORKS = {
    "digits": _Network("trained_digits_8.npz", "trained to read handwritten digits"),
    "wine": _Network("trained_wine_3.npz", "trained to tell three kinds of wine apart"),
}


def run_demo(network: str = "digits", *, starts: int = 5, seed: int = 0, say: Say | None = None) -> dict[str, Any]:
    """Recover a trained network from its answers to random questions, and let the rival try too.

    Parameters
    ----------
    network : {"digits", "wine"}
        Which network; its weights ship with the package.
    starts : int
        Random starts of the rival.
    seed : int
        Source of the questions and of all starts.
    say : callable, optional
        Takes each line of the story as it happens; silent unless given.

    Returns
    -------
    dict
        JSON-ready: "network", "n_rows", "fit" (as `FitResult.to_dict`), "max_error", "cpu_seconds",
        "first_call_seconds", and "rival" with its residuals and CPU seconds by start.
    """
    tell = say or (lambda line: None)
    chosen = NETWORKS[as_choice(network, "network", NETWORKS)]
    as_count(starts, "starts")
    teacher = fm.load(Path(__file__).parents[1] / "data" / chosen.file)
    questions, rival_stream = np.random.default_rng(as_count(seed, "seed", minimum=0)).spawn(2)
    X = questions.standard_normal((ROWS, teacher.n_inputs))
    Y = teacher.predict(X)
    _introduce(tell, chosen, teacher)
    result, first, cpu = _fit(X, Y, seed, tell)
    error = fm.compare(result, teacher).max_error
    _report_fit(tell, result, error, cpu)
    tell("")
    tell(
        f"The rival, told that there are {teacher.n_hidden} neurons: gradient training of that student "
        f"(L-BFGS, float64), {starts} random starts"
    )
    student = lbfgs_student(
        X, Y, teacher.n_hidden, bias=True, starts=starts, rng=rival_stream, patience=PATIENCE, stop_below=1e-13
    )
    _report_rival(tell, student, cpu)
    return {
        "network": network,
        "n_rows": ROWS,
        "fit": result.to_dict(),
        "max_error": error if np.isfinite(error) else None,
        "cpu_seconds": cpu,
        "first_call_seconds": first,
        "rival": {
            "recovered": int((student.residuals < RECOVERED).sum()),
            "residuals": student.residuals.tolist(),
            "cpu_seconds": student.seconds.tolist(),
        },
    }


def _fit(X: Array, Y: Array, seed: int, tell: Say) -> tuple[fm.FitResult, float, float]:
    """Learn twice, so that compiling is not counted as learning: the result, first wall time, second CPU time."""
    tell("")
    tell("fastmom, told neither the weights nor how many neurons there are")
    tell("  preparing kernels (compiled on the first run, loaded from the disk on later ones) ...")
    began = time.perf_counter()
    fm.learn(X, Y, bias=True, rng=seed)
    first = time.perf_counter() - began
    tell(f"  ready after {first:.1f} s")
    cpu_began = time.process_time()
    result = fm.learn(X, Y, bias=True, rng=seed)
    return result, first, time.process_time() - cpu_began


def _introduce(tell: Say, chosen: _Network, teacher: fm.TwoLayerNetwork) -> None:
    biases = [b for b in (teacher.hidden_bias, teacher.output_bias) if b is not None]
    n_weights = teacher.W.size + teacher.A.size + sum(b.size for b in biases)
    tell(
        f"A ReLU network {chosen.story}: {teacher.n_inputs} inputs, {teacher.n_hidden} hidden neurons, "
        f"{teacher.n_outputs} outputs."
    )
    tell(f"It answers {ROWS:,} random Gaussian questions. Can its {n_weights} weights be found from the answers?")


def _report_fit(tell: Say, result: fm.FitResult, error: float, cpu: float) -> None:
    tell(f"  {result.message}")
    if result.certificate is not None:
        verdict = "certified" if result.certificate else "not certified"
        tell(f"  {verdict}: {result.certificate.reason}")
        tell(f"  residual over all rows  {result.certificate.residual:9.1e}   (relative RMS)")
    tell(f"  worst neuron's error    {error:9.1e}   (against the truth, which only this line has seen)")
    tell(f"  CPU time                {cpu:9.3f} s")


def _report_rival(tell: Say, student: StudentFit, cpu: float) -> None:
    for number, (residual, seconds) in enumerate(zip(student.residuals, student.seconds, strict=True), 1):
        verdict = "found the network" if residual < RECOVERED else "stuck"
        tell(f"  start {number}  residual {residual:7.1e}  CPU time {seconds:6.3f} s  {verdict}")
    found = int((student.residuals < RECOVERED).sum())
    spent = float(student.seconds.sum())
    tell(
        f"  {found} of {len(student.residuals)} starts found it, in {spent:.2f} s of CPU: {spent / cpu:.0f} times ours"
    )
