"""What may be claimed of an exact network with fewer outputs than neurons, whose labels show no neuron by itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.patterns.certificate import VERY_FEW_ROWS, reproduces
from fastmom.patterns.model import Model, Verification
from fastmom.patterns.redundancy import MAX_UNKNOWNS, n_weights, notice, unchecked
from fastmom.patterns.standard_errors import standard_errors
from fastmom.result import Certificate, Unidentified
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_METRIC_ROWS = 6  # rows for each unknown on which the information is formed at first
_CHUNK = 65_536
_RARE = 3  # rows on which a neuron that is active on all others may be at its boundary
_ON_BOUNDARY = 1e-10  # of the norms: round-off
_ROUNDS = 4  # of adding rows that notice what those so far do not
_IDLE = 1e-10  # effect of a neuron, relative to the largest, that is none
_DEPENDENT = 1e-9  # relative singular value of the neurons' linear functions
_BITS = 33  # by which one equation that holds to round-off outweighs chance
_RESOLVED = 1e-13  # residual above which what it hides is worth a word
_COUNTED = 4  # times the unknowns: rows beyond are not needed to see that there are enough distinct ones


def certify_few_outputs(rows: Rows, model: Model, check: Verification, rng: np.random.Generator) -> Certificate:
    """Certificate of a network that reproduces exact labels, m < k.

    Its test is the count: n m equations of round-off precision that k (d + m - 1) unknowns, and the choice among some
    n^unknowns activation patterns, fit only if they are right, with rows in general position. What the rows leave
    open locally is where the information matrix is singular, and where a part of the weights is determined by hardly
    more equations than it has unknowns: these fit whatever the others hold.

    Parameters
    ----------
    rows : Rows
        All rows.
    model : Model
        The network.
    check : Verification
        Its residual and activity over all rows.
    rng : numpy.random.Generator
        Draws the rows on which the information is formed at first.
    """
    k, m = model.n_neurons, rows.n_outputs
    unknowns = k * (rows.n_inputs + m - 1) + m * model.kind.output_bias
    if len(model.hidden) > k:  # the linear functions were fitted freely
        unknowns += rows.n_inputs * m
    order, few = rng.permutation(rows.n_rows), int(_METRIC_ROWS * unknowns / m) + 1
    part = Rows(*rows.take(np.sort(order[:few])))
    distinct = len(np.unique(part.take(np.arange(min(part.n_rows, _COUNTED * unknowns)))[0], axis=0))
    equations = distinct * min(m, max(k, 1))
    spare = float(np.log2(rows.n_rows)) / _BITS  # equations for each unknown: each set of patterns is another chance
    needed = int((1 + spare) * unknowns)
    reason = ""
    if not reproduces(check):
        reason = f"the network does not reproduce the labels: relative residual {check.residual:.1e} over all rows"
    elif equations <= needed:
        counted = f"{distinct} distinct rows make {equations} equations for {unknowns} unknowns"
        reason = f"{counted} and their activation patterns: chance would do"
    records = _undetermined(rows, *_weak(rows, model, np.sort(order[:few]), spare), model, check)
    if n_weights(rows, model) > MAX_UNKNOWNS:
        records.append(
            Unidentified(None, f"neurons that few rows tell apart were not looked for, beyond {MAX_UNKNOWNS} weights")
        )
    if equations < VERY_FEW_ROWS * unknowns and not reason:
        what = f"{equations} equations are few for {unknowns} unknowns: other networks may fit"
        records.append(Unidentified(None, what))
    return Certificate(
        certified=not reason,
        residual=check.residual,
        n_rows=rows.n_rows,
        activity=check.activity,
        rank=min(m, k),
        unidentified=tuple(records),
        reason=reason
        or f"every label is reproduced, at least {equations // max(1, unknowns)} equations for each unknown",
    )


def _undetermined(
    rows: Rows, loose: list[int], unproven: dict[int, int], model: Model, check: Verification
) -> list[Unidentified]:
    """Neurons that may move, turn, or hide."""
    records = []
    k, n_linear = model.n_neurons, len(model.hidden) - model.n_neurons
    always = _always_active(rows, model, check)
    effects = np.linalg.norm(model.W, axis=1) * np.linalg.norm(model.outer[:k], axis=1)
    idle = set(np.flatnonzero(effects <= _IDLE * effects.max(initial=0.0)).tolist())
    for i in range(k):
        if i in always:
            records.append(Unidentified(i, "active on every row: indistinguishable from a linear function"))
        elif i in idle:
            records.append(Unidentified(i, "has no effect: fewer neurons do, and this one could be another"))
        elif i in loose:
            records.append(Unidentified(i, f"its {check.activity[i]} active rows do not determine its weights"))
        elif i in unproven:
            what = f"{unproven[i]} equations, hardly more than unknowns, determine a part of its weights"
            records.append(Unidentified(i, what))
    records.extend(
        Unidentified(i, "it could point the other way") for i in _turnable(rows, model, check) if i not in always
    )
    if n_linear:
        records.append(Unidentified(None, "a linear part that no orientation of the neurons explains"))
    if check.residual > _RESOLVED:
        records.append(Unidentified(None, f"effects below {check.residual:.0e} of the labels are not excluded"))
    return records


def _weak(rows: Rows, model: Model, chosen: Indices, spare: float) -> tuple[list[int], dict[int, int]]:
    """Neurons whose weights all rows leave open, and those that too few equations determine.

    Some rows are enough where they determine everything; else those are added that notice most of what they do not.
    """
    neurons = Model(model.W, np.vstack([model.outer[: model.n_neurons], model.outer[-1:]]), model.n_neurons, model.kind)
    few = len(chosen)
    for number in range(_ROUNDS):
        part = Rows(*rows.take(chosen)) if len(chosen) < rows.n_rows else rows
        loose, (unproven, change) = _loose(part, neurons), unchecked(part, model, spare)
        if part is rows or not (loose or unproven) or not change.any() or number == _ROUNDS - 1:
            break
        noticed = notice(rows, model, change)
        noticed[chosen] = -1.0
        more = np.argpartition(noticed, -min(few, rows.n_rows - len(chosen)))[-few:]
        chosen = np.union1d(chosen, more[noticed[more] >= 0])
    return _loose(rows, neurons) if loose and part is not rows else loose, unproven


def _always_active(rows: Rows, model: Model, check: Verification) -> set[int]:
    """Neurons active on every row, those counted in whose boundary others lie to round-off."""
    rare = [i for i in range(model.n_neurons) if rows.n_rows - _RARE <= check.activity[i]]
    for _, X, _ in rows.chunks(_CHUNK):
        if not rare:
            break
        size = np.linalg.norm(X, axis=1)[:, None] * np.linalg.norm(model.W[rare], axis=1)
        rare = [rare[j] for j in np.flatnonzero((X @ model.W[rare].T > -_ON_BOUNDARY * size).all(axis=0))]
    return set(rare)


def _complementary(rows: Rows, model: Model, check: Verification) -> bool:
    """Whether of some two neurons one is active on every row, never both: together they are any linear function."""
    together = check.activity[:, None] + check.activity
    pairs = [(int(i), int(j)) for i, j in np.argwhere(np.triu(together == rows.n_rows, 1))]
    for _, X, _ in rows.chunks(_CHUNK):
        if not pairs:
            break
        active = X @ model.W.T > 0
        pairs = [(i, j) for i, j in pairs if (active[:, i] != active[:, j]).all()]
    return bool(pairs)


def _loose(rows: Rows, neurons: Model) -> list[int]:
    """Neurons whose weights the rows leave free, as far as the information matrix is not too large to form."""
    errors = standard_errors(rows, neurons, 1.0)
    if errors is not None:
        free = ~np.isfinite(errors.W).all(axis=1) | ~np.isfinite(errors.A).all(axis=0)
        if errors.hidden_bias is not None:
            free |= ~np.isfinite(errors.hidden_bias)
        return [int(i) for i in np.flatnonzero(free)]
    X, _ = rows.take(np.arange(rows.n_rows))
    ranks = [np.linalg.matrix_rank(X[X @ w > 0]) for w in neurons.W]
    return [i for i, rank in enumerate(ranks) if rank < rows.n_inputs]


def _turnable(rows: Rows, model: Model, check: Verification) -> list[int]:
    """Neurons that some set of turns may include: f(t) and f(-t) differ by t, and the turns must cancel.

    Independent linear functions a_i w_i^T cannot cancel. Among dependent ones an equal opposite pair is harmless: its
    turn is the pair itself. More neurons than m d are always dependent, but in general position only by real
    coefficients, while turns have zero and one. A linear function that is free takes up whatever turns leave.
    """
    k = model.n_neurons
    if len(model.hidden) > k or (k > 2 and _complementary(rows, model, check)):
        return list(range(k))
    functions = np.einsum("im,id->imd", model.outer[:k], model.W).reshape(k, -1)
    size = np.linalg.norm(functions, axis=1, keepdims=True)
    functions = functions / np.where(size > 0, size, 1.0)
    if k > functions.shape[1]:
        return []
    left, values, _ = np.linalg.svd(functions)
    null = left[:, np.count_nonzero(values > _DEPENDENT * values[0]) :] if len(values) else left[:, :0]
    involved = [int(i) for i in np.flatnonzero(np.linalg.norm(null, axis=1) > 1e-6)]
    if len(involved) == 2 and functions[involved[0]] @ functions[involved[1]] < -(1 - 1e-9):
        return []
    return involved
