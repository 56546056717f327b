"""Repair of a descent that ended in a bad minimum: spare neurons where the residual misses some, then fewer again.

Our own. A minimum of squared loss above the noise has neurons that lie between two of the teacher's, or share one. The
residual then has a second moment, positive along what is missing. With neurons added there the descent gets through, as
from a wider student, and what it no longer needs is parallel to another neuron or small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation
from fastmom.learners.landscape_inputs import Standardised
from fastmom.moments.hermite import hermite_residual
from fastmom.moments.joint_fit import unit_rows
from fastmom.moments.landscape_moments import SIGNAL, estimate_moments, neurons
from fastmom.moments.landscape_search import by_power
from fastmom.patterns.gated_sum import GatedFit, fit_gated_sum
from fastmom.patterns.model import ModelClass
from fastmom.patterns.noisy import SAME_LOSS
from fastmom.patterns.smooth_sum import SmoothFit, fit_smooth_sum

Array = npt.NDArray[np.float64]

ROUND_OFF = 1e-20  # squared residual, relative to the labels'
CLEAR = 30  # rows for each unknown from which the residual's moments show whatever is missing
WIDE_STEPS = 25  # of the wider student


def excess(X: Array, residual: Array) -> float:
    """How far the residual's first and second moments exceed what noise alone would give: above one, it is not noise.

    The largest eigenvalue of E[residual S_2(x)], over `SIGNAL` times that of noise, or the sum of squares of the linear
    part, over six deviations of its law; the larger of the two.
    """
    n, d = X.shape
    unknowns = (d + 1) * (d + 2) // 2
    if n < 2 * unknowns or not residual.any():
        return 0.0
    left, fit = hermite_residual(X, residual, tol=1e-3)
    variance = float(left @ left) / (n - unknowns)
    if variance == 0:
        return 0.0
    linear = n * float(fit.linear[0] @ fit.linear[0]) / variance / (d + 6 * np.sqrt(2 * d) + 10)
    noise = 2 * np.sqrt(d / n * variance / (1 - unknowns / n))
    return max(float(np.abs(np.linalg.eigvalsh(2 * fit.quadratic[0])).max()) / (SIGNAL * noise), linear)


@dataclass(frozen=True)
class Repair:
    """A fit, the rounds tried, and whether the last of them confirmed it: no way down from a wider student."""

    fit: GatedFit
    rounds: int
    confirmed: bool


def repaired(data: Standardised, kind: ModelClass, fit: GatedFit, rounds: int, rng: np.random.Generator) -> Repair:
    """Widen and gather, as many rounds as lower the loss; exact fits need none."""
    energy = float(data.y @ data.y)
    for done in range(rounds):
        if fit.loss < ROUND_OFF * energy:
            return Repair(fit, done, True)
        fit, settled = _round(data, kind, fit, rng)
        if settled:
            return Repair(fit, done + 1, True)
    return Repair(fit, rounds, fit.loss < ROUND_OFF * energy)


def _round(data: Standardised, kind: ModelClass, fit: GatedFit, rng: np.random.Generator) -> tuple[GatedFit, bool]:
    """The first fit that is lower, spare neurons as the residual shows them or, where that is no gain, at random."""
    k, d = fit.W.shape
    size = np.linalg.norm(fit.W, axis=1).mean()
    spares = [_missing(data, kind, _left(data, fit.W, kind.slope), rng)]
    if len(data.y) < CLEAR * fit.W.size:
        spares.extend(0.2 * size * unit_rows(rng.standard_normal((count, d))) for count in (2 + k // 4, 2 + k // 2))
    best = fit
    for spare in spares:
        if 2 * (k + len(spare)) * d > len(data.y):
            return best, False  # too few rows for a wider student: nothing confirms the fit
        wide = fit_gated_sum(data.X, data.y, kind, np.vstack([fit.W, spare]), max_steps=WIDE_STEPS, settled=1.0)
        trial = fit_gated_sum(data.X, data.y, kind, gathered(wide.W, k))
        best = min(best, trial, key=lambda found: found.loss)
        if best.loss <= fit.loss * (1 - SAME_LOSS / len(data.y)):
            return best, False
    return best, True


def repaired_smooth(
    data: Standardised, f: Activation, fit: SmoothFit, rounds: int, rng: np.random.Generator
) -> tuple[SmoothFit, bool]:
    """The same for any activation; spare neurons point at random, and the descent turns them."""
    energy, n, (k, d) = float(data.y @ data.y), len(data.y), fit.B.shape
    for _ in range(rounds):
        if fit.loss < ROUND_OFF * energy:
            return fit, True
        spare = unit_rows(rng.standard_normal((1, d)))
        a = np.append(fit.a, 0.1 * np.abs(fit.a).mean())
        wide = fit_smooth_sum(data.X, data.y, f, np.vstack([fit.B, spare]), a, max_steps=WIDE_STEPS)
        W = gathered(wide.a[:, None] * wide.B, k)
        trial = fit_smooth_sum(data.X, data.y, f, unit_rows(W), np.linalg.norm(W, axis=1))
        settled = trial.loss > fit.loss * (1 - SAME_LOSS / n)
        fit = trial if trial.loss < fit.loss else fit
        if settled:
            return fit, True
    return fit, fit.loss < ROUND_OFF * energy


def _left(data: Standardised, W: Array, slope: float) -> Array:
    """Labels minus the sum of neurons."""
    left = data.y.copy()
    for first in range(0, len(left), 1 << 13):
        t = data.X[first : first + (1 << 13)] @ W.T
        left[first : first + (1 << 13)] -= np.where(t > 0, t, slope * t).sum(axis=1)
    return left


def _missing(data: Standardised, kind: ModelClass, left: Array, rng: np.random.Generator) -> Array:
    """Neurons (q, d) that the residual shows, by its own moments; eigenvectors where those say nothing more."""
    f = kind.activation
    n, d = data.X.shape
    remainder, low = hermite_residual(data.X, left, tol=1e-3)
    values, vectors = np.linalg.eigh(np.sign(f.coefficient(2)) * 2 * low.quadratic[0])
    limit = SIGNAL * 2 * np.sqrt(d / n) * float(np.std(remainder))
    count = max(1, int(np.count_nonzero(values > limit)))
    try:
        stage = estimate_moments(data.X, left, f, count)
        B, a = neurons(stage, by_power(stage, data.X, 1.0, 1.0, rng).V, f)
    except (ValueError, np.linalg.LinAlgError):
        B, a = vectors[:, -count:].T, np.maximum(values[-count:], limit) / abs(f.coefficient(2))
    return np.asarray(a[:, None] * B)


def gathered(W: Array, k: int) -> Array:
    """The k neurons nearest to a sum of more: the least is dropped, or the pair that is most nearly one is added up.

    f(w.x) + f(v.x) differs from f((w + v).x) by about the smaller length times the angle.
    """
    W = W.copy()
    while len(W) > k:
        length = np.linalg.norm(W, axis=1)
        U = W / np.where(length > 0, length, 1.0)[:, None]
        angle = np.arccos(np.clip(U @ U.T, -1.0, 1.0))
        np.fill_diagonal(angle, np.inf)
        cost = angle * np.minimum.outer(length, length)
        i, j = np.unravel_index(int(np.argmin(cost)), cost.shape)
        least = int(np.argmin(length))
        if cost[i, j] < length[least]:
            W[i] += W[j]
            least = int(j)
        W = np.delete(W, least, axis=0)
    return W
