"""Activations that are not rectified, as pairs of functions of an array: value, derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Function = Callable[[Array], Array]


def _logistic(t: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * t))  # neither branch overflows


def _softplus(t: Array) -> Array:
    return np.asarray(np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t))))


def _logistic_slope(t: Array) -> Array:
    return np.asarray(_logistic(t) * _logistic(-t))


def _swish_slope(t: Array) -> Array:
    return np.asarray(_logistic(t) + t * _logistic_slope(t))


def _erf(t: Array) -> Array:
    from scipy.special import erf  # half a second to import: only who uses it pays

    return np.asarray(erf(t))


def _density(t: Array) -> Array:
    return np.asarray(np.exp(-0.5 * t * t) / t.dtype.type(np.sqrt(2 * np.pi)))


def _normal(t: Array) -> Array:
    return np.asarray(0.5 + 0.5 * _erf(t / t.dtype.type(np.sqrt(2))))


PAIRS: dict[str, tuple[Function, Function]] = {
    "abs": (np.abs, lambda t: np.where(t > 0, t.dtype.type(1), t.dtype.type(-1))),
    "softplus": (_softplus, _logistic),
    "gelu": (lambda t: t * _normal(t), lambda t: _normal(t) + t * _density(t)),
    "swish": (lambda t: t * _logistic(t), _swish_slope),
    "tanh": (np.tanh, lambda t: 1 - np.tanh(t) ** 2),
    "sigmoid": (_logistic, _logistic_slope),
    "erf": (_erf, lambda t: t.dtype.type(2 / np.sqrt(np.pi)) * np.exp(-t * t)),
}
"""Smooth ones, and the absolute value, which hides the sign of every neuron."""
