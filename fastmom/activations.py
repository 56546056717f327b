"""Activations, with the Hermite coefficients that say which moments of a network exist."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_HIGHEST_MOMENT = 10


@dataclass(frozen=True)
class _Family:
    """What an activation consists of: a new one is one more of these in `_FAMILIES`.

    Each function takes the slope last. `default_slope` is None for a family without a slope parameter;
    `odd_linear` says that f(t) - f(-t) is linear, `homogeneous` that f(c t) = c f(t) for c > 0.
    """

    value: Callable[[Array, float], Array]
    derivative: Callable[[Array, float], Array]
    coefficient: Callable[[int, float], float]
    default_slope: float | None = None
    homogeneous: bool = False
    odd_linear: bool = False


@dataclass(frozen=True)
class Activation:
    """An activation function f.

    Parameters
    ----------
    name : str
        "relu" or "leaky_relu".
    slope : float
        Derivative for t < 0: 0 for relu, strictly between 0 and 1 for leaky_relu.

    Raises
    ------
    ValueError
        For an unknown name, or a slope the activation does not have.

    Examples
    --------
    >>> import fastmom as fm
    >>> f = fm.Activation("leaky_relu", 0.5)
    >>> f([-2.0, 3.0])
    array([-1.,  3.])
    >>> f.moment_orders
    (1, 2, 4, 6, 8, 10)
    """

    name: str
    slope: float = 0.0

    def __post_init__(self) -> None:
        """Check the name and the slope; a NumPy slope becomes a float, so that the text form is stable."""
        family = _family(self.name)
        object.__setattr__(self, "slope", float(self.slope))
        if family.default_slope is None and self.slope != 0.0:
            raise ValueError(f"activation: {self.name} has no slope, got {self.slope}; leave it out")
        if family.default_slope is not None and not 0.0 < self.slope < 1.0:
            raise ValueError(f"activation: {self.name} needs a slope with 0 < slope < 1, got {self.slope}")

    def __call__(self, t: npt.ArrayLike) -> Array:
        """Return f(t), in the floating dtype of t (float64 for integers)."""
        return _FAMILIES[self.name].value(_floating(t), self.slope)

    def derivative(self, t: npt.ArrayLike) -> Array:
        """Return f'(t): 1 where t > 0, the slope elsewhere."""
        return _FAMILIES[self.name].derivative(_floating(t), self.slope)

    def coefficient(self, order: int) -> float:
        """Return c_l = E[f(z) He_l(z)], l the order, for z ~ N(0, 1).

        He_l are the probabilists' Hermite polynomials, with leading term z^l. For relu, integration by parts
        gives c_0 = 1/sqrt(2 pi), c_1 = 1/2, then 0 for odd l, (-1)^((l-2)/2) (l-3)!!/sqrt(2 pi) for even l;
        leaky_relu is (1 - slope) relu(t) + slope t.

        Raises
        ------
        ValueError
            For a negative order.
        """
        order = operator.index(order)
        if order < 0:
            raise ValueError(f"order: expected at least 0, got {order}")
        return _FAMILIES[self.name].coefficient(order, self.slope)

    @property
    def moment_orders(self) -> tuple[int, ...]:
        """Orders 1..10 whose coefficient is non-zero: the moments that see the neurons."""
        return tuple(order for order in range(1, _HIGHEST_MOMENT + 1) if self.coefficient(order) != 0.0)

    @property
    def homogeneous(self) -> bool:
        """Whether f(c t) = c f(t) for c > 0, so that a neuron's scale can move to its output weights."""
        return _FAMILIES[self.name].homogeneous

    @property
    def odd_linear(self) -> bool:
        """Whether f(t) - f(-t) = 2 c_1 t, so that a linear part hides the sign of every neuron."""
        return _FAMILIES[self.name].odd_linear

    def __str__(self) -> str:
        """Return the text that `resolve` reads back exactly."""
        return self.name if _FAMILIES[self.name].default_slope is None else f"{self.name}({self.slope!r})"


def relu() -> Activation:
    """Return the activation max(t, 0)."""
    return Activation("relu")


def leaky_relu(slope: float = 0.01) -> Activation:
    """Return the activation that is t for t > 0 and slope t elsewhere, 0 < slope < 1."""
    return Activation("leaky_relu", slope)


def resolve(spec: str | Activation) -> Activation:
    """Read an activation from its text form.

    Parameters
    ----------
    spec : str or Activation
        "relu", "leaky_relu" (slope 0.01), "leaky_relu(0.1)"; ``resolve(str(a)) == a`` for every activation a.

    Raises
    ------
    ValueError
        For text that names no activation.
    TypeError
        For anything that is neither text nor an Activation.

    Examples
    --------
    >>> from fastmom.activations import resolve
    >>> str(resolve("leaky_relu"))
    'leaky_relu(0.01)'
    """
    if isinstance(spec, Activation):
        return spec
    if not isinstance(spec, str):
        raise TypeError(f"activation: expected a name such as 'relu', got {type(spec).__name__}")
    parts = re.fullmatch(r"([^()]*)(?:\(([^()]*)\))?", spec.strip())
    if parts is None:
        raise _unknown(spec)
    name, slope = parts.groups()
    if slope is None:
        return Activation(name, _family(name).default_slope or 0.0)
    if _family(name).default_slope is None:
        raise ValueError(f"activation: {name} has no slope, got {spec!r}; write {name!r}")
    try:
        return Activation(name, float(slope))
    except ValueError:
        raise ValueError(f"activation: expected '{name}(slope)' with 0 < slope < 1, got {spec!r}") from None


def _floating(t: npt.ArrayLike) -> Array:
    values = np.asarray(t)
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _family(name: str) -> _Family:
    if name not in _FAMILIES:
        raise _unknown(name)
    return _FAMILIES[name]


def _unknown(spec: str) -> ValueError:
    near = difflib.get_close_matches(spec, _FAMILIES, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(map(repr, _FAMILIES))}"
    return ValueError(f"activation: unknown activation {spec!r}; {hint}")


def _half_line_coefficient(order: int, slope: float) -> float:
    """Hermite coefficients of slope t + (1 - slope) max(t, 0)."""
    if order == 1:
        return (1.0 + slope) / 2.0
    if order % 2:
        return 0.0
    sign = -1.0 if order % 4 == 0 and order > 0 else 1.0
    double_factorial = math.prod(range(order - 3, 0, -2), start=1.0)
    return (1.0 - slope) * sign * double_factorial / math.sqrt(2.0 * math.pi)


def _positive_part(t: Array, _: float) -> Array:
    value: Array = np.maximum(t, 0)
    return value


def _two_slopes(t: Array, slope: float) -> Array:
    value: Array = np.maximum(t, slope * t)
    return value


def _half_line_derivative(t: Array, slope: float) -> Array:
    value: Array = np.where(t > 0, t.dtype.type(1), t.dtype.type(slope))
    return value


_FAMILIES = {
    "relu": _Family(
        value=_positive_part,
        derivative=_half_line_derivative,
        coefficient=_half_line_coefficient,
        homogeneous=True,
        odd_linear=True,
    ),
    "leaky_relu": _Family(
        value=_two_slopes,
        derivative=_half_line_derivative,
        coefficient=_half_line_coefficient,
        default_slope=0.01,
        homogeneous=True,
        odd_linear=True,
    ),
}
