"""SNAP: neurons one at a time by canonical correlation against a gated half-space, with exact deflation.

From a direction v, the rows with x.v > 0 make the inputs of a neuron linear: the direction whose gated inputs
correlate best with the label space is the next v. A correlation of one is a neuron. Functions already found are
removed from both sides, so no neuron is found twice. Needs every neuron's own function in the label space, that is
labels of rank k, and works for any input law. The form is our own; the exact step it rests on is that of Bakshi,
Jayaram and Woodruff 2018 (arXiv 1811.01885).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels import pattern
from fastmom.patterns.rare import sparse_functions, weights_of
from fastmom.patterns.sample import Sample
from fastmom.runtime import progress

Array = npt.NDArray[np.float64]

CORRELATION = 1e-9  # 1 - rho^2 below which an ascent may have reached a neuron
CALL_FLOPS = 2e9
TYPICAL_STEPS = 15
RESIDUAL = 1e-6  # relative distance of a neuron's function from the label space


class Deflation:
    """Stacked rows [inputs, label basis], the functions found so far rotated to the front of the basis."""

    def __init__(self, sample: Sample, slope: float) -> None:
        self.n_inputs = sample.inputs.shape[1]
        self.n_known = sample.n_known
        self.slope = slope
        self.rows = np.ascontiguousarray(np.hstack([sample.inputs, sample.basis]))
        self.total = np.ascontiguousarray(sample.inputs.T @ self.rows)

    @property
    def n_free(self) -> int:
        """Neurons that the label space still holds."""
        return self.rows.shape[1] - self.n_inputs - self.n_known

    def ascend(self, V: Array) -> Array:
        """Run one ascent from each row of V, in place; returns rho^2 and the steps taken (b, 2).

        A few ascents a call when they are long, so that Ctrl-C and the progress line get their turn.
        """
        n, width = self.rows.shape
        outcome = np.empty((len(V), 2))
        lanes = pattern.snap_ascents.lanes(self.rows.size)
        count = max(lanes, int(CALL_FLOPS / (TYPICAL_STEPS * n * self.n_inputs * width)))
        for first in range(0, len(V), count):
            part = slice(first, min(len(V), first + count))
            starts = part.stop - first
            scratch, gates = pattern.ascent_scratch(starts, n, self.n_inputs, width - self.n_inputs)
            pattern.snap_ascents(
                self.rows, self.n_known, self.slope, self.total, V[part], outcome[part], gates, scratch
            )
            progress.report("searching neurons")
        return outcome

    def locate(self, v: Array) -> tuple[Array, float, float]:
        """Label coordinates of f(x.v), its distance from the label space, and its part beyond what is known.

        Distance and part are relative to the norm of the function.
        """
        t = self.rows[:, : self.n_inputs] @ v
        function = np.where(t > 0, t, self.slope * t)
        norm = float(np.linalg.norm(function))
        if norm == 0:
            return np.zeros(self.rows.shape[1] - self.n_inputs), np.inf, 0.0
        function /= norm
        basis = self.rows[:, self.n_inputs :]
        a = basis.T @ function
        return a, float(np.linalg.norm(function - basis @ a)), float(np.linalg.norm(a[self.n_known :]))

    def remove(self, a: Array) -> None:
        """Make the function with label coordinates a a known one: a Householder rotation of the free basis."""
        h = a[self.n_known :].copy()
        h[0] += np.copysign(np.linalg.norm(h), h[0])
        h /= np.linalg.norm(h)
        first = self.n_inputs + self.n_known
        for block in (self.rows[:, first:], self.total[:, first:]):
            block -= 2.0 * np.outer(block @ h, h)
        self.n_known += 1


@dataclass(frozen=True)
class Found:
    """What SNAP found.

    Attributes
    ----------
    directions : ndarray (c, e)
        Unit directions in working coordinates.
    complete : bool
        Whether the whole label space is accounted for.
    starts, steps : int
        Ascents run, and their steps in all.
    best : float
        Largest rho^2 of an ascent that did not end in a neuron.
    """

    directions: Array
    complete: bool
    starts: int
    steps: int
    best: float


def random_starts(sample: Sample, first: int, count: int, rng: np.random.Generator) -> Array:
    """Unit directions; every second one orthogonal to the mean input, so that it splits off-centre rows."""
    V = rng.standard_normal((count, sample.inputs.shape[1]))
    mean = sample.inputs.mean(axis=0)
    size = mean @ mean
    if size > 0 and V.shape[1] > 1:
        odd = np.arange(first, first + count) % 2 == 1
        V[odd] -= np.outer(V[odd] @ mean, mean) / size
    return np.ascontiguousarray(V / np.linalg.norm(V, axis=1, keepdims=True))


def _rare(state: Deflation) -> list[Array]:
    """Neurons active on few rows among what the ascents left, removed from the label space as they are found."""
    directions = []
    inputs = state.rows[:, : state.n_inputs]
    for function in sparse_functions(state.rows[:, state.n_inputs :], state.n_known):
        u = weights_of(function, inputs)
        if u is None or not state.n_free:
            continue
        u = u / np.linalg.norm(u)
        a, distance, new = state.locate(u)
        if distance < RESIDUAL and distance < 1e-2 * new:
            state.remove(a)
            directions.append(u)
    return directions + _rare(state) if directions and state.n_free else directions


def find_neurons(sample: Sample, slope: float, rng: np.random.Generator, patience: int) -> Found:
    """Run ascents until the label space is exhausted or `patience` of them in a row found nothing.

    Ascents run in batches whose size depends only on the neurons that remain: the same bits for any threads.
    """
    state = Deflation(sample, slope)
    directions: list[Array] = []
    starts = steps = missed = 0
    best = 0.0
    n_neurons = state.n_free
    while state.n_free and missed < patience:
        V = random_starts(sample, starts, max(1, min(8, state.n_free // 8)), rng)
        outcome = state.ascend(V)
        starts += len(V)
        steps += int(outcome[:, 1].sum())
        for v, rho2 in zip(V, outcome[:, 0], strict=True):
            missed += 1
            if 1.0 - rho2 < CORRELATION:
                a, distance, new = state.locate(v)
                if distance < RESIDUAL and distance < 1e-2 * new:
                    state.remove(a)
                    directions.append(v)
                    missed = 0
            else:
                best = max(best, float(rho2))
        progress.report("searching neurons", len(directions), n_neurons)
    if directions and state.n_free:
        directions.extend(_rare(state))
    found = np.array(directions).reshape(len(directions), state.n_inputs)
    return Found(found, state.n_free == 0, starts, steps, best)
