"""Ways to the minimum of the landscape objective in whitened coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.moments.decomposition import orthogonal_power_iteration, project_positive
from fastmom.moments.landscape_moments import MomentStage
from fastmom.moments.landscape_objective import LandscapeObjective
from fastmom.moments.quartic_forms import SampledForm
from fastmom.runtime import progress

Array = npt.NDArray[np.float64]

STARTS = 3
SAMPLE_ITERATIONS = 60  # where each costs a pass over the rows; the polish does the rest
BATCH, STEPS = 1000, 2000  # of the stochastic descent
STEP, CLIP = 0.1, 5.0
_DENSE = 600  # variables whose Hessian is formed


@dataclass(frozen=True)
class Search:
    """Orthonormal rows V (k, k), and what the search tells a researcher."""

    V: Array
    diagnostics: dict[str, Any] = field(default_factory=dict)


def by_power(stage: MomentStage, X: Array, mu: float, lam: float, rng: np.random.Generator) -> Search:
    """Minimise G over orthonormal B: V <- polar(rows T(I, v, .., v)), where the pair term is constant (our own).

    mu and lam do not matter there.
    """
    T, _ = stage.action(X)
    k = stage.space.whiten.shape[1]
    if isinstance(T, np.ndarray):
        found = orthogonal_power_iteration(T, rng=rng, starts=STARTS)
    else:
        found = orthogonal_power_iteration(T, rng=rng, starts=1, k=k, max_iterations=SAMPLE_ITERATIONS)
    return Search(found.vectors, {"iterations": found.iterations, "decomposition_residual": float(found.residual)})


def empirical_objective(stage: MomentStage, X: Array, mu: float, lam: float) -> LandscapeObjective:
    """G of the whitened tensor in units of its mean weight, positive part of rank k.

    Without the projection the pair term finds directions in which the estimate is negative: ten times more samples.
    """
    T = stage.sign * stage.tensor(X)
    k = len(T)
    weight = abs(float(np.einsum("iijj->", T))) / k or 1.0
    return LandscapeObjective.from_tensor(project_positive(T / weight, k), mu=mu, lam=lam)


def by_lbfgs(stage: MomentStage, X: Array, mu: float, lam: float, rng: np.random.Generator) -> Search:
    """L-BFGS on the empirical objective from random starts."""
    return minimise(empirical_objective(stage, X, mu, lam), stage.space.whiten.shape[1], rng)


def by_trust_region(stage: MomentStage, X: Array, mu: float, lam: float, rng: np.random.Generator) -> Search:
    """Trust region with Krylov subproblems: second order, so it leaves strict saddles."""
    objective = empirical_objective(stage, X, mu, lam)
    return minimise(objective, stage.space.whiten.shape[1], rng, method="trust-krylov")


def minimise(
    objective: LandscapeObjective,
    k: int,
    rng: np.random.Generator,
    *,
    method: str = "L-BFGS-B",
    starts: int = STARTS,
    d: int | None = None,
) -> Search:
    """Minimise from random starts B (k, d) ~ N(0, 1 / k); the lowest wins.

    Diagnostics: `start_values`, `agreement` (starts that reached the lowest value), `trace` of the best start,
    `smallest_eigenvalue` of the Hessian there, `B` as found.
    """
    from scipy.optimize import minimize  # a second to import: only when asked for

    d = d or k
    shape = (k, d)

    def value(flat: Array) -> tuple[float, Array]:
        found, gradient = objective.value_and_gradient(flat.reshape(shape))
        return found, gradient.ravel()

    def product(flat: Array, direction: Array) -> Array:
        return objective.product(flat.reshape(shape), direction.reshape(shape)).ravel()

    options: dict[str, Any] = {"maxcor": 20, "maxiter": 2000, "ftol": 0.0, "gtol": 1e-12}
    if method != "L-BFGS-B":
        options = {"gtol": 1e-9, "maxiter": 500}
    curvature = {} if method == "L-BFGS-B" else {"hessp": product}
    runs: list[tuple[float, Array, list[float]]] = []
    for start in range(starts):
        B = rng.standard_normal(shape) / np.sqrt(k)
        trace = [objective.value(B)]
        watch = _recorder(trace)
        with np.errstate(all="ignore"):  # steps of a line search, and a radius without bound, may overflow
            found = minimize(value, B.ravel(), jac=True, method=method, callback=watch, options=options, **curvature)
        if np.isfinite(found.fun) and np.isfinite(found.x).all():
            runs.append((float(found.fun), found.x.reshape(shape), trace))
        progress.report("minimising the landscape", start + 1, starts)
    if not runs:
        raise ValueError("the objective has no minimum: its tensor is too far from a sum of few positive terms")
    values = np.array([run[0] for run in runs])
    _, B, trace = runs[int(np.argmin(values))]
    agreed = values <= values.min() + 1e-6 * max(1.0, abs(values.min()))
    return Search(
        orthonormal(B),
        {
            "B": B,
            "start_values": values,
            "agreement": float(agreed.mean()),
            "trace": np.array(trace),
            "smallest_eigenvalue": smallest_eigenvalue(objective, B),
        },
    )


def _recorder(trace: list[float]) -> Any:
    def watch(intermediate_result: Any) -> None:
        trace.append(float(intermediate_result.fun))

    return watch


def orthonormal(B: Array) -> Array:
    """Nearest matrix with orthonormal rows, lengths of the rows aside."""
    length = np.linalg.norm(B, axis=1, keepdims=True)
    left, _, right = np.linalg.svd(B / np.where(length > 0, length, 1.0), full_matrices=False)
    return np.asarray(left @ right)


def smallest_eigenvalue(objective: LandscapeObjective, B: Array) -> float:
    """Smallest eigenvalue of the Hessian at B: negative at a saddle, positive at a strict minimum."""
    if B.size <= _DENSE:
        columns = [objective.product(B, D.reshape(B.shape)).ravel() for D in np.eye(B.size)]
        return float(np.linalg.eigvalsh(np.array(columns))[0])
    from scipy.sparse.linalg import LinearOperator, eigsh

    operator = LinearOperator(
        (B.size, B.size), matvec=lambda v: objective.product(B, v.reshape(B.shape)).ravel(), dtype=np.float64
    )
    start = np.cos(np.arange(B.size))  # ARPACK's own start is not reproducible
    return float(eigsh(operator, k=1, which="SA", tol=1e-3, v0=start, return_eigenvectors=False)[0])


def by_batches(stage: MomentStage, X: Array, mu: float, lam: float, rng: np.random.Generator) -> Search:
    """Stochastic descent over the given rows, in batches, again and again."""
    Z = np.ascontiguousarray(X @ stage.space.whiten)
    T = stage.tensor(X)
    k = len(T)
    w = stage.residual / (abs(float(np.einsum("iijj->", T))) / k or 1.0)

    def batches() -> Iterable[tuple[Array, Array]]:
        size = min(BATCH, len(Z))
        for step in range(STEPS):
            chosen = np.arange(step * size, (step + 1) * size) % len(Z)
            yield Z[chosen], w[chosen]

    B = rng.standard_normal((k, k)) / np.sqrt(k)
    found = descend_batches(batches(), B, sign=stage.sign, mu=mu, lam=lam, metric=stage.metric)
    return Search(orthonormal(found.diagnostics["B"]), found.diagnostics)


def descend_batches(
    batches: Iterable[tuple[Array, Array]],
    B: Array,
    *,
    sign: float,
    mu: float = 1.0,
    lam: float = 1.0,
    metric: Array | None = None,
    steps: int = STEPS,
    step: float = STEP,
    truth: Array | None = None,
) -> Search:
    """Stochastic gradient descent on G, the step falling linearly to zero, gradients clipped.

    Parameters
    ----------
    batches : iterable of (ndarray (n, d), ndarray (n,))
        Inputs and weights: fresh samples, labels better without their Hermite part of degree two.
    B : ndarray (k, d)
        Start.
    sign : float
        Of c_4.
    mu, lam : float
        See `LandscapeObjective`.
    metric : ndarray (d, d), optional
        Covariance of the inputs; the identity unless given.
    steps : int
        Batches taken.
    step : float
        First step.
    truth : ndarray (k, d), optional
        True rows, for the trace of the surrogate error.

    Returns
    -------
    Search
        Diagnostics `B`, `trace` (value of each batch) and `surrogate_trace` (with `truth`, every ten steps).
    """
    M = np.eye(B.shape[1]) if metric is None else metric
    trace, errors = [], []
    for i, (X, w) in enumerate(itertools.islice(batches, steps)):
        objective = LandscapeObjective(SampledForm(X, np.ascontiguousarray(w), M), sign, mu=mu, lam=lam)
        value, gradient = objective.value_and_gradient(B)
        length = float(np.linalg.norm(gradient))
        B = B - step * (1 - i / steps) * (gradient if length < CLIP else CLIP / length * gradient)
        trace.append(value)
        if truth is not None and i % 10 == 9:
            errors.append(surrogate_error(B, truth))
        progress.report("stochastic descent", i + 1, steps)
    diagnostics: dict[str, Any] = {"B": B, "trace": np.array(trace)}
    if truth is not None:
        diagnostics["surrogate_trace"] = np.array(errors)
    return Search(orthonormal(B), diagnostics)


def surrogate_error(B: Array, truth: Array) -> float:
    """min(1 - min_i max_j |Q_ij|, 1 - min_j max_i |Q_ij|), Q the row-normalised B truth^-1: zero for a permutation."""
    Q = B @ np.linalg.pinv(truth)
    length = np.linalg.norm(Q, axis=1, keepdims=True)
    Q = np.abs(Q / np.where(length > 0, length, 1.0))
    return float(min(1 - Q.max(axis=1).min(), 1 - Q.max(axis=0).min()))


SEARCHES = {"orthogonal": by_power, "lbfgs": by_lbfgs, "trust-krylov": by_trust_region, "sgd": by_batches}
