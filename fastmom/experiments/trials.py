"""What a cell of a sweep does: trials by name, each with the entries it accepts and a function that runs it."""

from __future__ import annotations

import functools
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import fastmom as fm
from fastmom.experiments.cells import OPTION, Cell, method_options
from fastmom.experiments.methods import Known, check_method, solve
from fastmom.kernels._compile import compiled_kernels
from fastmom.result import FitResult
from fastmom.runtime.validation import as_choice, as_count, as_number

Array = npt.NDArray[np.float64]
Check = Callable[[Any, str], Any]

REQUIRED: Any = object()  # default of an entry that every cell must have
_SIZES = ("n_inputs", "n_hidden", "n_outputs")
_TEACHER = ("kind", "condition", "angle", "output", "bias", "activation")
_SAMPLES = ("law", "noise", "corruption", "corruption_kind")
EXACT = 1e-9  # largest error of a neuron of a network that is found
_FRESH_ROWS = 1000
_LOADING_SECONDS = 0.003  # loading a compiled kernel takes twice as long
_n_loaded = (0, 0)


@dataclass(frozen=True)
class Key:
    """An entry that the cells of a trial may have.

    Attributes
    ----------
    check : callable
        ``check(value, name)`` gives the value as it is stored, or raises ValueError or TypeError.
    default : plain value
        Where a spec says nothing; `REQUIRED` if it must.
    """

    check: Check
    default: Any = REQUIRED


@dataclass(frozen=True)
class Trial:
    """One kind of experiment.

    Attributes
    ----------
    run : callable
        ``run(cell, data_rng, method_rng)`` gives a dict of plain values for the row. An entry "seconds", a dict with
        "total" and stages, is stored as the row's seconds.
    keys : mapping of str to Key
        What a cell may have, "seed" included; a trial that compares methods has "method".
    check : callable
        Raises ValueError, beginning with the name of an entry and a colon, for a cell that cannot be run.
    takes_options : bool
        Whether cells may have ``options.*`` too.
    """

    run: Callable[[Cell, np.random.Generator, np.random.Generator], dict[str, Any]]
    keys: Mapping[str, Key]
    check: Callable[[Cell], None] = lambda cell: None
    takes_options: bool = False

    def complete(self, given: Cell) -> Cell:
        """The cell with checked values and the defaults of what is not given.

        Raises
        ------
        ValueError, TypeError
            Naming the entry that is missing or wrong.
        """
        cell: Cell = {}
        for name, key in self.keys.items():
            value = given.get(name, key.default)
            if value is REQUIRED:
                raise ValueError(f"{name}: is missing; give it a value in [fixed] or a list of values in [grid]")
            cell[name] = key.check(value, name) if name in given else value
        return cell | {name: value for name, value in given.items() if name.startswith(OPTION)}


def count(value: Any, name: str) -> int:
    """Read a whole number from 1."""
    return as_count(value, name)


def seed(value: Any, name: str) -> int:
    """Read a whole number from 0."""
    return as_count(value, name, minimum=0)


def number(value: Any, name: str) -> float:
    """Read a finite number."""
    return as_number(value, name)


def word(value: Any, name: str) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a text in quotes, got {value!r}")
    return value


def one_of(*words: str) -> Check:
    """Read one of these words."""
    return lambda value, name: as_choice(value, name, words)


def truth(value: Any, name: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected true or false, got {value!r}")
    return value


PROBLEM = {
    "n_inputs": Key(count),
    "n_hidden": Key(count),
    "n_outputs": Key(count, 1),
    "n_samples": Key(count),
    "law": Key(word, "gaussian"),
    "noise": Key(number, 0.0),
    "corruption": Key(number, 0.0),
    "corruption_kind": Key(word, "gross"),
    "kind": Key(word, "gaussian"),
    "condition": Key(number, None),
    "angle": Key(number, None),
    "output": Key(word, "signed"),
    "bias": Key(truth, False),
    "activation": Key(word, "relu"),
    "seed": Key(seed, 0),
}
"""Entries of a cell whose problem is a random teacher and its samples, named as in `fastmom.random_teacher` and
`fastmom.make_samples`."""


def draw_teacher(cell: Cell, rng: np.random.Generator) -> fm.TwoLayerNetwork:
    """Draw the teacher of a cell with the entries `PROBLEM`."""
    how = {name: cell[name] for name in _TEACHER}
    return fm.random_teacher(cell["n_inputs"], cell["n_hidden"], cell["n_outputs"], rng=rng, **how)


def draw_samples(cell: Cell, teacher: fm.TwoLayerNetwork, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw n samples of a teacher as a cell with the entries `PROBLEM` asks."""
    return fm.make_samples(teacher, n, rng=rng, **{name: cell[name] for name in _SAMPLES})


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its CPU seconds; once more if it had to load modules or compiled kernels."""
    global _n_loaded
    while True:
        began = time.process_time()
        value = call()
        seconds = time.process_time() - began
        if seconds < _LOADING_SECONDS:
            return value, seconds
        n_loaded = len(compiled_kernels()), len(sys.modules)
        if n_loaded == _n_loaded:
            return value, seconds
        _n_loaded = n_loaded


def recovery(cell: Cell, data_rng: np.random.Generator, method_rng: np.random.Generator) -> dict[str, Any]:
    """Draw a teacher and samples, let the method learn, and compare.

    Returns
    -------
    dict
        "success", "certified", "status", "message", "n_hidden" as the method says; "error", "hidden_error",
        "output_error" of `fastmom.compare`, None where the student lacks a neuron; "function_error" on fresh rows of
        the same law, relative to the outputs' RMS about their mean; "residual" on the samples, likewise; "exact"
        whether the whole network is found to 1e-9, None where noise forbids it; "seconds" with the CPU seconds of the
        method as "total", and its stages.
    """
    teacher_rng, samples_rng, fresh_rng = data_rng.spawn(3)
    teacher = draw_teacher(cell, teacher_rng)
    X, Y = draw_samples(cell, teacher, cell["n_samples"], samples_rng)
    fresh = fm.sample_inputs(_FRESH_ROWS, cell["n_inputs"], cell["law"], fresh_rng)
    known = Known(cell["n_hidden"], cell["bias"], cell["activation"])
    method_seed = int(method_rng.integers(1 << 53))  # a seed, not a stream: a call that is timed again repeats its bits
    result, seconds = timed(lambda: solve(cell["method"], X, Y, known, method_options(cell), method_seed))
    values = _verdict(result, teacher, X, Y, fresh)
    values["exact"] = None if cell["noise"] or math.isnan(values["error"]) else values["error"] < EXACT
    return {**values, "seconds": {**result.timings, "total": seconds}}


def _verdict(result: FitResult, teacher: fm.TwoLayerNetwork, X: Array, Y: Array, fresh: Array) -> dict[str, Any]:
    """What a result says of itself, and what the truth says of it."""
    found = fm.compare(result, teacher, fresh)
    return {
        "success": result.success,
        "certified": bool(result.certificate),
        "status": result.status,
        "message": result.message,
        "variant": result.variant,
        "n_hidden": result.n_hidden,
        "error": found.max_error,
        "hidden_error": found.hidden_error,
        "output_error": found.output_error,
        "function_error": found.function_error,
        "residual": None if result.model is None else _residual(result.model.predict(X), Y),
    }


def _residual(found: Array, Y: Array) -> float | None:
    """RMS of the difference relative to the labels' RMS about their mean."""
    spread = float(np.linalg.norm(Y - Y.mean(axis=0)))
    return float(np.linalg.norm(found.reshape(Y.shape) - Y)) / spread if spread else None


def _check_recovery(cell: Cell) -> None:
    """Refuse what no teacher, no law and no method is: by asking them."""
    check_method(cell["method"], method_options(cell))
    _check_teacher(*(cell[name] for name in _SIZES + _TEACHER))
    _check_samples(*(cell[name] for name in _SAMPLES))


@functools.lru_cache
def _check_teacher(*values: Any) -> None:
    draw_teacher(dict(zip(_SIZES + _TEACHER, values, strict=True)), np.random.default_rng(0))


@functools.lru_cache
def _check_samples(*values: Any) -> None:
    smallest = fm.TwoLayerNetwork([[1.0]], [1.0])
    draw_samples(dict(zip(_SAMPLES, values, strict=True)), smallest, 1, np.random.default_rng(0))


TRIALS: dict[str, Trial] = {
    "recovery": Trial(recovery, {"method": Key(word, "auto"), **PROBLEM}, check=_check_recovery, takes_options=True),
}
