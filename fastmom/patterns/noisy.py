"""Labels with Gaussian noise: SNAP starts, a greedy choice of neurons, Gauss-Newton to the least-squares optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.patterns.gauss_newton import Descent, Point, descend, evaluate
from fastmom.patterns.model import Model, ModelClass
from fastmom.patterns.sample import Sample, draw_sample
from fastmom.patterns.snap import Deflation, random_starts
from fastmom.patterns.unit_systems import neuron_functions
from fastmom.runtime import progress
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

ATTEMPTS = 6  # independent starts at most, until two reach the same optimum
HOPELESS = 2  # that leave structure where the number of neurons is free: another number is wanted, not another start
EXCHANGES = 4  # neurons that an attempt may replace
STRUCTURE = 1.35  # squared correlation of a residual over chance; a right model stays below, wrong ones grow with n
SHUFFLES = 4
CLEAR = 2.5  # the same beyond which no more shuffles are asked
EXTREME = 5.0
SAME_LOSS = 10.0  # label variances by which the losses of one optimum differ on their way through the patterns
_SAMPLE_ROWS = 4000  # rows at least for the starts and for the normal matrix
_ROWS_PER_UNKNOWN = 40


@dataclass(frozen=True)
class NoisyFit:
    """Least-squares network of noisy labels.

    Attributes
    ----------
    descent : Descent
        The optimum on all rows.
    starts : int
        Ascents run.
    agreed : bool
        Whether two independent starts reached this optimum.
    structure : float
        Largest canonical correlation (squared) of gated inputs with the residual, over what shuffled residuals show
        on average: above one, the residual still depends on the inputs.
    """

    descent: Descent
    starts: int
    agreed: bool
    structure: float

    @property
    def model(self) -> Model:
        """The fitted network."""
        return self.descent.point.model


def subsample(rows: Rows, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Random rows, all of them when they are not many more than asked."""
    if 1.5 * size >= rows.n_rows:
        return rows.take(np.arange(rows.n_rows))
    return rows.take(np.sort(rng.choice(rows.n_rows, size=size, replace=False)))


def label_rank(Y: Array, known: Array) -> int:
    """Number of label directions above equal noise in all outputs: minimum description length.

    Wax and Kailath 1985, "Detection of signals by information theoretic criteria". Cannot tell a full-rank signal
    from one of rank m - 1, as it needs one direction of pure noise; returns at least one.
    """
    n, m = Y.shape
    Q, _ = np.linalg.qr(known)
    Y = Y - Q @ (Q.T @ Y)
    values = np.maximum(np.linalg.eigvalsh(Y.T @ Y)[::-1] / n, np.finfo(float).tiny)
    lengths = []
    for r in range(m):
        tail = values[r:]
        spread = np.log(tail.mean()) - np.log(tail).mean()
        lengths.append(n * (m - r) * spread + 0.5 * r * (2 * m - r) * np.log(n))
    return max(1, int(np.argmin(lengths)))


def candidate_neurons(sample: Sample, slope: float, rng: np.random.Generator) -> tuple[Array, int]:
    """Fixed points of ascents (c, d) in weight space: independent ones, then ones that avoid each other."""
    state = Deflation(sample, slope)
    k = sample.rank
    V = random_starts(sample, 0, 2 * k + 10, rng)
    state.ascend(V)
    pool = [V]
    starts = len(V)
    while state.n_free:
        V = random_starts(sample, starts, 2, rng)
        best = V[int(np.argmax(state.ascend(V)[:, 0]))]
        pool.append(best[None])
        starts += len(V)
        a, _, part = state.locate(best)
        if part == 0:
            break
        state.remove(a)
    W = np.vstack(pool) @ sample.back.T
    return np.asarray(W / np.linalg.norm(W, axis=1, keepdims=True)), starts


def choose_greedily(sample: Sample, known: Array, W: Array, slope: float, k: int) -> Array:
    """The k candidates that explain the labels best, by orthogonal matching pursuit."""
    Q, _ = np.linalg.qr(known)
    F = neuron_functions(sample, W, slope)
    F = F - Q @ (Q.T @ F)
    R = sample.Y - Q @ (Q.T @ sample.Y)
    R /= np.abs(R).max() or 1.0
    size = np.linalg.norm(F, axis=0)
    F /= np.where(size > 0, size, 1.0)
    size = np.linalg.norm(F, axis=0)
    chosen: list[int] = []
    for _ in range(min(k, len(W))):
        norms = np.linalg.norm(F, axis=0)
        usable = norms > 1e-3 * size
        if not usable.any():
            break
        gains = np.where(usable, np.linalg.norm(F.T @ R, axis=1) / np.where(usable, norms, 1.0), -1.0)
        best = int(np.argmax(gains))
        q = F[:, best] / norms[best]
        F -= np.outer(q, q @ F)
        R -= np.outer(q, q @ R)
        chosen.append(best)
    return W[chosen]


def fit_noisy(rows: Rows, kind: ModelClass, k: int | None, rng: np.random.Generator) -> NoisyFit:
    """Least-squares fit of a network to all rows.

    Parameters
    ----------
    rows : Rows
        Inputs and noisy labels.
    kind : ModelClass
        Activation and biases.
    k : int or None
        Number of neurons; None: by the rank of the labels and the Bayesian information criterion.
    rng : numpy.random.Generator
        Draws sample and starts.
    """
    X, Y, metric = _part(rows, rng)
    known = np.ones((len(X), int(kind.output_bias)))
    rank = label_rank(Y, known)
    size = k or max(1, rank - 1)  # the rank may be one too many, or miss weak neurons
    largest = min(rows.n_outputs, rank + max(3, rank // 2))
    attempts = ATTEMPTS if k else HOPELESS
    W, starts, agreed = _best_start(X, Y, known, kind, size, attempts, rng)
    descent = descend(rows, kind, W, metric=metric)
    while k is None and size < largest:
        size += 1
        W, more, also = _best_start(X, Y, known, kind, size, attempts, rng)
        starts += more
        trial = descend(rows, kind, W, metric=metric)
        if information(rows, trial) >= information(rows, descent):
            break
        descent, agreed = trial, also
    _, structure = strongest_direction(X, residuals(X, Y, descent.point.model), kind, rng)
    return NoisyFit(descent, starts, agreed, structure)


def polish(rows: Rows, kind: ModelClass, W: Array, rng: np.random.Generator) -> NoisyFit:
    """Least-squares optimum on all rows from hidden weights W (k, d); whether it is agreed on is its convergence."""
    X, Y, metric = _part(rows, rng)
    descent = descend(rows, kind, W, metric=metric)
    _, structure = strongest_direction(X, residuals(X, Y, descent.point.model), kind, rng)
    return NoisyFit(descent, 0, descent.converged, structure)


def _part(rows: Rows, rng: np.random.Generator) -> tuple[Array, Array, Rows]:
    """A random part of the rows, X and Y, and the rows that give the normal matrix: the part if it is much smaller."""
    X, Y = subsample(rows, max(_SAMPLE_ROWS, _ROWS_PER_UNKNOWN * max(rows.n_inputs, rows.n_outputs)), rng)
    return X, Y, Rows(X, Y) if 2 * len(X) < rows.n_rows else rows


def _best_start(
    X: Array, Y: Array, known: Array, kind: ModelClass, k: int, structured: int, rng: np.random.Generator
) -> tuple[Array, int, bool]:
    """Weights of the lowest loss on the sample, ascents run, and whether two independent attempts agree on it.

    After `structured` attempts whose residuals all depend on the inputs no further one is made.
    """
    sample = draw_sample(X, Y, known, max_rank=k)
    part = Rows(X, Y)
    starts = 0
    losses: list[float] = []
    best: Descent | None = None
    clean = False
    while len(losses) < (ATTEMPTS if clean else structured):
        pool, count = candidate_neurons(sample, kind.slope, rng)
        starts += count
        trial = descend(part, kind, choose_greedily(sample, known, pool, kind.slope, k), settled=1.0)
        trial, explained = exchange_neurons(part, trial, rng)
        clean |= explained
        progress.report("fitting noisy labels")
        losses.append(trial.point.loss)
        if best is None or trial.point.loss < best.point.loss:
            best = trial
        if sum(loss <= best.point.loss * (1 + SAME_LOSS / Y.size) for loss in losses) > 1:
            return best.point.model.W, starts, True
    assert best is not None
    return best.point.model.W, starts, False


def exchange_neurons(part: Rows, descent: Descent, rng: np.random.Generator) -> tuple[Descent, bool]:
    """While the residual points at a direction: add it as a neuron, fit, and drop the neuron that is missed least.

    Returns the fit and whether its residual is without structure.

    Two neurons that share one of the teacher's leave another one out, and a neuron of the wrong orientation leans on
    another for the linear part it lacks (f(-t) = f(t) - t); no descent gets from there to the optimum.
    """
    X, Y = part.take(np.arange(part.n_rows))
    for _ in range(EXCHANGES):
        model = descent.point.model
        direction, structure = strongest_direction(X, residuals(X, Y, model), model.kind, rng)
        if structure < STRUCTURE:
            return descent, True
        more = descend(part, model.kind, np.vstack([model.W, direction]), settled=1.0).point.model.W
        turned = min((evaluate(part, model.kind, _turn(more, i)) for i in range(len(more))), key=_loss).model.W
        fewer = (np.delete(W, i, axis=0) for W in (more, turned) for i in range(len(more)))
        best = min((evaluate(part, model.kind, W) for W in fewer), key=_loss)
        trial = descend(part, model.kind, best.model.W, settled=1.0)
        if trial.point.loss > descent.point.loss * (1 - SAME_LOSS / Y.size):
            break
        descent = trial
    return descent, False


def _turn(W: Array, i: int) -> Array:
    """W with neuron i pointing the other way."""
    W = W.copy()
    W[i] = -W[i]
    return W


def _loss(point: Point) -> float:
    return point.loss


def n_parameters(rows: Rows, kind: ModelClass, k: int) -> int:
    """Free parameters of a network of k neurons: the scale of each neuron is not one."""
    return k * (rows.n_inputs + rows.n_outputs - 1) + rows.n_outputs * kind.output_bias


def information(rows: Rows, descent: Descent) -> float:
    """Bayesian information criterion of a fit with equal noise in all outputs, Gaussian likelihood."""
    model = descent.point.model
    return _information(rows, descent.point.loss, n_parameters(rows, model.kind, model.n_neurons))


def null_information(rows: Rows, deviation: float) -> float:
    """The same for constant outputs; `deviation` is the sum of squares of the labels about their mean."""
    return _information(rows, deviation, rows.n_outputs)


def _information(rows: Rows, loss: float, parameters: int) -> float:
    count = rows.n_rows * rows.n_outputs
    return float(count * np.log(max(loss, np.finfo(float).tiny) / count) + parameters * np.log(count))


def residuals(X: Array, Y: Array, model: Model) -> Array:
    """Y minus the prediction, on given rows."""
    T = X @ model.hidden.T
    return np.asarray(Y - np.where(T > 0, T, model.slopes * T) @ model.outer[:-1] - model.outer[-1])


def strongest_direction(X: Array, R: Array, kind: ModelClass, rng: np.random.Generator) -> tuple[Array, float]:
    """Direction (d,) whose gated inputs correlate best with the residual R (n, m), and how much better than by chance.

    Chance is the mean over shuffles of the residual's rows, or what `EXTREME` standard deviations of more of them
    beyond it leave below `STRUCTURE`: the squared correlation is given relative to it.
    """
    known = np.ones((len(X), 1))

    def strongest(labels: Array) -> tuple[Array, float]:
        sample = draw_sample(X, labels, known)
        if sample.rank == 0:
            return np.zeros(X.shape[1]), 0.0
        V = random_starts(sample, 0, 8, rng)
        rho2 = Deflation(sample, kind.slope).ascend(V)[:, 0]
        return sample.back @ V[int(np.argmax(rho2))], float(rho2.max())

    direction, correlation = strongest(R)

    def shuffled(count: int) -> list[float]:
        return [strongest(R[rng.permutation(len(R))])[1] for _ in range(count)]

    by_chance = shuffled(SHUFFLES)
    if STRUCTURE * np.mean(by_chance) < correlation < CLEAR * np.mean(by_chance):
        by_chance += shuffled(3 * SHUFFLES)
        limit = float(np.mean(by_chance) + EXTREME * np.std(by_chance))
        return direction, correlation / max(float(np.mean(by_chance)), limit / STRUCTURE)
    chance = float(np.mean(by_chance))
    return direction, correlation / chance if chance else 0.0
