"""Exact recovery from labels of full rank: sample, SNAP, finish, verify on all rows, settle what is in doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.patterns import certificate as claims
from fastmom.patterns.gauss_newton import descend
from fastmom.patterns.model import LabelScale, Model, ModelClass, Verification, verify
from fastmom.patterns.sample import Sample, balance, draw_sample
from fastmom.patterns.snap import CORRELATION, Deflation, Found, find_neurons
from fastmom.patterns.unit_systems import examine_neurons, neuron_functions, newton_finish
from fastmom.result import Certificate
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

ROWS_PER_UNKNOWN = 6  # sample rows for each input or neuron, whichever are more,
ROWS_BEYOND = 400  # and some more: on real data a neuron needs them to see all directions
ROUNDS = 24  # samples drawn at most
FINISHED = 2e-15  # relative residual that leaves nothing to gain
MAX_JOINT = 1500  # hidden weights for which a joint Gauss-Newton step is cheap


@dataclass
class Attempt:
    """What the exact route found, or how it failed.

    Attributes
    ----------
    model : Model or None
        The recovered network.
    certificate : Certificate or None
        Of that network.
    failure : str
        Empty, "rank", "no_neurons", "incomplete" or "residual".
    rank : int
        Neurons that the label space of the last sample holds.
    found : Found or None
        The last search.
    residual : float
        Relative residual over all rows of the last network, nan without one.
    starts, rounds, sample_rows : int
        Ascents run, samples drawn, rows in the last one.
    sample : Sample or None
        The last sample, the recovered linear functions among its known ones.
    """

    model: Model | None = None
    certificate: Certificate | None = None
    failure: str = ""
    rank: int = 0
    found: Found | None = None
    residual: float = np.nan
    starts: int = 0
    rounds: int = 0
    sample_rows: int = 0
    sample: Sample | None = None

    @property
    def n_found(self) -> int:
        """Neurons, and linear functions, that the last search found in the label space."""
        return 0 if self.found is None else len(self.found.directions)


def recover_exactly(
    rows: Rows, kind: ModelClass, scale: LabelScale, rng: np.random.Generator, *, persistent: bool
) -> Attempt:
    """Recover the network from exact labels, or say how far it went.

    Parameters
    ----------
    rows : Rows
        Inputs (with the ones of a hidden bias) and labels.
    kind : ModelClass
        Activation, biases, number of neurons if known.
    scale : LabelScale
        Of the labels.
    rng : numpy.random.Generator
        Draws the samples and the starts.
    persistent : bool
        Enlarge the sample up to all rows even when two samples in a row held no neuron.
    """
    attempt = Attempt()
    n_units = min(rows.n_outputs, kind.n_hidden or rows.n_outputs)
    size = ROWS_PER_UNKNOWN * max(rows.n_inputs, n_units) + ROWS_BEYOND
    chosen = _draw(rows, np.empty(0, dtype=np.int64), size, rng)
    barren = 0
    while attempt.rounds < ROUNDS:
        attempt.rounds += 1
        model = _from_sample(rows, kind, chosen, rng, attempt)
        if model is not None:
            more = _confirm(rows, model, scale, chosen, attempt)
            if more is None:
                return attempt
            chosen = more
            continue
        barren = barren + 1 if attempt.failure == "no_neurons" else 0
        if attempt.failure == "rank" or attempt.sample_rows == rows.n_rows or (barren == 2 and not persistent):
            return attempt
        chosen = _draw(rows, chosen, 2 * len(chosen), rng)
    return attempt


def refine_exactly(rows: Rows, kind: ModelClass, scale: LabelScale, W: Array, rng: np.random.Generator) -> Attempt:
    """Finish hidden weights W (k, d) that are nearly right, from exact labels of full rank; verify and certify."""
    attempt = Attempt()
    size = ROWS_PER_UNKNOWN * max(rows.n_inputs, len(W)) + ROWS_BEYOND
    chosen: Indices | None = _draw(rows, np.empty(0, dtype=np.int64), size, rng)
    linear = np.empty((0, rows.n_inputs))
    while chosen is not None and attempt.rounds < ROUNDS:
        attempt.rounds += 1
        sample = _sample(rows, kind, chosen, linear)
        attempt.sample, attempt.sample_rows, attempt.rank = sample, len(chosen), sample.rank
        if sample.rank != len(W):
            attempt.failure = "rank"
            return attempt
        model = _finish(sample, W, linear, kind)
        W = model.W
        chosen = _confirm(rows, model, scale, chosen, attempt)
    return attempt


def sample_rows(rows: Rows, kind: ModelClass, size: int, rng: np.random.Generator) -> Sample:
    """Random rows, all of them when that is not many more, with the basis of their label space."""
    chosen = _draw(rows, np.empty(0, dtype=np.int64), size, rng)
    return _sample(rows, kind, chosen, np.empty((0, rows.n_inputs)))


def _confirm(rows: Rows, model: Model, scale: LabelScale, chosen: Indices, attempt: Attempt) -> Indices | None:
    """Verify on all rows, and settle or note the failure; where more rows can help, return the sample to try next.

    The few rows that are wrong teach more than random ones.
    """
    worst = _WorstRows(3 * rows.n_inputs)
    check = verify(rows, model, scale, worst)
    attempt.residual = check.residual
    if claims.reproduces(check) and attempt.sample is not None:
        attempt.model, attempt.certificate = _settle(rows, model, check, scale, chosen, attempt.sample)
        attempt.failure = ""
        return None
    attempt.failure = "residual"
    if attempt.sample_rows == rows.n_rows or worst.n_wrong > 0.5 * rows.n_rows:
        return None  # nothing to add, or noise
    return np.union1d(chosen, worst.indices)


def _draw(rows: Rows, chosen: Indices, size: int, rng: np.random.Generator) -> Indices:
    """Enlarge the chosen rows at random to `size`, or to all rows when that is not many more."""
    n = rows.n_rows
    if 1.5 * size >= n:
        return np.arange(n)
    missing = np.setdiff1d(rng.choice(n, size=min(n, size), replace=False), chosen)
    return np.union1d(chosen, missing[: size - len(chosen)])


class _WorstRows:
    """Keeps the rows of largest residual, and counts the wrong ones, while a verification runs."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.n_wrong = 0
        self.indices: Indices = np.empty(0, dtype=np.int64)
        self._values: Array = np.empty(0)

    def __call__(self, first: int, values: Array) -> None:
        self.n_wrong += int(np.count_nonzero(values > claims.EXACT_ROW**2))
        indices = np.concatenate([self.indices, first + np.arange(len(values))])
        values = np.concatenate([self._values, values])
        if len(values) > self.count:
            kept = np.sort(np.argpartition(-values, self.count)[: self.count])
            indices, values = indices[kept], values[kept]
        self.indices, self._values = indices, values


def _known_functions(X: Array, ones: Array, kind: ModelClass, linear: Array) -> Array:
    """Functions known to be in the label space, as columns: linear ones first, the constant last."""
    return np.hstack([X @ linear.T, ones[:, None][:, : int(kind.output_bias)]])


def _sample(rows: Rows, kind: ModelClass, chosen: Indices, linear: Array) -> Sample:
    """The chosen rows, balanced, with the known functions in front of their label space."""
    X, Y, ones = balance(*rows.take(chosen))
    return draw_sample(X, Y, _known_functions(X, ones, kind, linear), ones=ones)


def _from_sample(
    rows: Rows, kind: ModelClass, chosen: Indices, rng: np.random.Generator, attempt: Attempt
) -> Model | None:
    """SNAP and finish on the chosen rows; None, with the failure noted, if neurons are missing."""
    sample = _sample(rows, kind, chosen, np.empty((0, rows.n_inputs)))
    attempt.sample_rows, attempt.rank = len(chosen), sample.rank
    attempt.sample = sample
    if kind.n_hidden is not None and sample.rank > kind.n_hidden:
        attempt.failure = "rank"
        return None
    linear = linear_functions(sample, kind.slope)
    if len(linear):
        sample = _sample(rows, kind, chosen, linear)
    found = find_neurons(sample, kind.slope, rng, patience=20 + 4 * sample.rank)
    attempt.found = found
    attempt.starts += found.starts
    if not found.complete:
        attempt.failure = "incomplete" if len(found.directions) else "no_neurons"
        return None
    W = found.directions @ sample.back.T
    W, linear = _split_linear(sample, W, linear, kind)
    attempt.sample = sample
    return _finish(sample, W, linear, kind)


def _finish(sample: Sample, W: Array, linear: Array, kind: ModelClass) -> Model:
    """Newton finish on the sample, as a model.

    Splitting the residual over the neurons costs digits when the output weights are ill-conditioned: then a joint
    step wins them back, if its system is small.
    """
    fit = newton_finish(sample, _known_functions(sample.X, sample.ones, kind, linear), W, kind.slope)
    outer = fit.outer if kind.output_bias else np.vstack([fit.outer, np.zeros(sample.Y.shape[1])])
    model = Model(np.vstack([fit.W, linear]), outer, len(fit.W), kind)
    if fit.residual < FINISHED or len(linear) or fit.W.size > MAX_JOINT:
        return model
    rows = Rows(sample.X / sample.ones[:, None], sample.Y / sample.ones[:, None])
    joint = descend(rows, kind, fit.W, max_iterations=2, damping=0.0).point.model
    return joint if _loss(sample, joint) < fit.residual else model


def _loss(sample: Sample, model: Model) -> float:
    """Residual norm on the sample relative to the norm of the labels."""
    F = np.hstack([neuron_functions(sample, model.W, model.kind.slope), sample.ones[:, None]])
    return float(np.linalg.norm(F @ model.outer - sample.Y) / np.linalg.norm(sample.Y))


def linear_functions(sample: Sample, slope: float) -> Array:
    """Weights (L, d) of the linear functions in the label space: neurons active on every row, or opposite pairs."""
    state = Deflation(sample, slope)
    free = state.rows[:, state.n_inputs + state.n_known :]
    known = state.rows[:, state.n_inputs : state.n_inputs + state.n_known]
    inputs = sample.inputs - known @ (known.T @ sample.inputs)
    u, s, vt = np.linalg.svd(inputs, full_matrices=False)
    kept = s > 1e-7 * s[0] if s[0] > 0 else s > 0
    left, cosines, _ = np.linalg.svd(u[:, kept].T @ free)
    count = int(np.count_nonzero(1.0 - cosines**2 < CORRELATION))
    directions = (left[:, :count].T / s[kept]) @ vt[kept]
    return np.asarray(directions @ sample.back.T)


def _split_linear(sample: Sample, W: Array, linear: Array, kind: ModelClass) -> tuple[Array, Array]:
    """Take opposite pairs out of the linear functions: relu(t) and relu(-t) are two neurons, t no third one."""
    if not len(linear):
        return W, linear
    span = sample.inputs @ (sample.forward @ linear.T)
    if kind.output_bias:
        span = np.column_stack([span, sample.ones])
    extra: list[Array] = []
    for w in W:
        t = sample.X @ w
        rest = t - span @ np.linalg.lstsq(span, t, rcond=None)[0]
        if len(extra) < len(linear) and np.linalg.norm(rest) < 1e-8 * np.linalg.norm(t):
            extra.append(-w)
    if not extra:
        return W, linear
    pairs = np.array(extra)
    functions = sample.X @ pairs.T
    if kind.output_bias:
        functions = np.column_stack([functions, sample.ones])
    q, _ = np.linalg.qr(functions)
    rest = sample.X @ linear.T
    rest -= q @ (q.T @ rest)
    left_over = np.linalg.svd(rest, full_matrices=False)[2][: len(linear) - len(extra)] @ linear
    return np.vstack([W, pairs]), left_over


def _settle(
    rows: Rows, model: Model, check: Verification, scale: LabelScale, chosen: Indices, sample: Sample
) -> tuple[Model, Certificate]:
    """Test every neuron; where the sample leaves one undetermined, add the rows that could decide and refine."""
    linear = model.hidden[model.n_neurons :]
    for _ in range(4):
        known = _known_functions(sample.X, sample.ones, model.kind, linear)
        tests = examine_neurons(sample, known, model.W, model.kind.slope)
        doubtful = claims.in_doubt(tests)
        absent = sample.inputs.shape[1] < rows.n_inputs
        if len(chosen) == rows.n_rows or not (doubtful or absent):
            break
        enlarged = np.union1d(chosen, claims.deciding_rows(rows, model, sample, doubtful))
        if len(enlarged) == len(chosen):
            break
        chosen = enlarged
        sample = _sample(rows, model.kind, chosen, linear)
        model = _finish(sample, model.W, linear, model.kind)
        check = verify(rows, model, scale)
    return model, claims.certify(rows, model, check, sample, tests)
