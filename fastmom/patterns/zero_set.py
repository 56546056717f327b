"""Rectified activations that are not piecewise linear: zero-set iteration.

Bakshi, Jayaram and Woodruff 2018, theorem T7: f(t) = 0 for t <= 0 and f(t) > 0 for t > 0. A vector a of label space
with Z a = c f(X v) vanishes on {X v <= 0}; given that set, a is the null vector of Z there, and f^-1(Z a / c) = X v
on the rest is linear in v. Our iteration of the two steps from random directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.optimize

from fastmom.activations import Activation
from fastmom.network import TwoLayerNetwork
from fastmom.patterns.model import LabelScale, ModelClass
from fastmom.patterns.sample import Sample
from fastmom.patterns.unit_systems import output_weights
from fastmom.result import Certificate, Unidentified
from fastmom.runtime import progress
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

ROWS_PER_UNKNOWN = 20  # rows of the sample for each input or output
STEPS = 60  # of one start
STARTS = 40  # for each neuron that is missing
FOUND = 1e-7  # relative misfit of f^-1(Z a) by a linear function, for a neuron
SAME = 1e-6  # distance of unit label vectors of one neuron
_LARGEST_INPUT = 50.0  # of a neuron, where the scale of f has to be searched
_GRID = 0.16  # between logarithms of an unknown scale that are tried
EXACT = 1e-10  # relative residual of every output over all rows


@dataclass
class ZeroSetFit:
    """Network found, or how far the search got.

    Attributes
    ----------
    found : TwoLayerNetwork or None
        The network.
    certificate : Certificate or None
        If it reproduces the labels of all rows.
    n_found, rank, starts : int
        Neurons found, neurons the labels show, starts.
    residual : float
        Relative residual of the network over all rows.
    """

    found: TwoLayerNetwork | None
    certificate: Certificate | None
    n_found: int
    rank: int
    starts: int
    residual: float = np.nan

    def network(self) -> TwoLayerNetwork | None:
        """The network found."""
        return self.found


def recover_by_zero_sets(
    rows: Rows, kind: ModelClass, scale: LabelScale, sample: Sample, rng: np.random.Generator
) -> ZeroSetFit:
    """Recover a network of a rectified activation from exact labels, outputs at least as many as neurons.

    Parameters
    ----------
    rows : Rows
        All rows, on which the network is verified.
    kind : ModelClass
        Activation and biases.
    scale : LabelScale
        Of the labels.
    sample : Sample
        Rows to work on.
    rng : numpy.random.Generator
        Draws the starts.
    """
    k = sample.rank
    neurons: list[tuple[Array, Array]] = []
    starts = 0
    while len(neurons) < k and starts < STARTS * k:
        starts += 1
        direction = rng.standard_normal((1, sample.inputs.shape[1]))[0]
        neuron = _ascend(sample, kind.activation, direction)
        progress.report(f"zero sets: {len(neurons)} of {k} neurons")
        if neuron is not None and all(np.linalg.norm(neuron[1] - a) > SAME for _, a in neurons):
            neurons.append(neuron)
    if len(neurons) < k:
        return ZeroSetFit(None, None, len(neurons), k, starts)
    W = _newton(sample, kind, np.array([w for w, _ in neurons]))
    network = _network(sample, kind, W)
    residual, worst, activity = _verify(rows, kind, network, scale)
    fit = ZeroSetFit(network, None, k, k, starts, residual)
    if worst <= EXACT:
        free = [i for i in range(k) if activity[i] < rows.n_inputs]
        fit.certificate = Certificate(
            certified=True,
            residual=residual,
            n_rows=rows.n_rows,
            activity=activity,
            correlation=np.ones(k),
            rank=k,
            unidentified=tuple(Unidentified(i, f"active on {activity[i]} rows only") for i in free),
            reason="every label is reproduced and every neuron lies in the label space",
        )
    return fit


def _ascend(sample: Sample, f: Activation, v: Array) -> tuple[Array, Array] | None:
    """Weights w (d) of a neuron reached from direction v, and its label vector; None where the iteration fails."""
    X, Z = sample.inputs, sample.basis
    off = X @ v <= 0
    for _ in range(STEPS):
        if np.count_nonzero(off) < Z.shape[1]:
            return None
        gram = Z[off].T @ Z[off]
        a = np.linalg.eigh(gram)[1][:, 0]
        h = Z @ a
        if h[~off].sum() < 0:
            a, h = -a, -h
        on = (h > 0) & ~off
        if np.count_nonzero(on) < X.shape[1]:
            return None
        v, misfit = _preimage(X[on], h[on], f)
        before, off = off, X @ v <= 0
        if np.array_equal(before, off):
            exact = misfit < FOUND and np.abs(h[off]).max(initial=0.0) < FOUND * np.abs(h).max()
            return (v @ sample.back.T, a) if exact else None
    return None


def _preimage(X: Array, h: Array, f: Activation) -> tuple[Array, float]:
    """Weights v with c f(X v) = h for some c > 0, and the relative misfit of f^-1(h / c) by X v.

    Rows count by h: where it is small, so is what is known of f^-1. A power needs no search for c.
    """
    h = h / h.max()
    weight = np.sqrt(h)
    Q, R = np.linalg.qr(weight[:, None] * X)

    def target(size: float) -> Array:
        return np.asarray(weight * f.inverse(size * h))

    def misfit(log_size: float) -> float:
        t = target(np.exp(log_size))
        return float(np.linalg.norm(t - Q @ (Q.T @ t)) / np.linalg.norm(t))

    best = 0.0
    if f.degree is None:
        largest = min(8.0, float(np.log(f(_LARGEST_INPUT))) - 1e-12)
        sizes = np.arange(largest, -4.0, -_GRID)
        best = float(min(sizes, key=misfit))
        bounds = (best - _GRID, min(best + _GRID, largest))
        search = scipy.optimize.minimize_scalar(misfit, bounds=bounds, method="bounded", options={"xatol": 1e-13})
        best = float(search.x)
    v = np.linalg.lstsq(R, Q.T @ target(np.exp(best)), rcond=None)[0]
    return v, misfit(best)


def _newton(sample: Sample, kind: ModelClass, W: Array) -> Array:
    """Gauss-Newton on the sample, output weights eliminated, until the residual stops falling."""
    f, known = kind.activation, sample.ones[:, None][:, : int(kind.output_bias)]

    def state(W: Array) -> tuple[Array, Array, Array, float]:
        T = sample.X @ W.T
        outer, Q = output_weights(np.hstack([f(T), known]), sample.Y)
        R = sample.Y - np.hstack([f(T), known]) @ outer
        return T, outer, R - Q @ (Q.T @ R), float(np.linalg.norm(R))

    T, outer, R, loss = state(W)
    k = len(W)
    for _ in range(8):
        share = R @ np.linalg.pinv(outer[:k])
        step = np.zeros_like(W)
        _, Q = output_weights(np.hstack([f(T), known]), sample.Y)
        for i in range(k):
            D = f.derivative(T[:, i])[:, None] * sample.inputs
            D = D - Q @ (Q.T @ D)
            step[i] = np.linalg.lstsq(D, share[:, i], rcond=1e-12)[0] @ sample.back.T
        trial = state(W + step)
        if not trial[3] < loss:
            break
        stalled = trial[3] > 0.5 * loss
        W = W + step
        T, outer, R, loss = trial
        if stalled:
            break
    return W


def _network(sample: Sample, kind: ModelClass, W: Array) -> TwoLayerNetwork:
    """The network with least-squares output weights; unit hidden weights where the scale is free."""
    d = W.shape[1] - kind.hidden_bias
    if kind.activation.degree is not None:
        W = W / np.linalg.norm(W[:, :d], axis=1, keepdims=True)
    known = sample.ones[:, None][:, : int(kind.output_bias)]
    outer, _ = output_weights(np.hstack([kind.activation(sample.X @ W.T), known]), sample.Y)
    return TwoLayerNetwork(
        W[:, :d],
        outer[: len(W)].T,
        hidden_bias=W[:, d] if kind.hidden_bias else None,
        output_bias=outer[-1] if kind.output_bias else None,
        activation=kind.activation,
    )


def _verify(
    rows: Rows, kind: ModelClass, network: TwoLayerNetwork, scale: LabelScale
) -> tuple[float, float, npt.NDArray[np.int64]]:
    """Relative residual, that of the worst output, and active rows of every neuron, over all rows."""
    squares = np.zeros(rows.n_outputs)
    activity = np.zeros(network.n_hidden, dtype=np.int64)
    d = network.n_inputs
    for _, X, Y in rows.chunks(1 << 13):
        squares += np.sum((network.predict(X[:, :d]) - Y) ** 2, axis=0)
        T = X[:, :d] @ network.W.T
        activity += np.count_nonzero(T + (0 if network.hidden_bias is None else network.hidden_bias) > 0, axis=0)
    total = float(scale.deviation.sum())
    own = np.where(scale.deviation > 1e-24 * total, scale.deviation, total)
    return float(np.sqrt(squares.sum() / total)), float(np.sqrt((squares / own).max())), activity
