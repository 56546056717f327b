"""What can be asked to solve a cell's problem: every learner, and rivals, behind one call."""

from __future__ import annotations

import difflib
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.experiments.students import RIVALS
from fastmom.learners import auto
from fastmom.result import FitResult
from fastmom.runtime.validation import as_choice

Array = npt.NDArray[np.float64]

UNKNOWN = "unknown"  # value of the option n_hidden: the method is not told
_GIVEN = ("X", "Y", "y", "rng")  # arguments that are no options


@dataclass(frozen=True)
class Known:
    """What a method may be told about the network behind the labels."""

    n_hidden: int
    bias: bool
    activation: str


def method_names() -> tuple[str, ...]:
    """Names of all methods: "auto", the learners, the rivals."""
    return ("auto", *auto.LEARNERS, *RIVALS)


def check_method(name: Any, options: Mapping[str, Any]) -> None:
    """Refuse an unknown method, an option it does not have, or a value that the option cannot be.

    Raises
    ------
    ValueError
        Beginning with "method:" or "options.<name>:", with the nearest valid one.
    """
    as_choice(name, "method", method_names())
    known = option_hints(name)
    for option, value in options.items():
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(known))}"
            raise ValueError(f"options.{option}: the method {name!r} has no such option; {advice}")
        meant = None if option == "n_hidden" and value == UNKNOWN else value
        _check_option(f"options.{option}", meant, known[option])


def _check_option(name: str, value: Any, hint: Any) -> None:
    """Refuse a value that the type hint of an option rules out; what is no plain type rules nothing out."""
    parts = list(_parts(hint))
    if any(part is Any for part in parts):
        return
    kind = type(value)
    words = [part for part in parts if isinstance(part, str)]
    if kind in parts or value in [part for part in parts if type(part) is kind] or (kind is int and float in parts):
        return
    if kind is str and words:
        as_choice(value, name, words)
    said = " or ".join(getattr(part, "__name__", repr(part)) for part in parts if part is not type(None))
    raise ValueError(f"{name}: expected {said}, got {value!r}")


def _parts(hint: Any) -> Iterator[Any]:
    """Types of a union, and the values of literals among them."""
    if typing.get_origin(hint) is typing.Literal:
        yield from typing.get_args(hint)
    elif typing.get_origin(hint) in (typing.Union, types.UnionType):
        for part in typing.get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def option_hints(name: str) -> dict[str, Any]:
    """Options of a method with their type hints."""
    return _option_hints(_function(name))


@functools.cache
def _option_hints(function: Callable[..., FitResult]) -> dict[str, Any]:
    hints = typing.get_type_hints(function)
    return {option: hints.get(option, Any) for option in inspect.signature(function).parameters if option not in _GIVEN}


def solve(name: str, X: Array, Y: Array, known: Known, options: Mapping[str, Any], rng: int) -> FitResult:
    """Let a method learn from samples, told what it can be told.

    Parameters
    ----------
    name : str
        One of `method_names`.
    X : ndarray (n, d)
    Y : ndarray (n, m)
    known : Known
        The number of neurons, whether there are biases, the activation; each is passed on if the method has an
        argument for it and the options do not set it. ``n_hidden="unknown"`` among the options withholds the number.
    options : mapping
        Of the method.
    rng : int

    Returns
    -------
    FitResult
    """
    told = {"n_hidden": known.n_hidden, "bias": known.bias, "activation": known.activation, **options}
    if told["n_hidden"] == UNKNOWN:
        told["n_hidden"] = None
    has = option_hints(name)
    arguments = {option: value for option, value in told.items() if option in has}
    if name == "auto":
        return auto.learn(X, Y, rng=rng, **arguments)
    return _function(name)(X, Y, rng=rng, **arguments)


def _function(name: str) -> Callable[..., FitResult]:
    if name == "auto":
        return auto.LEARNERS["rectified"]  # whose options "auto" takes
    return auto.LEARNERS[name] if name in auto.LEARNERS else RIVALS[name]
