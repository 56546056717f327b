"""Networks with fewer outputs than neurons: the even part by descent, then the orientation of every neuron.

The labels' rank no longer shows the neurons one by one, and deciding whether an exact fit exists is hard in general
(Bakshi, Jayaram and Woodruff 2018). On rows in general position the following finds it all the same. With the inputs
fitted freely a neuron and its mirror image are one (`fastmom.patterns.even_odd_system`); some neurons too many, and the
exchange of neurons where that is not enough, lead out of bad minima (`fastmom.patterns.even_odd_exchange`); the linear
part tells the orientations (`fastmom.patterns.even_odd_orientation`). The combination is our own.

One output is enough for many more neurons than inputs, given some ten rows for each unknown in general position: 100
neurons of 5 to 20 inputs and 200 of 20 were found in one start. Steps are products with the rows, not normal matrices
(`fastmom.patterns.even_odd_step`). The last digits come from the rows as they are
(`fastmom.patterns.even_odd_refinement`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fastmom.patterns.certificate import EXACT_ROW, reproduces
from fastmom.patterns.even_odd_descent import ZERO, descend
from fastmom.patterns.even_odd_exchange import (
    EXCHANGE_DAMPING,
    EXCHANGES,
    drop,
    enlarge,
    exchange,
    prune,
    without_spare,
)
from fastmom.patterns.even_odd_model import finish
from fastmom.patterns.even_odd_refinement import refine
from fastmom.patterns.even_odd_system import State, System, read_sample
from fastmom.patterns.model import LabelScale, Model, ModelClass, Verification, label_scale, verify
from fastmom.patterns.noisy import STRUCTURE, strongest_direction
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

ROWS_PER_UNKNOWN = 8  # equations of the sample for each unknown,
ROWS_PER_FUNCTION = 8  # rows for each function that is fitted,
ROWS_BEYOND = 400  # and some more
ENLARGEMENTS = 8  # of the sample of one start, by rows that it does not explain
FREE_ENOUGH = 2.0  # equations for each unknown below which the inputs are better not fitted freely at first
WIDE_ENOUGH = 3.0  # equations for each unknown that spare neurons need: fewer fit them by chance
SPARE_SHARE = 10  # neurons for each spare one
CLOSE = 1e-4  # loss from which spare neurons have done their work
FIRST_WIDTH = 8  # neurons tried first when their number is unknown
FEW_EXCHANGES = 3  # where neurons are spare: if those do not suffice, exchanges rarely do
PURE_NOISE = 0.7  # of the residual's variance that half as many neurons more leave if it is noise
NOISE_SHOWS = 6.0  # equations for each unknown with which a residual without structure is noise, and no bad minimum


@dataclass(frozen=True)
class Start:
    """What one start came to.

    Attributes
    ----------
    free_inputs : bool
        Whether the inputs were fitted freely, so that neurons had no orientation.
    n_neurons : int
        In the end.
    loss : float
        Squared residual on the sample, relative to that of the free functions alone.
    iterations, exchanges : int
        Steps of the first descent, neurons exchanged after it.
    sample_rows : int
        Rows of the sample.
    """

    free_inputs: bool
    n_neurons: int
    loss: float
    iterations: int
    exchanges: int
    sample_rows: int


@dataclass(frozen=True)
class EvenOddFit:
    """Outcome of the search.

    Attributes
    ----------
    model : Model
        The network; its linear functions, if any, are what no orientation of the neurons explains.
    check : Verification
        Of the network on all rows.
    exact : bool
        Whether it reproduces the labels of all rows to round-off.
    starts : tuple of Start
        The last one succeeded, if any did.
    noisy : bool
        Whether the search ended because the residual no longer depended on the inputs: the labels are noisy.
    """

    model: Model
    check: Verification
    exact: bool
    starts: tuple[Start, ...] = field(repr=False)
    noisy: bool = False

    @property
    def W(self) -> Array:
        """Hidden weights (k, d), the bias last."""
        return self.model.W

    @property
    def residual(self) -> float:
        """RMS residual over all rows relative to the RMS of the labels about their mean."""
        return self.check.residual

    @property
    def oriented(self) -> bool:
        """Whether the neurons alone explain the labels."""
        return self.model.n_neurons == len(self.model.hidden)


def fit_even_odd(
    rows: Rows,
    kind: ModelClass,
    k: int | None,
    rng: np.random.Generator,
    *,
    max_starts: int = 12,
    scale: LabelScale | None = None,
) -> EvenOddFit:
    """Recover a network of any number of outputs from exact labels.

    Parameters
    ----------
    rows : Rows
        Inputs (with the ones of a hidden bias) and labels.
    kind : ModelClass
        Activation and biases.
    k : int or None
        Number of neurons; the network found may be smaller. None: as many as it takes.
    rng : numpy.random.Generator
        Draws rows and starts: same state, same bits.
    max_starts : int
        Starts at most; the first that leaves no residual on any row is returned.
    scale : LabelScale, optional
        Of the labels, if it is known.

    Returns
    -------
    EvenOddFit
        An exact network, or else the one of least residual.

    Examples
    --------
    >>> import fastmom as fm
    >>> from fastmom.activations import resolve
    >>> teacher = fm.random_teacher(5, 10, 1, rng=0)
    >>> rows = Rows(*fm.make_samples(teacher, 2000, rng=1))
    >>> kind = ModelClass(resolve("relu"), hidden_bias=False, output_bias=False, n_hidden=10)
    >>> fit = fit_even_odd(rows, kind, 10, np.random.default_rng(2))
    >>> fit.exact, fm.compare(fit.model.network(), teacher).max_error < 1e-12
    (True, True)
    """
    search = _Search(rows, kind, k, scale or label_scale(rows))
    for number, stream in enumerate(rng.spawn(max_starts)):
        search.start(number, stream)
        if search.exact or search.noisy:
            break
    return search.outcome()


class _Search:
    """Starts on samples of rows, and the best network so far."""

    def __init__(self, rows: Rows, kind: ModelClass, k: int | None, scale: LabelScale) -> None:
        self._rows, self._kind, self._k, self._scale = rows, kind, k, scale
        self._starts: list[Start] = []
        self._best: tuple[Model, Verification] | None = None
        self.noisy = False

    @property
    def exact(self) -> bool:
        """Whether the best network reproduces all labels."""
        return self._best is not None and reproduces(self._best[1])

    def outcome(self) -> EvenOddFit:
        """The best network."""
        assert self._best is not None
        return EvenOddFit(*self._best, self.exact, tuple(self._starts), self.noisy)

    def start(self, number: int, rng: np.random.Generator) -> None:
        """One start, from random neurons to a network.

        Every other start leaves the inputs out: on few rows they cost more equations than they save trouble.
        """
        width = self._k or self._width(number)
        growing = self._k is None and self._width(number + 1) > width
        free = self._ample(width, FREE_ENOUGH) == (number % 2 == 0 or growing)
        chosen = self._draw(self._sample_size(width) << number // 4, rng)
        system = self._system(chosen, free)
        state, iterations, exchanges = self._neurons(system, width, growing, rng)
        for _ in range(ENLARGEMENTS):
            model = self._finished(system, state, chosen)
            wrong = self._judge(model)
            if self.exact or state.loss > ZERO or len(chosen) == self._rows.n_rows:
                break
            more = wrong if 2 * len(wrong) < self._rows.n_rows else self._draw(2 * len(chosen), rng)
            chosen = np.union1d(chosen, more[: len(chosen)])
            W, system = state.V @ system.sample.back.T, self._system(chosen, free)
            state, _ = descend(system, W @ system.sample.forward.T)
            state, more_exchanges = exchange(system, state, rng)
            exchanges += more_exchanges
        self.noisy = not self.exact and self._is_noise(system, state, rng)
        self._starts.append(Start(free, len(state.V), state.loss, iterations, exchanges, len(chosen)))

    def _neurons(self, system: System, width: int, growing: bool, rng: np.random.Generator) -> tuple[State, int, int]:
        """Neurons on a sample, with the iterations of the first descent and the exchanges after it.

        A start that will be followed by a wider one need not try everything.
        """
        n, e = system.sample.X.shape
        if system.explained:
            return system.evaluate(np.empty((0, e))), 0, 0
        spare = 0 if self._k is None else 1 + width // SPARE_SHARE
        if n * min(self._rows.n_outputs, width) < WIDE_ENOUGH * _unknowns(self._rows, width + spare):
            spare = 0
        state, iterations = descend(system, rng.standard_normal((width + spare, e)), until=CLOSE if spare else ZERO)
        if spare and state.loss <= CLOSE:
            state = without_spare(system, state, spare)
        if state.loss <= ZERO:
            state = prune(system, state)
        if growing:
            return state, iterations, 0
        if len(state.V) > width:
            state, _ = descend(system, drop(state, len(state.V) - width), damping=EXCHANGE_DAMPING)
        state, exchanges = exchange(system, state, rng, EXCHANGES if self._k else FEW_EXCHANGES)
        return state, iterations, exchanges

    def _is_noise(self, system: System, state: State, rng: np.random.Generator) -> bool:
        """Whether ample rows leave a residual that no neuron and not many of them reduce: no start would help.

        One neuron alone may not show among many that are missing, so that a few are tried.
        """
        k = len(state.V)
        if state.loss <= ZERO or not self._ample(k, NOISE_SHOWS):
            return False
        if strongest_direction(system.sample.X, state.residual, self._kind, rng)[1] > STRUCTURE:
            return False
        wider = enlarge(system, state, 1 + k // 2, rng)
        freedom = [system.sample.Y.size - _unknowns(self._rows, len(V)) for V in (state.V, wider.V)]
        return wider.loss / freedom[1] > PURE_NOISE * state.loss / freedom[0]

    def _finished(self, system: System, state: State, chosen: Indices) -> Model:
        """The network of a state on the chosen rows, to the last digit if it is exact."""
        model = finish(system, state, self._kind, (self._k or 2 * len(state.V)) - len(state.V))
        if state.loss > ZERO:
            return model
        plain = System(system.sample, linear=False, constant=self._kind.output_bias, slope=self._kind.slope)
        return refine(plain, model, *self._rows.take(chosen))

    def _width(self, number: int) -> int:
        """Neurons to try when their number is unknown: twice as many each time, as long as the rows can tell."""
        width, most = 1, FIRST_WIDTH << number
        while width < most and self._ample(2 * width, WIDE_ENOUGH):
            width *= 2
        while width < most and self._ample(width + 1, WIDE_ENOUGH):
            width += 1
        return width

    def _ample(self, width: int, factor: float) -> bool:
        """Whether the rows give `factor` equations for each unknown of that many neurons."""
        return self._rows.n_rows * min(self._rows.n_outputs, width) > factor * _unknowns(self._rows, width)

    def _judge(self, model: Model) -> Indices:
        """Keep the model if it is the best; returns the rows that it does not explain, worst first."""
        wrong, sizes = [], []

        def look(first: int, values: Array) -> None:
            rows = np.flatnonzero(values > EXACT_ROW**2)
            wrong.append(first + rows)
            sizes.append(values[rows])

        check = verify(self._rows, model, self._scale, look)
        if self._best is None or check.residual < self._best[1].residual:
            self._best = model, check
        return np.concatenate(wrong)[np.argsort(-np.concatenate(sizes))]

    def _system(self, chosen: Indices, free: bool) -> System:
        sample = read_sample(*self._rows.take(chosen))
        return System(sample, linear=free, constant=self._kind.output_bias, slope=self._kind.slope)

    def _draw(self, size: int, rng: np.random.Generator) -> Indices:
        """Random rows, all of them when they are not many more than asked."""
        n = self._rows.n_rows
        return np.arange(n) if 1.5 * size >= n else np.sort(rng.choice(n, size=size, replace=False))

    def _sample_size(self, k: int) -> int:
        d, m = self._rows.n_inputs, self._rows.n_outputs
        by_unknown = ROWS_PER_UNKNOWN * _unknowns(self._rows, k) / min(m, k)
        return int(max(by_unknown, ROWS_PER_FUNCTION * (k + d))) + ROWS_BEYOND


def _unknowns(rows: Rows, k: int) -> int:
    """Parameters of k neurons, without their scales, and of the inputs fitted freely."""
    d, m = rows.n_inputs, rows.n_outputs
    return k * (d + m - 1) + d * m
