"""Levenberg-Marquardt on neurons beside free functions (`System`), until nothing is left or nothing moves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.patterns.even_odd_step import Steps
from fastmom.patterns.even_odd_system import State, System

Array = npt.NDArray[np.float64]

ZERO = 1e-23  # loss that is zero but for round-off, or a step or two away from it
STALLED = 1e-4  # relative gain of a step that counts as none
DAMPING = 0.1  # of a first step from anywhere
_LAST_STEPS = 6
_WORTHWHILE = 0.25  # of the loss left by one of them
_ROUND_OFF = 1e-30  # loss


def descend(
    system: System, V: Array, *, max_iterations: int = 200, damping: float = DAMPING, until: float = ZERO
) -> tuple[State, int]:
    """Steps from V (k, e) until the loss is `until` or stalls; returns the state and the number of steps."""
    state, steps = system.evaluate(V), Steps(system)
    for iteration in range(max_iterations):
        if state.loss <= until:
            return state, iteration
        trial, damping = steps.take(state, damping)
        if trial is None:
            return state, iteration
        gain = 1.0 - trial.loss / state.loss
        state = trial
        if gain < STALLED:
            return state, iteration + 1
    return state, max_iterations


def sharpen(system: System, state: State) -> State:
    """Steps from a state of almost no loss until only round-off is left."""
    for _ in range(_LAST_STEPS if len(state.V) else 0):
        trial, _ = Steps(system).take(state, 0.0, trials=1)
        if trial is None:
            return state
        gained = trial.loss < _WORTHWHILE * state.loss
        state = trial
        if not gained or state.loss < _ROUND_OFF:
            return state
    return state
