"""Networks without bad minima: Ge, Lee and Ma 2017, arXiv 1711.00501."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation
from fastmom.learners.landscape_inputs import Standardised, read_covariance, standardise
from fastmom.learners.landscape_repair import repaired, repaired_smooth
from fastmom.learners.landscape_verdict import SmoothNetwork, judge_rectified, judge_smooth
from fastmom.learners.problem import fit_result, read_problem, refusal
from fastmom.learners.task import Task, judge
from fastmom.moments.landscape_moments import SIGNAL, MomentStage, estimate_moments, neurons
from fastmom.moments.landscape_objective import require_order_four
from fastmom.moments.landscape_search import SEARCHES
from fastmom.patterns import noisy
from fastmom.patterns.gated_sum import fit_gated_sum
from fastmom.patterns.model import Model, label_scale
from fastmom.patterns.smooth_sum import MAX_UNKNOWNS, fit_smooth_sum
from fastmom.patterns.verdict import Outcome, failure
from fastmom.result import FitResult
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_choice, as_count, as_number, as_rng

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Options:
    optimizer: str
    mu: float
    lam: float
    polish: bool
    repair: int


def learn_landscape(
    X: Any,
    y: Any,
    n_hidden: int | None = None,
    *,
    activation: str | Activation = "relu",
    optimizer: Literal["orthogonal", "lbfgs", "sgd", "trust-krylov"] = "orthogonal",
    mu: float = 1.0,
    lam: float = 1.0,
    polish: bool = True,
    repair: int = 3,
    covariance: Any = "auto",
    rng: int | np.random.Generator | None = None,
) -> FitResult:
    """Recover y = sum_i a_i f(b_i.x), a_i > 0, from Gaussian inputs by an objective whose local minima are all global.

    Low moments and control variates, whitening, the minimum of the objective G in whitened coordinates, hidden and
    output weights from there, then Gauss-Newton on activation patterns to the least-squares optimum on all rows. Needs
    linearly independent hidden weights (k <= d), no biases, and more rows than d^2 / 2.

    Parameters
    ----------
    X : array_like (n, d)
        Gaussian inputs of mean zero.
    y : array_like (n,) or (n, m)
        Labels; several outputs are contracted to one, turned so that output weights are positive, for the moments.
    n_hidden : int, optional
        Number of neurons k; the eigenvalues of the second moment that stand out of the noise if None.
    activation : str or Activation
        "relu", "leaky_relu(slope)", "softplus", "gelu", "swish", "abs" by moments of order 1, 2, 4; "tanh", "sigmoid",
        "erf", "relu^2" by order 3. Where scale cannot move to the output weights, rows have unit norm.
    optimizer : {"orthogonal", "lbfgs", "sgd", "trust-krylov"}
        "orthogonal": over orthonormal rows, straight from the samples where the tensor is large; the most accurate.
        "lbfgs", "trust-krylov": the empirical objective with the positive part of the tensor. "sgd": as in the paper's
        experiment, batches of rows; these three need order 4.
    mu, lam : float
        Weights of G, see `fastmom.moments.landscape_objective`; no matter to "orthogonal".
    polish : bool
        Finish by least squares; without, the result is what moments say, and never a success.
    repair : int
        Rounds, at most, in which spare neurons are added where the residual misses some, and taken away again: what a
        descent needs where the moments are poor, e.g. from ill-conditioned hidden weights, and what confirms an
        optimum of noisy labels (our own).
    covariance : {"auto", "identity", "estimate"} or array_like (d, d)
        Of the inputs. "auto": the identity if the rows are consistent with it, else estimated; the diagnostics say.
    rng : int, Generator or None
        Same value, same bits.

    Returns
    -------
    FitResult
        ``status`` is "recovered" (exact, certified), "least_squares" (noisy labels, optimum reached), or says what
        failed: "too_few_rows", "no_signal", "not_applicable", "no_gap" (the second moment does not show k neurons of
        positive output weight), "misfit", "incomplete" (labels are exact, but not met), "not_converged", "uncertified",
        "not_polished" (an estimate by moments: asked for, or several outputs of an activation whose scale cannot move).
        Diagnostics hold the start, the spectrum and its gap, what the optimizer traced, and the rounds of repair.

    Raises
    ------
    ValueError, TypeError
        For input that is not two aligned arrays of finite real numbers, options that do not exist, or an activation
        without a moment of order 4 given to an optimizer of G: the orders that work are named.

    References
    ----------
    .. [1] R. Ge, J. D. Lee, T. Ma, "Learning one-hidden-layer neural networks with landscape design", 2017,
       arXiv 1711.00501. Control variates, the search over orthonormal rows, the projection, polish and repair are ours.

    Examples
    --------
    >>> import fastmom as fm
    >>> teacher = fm.random_teacher(6, 4, kind="orthonormal", output="positive", rng=0)
    >>> X, y = fm.make_samples(teacher, 2000, rng=1)
    >>> result = fm.learn_landscape(X, y, 4, rng=2)
    >>> result.status, result.certificate.certified, fm.compare(result, teacher).max_error < 1e-12
    ('recovered', True, True)
    """
    as_choice(optimizer, "optimizer", SEARCHES)
    options = _Options(
        optimizer,
        as_number(mu, "mu", 0.0),
        as_number(lam, "lam", 0.0),
        _flag(polish),
        as_count(repair, "repair"),
    )
    generator, seed = as_rng(rng)
    generator = generator.spawn(1)[0]  # never the stream that drew a teacher from the same seed
    rows, kind = read_problem(X, y, n_hidden, False, activation)
    if optimizer != "orthogonal":
        require_order_four(kind.activation)
    law = read_covariance(covariance, rows.n_inputs)
    started = time.perf_counter()
    with single_blas_thread():
        task = Task(rows, kind, label_scale(rows), generator, {})
        outcome = _recover(task, law, options)
    outcome.timings["total"] = time.perf_counter() - started
    return fit_result(outcome, "landscape", outcome.variant, seed)


def _flag(polish: Any) -> bool:
    if not isinstance(polish, bool | np.bool_):
        raise TypeError(f"polish: expected True or False, got {polish!r}")
    return bool(polish)


def _recover(task: Task, law: str | Array, options: _Options) -> Outcome:
    """Moments, whitening, search, neurons; then polish, repair and verdict."""
    rows, kind = task.rows, task.kind
    refused = refusal(rows, kind, task.scale) or _not_applicable(task)
    if refused is not None:
        return replace(failure(*refused), variant=options.optimizer)
    started = time.perf_counter()
    data = standardise(rows, kind.activation, law)
    try:
        stage = estimate_moments(data.X, data.y, kind.activation, kind.n_hidden)
        B, a, found = _moment_network(stage, data, task, options)
    except (ValueError, np.linalg.LinAlgError) as error:
        return replace(_no_gap(task, data, str(error)), variant=options.optimizer)
    task.timed("moments", started)
    diagnostics = _spectrum(stage, data) | found
    if not options.polish:
        outcome = _unpolished(task, data, B, a)
    else:
        outcome = _polished(task, data, B, a, options)
    start = _rows_of_inputs(data, B)
    outcome.diagnostics = {**outcome.diagnostics, **diagnostics, "start": start[0]}
    return replace(_with_reasons(outcome, stage, data), variant=options.optimizer)


def _not_applicable(task: Task) -> tuple[str, str] | None:
    (n, d), k = (task.rows.n_rows, task.rows.n_inputs), task.kind.n_hidden
    if k is not None and k > d:
        return "not_applicable", f"{k} neurons of {d} inputs: moments determine linearly independent rows only, k <= d"
    if n < 2 * (d + 1):
        return "too_few_rows", f"{n} rows for inputs of {d} dimensions: moments of order 4 need more than d^2 / 2"
    if not {1, 2, 4} & set(task.kind.activation.moment_orders):
        return "not_applicable", f"{task.kind.activation} shows its neurons in no moment of order 1 to 4"
    return None


def _moment_network(
    stage: MomentStage, data: Standardised, task: Task, options: _Options
) -> tuple[Array, Array, dict[str, Any]]:
    """Unit rows and output weights for standardised inputs, by the optimizer asked for."""
    search = SEARCHES[options.optimizer](stage, data.X, options.mu, options.lam, task.rng)
    B, a = neurons(stage, search.V, task.kind.activation)
    return B, a, search.diagnostics


def _spectrum(stage: MomentStage, data: Standardised) -> dict[str, Any]:
    return {
        "covariance": data.covariance,
        "order": stage.order,
        "spectrum": stage.space.values,
        "gap": stage.space.gap,
        "noise_eigenvalue": stage.noise,
    }


def _no_gap(task: Task, data: Standardised, detail: str) -> Outcome:
    reasons = "; ".join(
        ["output weights of both signs, dependent rows, fewer neurons, or too few rows", *data.concerns()]
    )
    return failure("no_gap", f"the second moment does not show so many neurons ({detail}): {reasons}", task.timings)


def _rows_of_inputs(data: Standardised, B: Array) -> tuple[Array, Array]:
    """Unit rows for the inputs as given, and the lengths that move to the output weights."""
    W = B @ data.root.T
    length = np.linalg.norm(W, axis=1)
    length = np.where(length > 0, length, 1.0)
    return W / length[:, None], length


def _polished(task: Task, data: Standardised, B: Array, a: Array, options: _Options) -> Outcome:
    """Least squares on all rows from the network of the moments, and the verdict."""
    kind, started = task.kind, time.perf_counter()
    if not kind.activation.homogeneous:
        outcome = _smooth(task, data, B, a, options)
    elif task.rows.n_outputs > 1:
        outcome = judge(task, noisy.polish(task.rows, kind, _rows_of_inputs(data, B)[0], task.rng))
    else:
        fit = fit_gated_sum(data.X, data.y, kind, a[:, None] * B)
        repair = repaired(data, kind, fit, options.repair, task.rng)
        fit = repair.fit
        task.timed("polish", started)
        settled = fit.converged and repair.confirmed
        outcome = judge_rectified(task, data, fit.W @ data.root.T, settled, fit.steps)
        outcome.diagnostics["repairs"] = repair.rounds
        return outcome
    task.timed("polish", started)
    return outcome


def _smooth(task: Task, data: Standardised, B: Array, a: Array, options: _Options) -> Outcome:
    """Neurons whose scale is their own: rows of unit norm in the standardised inputs."""
    f = task.kind.activation
    if task.rows.n_outputs > 1 or B.size > MAX_UNKNOWNS:
        return _unpolished(task, data, B, a)
    fit, confirmed = repaired_smooth(data, f, fit_smooth_sum(data.X, data.y, f, B, a), options.repair, task.rng)
    fit = replace(fit, converged=fit.converged and confirmed)
    W, A = fit.B @ data.root.T, fit.a[None] / data.contraction[0]
    return judge_smooth(task, data, fit, SmoothNetwork(W, A, f), lambda X: f(X @ fit.B.T) @ fit.a)


def _unpolished(task: Task, data: Standardised, B: Array, a: Array) -> Outcome:
    """The network of the moments alone: an estimate, never a success."""
    f = task.kind.activation
    if task.rows.n_outputs > 1:
        F = f(data.X @ B.T)
        _, Y = task.rows.take(np.arange(task.rows.n_rows))
        A = np.linalg.lstsq(F, Y, rcond=None)[0].T
    else:
        A = a[None] / data.contraction[0]
    message = f"{len(B)} {f} neurons as the moments show them: an estimate that no least squares has verified"
    outcome = failure("not_polished", message, task.timings)
    if f.homogeneous:
        W, length = _rows_of_inputs(data, B)
        outer = np.vstack([(A * length).T, np.zeros((1, A.shape[0]))])
        return replace(outcome, model=Model(W, outer, len(W), task.kind))
    return replace(outcome, model=SmoothNetwork(B @ data.root.T, np.asarray(A, dtype=np.float64), f))


def _with_reasons(outcome: Outcome, stage: MomentStage, data: Standardised) -> Outcome:
    """A failure names the assumptions that the moments show to be broken."""
    if outcome.success:
        return outcome
    reasons = data.concerns()
    k = stage.space.whiten.shape[1]
    top = np.abs(stage.space.values[:k])
    if top[-1] < 2 * SIGNAL * stage.noise:
        reasons.append(
            f"the second moment shows neuron {k} barely above its noise ({top[-1]:.2g} against {stage.noise:.2g}): "
            f"more rows, fewer neurons, or better conditioned hidden weights (spectrum {top[0]:.2g} to {top[-1]:.2g})"
        )
    if k < len(stage.space.values) and stage.space.gap < 0.2:
        reasons.append(f"no gap after {k} eigenvalues of the second moment ({stage.space.gap:.0%})")
    if not reasons:
        return outcome
    return replace(outcome, message=f"{outcome.message}; {'; '.join(reasons)}")
