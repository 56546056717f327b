"""The learners by name, and the choice among them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastmom.learners.rectified import learn_rectified
from fastmom.learners.symmetric import learn_symmetric
from fastmom.result import FitResult
from fastmom.runtime.validation import as_choice

LEARNERS: dict[str, Callable[..., FitResult]] = {
    "rectified": learn_rectified,
    "symmetric": learn_symmetric,
}


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
    method : {"auto", "rectified", "symmetric"}
        Which learner; "auto" chooses (so far always "rectified").
    n_hidden : int, optional
        Number of neurons; found from the labels if None.
    rng : int, Generator or None
        Same value, same bits.
    **options
        Of the learner, e.g. ``bias=True``, ``noise="none"``; see `learn_rectified`, `learn_symmetric`.

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
    known = [name for name in inspect.signature(learner).parameters if name not in ("X", "Y")]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
            raise TypeError(f"{name}: the {learner.__name__} learner has no such option; {advice}")
    return learner(X, Y, n_hidden, rng=rng, **options)
