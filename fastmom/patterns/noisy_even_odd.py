"""Noisy labels of fewer outputs than neurons: starts from the even part, Gauss-Newton to the optimum on all rows.

With the inputs fitted freely no orientation has to be guessed (`fastmom.patterns.even_odd_system`); the linear part
then tells how the neurons point, up to noise; neurons are exchanged only as long as the residual depends on the inputs.
The number of neurons is the one of least information criterion among what a wide fit prunes to and its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.patterns import noisy
from fastmom.patterns.even_odd_descent import descend as descend_even
from fastmom.patterns.even_odd_exchange import EXCHANGE_DAMPING, drop, elimination, exchange
from fastmom.patterns.even_odd_model import turn_roughly
from fastmom.patterns.even_odd_system import State, System, read_sample
from fastmom.patterns.gauss_newton import Descent, descend, evaluate
from fastmom.patterns.model import Model, ModelClass
from fastmom.runtime import progress
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

SAMPLE_ROWS = 4000  # rows at least for the starts, and
LABELS_PER_UNKNOWN = 40
FIRST_WIDTH, LAST_WIDTH = 8, 32  # neurons tried first when their number is unknown, and at most
WIDE_ENOUGH = 3.0  # labels for each unknown that a trial width needs
TELLING = 6.0  # with which a residual without structure is noise, and not one that was fitted away
FULL = 0.75  # share of a trial width that the right number leaves free, or it is tried again twice as wide


def fit_noisy_even_odd(rows: Rows, kind: ModelClass, k: int | None, rng: np.random.Generator) -> noisy.NoisyFit | None:
    """Least-squares fit of a network of any number of outputs to all rows.

    None if `k` is None and all the neurons that the rows can tell leave a residual that depends on the inputs.

    Parameters
    ----------
    rows : Rows
        Inputs and noisy labels.
    kind : ModelClass
        Activation and biases.
    k : int or None
        Number of neurons; None: by the Bayesian information criterion.
    rng : numpy.random.Generator
        Draws sample and starts.
    """
    search = _Search(rows, kind, k or FIRST_WIDTH, rng)
    if k is None:
        state = search.pruned()
        if state is None:
            return None
        best = search.best_size(search.fit(len(state.V), state))
    else:
        best = search.fit(k)
    _, structure = noisy.strongest_direction(search.X, noisy.residuals(search.X, search.Y, best.model), kind, rng)
    return noisy.NoisyFit(best.descent, search.starts, best.agreed, structure)


@dataclass(frozen=True)
class _Fit:
    """An optimum on all rows, whether two starts led to it, and its information criterion."""

    descent: Descent
    agreed: bool
    information: float

    @property
    def model(self) -> Model:
        """The fitted network."""
        return self.descent.point.model


class _Search:
    """A sample of the rows, its even/odd system, and the starts used so far."""

    def __init__(self, rows: Rows, kind: ModelClass, k: int, rng: np.random.Generator) -> None:
        self._rows, self._kind, self._rng = rows, kind, rng
        size = max(SAMPLE_ROWS, LABELS_PER_UNKNOWN * noisy.n_parameters(rows, kind, k) // min(rows.n_outputs, k))
        self.X, self.Y = noisy.subsample(rows, size, rng)
        self._part = Rows(self.X, self.Y)
        self._metric = self._part if 2 * len(self.X) < rows.n_rows else rows
        self._system = System(read_sample(self.X, self.Y), linear=True, constant=kind.output_bias, slope=kind.slope)
        self._structured = noisy.ATTEMPTS if kind.n_hidden else noisy.HOPELESS  # attempts, all of them with structure
        self.starts = 0

    def pruned(self) -> State | None:
        """Neurons of a wide fit that the information criterion keeps; None if even the widest leaves structure."""
        width = 1
        while 2 * width <= FIRST_WIDTH and self._ample(2 * width):
            width *= 2
        while True:
            state = self._without_idle(self._random(width, 0))
            if len(state.V) > FULL * width and width < LAST_WIDTH and self._ample(2 * width):
                width *= 2
                continue
            if len(state.V) <= FULL * width:
                return state
            _, structure = noisy.strongest_direction(self.X, state.residual, self._kind, self._rng)
            return state if structure < noisy.STRUCTURE and self._ample(width, TELLING) else None

    def fit(self, k: int, state: State | None = None) -> _Fit:
        """The optimum on all rows, from the best of several starts on the sample, until two agree."""
        losses: list[float] = []
        best: Descent | None = None
        agreed = clean = False
        while len(losses) < (noisy.ATTEMPTS if clean else self._structured) and not agreed:
            trial, explained = self._finish(state if state is not None else self._random(k, 1 + k // 10))
            state, clean = None, clean or explained
            losses.append(trial.point.loss)
            if best is None or trial.point.loss < best.point.loss:
                best = trial
            agreed = sum(loss <= best.point.loss * (1 + noisy.SAME_LOSS / self.Y.size) for loss in losses) > 1
        assert best is not None
        return self._on_all_rows(best.point.model.W, agreed)

    def best_size(self, best: _Fit) -> _Fit:
        """The fit of least information: neurons added while they pay, left out while not missed."""
        while best.agreed and self._ample(best.model.n_neurons + 1):
            wider = self.fit(best.model.n_neurons + 1)
            if wider.information >= best.information:
                break
            best = wider
        while best.model.n_neurons > 1:
            W = best.model.W
            without = (evaluate(self._part, self._kind, np.delete(W, i, axis=0)) for i in range(len(W)))
            start = min(without, key=lambda point: point.loss).model.W
            fewer = self._on_all_rows(start, best.agreed)
            if fewer.information >= best.information:
                break
            best = fewer
        return best

    def _random(self, k: int, spare: int) -> State:
        """Neurons of the relaxed model from random ones, exchanged while the residual depends on the inputs."""
        self.starts += 1
        progress.report("fitting noisy labels")
        V = self._rng.standard_normal((k + spare, self._system.sample.X.shape[1]))
        state, _ = descend_even(self._system, V)
        if spare:
            state, _ = descend_even(self._system, drop(state, spare), damping=EXCHANGE_DAMPING)
        _, structure = noisy.strongest_direction(self.X, state.residual, self._kind, self._rng)
        if spare and structure > noisy.STRUCTURE:
            state, _ = exchange(self._system, state, self._rng)
        return state

    def _without_idle(self, state: State) -> State:
        """The state without neurons that explain less than the information criterion charges for them."""
        labels = self.Y.size
        while len(state.V) > 1:
            charge = self._per_neuron() * np.log(labels) / (labels - self._unknowns(len(state.V)))
            order, rise = elimination(state)
            residual = float(np.sum(state.residual**2))
            idle = int(np.count_nonzero(np.cumsum(rise) < charge * residual * np.arange(1, len(rise) + 1)))
            if not idle:
                return state
            kept = np.sort(order[min(idle, len(order) - 1) :])
            state, _ = descend_even(self._system, state.V[kept], damping=EXCHANGE_DAMPING)
        return state

    def _finish(self, state: State) -> tuple[Descent, bool]:
        """Oriented, fitted on the sample, neurons exchanged where the residual asks for it."""
        W = turn_roughly(self._system, state, self._kind) @ self._system.sample.back.T
        return noisy.exchange_neurons(self._part, descend(self._part, self._kind, W, settled=1.0), self._rng)

    def _on_all_rows(self, W: Array, agreed: bool) -> _Fit:
        descent = descend(self._rows, self._kind, W, metric=self._metric)
        return _Fit(descent, agreed, noisy.information(self._rows, descent))

    def _ample(self, k: int, factor: float = WIDE_ENOUGH) -> bool:
        """Whether there are labels enough for that many neurons."""
        return self.Y.size > factor * self._unknowns(k)

    def _per_neuron(self) -> int:
        return self._rows.n_inputs + self._rows.n_outputs - 1

    def _unknowns(self, k: int) -> int:
        return k * self._per_neuron() + self._rows.n_inputs * self._rows.n_outputs
