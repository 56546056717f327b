"""One linear system a neuron: the Newton finish of an exact network, and the test of each neuron.

With the pattern S_i of neuron i fixed, its gated inputs D_i = 1_S X (leaky: slopes) are linear in its weights. As the
labels have rank k, the residual splits over the neurons, so a Newton step of the whole network is k small systems.
The same Grams tell whether a neuron is the only function of its pattern in the label space.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.kernels import pattern
from fastmom.patterns.sample import Sample

Array = npt.NDArray[np.float64]

WELL_POSED = 1e-5  # relative pivot above which a Cholesky factor is accurate enough
SPANNED = 1e-9  # relative singular value of active rows below which they do not see a direction
BOUNDARY = 1e-9  # x.w relative to |x| |w| below which a row lies on a neuron's boundary
_BATCH = 16  # neurons whose Grams are held at once


@dataclass(frozen=True)
class ExactFit:
    """Weights fitted to a sample of exact labels.

    Attributes
    ----------
    W : ndarray (k, d)
        Hidden weights of unit norm in working coordinates.
    outer : ndarray (k + p, m)
        Least-squares output weights of the neurons, then of the p known functions.
    residual : float
        Residual norm relative to the norm of the labels.
    """

    W: Array
    outer: Array
    residual: float


def neuron_functions(sample: Sample, W: Array, slope: float) -> Array:
    """f(X W^T) (n, k)."""
    T = sample.X @ W.T
    return np.where(T > 0, T, slope * T)


def gated_grams(sample: Sample, W: Array, Q: Array, slope: float) -> Iterator[tuple[int, Array, Array]]:
    """Yield (i, D_i^T D_i (e, e), D_i^T Q (e, q)) for every neuron, in working coordinates."""
    e, q = sample.inputs.shape[1], Q.shape[1]
    rows = np.ascontiguousarray(np.hstack([sample.inputs, Q]))
    total = sample.inputs.T @ rows
    V = np.ascontiguousarray(W @ sample.forward.T)
    for first in range(0, len(V), _BATCH):
        batch = V[first : first + _BATCH]
        scratch, gates = pattern.ascent_scratch(len(batch), len(rows), e, q)
        out = np.empty((len(batch), e, e + q))
        pattern.gated_grams(rows, batch, gates, scratch, out)
        for i, M in enumerate(out):
            gram = (1 - slope**2) * M[:, :e] + slope**2 * total[:, :e]
            cross = (1 - slope) * M[:, e:] + slope * total[:, e:]
            yield first + i, gram, cross


def output_weights(F: Array, Y: Array) -> tuple[Array, Array]:
    """Least-squares outer (q, m) of Y on the functions F (n, q), and an orthonormal basis of F."""
    Q, R = scipy.linalg.qr(F, mode="economic", check_finite=False)
    outer = np.linalg.lstsq(R, Q.T @ Y, rcond=1e-14)[0]
    outer += np.linalg.lstsq(R, Q.T @ (Y - F @ outer), rcond=1e-14)[0]
    return outer, Q


def fit_outputs(sample: Sample, known: Array, W: Array, slope: float) -> tuple[ExactFit, Array]:
    """Output weights for the hidden weights W; also the basis of the neurons' and known functions."""
    F = np.hstack([neuron_functions(sample, W, slope), known])
    outer, Q = output_weights(F, sample.Y)
    norm = np.linalg.norm(sample.Y)
    residual = float(np.linalg.norm(sample.Y - F @ outer) / norm) if norm else 0.0
    return ExactFit(W, outer, residual), Q


def newton_finish(sample: Sample, known: Array, W: Array, slope: float) -> ExactFit:
    """Newton steps on the whole network until the residual stops falling: quadratic, then round-off."""
    fit, Q = fit_outputs(sample, known, W, slope)
    for _ in range(6):
        trial, trial_Q = fit_outputs(sample, known, _newton_step(sample, fit, Q, slope, known), slope)
        improved = trial.residual < fit.residual
        stalled = trial.residual > 0.25 * fit.residual
        if improved:
            fit, Q = trial, trial_Q
        if stalled:
            break
    return fit


def _newton_step(sample: Sample, fit: ExactFit, Q: Array, slope: float, known: Array) -> Array:
    """New hidden weights (k, d): each neuron takes the residual that its output weights attribute to it."""
    k = len(fit.W)
    T = sample.X @ fit.W.T
    gates = np.where(T > 0, 1.0, slope)
    R = sample.Y - np.hstack([T * gates, known]) @ fit.outer
    R -= Q @ (Q.T @ R)
    share = R @ np.linalg.pinv(fit.outer[:k])
    right = (gates * share).T @ sample.inputs
    W = fit.W.copy()
    for i, gram, cross in gated_grams(sample, fit.W, Q, slope):
        system = gram - cross @ cross.T
        w = sample.forward @ fit.W[i]
        system += np.trace(gram) / len(w) * np.outer(w, w) / (w @ w)  # scale is free: hold it
        W[i] += sample.back @ solve_semidefinite(system, right[i])
    return W


def solve_semidefinite(system: Array, right: Array) -> Array:
    """Solution of a positive semidefinite system, the least-norm one where it is singular."""
    factor, failed = scipy.linalg.lapack.dpotrf(system, lower=0)
    pivots = np.diag(factor)
    if not failed and pivots.min() > WELL_POSED * pivots.max():
        solution: Array = scipy.linalg.lapack.dpotrs(factor, right)[0]
        return solution
    values, vectors = scipy.linalg.eigh(system, check_finite=False)
    kept = values > 1e-12 * values[-1]
    return np.asarray(vectors[:, kept] @ ((right @ vectors[:, kept]) / values[kept]))


@dataclass(frozen=True)
class UnitTest:
    """What the sample says about one neuron, its pattern given.

    Attributes
    ----------
    correlation : float
        Canonical correlation of its gated inputs with the label space: one for a neuron of the network.
    rival : float
        The next correlation: one if another function of the same pattern lies in the label space.
    free : ndarray (q, d)
        Orthonormal weight directions that its active rows do not span.
    n_edge : int
        Rows on its boundary to round-off: with them active, other weights might fit.
    """

    correlation: float
    rival: float
    free: Array
    n_edge: int


def examine_neurons(sample: Sample, known: Array, W: Array, slope: float) -> list[UnitTest]:
    """Test every neuron of the network with hidden weights W (k, d) on the sample.

    A row on a neuron's boundary to round-off shows only that the neuron is not active there: it determines nothing.
    """
    _, Q = fit_outputs(sample, known, W, slope)
    size = np.linalg.norm(sample.inputs, axis=1)
    tests = []
    for i, gram, cross in gated_grams(sample, W, Q, slope):
        u = sample.forward @ W[i]
        t = sample.inputs @ u
        margin = BOUNDARY * size * np.linalg.norm(u)
        edge = (np.abs(t) <= margin) & (size > 0)
        if slope == 0 and edge.any():
            gram, cross = _masked(sample, Q, t > margin)
        values = _correlations(gram, cross)
        rival = float(values[-2]) if len(values) > 1 else 0.0
        free = np.empty((0, W.shape[1])) if slope else _free_directions(sample, t > margin, gram)
        tests.append(UnitTest(float(values[-1]), rival, free, int(np.count_nonzero(edge))))
    return tests


def _masked(sample: Sample, Q: Array, active: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Gated Gram and label moments over the given rows."""
    D = sample.inputs[active]
    return D.T @ D, D.T @ Q[active]


def _correlations(gram: Array, cross: Array) -> Array:
    """Canonical correlations of the gated inputs with the label space, ascending, the two largest."""
    factor, failed = scipy.linalg.lapack.dpotrf(gram, lower=0)
    pivots = np.diag(factor)
    if not failed and pivots.min() > WELL_POSED * pivots.max():
        root = scipy.linalg.solve_triangular(factor, cross, trans=1, check_finite=False)
    else:
        values, vectors = scipy.linalg.eigh(gram, check_finite=False)
        kept = values > 1e-12 * values[-1]
        root = (vectors[:, kept] / np.sqrt(values[kept])).T @ cross
    q = cross.shape[1]
    squares = scipy.linalg.eigh(
        root.T @ root, eigvals_only=True, subset_by_index=(max(0, q - 2), q - 1), check_finite=False
    )
    return np.sqrt(np.clip(squares, 0.0, 1.0))


def _free_directions(sample: Sample, active: npt.NDArray[np.bool_], gram: Array) -> Array:
    """Weight directions that the active rows do not span, beyond those no row spans."""
    factor, failed = scipy.linalg.lapack.dpotrf(gram, lower=0)
    if not failed and np.diag(factor).min() > WELL_POSED * np.diag(factor).max():
        return np.empty((0, sample.X.shape[1]))
    _, s, vt = scipy.linalg.svd(sample.inputs[active], full_matrices=True, check_finite=False)
    rank = int(np.count_nonzero(s > SPANNED * s[0])) if len(s) else 0
    if rank == len(vt):
        return np.empty((0, sample.X.shape[1]))
    return np.ascontiguousarray(scipy.linalg.qr(sample.back @ vt[rank:].T, mode="economic")[0].T)
