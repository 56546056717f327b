"""Levenberg-Marquardt on neurons beside free functions (`System`), until nothing is left or nothing moves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.patterns.even_odd_system import State, System

Array = npt.NDArray[np.float64]

ZERO = 1e-23  # loss that is zero but for round-off, or a step or two away from it
STALLED = 1e-4  # relative gain of a step that counts as none
DAMPING = 0.1  # of a first step from anywhere
_PRECISE = 1e-5  # loss below which single precision would slow the steps down
_RAISE, _LOWER, _TRIALS = 4.0, 5.0, 10
_LAST_STEPS = 6
_WORTHWHILE = 0.25  # of the loss left by one of them
_ROUND_OFF = 1e-30  # loss


def descend(system: System, V: Array, *, max_iterations: int = 200, damping: float = DAMPING) -> tuple[State, int]:
    """Steps from V (k, e) until the loss is zero or stalls; returns the state and the number of steps."""
    state = system.evaluate(V)
    for iteration in range(max_iterations):
        if state.loss <= ZERO:
            return state, iteration
        trial, damping = _step(system, state, damping)
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
        trial, _ = _step(system, state, 0.0, trials=1)
        if trial is None:
            return state
        gained = trial.loss < _WORTHWHILE * state.loss
        state = trial
        if not gained or state.loss < _ROUND_OFF:
            return state
    return state


def _step(system: System, state: State, damping: float, trials: int = _TRIALS) -> tuple[State | None, float]:
    """One accepted step and the next damping; None when no damping reduces the loss."""
    precise = state.loss < _PRECISE
    N, scale = system.scaled_normal_matrix(state, np.float64 if precise else np.float32)
    floor = 1e-13 if precise else 1e-7  # round-off of the Grams
    right = -(state.gradient * scale).reshape(-1)
    for trial_number in range(trials):
        raised = N.copy(order="F")
        raised[np.diag_indices_from(raised)] += damping + floor
        factor, failed = scipy.linalg.lapack.dpotrf(raised, lower=1, clean=0, overwrite_a=1)
        if not failed:
            step = scipy.linalg.lapack.dpotrs(factor, right, lower=1)[0].reshape(scale.shape) * scale
            trial = system.evaluate(state.V + step)
            if trial.loss < state.loss:
                return trial, max(damping / _LOWER, floor) if trial_number == 0 else damping
        damping = max(_RAISE * damping, 1e-6)
    return None, damping
