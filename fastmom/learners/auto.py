"""The learners by name, and the choice among them."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fastmom.learners.landscape import learn_landscape
from fastmom.learners.narrow import learn_narrow
from fastmom.learners.rectified import learn_rectified
from fastmom.learners.symmetric import learn_symmetric
from fastmom.result import FitResult
from fastmom.runtime.validation import as_choice

LEARNERS: dict[str, Callable[..., FitResult]] = {
    "landscape": learn_landscape,
    "narrow": learn_narrow,
    "rectified": learn_rectified,
    "symmetric": learn_symmetric,
}


WHY = {
    "snap": "the labels are exact and show every neuron",
    "even_odd": "the labels are exact, of fewer outputs than neurons",
    "least_squares": "the labels are noisy",
    "robust": "the labels are exact but for a share of the rows",
    "student": "no other route reached so low a residual",
    "zero_sets": "the activation is not piecewise linear",
}
CERTAIN = 8.0  # standard errors
HOPELESS = ("too_few_rows", "no_signal", "not_applicable")  # failures that biases would not cure


def learn(
    X: Any,
    Y: Any,
    method: str = "auto",
    *,
    n_hidden: int | None = None,
    rng: int | np.random.Generator | None = None,
    **options: Any,
) -> FitResult:
    """Learn a one-hidden-layer network from samples.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs.
    Y : array_like (n, m) or (n,)
        Labels.
    method : {"auto", "landscape", "narrow", "rectified", "symmetric"}
        Which learner; "auto" takes the routes of `learn_rectified` in turn, by the rank and noise of the labels, and
        with biases where a network without fails, unless ``bias`` is given. ``result.variant`` and the message tell
        which and why.
    n_hidden : int, optional
        Number of neurons; found from the labels if None.
    rng : int, Generator or None
        Same value, same bits.
    **options
        Of the learner, e.g. ``bias=True``, ``noise="none"``; see `learn_rectified`,
        `learn_symmetric`, `learn_landscape`, `learn_narrow`.

    Returns
    -------
    FitResult
        The network, whether it was recovered, and the certificate.

    Raises
    ------
    ValueError
        For an unknown method, or invalid data.
    TypeError
        For an option that the learner does not have.

    Examples
    --------
    >>> import fastmom as fm
    >>> teacher = fm.random_teacher(5, 3, 3, bias=True, rng=0)
    >>> X, Y = fm.make_samples(teacher, 100, rng=1)
    >>> fm.learn(X, Y, bias=True, rng=2).certificate.certified
    True
    """
    as_choice(method, "method", ("auto", *LEARNERS))
    learner = LEARNERS["rectified" if method == "auto" else method]
    known = [name for name in inspect.signature(learner).parameters if name not in ("X", "Y", "y")]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
            raise TypeError(f"{name}: the {learner.__name__} learner has no such option; {advice}")
    if method != "auto":
        return learner(X, Y, n_hidden, rng=rng, **options)
    return _chosen(X, Y, n_hidden, rng, options)


def _chosen(X: Any, Y: Any, n_hidden: int | None, rng: Any, options: dict[str, Any]) -> FitResult:
    """The rectified learner, with biases if a network without is not found, and a word on the route."""
    if "bias" in options:
        result = learn_rectified(X, Y, n_hidden, rng=rng, **options)
        return replace(result, message=_explained(result)) if result.success else result
    settled = options.get("noise", "auto") != "auto" or options.get("variant", "auto") != "auto"
    routes = [] if settled else [{"noise": "none", "variant": variant} for variant in ("snap", "even_odd")]
    results: list[FitResult] = []
    for route in routes:  # exact labels first, without and with biases: quick, and the most certain
        for bias in (False, True):
            result = _try(X, Y, n_hidden, rng, results, options | route | {"bias": bias})
            if result.success or result.status in HOPELESS:
                return result
    biased = _try(X, Y, n_hidden, rng, results, options | {"bias": True})  # the wider class first: it has the number
    if biased.success and _certain_bias(biased):
        return biased
    k = biased.n_hidden if biased.success else n_hidden
    plain = _try(X, Y, k, rng, results, options | {"bias": False})
    if plain.success and biased.success:
        better = [result.diagnostics.get("information", -math.inf) for result in (plain, biased)]
        return plain if better[0] <= better[1] else biased
    if biased.success:
        return biased
    return plain if plain.success else replace(plain, message=f"{plain.message} (with biases: {biased.status})")


def _certain_bias(result: FitResult) -> bool:
    """Whether some bias is so many standard errors from zero that no network without biases is worth a trial."""
    errors = result.diagnostics.get("standard_errors")
    if errors is None or result.network is None:
        return False
    biases = [(getattr(result.network, name), errors.get(name)) for name in ("hidden_bias", "output_bias")]
    return any(bool(np.any(np.abs(b) > CERTAIN * e)) for b, e in biases if b is not None and e is not None)


def _try(
    X: Any, Y: Any, n_hidden: int | None, rng: Any, results: list[FitResult], options: dict[str, Any]
) -> FitResult:
    """One trial, from the seed of the first, its route explained."""
    result = learn_rectified(X, Y, n_hidden, rng=results[0].seed if results else rng, **options)
    results.append(result)
    if not result.success:
        return result
    note = "; with biases, as none without them fits so well" if options["bias"] else ""
    return replace(result, message=_explained(result) + note)


def _explained(result: FitResult) -> str:
    why = WHY.get(result.variant)
    return f"{result.message} (route {result.variant!r}: {why})" if why else result.message
