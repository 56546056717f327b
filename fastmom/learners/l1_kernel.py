"""Improper learning of l1-bounded networks of any depth: Zhang, Lee and Jordan 2015, arXiv 1510.03528."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from fastmom.learners.l1_kernel_problem import Problem, read_problem
from fastmom.result import FitResult
from fastmom.rkhs.ball import BallFit, rademacher_bound
from fastmom.rkhs.model import KernelModel
from fastmom.rkhs.norms import network_norm_bound
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_choice, as_number, as_rng

SOLVERS = {"squared": ("dense", "pcg", "nystrom"), "logistic": ("dense", "nystrom"), "hinge": ("dense",)}
DENSE = 3000  # rows up to which the kernel matrix is stored
PCG = 100_000
RELATIVE = 1e-5  # gap that counts as solved, relative to the loss
ABSOLUTE = {"squared": 1e-12, "logistic": 1e-8, "hinge": 1e-4}  # or to that of the function zero


def learn_l1_kernel(
    X: Any,
    Y: Any,
    *,
    depth: float = 1.0,
    radius: float | Literal["theory"] | None = None,
    loss: Literal["squared", "logistic", "hinge"] = "squared",
    solver: Literal["auto", "dense", "pcg", "nystrom"] = "auto",
    n_landmarks: int | None = None,
    rescale: bool | float = False,
    network: tuple[float, str, float] = (1.0, "erf", 0.25),
    rng: int | np.random.Generator | None = None,
) -> FitResult:
    """Predict as well as every network of `depth` hidden layers whose incoming weights have l1 norm at most L.

    The convex loss over a ball of the recursive kernel's space, which holds all these networks, whatever their width;
    the gap between the loss and its dual value tells how near the fit is to the best function of the whole ball. The
    result is a function, not a network. A good general kernel method; where weights are large, training a network by
    gradients predicts better, because the ball that holds such networks grows like a tower of exponentials.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs of norm at most one.
    Y : array_like (n,) or (n, m)
        Labels; classes (integers or strings) for the logistic and the hinge loss. All outputs share one ball.
    depth : float
        Of the kernel, in [0, 1e6]; on the sphere a bandwidth, so real numbers are worth trying.
    radius : float or "theory", optional
        Of the ball. "theory": the bound of `network_norm_bound` for `network`, often far too large. None: the norm of
        the penalised least-squares fit, over landmarks, whose penalty is best on a held-out quarter of the rows.
    loss : {"squared", "logistic", "hinge"}
        Half the squared error; two classes or softmax; one class against the rest.
    solver : {"auto", "dense", "pcg", "nystrom"}
        "dense": the kernel matrix. "pcg": conjugate gradients, squared loss, nothing of size n^2 stored. "nystrom":
        functions in the span of landmarks, from sums over rows. "auto": dense to 3000 rows, then the cheapest there is.
    n_landmarks : int, optional
        For "nystrom" and the preconditioner of "pcg"; by the number of rows if None.
    rescale : bool or float
        Divide the inputs by their largest norm, or by a given number, which has to bound the inputs to predict as well;
        the diagnostics report it as "scale". Otherwise inputs outside the unit ball are refused.
    network : (L, activation, c)
        The class of networks for ``radius="theory"``; the depth must be whole.
    rng : int, Generator or None
        Same value, same bits: landmarks and held-out rows.

    Returns
    -------
    FitResult
        ``model`` predicts, `network` and `certificate` are None. ``status`` is "ball_optimum" (proven), "span_optimum"
        (the best function of the landmarks' span) or "not_converged". Diagnostics: radius, rkhs_norm, penalty, primal,
        dual, relative_gap, gap_kind ("exact", or "estimate" where the dual value is not proven for the whole ball),
        rademacher_bound, iterations, scale.

    Raises
    ------
    ValueError, TypeError
        For inputs outside the unit ball, labels or options that do not fit, what is not finite real numbers.

    References
    ----------
    .. [1] Y. Zhang, J. D. Lee, M. I. Jordan, "l1-regularized neural networks are improperly learnable in polynomial
       time", 2015, arXiv 1510.03528. The closed form, real depths, the solvers and the certificate are ours.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmom as fm
    >>> X = fm.sample_inputs(300, 4, rng=0)
    >>> result = fm.learn_l1_kernel(X, np.tanh(X[:, 0]), radius=5.0, rescale=True, rng=1)
    >>> result.status, result.diagnostics["relative_gap"] < 1e-9
    ('ball_optimum', True)
    """
    (result,) = _fit(X, Y, [(radius, None)], depth, loss, solver, n_landmarks, rescale, network, rng)
    return result


def l1_kernel_path(
    X: Any,
    Y: Any,
    radii: Iterable[float] | None = None,
    *,
    penalties: Iterable[float] | None = None,
    depth: float = 1.0,
    loss: Literal["squared", "logistic", "hinge"] = "squared",
    solver: Literal["auto", "dense", "pcg", "nystrom"] = "auto",
    n_landmarks: int | None = None,
    rescale: bool | float = False,
    rng: int | np.random.Generator | None = None,
) -> list[FitResult]:
    """`learn_l1_kernel` for several radii or penalties; the kernel matrix, or the sums over rows, are computed once.

    Parameters
    ----------
    X, Y, depth, loss, solver, n_landmarks, rescale, rng
        As in `learn_l1_kernel`.
    radii : iterable of float
        Of the balls, positive.
    penalties : iterable of float
        Instead of the radii, for the squared loss: each fit minimises half the mean squared error + penalty |f|^2 / 2,
        and so the loss over the ball of its own norm, which is its radius.

    Returns
    -------
    list of FitResult
        One for each radius or penalty, in order.

    Raises
    ------
    ValueError, TypeError
        As `learn_l1_kernel`; for both radii and penalties or neither, for none or what is not positive, and for
        penalties of another loss.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmom as fm
    >>> X = fm.sample_inputs(200, 4, rng=0)
    >>> path = fm.l1_kernel_path(X, np.tanh(X[:, 0]), [1.0, 5.0], rescale=True, rng=1)
    >>> path[0].diagnostics["primal"] > path[1].diagnostics["primal"]
    True
    """
    if (radii is None) == (penalties is None):
        raise ValueError("radii: expected either radii or penalties; pass one of them")
    if penalties is not None:
        if as_choice(loss, "loss", SOLVERS) != "squared":
            raise ValueError(f"penalties: are for the squared loss, got loss={loss!r}; pass radii")
        given = [(None, number) for number in _numbers(penalties, "penalties")]
        return _fit(X, Y, given, depth, loss, solver, n_landmarks, rescale, (1.0, "erf", 0.25), rng)
    balls = [(number, None) for number in _numbers(radii, "radii")]
    return _fit(X, Y, balls, depth, loss, solver, n_landmarks, rescale, (1.0, "erf", 0.25), rng)


def _numbers(values: Any, name: str) -> list[float]:
    try:
        wanted = list(values)
    except TypeError:
        raise TypeError(f"{name}: expected several numbers, got {values!r}; use learn_l1_kernel for one") from None
    if not wanted:
        raise ValueError(f"{name}: is empty; pass at least one")
    return [as_number(value, f"{name}[{i}]", np.finfo(np.float64).tiny, 1e12) for i, value in enumerate(wanted)]


def _fit(
    X: Any,
    Y: Any,
    wanted: Sequence[tuple[Any, float | None]],
    depth: Any,
    loss: Any,
    solver: Any,
    n_landmarks: Any,
    rescale: Any,
    network: Any,
    rng: Any,
) -> list[FitResult]:
    """A fit for each pair of radius and penalty, one of which is None."""
    generator, seed = as_rng(rng)
    as_choice(loss, "loss", SOLVERS)
    as_choice(solver, "solver", ("auto", "dense", "pcg", "nystrom"))
    if solver not in ("auto", *SOLVERS[loss]):
        raise ValueError(f"solver: {solver!r} is not for the {loss} loss, which takes {', '.join(SOLVERS[loss])}")
    problem = read_problem(X, Y, depth, loss, n_landmarks, rescale, generator.spawn(1)[0])
    pairs = [(_radius(radius, problem.depth, network), penalty) for radius, penalty in wanted]
    chosen = solver if solver != "auto" else _solver(loss, problem.n_rows)
    results = []
    with single_blas_thread():
        for given, penalty in pairs:
            started = time.perf_counter()
            if penalty is not None:
                fit, points = problem.penalised(chosen, penalty)
                radius = fit.norm
            else:
                radius = problem.held_out_radius() if given is None else given
                fit, points = problem.solve(chosen, radius)
            results.append(_result(problem, fit, points, radius, chosen, seed, time.perf_counter() - started))
    return results


def _solver(loss: str, n: int) -> str:
    if n <= DENSE or loss == "hinge":
        return "dense"
    return "pcg" if loss == "squared" and n <= PCG else "nystrom"


def _radius(value: Any, depth: float, network: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        as_choice(value, "radius", ("theory",))
        if depth != int(depth):
            raise ValueError(f"depth: radius='theory' needs a whole number of layers, got {depth:g}")
        if not isinstance(network, tuple) or len(network) != 3:
            raise ValueError(f"network: expected (L, activation, c), got {network!r}")
        logarithm = network_norm_bound(int(depth), *network)
        if logarithm > math.log(1e12):
            raise ValueError(
                f"radius: the theory's bound is exp({logarithm:.4g}), which constrains nothing; give a number"
            )
        return math.exp(logarithm)
    radius = as_number(value, "radius", 0.0, 1e12)
    if radius == 0:
        raise ValueError("radius: expected a positive number, got 0")
    return radius


def _result(
    problem: Problem, fit: BallFit, points: Any, radius: float, solver: str, seed: int | None, seconds: float
) -> FitResult:
    """The fit as users see it: solved only as far as its gap says."""
    in_span = solver == "nystrom"
    solved = fit.primal - fit.dual <= ABSOLUTE[problem.loss] * problem.loss_at_zero
    success = in_span or solved or fit.relative_gap <= RELATIVE
    status = ("span_optimum" if in_span else "ball_optimum") if success else "not_converged"
    kind = "exact" if fit.exact_gap else "estimate"
    return FitResult(
        success=success,
        status=status,
        model=KernelModel(points, fit.coefficients, problem.depth, problem.scale, problem.names),
        message=(
            f"norm {fit.norm:.4g} of {radius:.4g}, loss {fit.primal:.4g}, relative gap {fit.relative_gap:.2g} ({kind})"
        ),
        method="l1_kernel",
        variant=solver,
        diagnostics={
            "radius": radius,
            "rkhs_norm": fit.norm,
            "penalty": fit.penalty,
            "primal": fit.primal,
            "dual": fit.dual,
            "relative_gap": fit.relative_gap,
            "gap_kind": kind,
            "rademacher_bound": rademacher_bound(radius, problem.trace, problem.n_rows),
            "iterations": fit.iterations,
            "scale": problem.scale,
        },
        timings={"total": seconds},
        seed=seed,
    )
