"""Narrow networks: Chen, Dou, Goel, Klivans and Meka 2023, arXiv 2304.10524, and their successors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from fastmom.kernels.kinks import MOST_KINKS
from fastmom.learners.narrow_published import recover_implicit, recover_one_stage, recover_paper
from fastmom.learners.narrow_refined import recover_refined
from fastmom.learners.problem import fit_result, read_problem, refusal
from fastmom.learners.task import Task
from fastmom.patterns.model import label_scale
from fastmom.patterns.verdict import Outcome, failure
from fastmom.result import FitResult
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_choice, as_count, as_rng

MANY = 100  # positive neurons of the implicit variant, at most
VARIANTS: dict[str, Callable[[Task, int, bool], Outcome]] = {
    "refined": recover_refined,
    "paper": recover_paper,
    "one_stage": recover_one_stage,
    "implicit": recover_implicit,
}


def learn_narrow(
    X: Any,
    y: Any,
    n_hidden: int | None = None,
    *,
    max_hidden: int = 5,
    variant: Literal["refined", "paper", "one_stage", "implicit"] = "refined",
    polish: bool = True,
    rng: int | np.random.Generator | None = None,
) -> FitResult:
    """Recover y = sum_i a_i relu(w_i.x), a handful of neurons of any sign that may nearly coincide or nearly cancel.

    What samples determine is the canonical form ``v.x + sum_i s_i |b_i.x|`` (`fastmom.patterns.kinks`). Descents by
    Gauss-Newton on activation patterns, from random starts on a part of the rows and from the low-dimensional search of
    the moments, find it; the sides of the kinks follow from the linear part. Exact labels: certified by counting
    equations. Noisy labels: the least-squares optimum, its clumps that the noise does not resolve, and the number of
    neurons by the Bayesian information criterion. Gaussian inputs make it fast; the descents need no input law.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs.
    y : array_like (n,) or (n, m)
        Labels; several outputs are combined at random to one that shows every neuron.
    n_hidden : int, optional
        Number of neurons, at most 10; found from the labels, up to `max_hidden`, if None.
    max_hidden : int
        Neurons tried at most where their number is not given.
    variant : {"refined", "paper", "one_stage", "implicit"}
        "refined": as above. "paper" [1]_: neurons discovered one after another in the span of randomly contracted
        moments, by nets of directions of bounded size; "one_stage" [2]_: all from one such net; for up to about three
        neurons. "implicit" [3]_: up to a hundred neurons of positive output weight from a tower of implicit moments,
        for one output and a given `n_hidden`.
    polish : bool
        Finish by least squares on all rows; without, the result is what the moments say, and never a success.
    rng : int, Generator or None
        Same value, same bits.

    Returns
    -------
    FitResult
        ``status`` is "recovered" (exact, certified), "least_squares" (noisy labels, optimum reached), or says what
        failed: "too_few_rows", "no_signal", "not_applicable", "misfit", "incomplete" (labels are exact, but not met),
        "not_converged", "uncertified", "not_polished". Neurons that noise does not tell apart are in
        ``diagnostics["clumps"]``, each clump with its members, direction, coefficient and dipole;
        ``diagnostics["merge_angles"]`` says how near two neurons may be that look like one. A linear part that no
        neurons explain is in ``network.linear``.

    Raises
    ------
    ValueError, TypeError
        For input that is not two aligned arrays of finite real numbers, or options that do not exist.

    References
    ----------
    .. [1] S. Chen, Z. Dou, S. Goel, A. Klivans, R. Meka, "Learning narrow one-hidden-layer ReLU networks", 2023,
       arXiv 2304.10524. The refined variant (canonical form, pattern Gauss-Newton, splits, clumps) is our own.
    .. [2] S. Chen, S. Narayanan, "A faster and simpler algorithm for learning shallow networks", 2023,
       arXiv 2307.12496.
    .. [3] I. Diakonikolas, D. Kane, "Implicit high-order moment tensor estimation and learning latent variable models",
       2024, arXiv 2411.15669.

    Examples
    --------
    >>> import fastmom as fm
    >>> teacher = fm.random_teacher(10, 3, kind="opposite", angle=0.1, rng=0)
    >>> X, y = fm.make_samples(teacher, 4000, rng=1)
    >>> result = fm.learn_narrow(X, y, rng=2)
    >>> result.status, result.n_hidden, fm.compare(result, teacher).max_error < 1e-11
    ('recovered', 3, True)
    """
    as_choice(variant, "variant", tuple(VARIANTS))
    most = as_count(max_hidden, "max_hidden")
    if most > MOST_KINKS:
        raise ValueError(f"max_hidden: at most {MOST_KINKS} neurons are narrow, got {most}; see fm.learn_rectified")
    if not isinstance(polish, bool | np.bool_):
        raise TypeError(f"polish: expected True or False, got {polish!r}")
    generator, seed = as_rng(rng)
    generator = generator.spawn(1)[0]  # never the stream that drew a teacher from the same seed
    rows, kind = read_problem(X, y, n_hidden, False, "relu")
    started = time.perf_counter()
    with single_blas_thread():
        task = Task(rows, kind, label_scale(rows), generator, {})
        refused = refusal(rows, kind, task.scale) or _not_applicable(
            task, MANY if variant == "implicit" else MOST_KINKS
        )
        outcome = failure(*refused) if refused else VARIANTS[variant](task, most, bool(polish))
    outcome.timings["total"] = time.perf_counter() - started
    return fit_result(replace(outcome, variant=variant), "narrow", variant, seed)


def _not_applicable(task: Task, most: int) -> tuple[str, str] | None:
    k, (n, d) = task.kind.n_hidden, (task.rows.n_rows, task.rows.n_inputs)
    if k is not None and k > most:
        return "not_applicable", f"{k} neurons are not narrow, at most {most} are: see fm.learn_rectified"
    if n < ((k or 1) + 1) * d + 6:
        return "too_few_rows", f"{n} rows for {((k or 1) + 1) * d} unknowns of {k or 1} neurons and a linear part"
    return None
