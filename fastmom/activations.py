"""Activations, with the Hermite coefficients that say which moments of a network exist."""

from __future__ import annotations

import difflib
import functools
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.smooth_activations import PAIRS, Function

Array = npt.NDArray[Any]

_HIGHEST_MOMENT = 10
_VANISHING = 1e-9  # normalised coefficient, relative to the largest, that counts as zero


@dataclass(frozen=True)
class _Family:
    """What an activation consists of: a new one is one more of these in `_FAMILIES`.

    Value and derivative take the parameter (a slope or a power) last. `coefficient` is a closed form where there is
    one. `default_slope` is None for a family without a slope; `odd_linear` says that f(t) - f(-t) is linear,
    `degree` is the p of f(c t) = c^p f(t), c > 0, None if there is none. `inverse` maps f(t) > 0 back to t > 0, for
    a family with f(t) = 0 for t <= 0.
    """

    value: Callable[[Array, float], Array]
    derivative: Callable[[Array, float], Array]
    coefficient: Callable[[int, float], float] | None = None
    default_slope: float | None = None
    degree: float | None = None
    odd_linear: bool = False
    inverse: Callable[[Array, float], Array] | None = None


@dataclass(frozen=True)
class Activation:
    """An activation function f.

    Parameters
    ----------
    name : str
        "relu", "leaky_relu", a rectified "rectified_tanh", "rectified_expm1", "rectified_log1p": f(max(t, 0)), or one
        of `fastmom.smooth_activations`: "abs", "softplus", "gelu", "swish", "tanh", "sigmoid", "erf".
    slope : float
        Derivative for t < 0: 0 for relu, strictly between 0 and 1 for leaky_relu.
    power : float
        relu only: max(t, 0)^power, power > 0.

    Raises
    ------
    ValueError
        For an unknown name, or a slope or power the activation does not have.

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
    power: float = 1.0

    def __post_init__(self) -> None:
        """Check name, slope and power; NumPy numbers become floats, so that the text form is stable."""
        family = _family(self.name)
        object.__setattr__(self, "slope", float(self.slope))
        object.__setattr__(self, "power", float(self.power))
        if not (math.isfinite(self.power) and self.power > 0):
            raise ValueError(f"activation: expected a power > 0, got {self.power}")
        if self.power != 1.0 and self.name != "relu":
            raise ValueError(f"activation: {self.name} has no power, got {self.power}; only relu has")
        if family.default_slope is None and self.slope != 0.0:
            raise ValueError(f"activation: {self.name} has no slope, got {self.slope}; leave it out")
        if family.default_slope is not None and not 0.0 < self.slope < 1.0:
            raise ValueError(f"activation: {self.name} needs a slope with 0 < slope < 1, got {self.slope}")

    def __call__(self, t: npt.ArrayLike) -> Array:
        """Return f(t), in the floating dtype of t (float64 for integers)."""
        return self._family.value(_floating(t), self._parameter)

    def derivative(self, t: npt.ArrayLike) -> Array:
        """Return f'(t); at zero the derivative from the left."""
        return self._family.derivative(_floating(t), self._parameter)

    def inverse(self, value: npt.ArrayLike) -> Array:
        """Return the t > 0 with f(t) = value > 0.

        Raises
        ------
        ValueError
            For an activation that is not zero on the negative half line.
        """
        if self._family.inverse is None:
            raise ValueError(f"activation: {self} is not zero for negative inputs")
        return self._family.inverse(_floating(value), self._parameter)

    @property
    def _family(self) -> _Family:
        return _POWER if self.power != 1.0 else _FAMILIES[self.name]

    @property
    def _parameter(self) -> float:
        return self.power if self.power != 1.0 else self.slope

    def coefficient(self, order: int) -> float:
        """Return c_l = E[f(z) He_l(z)], l the order, for z ~ N(0, 1).

        He_l are the probabilists' Hermite polynomials, with leading term z^l. For relu, integration by parts
        gives c_0 = 1/sqrt(2 pi), c_1 = 1/2, then 0 for odd l, (-1)^((l-2)/2) (l-3)!!/sqrt(2 pi) for even l;
        leaky_relu is (1 - slope) relu(t) + slope t. Others by Gauss-Legendre quadrature on both half lines.

        Raises
        ------
        ValueError
            For a negative order.
        """
        order = operator.index(order)
        if order < 0:
            raise ValueError(f"order: expected at least 0, got {order}")
        if self._family.coefficient is not None:
            return self._family.coefficient(order, self._parameter)
        return _quadrature_coefficient(self, order)

    @property
    def moment_orders(self) -> tuple[int, ...]:
        """Orders 1..10 whose coefficient is non-zero: the moments that see the neurons."""
        coefficients = {
            order: self.coefficient(order) / math.sqrt(math.factorial(order)) for order in range(_HIGHEST_MOMENT + 1)
        }
        largest = max(map(abs, coefficients.values()))
        return tuple(order for order, c in coefficients.items() if order and abs(c) > _VANISHING * largest)

    @property
    def degree(self) -> float | None:
        """The p of f(c t) = c^p f(t) for c > 0, so that a neuron's scale can move to its output weights; or None."""
        return self.power if self.power != 1.0 else self._family.degree

    @property
    def homogeneous(self) -> bool:
        """Whether f(c t) = c f(t) for c > 0: a (leaky) rectifier."""
        return self.degree == 1.0

    @property
    def rectified(self) -> bool:
        """Whether f(t) = 0 for t <= 0 and f(t) > 0 for t > 0."""
        return self._family.inverse is not None

    @property
    def odd_linear(self) -> bool:
        """Whether f(t) - f(-t) = 2 c_1 t, so that a linear part hides the sign of every neuron."""
        return self._family.odd_linear

    def __str__(self) -> str:
        """Return the text that `resolve` reads back exactly."""
        if self.power != 1.0:
            return f"{self.name}^{self.power:g}" if float(f"{self.power:g}") == self.power else f"relu^{self.power!r}"
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
        "relu", "relu^2", "leaky_relu" (slope 0.01), "leaky_relu(0.1)", "rectified_tanh", ...;
        ``resolve(str(a)) == a`` for every activation a.

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
    powered = re.fullmatch(r"relu\^([0-9.eE+-]+)", spec.strip())
    if powered is not None:
        try:
            return Activation("relu", power=float(powered.group(1)))
        except ValueError:
            raise ValueError(f"activation: expected 'relu^p' with a power p > 0, got {spec!r}") from None
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


@functools.cache
def _quadrature_coefficient(f: Activation, order: int) -> float:
    """E[f(z) He_l(z)] by Gauss-Legendre quadrature on each half line, up to 14 standard deviations."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    t = 7.0 * (nodes + 1.0)
    density = 7.0 * weights * np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    basis = [0.0] * order + [1.0]
    hermite = np.polynomial.hermite_e.hermeval
    return float(density @ (f(t) * hermite(t, basis) + f(-t) * hermite(-t, basis)))


def _power(t: Array, p: float) -> Array:
    value: Array = np.maximum(t, 0) ** t.dtype.type(p)
    return value


def _power_derivative(t: Array, p: float) -> Array:
    positive = np.where(t > 0, t, t.dtype.type(1))
    value: Array = np.where(t > 0, p * positive ** t.dtype.type(p - 1), t.dtype.type(0)).astype(t.dtype)
    return value


def _rectified(
    value: Callable[[Array], Array], derivative: Callable[[Array], Array], inverse: Callable[[Array], Array]
) -> _Family:
    """The family f(max(t, 0)) for an increasing f with f(0) = 0."""

    def cut(t: Array, _: float) -> Array:
        return value(np.maximum(t, 0))

    def slope(t: Array, _: float) -> Array:
        found: Array = np.where(t > 0, derivative(np.maximum(t, 0)), t.dtype.type(0))
        return found

    def back(v: Array, _: float) -> Array:
        return inverse(v)

    return _Family(value=cut, derivative=slope, inverse=back)


def _plain(value: Function, derivative: Function) -> _Family:
    """A family without parameter."""
    return _Family(value=lambda t, _: value(t), derivative=lambda t, _: derivative(t))


_POWER = _Family(
    value=_power,
    derivative=_power_derivative,
    inverse=lambda v, p: np.asarray(np.maximum(v, 0) ** (1 / p)),
)

_FAMILIES = {
    "relu": _Family(
        value=_positive_part,
        derivative=_half_line_derivative,
        coefficient=_half_line_coefficient,
        degree=1.0,
        odd_linear=True,
        inverse=lambda v, _: v,
    ),
    "leaky_relu": _Family(
        value=_two_slopes,
        derivative=_half_line_derivative,
        coefficient=_half_line_coefficient,
        default_slope=0.01,
        degree=1.0,
        odd_linear=True,
    ),
    "rectified_tanh": _rectified(np.tanh, lambda t: 1 - np.tanh(t) ** 2, lambda v: np.arctanh(np.minimum(v, 1))),
    "rectified_expm1": _rectified(np.expm1, np.exp, np.log1p),
    "rectified_log1p": _rectified(np.log1p, lambda t: 1 / (1 + t), np.expm1),
    **{name: _plain(*functions) for name, functions in PAIRS.items()},
}
