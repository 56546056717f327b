"""What the narrow learner may claim of the kinks it has found."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastmom.learners.task import Task, judge, no_more_than_shown, without_twins
from fastmom.moments.label_subspace import label_subspace
from fastmom.patterns import exact, kink_fit, noisy
from fastmom.patterns.certificate import reproduces
from fastmom.patterns.clumps import unresolved
from fastmom.patterns.fewer_outputs import certify_few_outputs
from fastmom.patterns.gauss_newton import Descent, Point
from fastmom.patterns.kink_descent import KinkFit, KinkRows, read_rows
from fastmom.patterns.kinks import KinkNetwork, active_sides, kinks_of
from fastmom.patterns.model import Model, verify
from fastmom.patterns.verdict import Outcome, least_squares, recovered

Array = npt.NDArray[np.float64]

_ORDINARY = 1e6  # sizes of columns, and inverse sizes, that lose nothing
LABELS_PER_UNKNOWN = 10  # from which noise and neurons whose number is unknown can be told apart
UNCERTAIN = 6.0  # standard errors between two kinks below which their sizes may be far off
ODD = 5.0  # standard errors of a third moment that no network without hidden biases has
_STRUCTURE_ROWS = 4000
_WEDGE = 0.4246  # E (d |e| - |t|)_+^2 / d^3 for independent standard Gaussian t, e and small d


@dataclass(frozen=True, eq=False)
class NarrowData:
    """One label of every row, and how it was made of the outputs.

    Attributes
    ----------
    rows : KinkRows
        Inputs as given and the one label.
    contraction : ndarray (m,)
        Its weights of the outputs.
    unit : ndarray (d,)
        What columns of inputs were divided by.
    """

    rows: KinkRows
    contraction: Array
    unit: Array


def read_data(task: Task) -> NarrowData:
    """Inputs, without a copy unless of extreme scales, and one label: the output, or a random mix of several."""
    _, X, Y = next(task.rows.chunks(task.rows.n_rows))
    unit = _powers_of_two(X)
    if unit.max() > _ORDINARY or unit.min() < 1 / _ORDINARY:
        X = X / unit
    else:
        unit = np.ones(X.shape[1])
    size = 1 / _powers_of_two(Y)
    m = Y.shape[1]
    weights = np.ones(1) if m == 1 else task.rng.standard_normal(m) / np.sqrt(m)
    return NarrowData(read_rows(X, np.ascontiguousarray((Y * size) @ weights)), size * weights, unit)


def _powers_of_two(columns: Array) -> Array:
    """Size of the largest entry of every column, one for a column of zeros: division by it is exact."""
    largest = np.maximum(columns.max(axis=0), -columns.min(axis=0))
    return np.asarray(np.exp2(np.ceil(np.log2(np.where(largest > 0, largest, 1.0)))))


def judge_kinks(task: Task, data: NarrowData, fit: KinkFit, agreed: bool, starts: int) -> Outcome:
    """Verdict on kinks at rest: as rectifiers, with a linear part if those do not explain it."""
    started = time.perf_counter()
    rows = data.rows
    tied = kink_fit.rectified(rows, fit.point)
    if task.rows.n_outputs > 1:
        outcome = judge(task, noisy.polish(task.rows, task.kind, tied.point.B / data.unit, task.rng))
    elif kink_fit.exact(rows, fit.point) or kink_fit.exact(rows, tied.point):
        outcome = _judge_exact(task, data, fit, tied, agreed, starts)
    else:
        outcome = _judge_noisy(task, data, fit, tied, agreed, starts)
    task.timed("verdict", started)
    return outcome


def _judge_exact(task: Task, data: NarrowData, fit: KinkFit, tied: KinkFit, agreed: bool, starts: int) -> Outcome:
    rows, kind = task.rows, task.kind
    if kink_fit.exact(data.rows, tied.point):
        model = _model(task, data, tied, linear=False)
        if model.n_neurons <= rows.n_outputs:
            with np.errstate(all="ignore"):  # inputs of extreme scales overflow on the way
                attempt = exact.refine_exactly(rows, kind, task.scale, model.W, task.rng)
            if attempt.certificate is not None and attempt.certificate.certified:
                return recovered(attempt, kind, task.timings)
    else:
        model = _model(task, data, fit, linear=True)
    check = verify(rows, model, task.scale)
    if not reproduces(check):
        return _judge_noisy(task, data, fit, tied, agreed, starts)
    certificate = certify_few_outputs(rows, model, check, task.rng)
    if kind.n_hidden is None:
        model, certificate = no_more_than_shown(*without_twins(task, model, certificate))
    return recovered(exact.Attempt(model, certificate, rank=certificate.rank, starts=starts), kind, task.timings)


def _judge_noisy(task: Task, data: NarrowData, fit: KinkFit, tied: KinkFit, agreed: bool, starts: int) -> Outcome:
    rows, k = task.rows, len(fit.point.B)
    d, n = rows.n_inputs, rows.n_rows
    free = information(fit.point.loss, (k + 1) * d, n) < information(tied.point.loss, k * d, n)
    chosen = fit if free else tied
    model = _model(task, data, chosen, linear=free)
    scale = float(data.contraction[0]) ** 2
    descent = Descent(Point(model, chosen.point.loss / scale, np.zeros_like(model.W)), chosen.converged, chosen.steps)
    X, Y = noisy.subsample(rows, _STRUCTURE_ROWS, task.rng)
    _, structure = noisy.strongest_direction(X, noisy.residuals(X, Y, model), task.kind, task.rng)
    attempt = exact.Attempt(failure="skipped")
    outcome = least_squares(noisy.NoisyFit(descent, starts, agreed, structure), attempt, rows, task.scale, task.timings)
    outcome.diagnostics["information"] = information(chosen.point.loss / scale, (k + free) * d, n)
    if outcome.success and task.kind.n_hidden is None and n < LABELS_PER_UNKNOWN * (k + 1) * d:
        what = f"{n} rows do not tell noise from neurons whose number is unknown: give n_hidden, or more rows"
        return replace(outcome, status="too_few_rows", success=False, message=what)
    if outcome.success and not free:
        return _with_clumps(task, outcome)
    return outcome


def _model(task: Task, data: NarrowData, fit: KinkFit, *, linear: bool) -> Model:
    """Rectifiers of unit weights, from tied kinks, or from free ones with what the sides leave of the linear part."""
    point = fit.point
    if linear:
        return kink_model(task, data, point.B, point.signs, point.v)
    return _scaled(task, data, point.B, point.signs, len(point.B))


def kink_model(task: Task, data: NarrowData, B: Array, signs: Array, v: Array) -> Model:
    """Rectifiers with the kinks b_j, and the linear part that no choice of their sides explains."""
    e = active_sides(KinkNetwork(v, B, signs))
    W = np.vstack([2 * e[:, None] * B, v - (e * signs) @ B])
    return _scaled(task, data, W, np.append(signs, 1.0), len(B))


def _scaled(task: Task, data: NarrowData, W: Array, a: Array, n_neurons: int) -> Model:
    W = W / data.unit
    length = np.linalg.norm(W, axis=1, keepdims=True)
    length[length == 0] = 1.0
    outer = np.zeros((len(W) + 1, task.rows.n_outputs))
    outer[:-1, 0] = a * length[:, 0] / data.contraction[0]
    return Model(W / length, outer, n_neurons, task.kind)


def information(loss: float, unknowns: int, n: int) -> float:
    """Bayesian information criterion of a fit, Gaussian likelihood."""
    return float(n * np.log(max(loss, np.finfo(float).tiny) / n) + unknowns * np.log(n))


def _with_clumps(task: Task, outcome: Outcome) -> Outcome:
    """Say which neurons the noise does not let one tell apart, and how near two may be that look like one."""
    network, n = outcome.network, task.rows.n_rows
    assert network is not None
    kinks, noise = kinks_of(network), float(outcome.diagnostics["noise_std"])
    if not kinks.n_kinks:
        return outcome
    found = unresolved(kinks, noise, n, active_sides(kinks), UNCERTAIN)
    angles = merge_angles(kinks, noise, n)
    outcome.diagnostics |= {"clumps": [vars(clump) for clump in found], "merge_angles": angles}
    message = outcome.message
    for clump in found:
        who = ", ".join(str(i) for i in clump.members)
        message += f"; neurons {who} are a clump: noise leaves its members uncertain, not its coefficient and dipole"
    if task.kind.n_hidden is None:
        message += f"; two of one sign nearer than {angles.max():.2g} rad may have been found as one neuron"
    return replace(outcome, message=message)


def merge_angles(kinks: KinkNetwork, noise_std: float, n: int) -> Array:
    """Angle up to which each kink may be two halves that the information criterion does not pay for (k,).

    Halves at the angle t differ from one kink b by ``|b|^2 E (|e.x| t/2 - |u.x|)_+^2``, about 0.42 |b|^2 (t/2)^3 for
    Gaussian rows; d more unknowns cost ``noise^2 d log n`` in all n rows. Our own form.
    """
    d = kinks.B.shape[1]
    shares = noise_std**2 * d * np.log(n) / (_WEDGE * n * np.sum(kinks.B**2, axis=1))
    return np.asarray(np.minimum(2 * np.cbrt(shares), np.pi / 2))


def odd_moment(rows: KinkRows, fit: KinkFit, rng: np.random.Generator) -> float:
    """Largest third Hermite coefficient of the labels along likely directions, in standard errors.

    Networks without hidden biases have none: f(x) - f(-x) is linear. The directions: the kinks of a fit, its linear
    part, and the subspace that the labels show.
    """
    r = rows.y - rows.X @ (rows.root @ (rows.root.T @ (rows.X.T @ rows.y))) / len(rows.X)
    r = r - r.mean()
    shown = label_subspace(rows.X, rows.root, r, len(fit.point.B) + 1, rng)
    directions = np.vstack([np.vstack([fit.point.B, fit.point.v]) @ rows.back.T, shown])
    sizes = np.linalg.norm(directions, axis=1)
    T = (rows.X @ rows.root) @ (directions[sizes > 0] / sizes[sizes > 0, None]).T
    terms = r[:, None] * (T**3 - 3 * T)
    errors = np.sqrt(np.sum(terms**2, axis=0)).clip(min=1e-300)
    return float(np.abs(terms.sum(axis=0) / errors).max(initial=0.0))
