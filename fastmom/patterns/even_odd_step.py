"""One Levenberg-Marquardt step on neurons beside free functions, by factorisation or by conjugate gradients.

Forming and factoring the normal matrix is ``n (k e)^2`` and ``(k e)^3`` operations. On the way the matrix changes
little once every unknown is in the unit of its own information: the factor of an earlier step is a preconditioner with
which conjugate gradients take some ten products of ``4 n k (e + m)`` (`fastmom.patterns.even_odd_products`), whatever
the law of the inputs. Where they take too many, or do not lower the loss, the matrix is formed and factored afresh.
Inexact Newton steps are textbook (Nocedal and Wright 2006, chapter 7); the lagged metric is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.patterns.even_odd_products import NormalProducts
from fastmom.patterns.even_odd_system import State, System

Array = npt.NDArray[np.float64]

WIDE = 150  # hidden weights from which products are cheaper than the matrix
MAX_PRODUCTS = 40
STALE = 24  # products of a step after which the next one forms the matrix again
_ROUGH, _FINE = 0.1, 1e-3  # accuracy of conjugate gradients far from the end and near it
_PRECISE = 1e-5  # loss below which single precision would slow the steps down
_RAISE, _LOWER, _TRIALS = 4.0, 5.0, 10
_WEAK = 1e-12  # squared output weights relative to the largest


@dataclass(frozen=True)
class _Metric:
    """Factor (k e, k e) of a scaled normal matrix, in single precision, and the scale (k, e) and strength (k,)."""

    factor: npt.NDArray[Any]
    scale: Array
    strength: Array

    def solve(self, right: Array) -> Array:
        """Solution for a right-hand side (k, e)."""
        flat = right.reshape(-1).astype(np.float32)
        return np.asarray(scipy.linalg.lapack.spotrs(self.factor, flat, lower=1)[0].reshape(right.shape), np.float64)

    def scale_at(self, state: State) -> Array:
        """Unit of every hidden weight of the state, whose neurons are those of the metric with other output weights."""
        return np.asarray(self.scale * np.sqrt(self.strength / _strength(state))[:, None])


class Steps:
    """Steps in one system, one after the other."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._metric: _Metric | None = None

    def take(self, state: State, damping: float, trials: int = _TRIALS) -> tuple[State | None, float]:
        """One accepted step and the next damping; None when no damping reduces the loss."""
        floor = _floor(state)
        if self._metric is not None:
            metric, self._metric = self._metric, None
            step, products = _conjugate_step(self._system, state, metric, damping + floor)
            trial = None if step is None else self._system.evaluate(state.V + step)
            if trial is not None and trial.loss < state.loss:
                self._metric = metric if products <= STALE else None
                return trial, max(damping / _LOWER, floor)
        return self._factored(state, damping, floor, trials)

    def _factored(self, state: State, damping: float, floor: float, trials: int) -> tuple[State | None, float]:
        system = self._system
        N, scale = system.scaled_normal_matrix(state, _precision(state))
        right = -(state.gradient * scale).reshape(-1)
        for trial_number in range(trials):
            raised = N.copy(order="F")
            raised[np.diag_indices_from(raised)] += damping + floor
            factor, failed = scipy.linalg.lapack.dpotrf(raised, lower=1, clean=0, overwrite_a=1)
            if not failed:
                step = scipy.linalg.lapack.dpotrs(factor, right, lower=1)[0].reshape(scale.shape) * scale
                trial = system.evaluate(state.V + step)
                if trial.loss < state.loss:
                    if scale.size >= WIDE:
                        self._metric = _Metric(factor.astype(np.float32), scale, _strength(state))
                    return trial, max(damping / _LOWER, floor) if trial_number == 0 else damping
            damping = max(_RAISE * damping, 1e-6)
        return None, damping


def _conjugate_step(system: System, state: State, metric: _Metric, damping: float) -> tuple[Array | None, int]:
    """Step (k, e) by preconditioned conjugate gradients and the products it took; None if too many."""
    scale = metric.scale_at(state)
    held = state.V / np.sqrt(np.mean(scale**2, axis=1))[:, None]
    products = NormalProducts(system, state, _precision(state))
    accuracy = _FINE if state.loss < _PRECISE else _ROUGH

    def apply(z: Array) -> Array:
        P = z * scale
        moved = products(P) + held * np.sum(held * P, axis=1, keepdims=True)
        return np.asarray(moved * scale + damping * z)

    rest = -state.gradient * scale
    z, towards = np.zeros_like(rest), metric.solve(rest)
    direction = towards
    size = first = float(np.sum(rest * towards))
    for number in range(1, MAX_PRODUCTS + 1):
        image = apply(direction)
        curvature = float(np.sum(direction * image))
        if not curvature > 0:
            return None, number
        z += size / curvature * direction
        rest -= size / curvature * image
        towards = metric.solve(rest)
        before, size = size, float(np.sum(rest * towards))
        if not size > accuracy**2 * first:
            return z * scale, number
        direction = towards + size / before * direction
    return None, MAX_PRODUCTS


def _precision(state: State) -> type:
    return np.float64 if state.loss < _PRECISE else np.float32


def _floor(state: State) -> float:
    """Damping that covers the round-off of the products."""
    return 1e-13 if state.loss < _PRECISE else 1e-7


def _strength(state: State) -> Array:
    """Squared output weights (k,)."""
    strength = np.sum(state.outer**2, axis=1)
    return np.maximum(strength, max(_WEAK * strength.max(initial=0.0), np.finfo(float).tiny))
