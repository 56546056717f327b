"""Why a network that explains most rows exactly may not be believed to be right about the others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from fastmom.patterns import rival_networks as rivals
from fastmom.patterns.certificate import VERY_FEW_ROWS
from fastmom.patterns.model import Model, ModelClass
from fastmom.patterns.noisy import n_parameters
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

ACTIVE_SHARE = 0.6  # of the clean share: the clean share of a neuron's active rows
NEURON_ROWS = 2  # clean distinct active rows for each input, or a neuron could bend to wrong ones
_BESIDE = 4.0  # ranks by distance from a boundary, of rows between two neurons, relative to their number
_CLEAN_ROWS = 1000  # that a half-space of the others has to leave out
_NEAR, _NEXT = 0.35, 0.1  # and at most, on average or each
_VANISHED = 1e-7  # output weights relative to the largest


def ample(n_rows: float, rows: Rows, kind: ModelClass, k: int) -> bool:
    """Whether so many rows hold clearly more equations than there are unknowns."""
    return n_rows * min(rows.n_outputs, k) >= VERY_FEW_ROWS * n_parameters(rows, kind, k)


def doubt(rows: Rows, model: Model, clean: npt.NDArray[np.bool_]) -> str:
    """Why a network that explains more than half of the rows may not be believed; empty if it may.

    Wanted are: a clear majority of rows; inputs more than half of which are explained, duplicates counted once; more
    equations than unknowns twice over; and for every neuron an effect, and explained rows among its active ones in
    their proportion, enough that it could not have bent to wrong labels.
    """
    n_clean = int(np.count_nonzero(clean))
    if not rivals.clearly_more(n_clean, rows.n_rows - n_clean):
        return f"it explains {n_clean} of {rows.n_rows} rows, which is no clear majority"
    X, _ = rows.take(np.arange(rows.n_rows))
    _, first, inverse = np.unique(X, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    share = np.bincount(inverse, weights=clean) / np.bincount(inverse)
    settled = share > 0.5
    n_distinct = int(np.count_nonzero(settled))
    if 2 * n_distinct <= len(first):
        return f"it explains only {n_distinct} of {len(first)} distinct inputs"
    if not ample(n_distinct, rows, model.kind, model.n_neurons):
        return f"{n_distinct} distinct rows are too few for {n_parameters(rows, model.kind, model.n_neurons)} unknowns"
    effect = np.linalg.norm(model.outer[:-1], axis=1) * np.linalg.norm(model.hidden, axis=1)
    if effect.min() < _VANISHED * effect.max():
        return f"neuron {int(effect.argmin())} has no effect"
    active = X @ model.W.T > 0
    overall = clean.mean()
    for i in range(model.n_neurons):
        n_active = int(np.count_nonzero(active[first, i] & settled))
        if n_active < NEURON_ROWS * rows.n_inputs:
            return f"neuron {i} is active on {n_active} explained rows, too few for {rows.n_inputs} inputs"
        if clean[active[:, i]].mean() < ACTIVE_SHARE * overall:
            return f"neuron {i} explains too small a share of the rows on which it is active"
    return ""


def second_neuron(rows: Rows, model: Model, clean: npt.NDArray[np.bool_]) -> tuple[str, str]:
    """Whether more neurons would explain the rows that these do not: why that is likely, or why it may be.

    Two nearly equal neurons differ from one on rows next to its boundary, about as many as lie between the two; labels
    that are wrong by chance lie anywhere. With biases a neuron may be active on a few outer rows alone. Own form; it
    matters where the number of neurons is not known.
    """
    n, wrong = rows.n_rows, np.flatnonzero(~clean)
    X, _ = rows.take(np.arange(n))
    ranks = np.argsort(np.argsort(np.abs(X @ model.W.T), axis=0), axis=0)[wrong] / n  # (wrong, k)
    next_to = _BESIDE * (len(wrong) + 2) / n
    along = f"of the {len(wrong)} rows that it does not explain, {{}} lie along boundaries of its neurons, as of pairs"
    if ranks.mean(axis=0).min() <= min(_NEAR, next_to):
        return along.format("most") + ": give n_hidden, or more rows", ""
    beyond = wrong[ranks.min(axis=1) > min(_NEXT, next_to)]
    if not len(beyond):
        return along.format("all") + ": give n_hidden, or more rows", ""
    if model.kind.hidden_bias and _separable(X[beyond], X[clean][:_CLEAN_ROWS]):
        return "", f"more neurons, of whom these rows see little, may explain the {len(wrong)} labels judged corrupt"
    return "", ""


def _separable(some: Array, others: Array) -> bool:
    """Whether a half-space of inputs with a last column of ones holds some rows and not the others."""
    sides = np.vstack([-some, others])
    return bool(linprog(np.zeros(sides.shape[1]), sides, -np.ones(len(sides)), bounds=(None, None)).status == 0)
