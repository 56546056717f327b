"""Exact recovery when the labels of a share of the rows, up to almost half of them, are wrong.

Robust Gauss-Newton (`fastmom.patterns.robust`) from several starts, an exact refit to the rows without residual, and
a certificate that asks more than one of exact labels does: see `doubt`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastmom.patterns import exact
from fastmom.patterns import rival_networks as rivals
from fastmom.patterns.certificate import EXACT_ROW, reproduces
from fastmom.patterns.corruption_doubts import ample, doubt, second_neuron
from fastmom.patterns.fewer_outputs import certify_few_outputs
from fastmom.patterns.gauss_newton import descend
from fastmom.patterns.model import LabelScale, Model, ModelClass, label_scale, verify
from fastmom.patterns.noisy import n_parameters
from fastmom.patterns.robust import LOCKED, Fitted, descend_robustly, first_weights, plausible_rows
from fastmom.result import Certificate, Unidentified
from fastmom.runtime import progress
from fastmom.runtime.passes import Rows, Selection

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

STARTS = 24
WIDTH_STARTS = 8  # for each width that is tried when none is known
CERTAIN_SHARE = 0.05  # of corrupt rows, up to which a wider network need not be tried
SHARES = 0.5, 0.8  # of all rows, that starts in turn take for clean: a larger one has fewer wrong optima
LARGEST_SHARE = 0.97  # of the rows of plausible labels
MAX_UNKNOWNS = 2000  # hidden weights whose normal matrix a start may factor at every step
_ROWS_PER_UNKNOWN = 24  # labels of the sample for each unknown,
_ROWS_BEYOND = 400  # and some more rows
_CHALLENGE_ROWS = 20_000  # on which networks are compared
_SEARCH_ROWS = 2000  # of these, on which others are searched
_ROUNDS = 4  # of refit and selection of rows
_ADOPTIONS = 3  # rivals that may take the network's place, one after the other


@dataclass(frozen=True)
class Recovery:
    """Outcome of the search.

    Attributes
    ----------
    model : Model or None
        The network that explains the most rows, if one explains more than half.
    certificate : Certificate or None
        Of that network.
    corrupt : ndarray of int
        Rows that it does not explain.
    starts : int
        Starts run.
    spread : float
        Least median residual of a start, relative to the labels.
    """

    model: Model | None
    certificate: Certificate | None
    corrupt: Indices
    starts: int
    spread: float

    @property
    def certified(self) -> bool:
        """Whether the network may be believed."""
        return self.certificate is not None and self.certificate.certified


def recover_corrupted(
    rows: Rows, kind: ModelClass, scale: LabelScale, rng: np.random.Generator, max_starts: int = STARTS
) -> Recovery:
    """Recover a network from labels that are exact on more than half of the rows.

    A further neuron that is active on hardly more rows than there are inputs cannot be told from as many wrong labels.

    Parameters
    ----------
    rows : Rows
        Inputs (with the ones of a hidden bias) and labels.
    kind : ModelClass
        Activation, biases, number of neurons; if that is None, as many as outputs, and then more.
    scale : LabelScale
        Of the labels.
    rng : numpy.random.Generator
        Draws rows and starts: same state, same bits.
    max_starts : int
        Starts at most, for each width.
    """
    best = Recovery(None, None, np.empty(0, dtype=np.int64), 0, np.inf)
    for k in _widths(rows, kind):
        found = _search(rows, kind, k, scale, rng, max_starts if kind.n_hidden else WIDTH_STARTS)
        confirmed = best.certified
        if not confirmed or _explains_more(found, best):
            found = found if found.certificate is not None or best.certificate is None else best
            best = replace(found, starts=found.starts + best.starts, spread=min(found.spread, best.spread))
        if confirmed or (best.certified and len(best.corrupt) <= CERTAIN_SHARE * rows.n_rows):
            break
    return best


def _explains_more(found: Recovery, best: Recovery) -> bool:
    """Whether a wider network is worth its neurons."""
    return found.certified and rivals.clearly_more(len(best.corrupt), len(found.corrupt))


def _search(
    rows: Rows, kind: ModelClass, k: int, scale: LabelScale, rng: np.random.Generator, max_starts: int
) -> Recovery:
    """Starts of one width until one is certified; else the last that explained more than half of the rows."""
    best = Recovery(None, None, np.empty(0, dtype=np.int64), 0, np.inf)
    X, Y = _sample(rows, kind, k, rng)
    kept = plausible_rows(X, Y)
    for number, stream in enumerate(rng.spawn(max_starts)):
        W = first_weights(X[kept], Y[kept], kind, k, number, stream)
        share = SHARES[number % len(SHARES)] / kept.mean()
        fit = descend_robustly(X[kept], Y[kept], W, kind, share=min(share, LARGEST_SHARE))
        progress.report("robust starts", number + 1, max_starts)
        best = replace(best, starts=number + 1, spread=min(best.spread, fit.spread))
        if fit.spread < LOCKED:
            best = _accepted(rows, kind, scale, fit, stream, best)
        if best.certified:
            break
    return best


def _widths(rows: Rows, kind: ModelClass) -> list[int]:
    """Neurons to try: as many as asked, or as many as the outputs can show and then more, if the rows suffice."""
    widths = [kind.n_hidden] if kind.n_hidden else [max(2, rows.n_outputs) << i for i in range(3)]
    return [k for k in widths if k * rows.n_inputs <= MAX_UNKNOWNS and ample(rows.n_rows / 2, rows, kind, k)]


def _sample(rows: Rows, kind: ModelClass, k: int, rng: np.random.Generator) -> tuple[Array, Array]:
    unknowns = n_parameters(rows, kind, k) / min(rows.n_outputs, k)
    size = int(_ROWS_PER_UNKNOWN * unknowns) + _ROWS_BEYOND
    return rows.take(_some(rows.n_rows, size, rng))


def _some(n: int, size: int, rng: np.random.Generator) -> Indices:
    return np.arange(n) if 1.5 * size >= n else np.sort(rng.choice(n, size=size, replace=False))


def _accepted(
    rows: Rows, kind: ModelClass, scale: LabelScale, fit: Fitted, rng: np.random.Generator, so_far: Recovery
) -> Recovery:
    """The fit on all rows: refitted, compared with its rivals, certified; `so_far` where it explains too few rows."""
    model = Model(fit.W, fit.outer, len(fit.W), kind)
    chosen = _some(rows.n_rows, _CHALLENGE_ROWS, rng)
    X, Y = rows.take(chosen)
    for _ in range(_ADOPTIONS):
        refit = _refit(rows, model, scale, rng)
        if refit is None:
            return so_far
        model, certificate, clean = refit
        corrupt = np.flatnonzero(~clean)
        reason = doubt(rows, model, clean)
        if kind.n_hidden is None and any(item.neuron is not None for item in certificate.unidentified):
            reason = reason or "some neurons are not determined by the rows, and their number is not known"
        if not reason and kind.n_hidden is None and len(corrupt):
            reason, note = second_neuron(rows, model, clean)
            if note:
                listed = (*certificate.unidentified, Unidentified(None, note))
                certificate = replace(certificate, unidentified=listed)
        if not reason and len(corrupt):
            better, reason = _challenge(X, Y, model)
            if better is not None and (kind.n_hidden is None or better.n_neurons <= kind.n_hidden):
                model = better
                continue
        certificate = _restated(certificate, rows.n_rows, len(corrupt), reason)
        return replace(so_far, model=model, certificate=certificate, corrupt=corrupt)
    return so_far


def _explained(rows: Rows, model: Model, scale: LabelScale, tolerance: float) -> npt.NDArray[np.bool_]:
    """Rows whose labels the model gives to a tolerance relative to their own size."""
    clean = np.zeros(rows.n_rows, dtype=bool)

    def look(first: int, values: Array) -> None:
        clean[first : first + len(values)] = values <= tolerance**2

    verify(rows, model, scale, look)
    return clean


def _refit(
    rows: Rows, model: Model, scale: LabelScale, rng: np.random.Generator
) -> tuple[Model, Certificate, npt.NDArray[np.bool_]] | None:
    """Exact refit on the rows without residual, its certificate on them alone; None if they are not most rows."""
    clean = _explained(rows, model, scale, rivals.EXPLAINED)
    certificate = None
    for _ in range(_ROUNDS):
        if 2 * np.count_nonzero(clean) <= rows.n_rows:
            return None
        part = Selection(rows, np.flatnonzero(clean))
        part_scale = label_scale(part)
        if not part_scale.spread > 1e-11 * part_scale.offset:
            return None
        model, certificate = _exact(part, _pruned(part, model, part_scale), part_scale, rng)
        before, clean = clean, _explained(rows, model, scale, EXACT_ROW)
        if np.array_equal(before, clean):
            return model, certificate, clean
    return None


def _pruned(part: Rows, model: Model, scale: LabelScale) -> Model:
    """Without neurons that the rows do not need, if their number is not known."""
    if model.kind.n_hidden is not None:
        return model
    order = np.argsort(np.linalg.norm(model.outer[:-1], axis=1))
    for i in sorted(order[:-1].tolist(), reverse=True):
        trial = descend(part, model.kind, np.delete(model.W, i, axis=0), max_iterations=2, damping=1e-12).point.model
        if trial.n_neurons and reproduces(verify(part, trial, scale)):
            model = trial
    return model


def _exact(part: Rows, model: Model, scale: LabelScale, rng: np.random.Generator) -> tuple[Model, Certificate]:
    """Polished and certified as exact labels are."""
    kind, k = model.kind, model.n_neurons
    if k <= part.n_outputs:
        with np.errstate(all="ignore"):  # inputs of extreme scales overflow on the way
            attempt = exact.refine_exactly(part, kind, scale, model.W, rng)
        if attempt.model is not None and attempt.certificate is not None:
            return attempt.model, attempt.certificate
    model = descend(part, kind, model.W, max_iterations=4, damping=1e-13, settled=1e-6).point.model
    return model, certify_few_outputs(part, model, verify(part, model, scale), rng)


def _challenge(X: Array, Y: Array, model: Model) -> tuple[Model | None, str]:
    """A rival that explains more rows, if any; and why the network may not be believed beside it."""
    needless = rivals.needless_neuron(X, Y, model)
    if needless is not None:
        return None, f"neuron {needless} explains hardly more of its active rows than the others alone"
    own = rivals.explained(X, Y, model)
    doubt = rivals.follows_inputs(X, ~own, model)
    few = slice(_SEARCH_ROWS)
    others = (*rivals.refitted(X[few], Y[few], model), *rivals.widened(X[few], Y[few], model))
    for rival in (*others, *rivals.extended(X, Y, model)):
        other = rivals.explained(X, Y, rival)
        more, fewer = int(np.count_nonzero(other & ~own)), int(np.count_nonzero(own & ~other))
        if rivals.clearly_more(fewer, more):
            continue
        size = "one more neuron" if rival.n_neurons > model.n_neurons else "other weights"
        reason = f"a network with {size} explains {more} of the rows that are wrong here, and misses {fewer} others"
        return (rival if rivals.clearly_more(more, fewer) else None), reason
    return None, doubt


def _restated(certificate: Certificate, n_rows: int, n_corrupt: int, doubt: str) -> Certificate:
    """The certificate of the explained rows as one of all rows."""
    certified = certificate.certified and not doubt
    if certified:
        doubt = (
            f"every label is reproduced but those of {n_corrupt} rows judged corrupt, and every neuron passed its test"
        )
    return replace(
        certificate,
        certified=certified,
        n_rows=n_rows,
        n_corrupt=n_corrupt,
        reason=doubt or certificate.reason,
    )
