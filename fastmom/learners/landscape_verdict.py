"""What the landscape learner may claim of the network it has found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation
from fastmom.learners.landscape_inputs import Standardised
from fastmom.learners.landscape_repair import excess
from fastmom.learners.task import Task, judge
from fastmom.network import TwoLayerNetwork
from fastmom.patterns import exact, noisy
from fastmom.patterns.certificate import VERY_FEW_ROWS, reproduces
from fastmom.patterns.gated_sum import smallest_eigenvalue
from fastmom.patterns.gauss_newton import Descent, evaluate
from fastmom.patterns.model import Model, verify
from fastmom.patterns.smooth_sum import SmoothFit
from fastmom.patterns.verdict import Outcome, least_squares, recovered
from fastmom.result import Certificate, Unidentified

Array = npt.NDArray[np.float64]

EXACT = 1e-18  # squared residual, relative to the labels', from which labels may be exact
DETERMINED = 1e-3  # eigenvalue of the normal matrix, relative to its expectation, that leaves nothing open
INDEPENDENT = 1e-6  # relative singular value of the hidden weights
SMOOTH_RESIDUAL = 1e-11  # relative residual of round-off
SMOOTH_DETERMINED = 1e-9  # eigenvalue of the scaled normal matrix


def judge_rectified(task: Task, data: Standardised, W: Array, converged: bool, steps: int) -> Outcome:
    """Verdict on rectified neurons of one output, hidden weights W (k, d) of the inputs as given."""
    rows, kind = task.rows, task.kind
    started = time.perf_counter()
    point = evaluate(rows, kind, W)
    descent = Descent(point, converged, steps)
    if point.loss < EXACT * task.scale.deviation.sum():
        certificate = _clearly_determined(task, data, point.model)
        if certificate is not None:
            outcome = recovered(exact.Attempt(point.model, certificate, rank=certificate.rank), kind, task.timings)
        else:
            outcome = judge(task, noisy.NoisyFit(descent, 0, converged, 0.0))
    else:
        X, Y = noisy.subsample(rows, 4000, task.rng)
        _, structure = noisy.strongest_direction(X, noisy.residuals(X, Y, point.model), kind, task.rng)
        left = _residual(data, point.model, rows)
        structure = max(structure, noisy.STRUCTURE * excess(data.X, left))
        fit = noisy.NoisyFit(descent, 0, converged, structure)
        outcome = least_squares(fit, exact.Attempt(failure="skipped"), rows, task.scale, task.timings)
    task.timed("verdict", started)
    return outcome


def _residual(data: Standardised, model: Model, rows: Any) -> Array:
    out = np.empty((rows.n_rows, rows.n_outputs))
    for first, X, Y in rows.chunks(1 << 13):
        out[first : first + len(X)] = noisy.residuals(X, Y, model)
    return np.asarray(out @ data.contraction)


def _clearly_determined(task: Task, data: Standardised, model: Model) -> Certificate | None:
    """Certificate of a generic case, at a fraction of the cost; None: ask `judge`, which looks closer.

    As many independent rows of weights as neurons cannot turn around, and a normal matrix near its expectation leaves
    no weight open; it also has at least as many distinct rows as unknowns.
    """
    rows, k = task.rows, model.n_neurons
    a = model.outer[:k, 0] * np.sign(data.contraction[0])
    length = np.linalg.norm(model.W, axis=1, keepdims=True)
    values = np.linalg.svd(model.W / np.where(length > 0, length, 1.0), compute_uv=False)
    distinct = len(np.unique(data.y))
    if k > rows.n_inputs or values[-1] < INDEPENDENT * values[0] or (a <= 0).any() or rows.n_outputs > 1:
        return None
    if distinct < VERY_FEW_ROWS * model.W.size:
        return None
    check = verify(rows, model, task.scale)
    if not reproduces(check) or (check.activity == rows.n_rows).any() or not check.activity.all():
        return None
    W = (a[:, None] * model.W) @ np.linalg.pinv(data.root.T)
    if np.linalg.matrix_rank(data.root) < len(data.root) or smallest_eigenvalue(data.X, task.kind, W) < DETERMINED:
        return None
    return Certificate(
        certified=True,
        residual=check.residual,
        n_rows=rows.n_rows,
        activity=check.activity,
        rank=min(rows.n_outputs, k),
        reason=f"every label is reproduced, at least {distinct // model.W.size} equations for each unknown",
    )


@dataclass(frozen=True)
class SmoothNetwork:
    """Neurons of any activation, before they become a network."""

    W: Array
    A: Array
    activation: Activation

    def network(self) -> TwoLayerNetwork:
        """The network."""
        return TwoLayerNetwork(self.W, self.A, activation=self.activation)


def judge_smooth(
    task: Task, data: Standardised, fit: SmoothFit, model: SmoothNetwork, predict: Callable[[Array], Array]
) -> Outcome:
    """Verdict on neurons of any activation with one output."""
    f, n = task.kind.activation, task.rows.n_rows
    left = data.y - predict(data.X)
    centred = data.y - data.y.mean()
    residual = float(np.linalg.norm(left) / (np.linalg.norm(centred) or 1.0))
    unknowns = model.W.size
    noise = float(np.sqrt(left @ left / max(1, n - unknowns))) / abs(float(data.contraction[0]))
    determined = fit.weakest > SMOOTH_DETERMINED
    exact_fit = residual < SMOOTH_RESIDUAL and np.abs(left).max() < 1e-10 * np.abs(data.y).max()
    certified = exact_fit and determined and len(np.unique(data.y)) >= VERY_FEW_ROWS * unknowns
    if certified:
        status, message = "recovered", f"recovered {len(model.W)} {f} neurons exactly"
        reason = f"every label is reproduced, {n // unknowns} equations for each unknown"
    elif exact_fit:
        status, message = "uncertified", "labels reproduced, but the rows do not determine every weight"
        reason = message
    elif excess(data.X, left) > 1:
        status, reason = "misfit", "the labels are not explained"
        message = f"the best fit of {len(model.W)} {f} neurons leaves residuals that still depend on the inputs"
    elif not fit.converged or not determined:
        status, reason = "not_converged", "the labels are not explained"
        message = "the polish did not come to rest at a determined optimum: more rows, or other n_hidden"
    elif residual > 1 - 2 * unknowns / n:
        status, message = "no_signal", "the labels do not depend on the inputs beyond chance"
        reason = message
    else:
        status, reason = "least_squares", "only exact labels can be certified"
        message = f"least-squares optimum of {len(model.W)} {f} neurons; noise of standard deviation {noise:.2g}"
    mirrored = certified and f.name == "abs"
    open_ends = (Unidentified(None, "the sign of every hidden weight vector: f(t) = f(-t)"),) if mirrored else ()
    certificate = Certificate(
        certified=bool(certified),
        residual=residual,
        n_rows=n,
        activity=np.full(len(model.W), n),
        rank=1,
        unidentified=open_ends,
        reason=reason,
    )
    success = status in ("recovered", "least_squares")
    diagnostics = {"noise_std": noise, "steps": fit.steps}
    return Outcome(status, message, success, model, certificate, diagnostics, task.timings, "order-3")
