"""Other networks that could stand in for one that explains only a share of the rows, and how they compare.

A wrong neuron leaves exactly the rows on which it is off without residual, easily half of them. So a network that
explains more than half of the rows is believed only if, on the rows where another one differs from it, it explains
clearly more of them: without one of its neurons, with one more, refitted to the rows that it gets wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fastmom.patterns.model import Model
from fastmom.patterns.robust import LOCKED, descend_robustly, first_weights, functions, geman_mcclure, plausible_rows

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

EXPLAINED = 1e-8  # residual of a row relative to its size, for networks that nobody has polished
PARALLEL = 1e-7  # distance of residual directions that one neuron left
SPARE_ROWS = 3  # rows beyond its unknowns that a linear function must explain to be no chance
SIGMAS = 2.0  # by which one network must explain more of the rows on which two differ
MAX_PAIRS = 150  # of gates, or of inputs, whose products are looked at
SAFE_SHARE = 0.2  # of the rows: with fewer wrong ones, no other network fits the rest by a coincidence of patterns
MAX_WIDENED = 1000  # hidden weights up to which a wider network is worth its time
LARGE_SHARE = 0.3  # of wrong rows: they could be those of an altogether different network
OTHER_STARTS = 4  # that look for it
REDRAWN = 6  # neurons of which a rival may have another instead
STRIKING = 5.0  # standard deviations of a single feature that are no chance
TELLING = 0.2  # of the variance of what is wrong at least: what patterns explain where a neuron is wrong
RANK = 1e-8  # relative singular value of what counts as a feature
_LINEAR_STEPS = 25


def predictions(X: Array, model: Model) -> tuple[Array, Array, Array]:
    """Labels of the model (n, m), the functions of its neurons (n, k), and the unit of each row's round-off (n,)."""
    _, F = functions(X, model.W, model.kind)
    F = F[:, : model.n_neurons]
    P = F @ model.outer[: model.n_neurons] + model.outer[-1]
    reach = float(np.linalg.norm(model.W, axis=1) @ np.linalg.norm(model.outer[:-1], axis=1))
    return P, F, np.linalg.norm(model.outer[-1]) + reach * np.linalg.norm(X, axis=1)


def explained(X: Array, Y: Array, model: Model) -> Mask:
    """Rows whose labels the model gives (n,)."""
    P, _, unit = predictions(X, model)
    return small(Y - P, unit + np.linalg.norm(Y, axis=1))


def small(R: Array, unit: Array) -> Mask:
    """Rows of a residual that are round-off of rows of that unit."""
    return np.asarray(np.linalg.norm(R, axis=1) <= EXPLAINED * unit)


def clearly_more(first: int, second: int) -> bool:
    """Whether `first` of the rows on which two networks differ speak for one, against `second`, not by chance."""
    return first - second > SIGMAS * np.sqrt(first + second)


def needless_neuron(X: Array, Y: Array, model: Model) -> int | None:
    """A neuron that explains hardly more of its active rows than the network without it does."""
    P, F, unit = predictions(X, model)
    unit = unit + np.linalg.norm(Y, axis=1)
    whole = small(Y - P, unit)
    for i in range(model.n_neurons):
        without = small(Y - P + np.outer(F[:, i], model.outer[i]), unit)
        if np.count_nonzero(whole & ~without) <= 2 * np.count_nonzero(without & ~whole):
            return i
    return None


def follows_inputs(X: Array, wrong: Mask, model: Model) -> str:
    """Whether the inputs tell which rows are wrong, by regression: why that makes the network doubtful, or nothing.

    Where a network is wrong, it is so on some patterns, or close to some boundary; wrong labels need not care. Rows
    on which no neuron is active show nothing: a wrong label may agree there.
    """
    T = X @ model.W.T
    shown = (T > 0).any(axis=1) if model.kind.slope == 0 else np.ones(len(X), dtype=bool)
    X, T, wrong = X[shown], T[shown], wrong[shown]
    n, count = len(X), int(np.count_nonzero(wrong))
    if count < 2 or count > n - 2:
        return ""
    length = np.linalg.norm(X, axis=1, keepdims=True).clip(min=np.finfo(float).tiny)
    gates = (T > 0).astype(float)
    patterns = np.column_stack([X / length, gates, _products(gates), np.abs(T) / length])
    share = count / n
    unit = (wrong - share) / np.sqrt(share * (1 - share))
    for features in (patterns, _products(X / length)):
        part, rank, single = _regression(features, unit)
        margin = 6 * np.sqrt(2 * rank) + 20
        if part > rank + margin or single > STRIKING:
            return "which rows it does not explain depends on the inputs, as where a neuron is wrong or missing"
        if share > SAFE_SHARE and features is patterns and margin > TELLING * n:
            return f"with {share:.0%} of {n} rows wrong, they are too few to exclude that a neuron is"
    return ""


def _products(Z: Array) -> Array:
    """Products of columns of Z (n, q) with later ones, not more than `MAX_PAIRS`."""
    i, j = np.triu_indices(Z.shape[1], 1)
    if len(i) > MAX_PAIRS:
        pairs = np.random.default_rng(0).choice(len(i), MAX_PAIRS, replace=False)
        i, j = i[pairs], j[pairs]
    return Z[:, i] * Z[:, j]


def _regression(features: Array, unit: Array) -> tuple[float, int, float]:
    """Square of the part of `unit` (n,), of variance one, that the features explain, their rank, the best one's score.

    By chance the square is about the rank, and the score of one feature normal.
    """
    features = features - features.mean(axis=0)
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    u = u[:, s > RANK * s[0]] if len(s) and s[0] > 0 else u[:, :0]
    size = np.linalg.norm(features, axis=0)
    single = np.abs(unit @ features) / np.where(size > 0, size, 1.0)
    return float(np.sum((u.T @ unit) ** 2)), u.shape[1], float(single.max(initial=0.0))


def refitted(X: Array, Y: Array, model: Model) -> Iterator[Model]:
    """A network of the same size, fitted to the rows that the model does not explain, if one fits most of them."""
    wrong = ~explained(X, Y, model)
    k, d = model.W.shape
    share = wrong.mean()
    wrong &= plausible_rows(X, Y)
    if np.count_nonzero(wrong) * min(Y.shape[1], k) < 2 * k * (d + Y.shape[1]):
        return
    X, Y = X[wrong], Y[wrong]
    for W in _other_starts(X, Y, model, other=share > LARGE_SHARE):
        fit = descend_robustly(X, Y, W, model.kind, patience=6)
        if fit.spread < LOCKED:
            yield Model(fit.W, fit.outer, k, model.kind)
            return


def _other_starts(X: Array, Y: Array, model: Model, *, other: bool) -> Iterator[Array]:
    """The model's weights, those with one neuron drawn anew, and some of an altogether `other` network."""
    rng = np.random.default_rng(0)
    k = model.n_neurons
    yield model.W
    if other or k > Y.shape[1]:  # labels that show neurons one by one need fewer starts
        for number in range(REDRAWN):
            W, i = model.W.copy(), number % k
            W[i] = first_weights(X, Y, model.kind, 1, 2, rng)[0]
            yield W
    for number in range(OTHER_STARTS if other else 1):
        yield first_weights(X, Y, model.kind, k, 2 * number, rng)


def widened(X: Array, Y: Array, model: Model) -> Iterator[Model]:
    """Networks of one more neuron that explain clearly more of the rows, beside and apart from the model's neurons."""
    share = float(explained(X, Y, model).mean())
    if share > 1 - SAFE_SHARE / 2 or (model.n_neurons + 1) * X.shape[1] > MAX_WIDENED:
        return
    scale = np.sqrt(np.mean(X * X, axis=0)).clip(min=np.finfo(float).tiny)
    W = np.random.default_rng(3).standard_normal((model.n_neurons + 1, X.shape[1])) / scale
    for start in (np.vstack([model.W, W[-1]]), W):
        fit = descend_robustly(X, Y, start, model.kind, share=(1 + share) / 2, patience=8)
        if fit.spread < LOCKED:
            yield Model(fit.W, fit.outer, len(fit.W), model.kind)


def extended(X: Array, Y: Array, model: Model) -> Iterator[Model]:
    """The model with one more neuron, from linear functions that parts of the residual are."""
    P, _, unit = predictions(X, model)
    R, unit = Y - P, unit + np.linalg.norm(Y, axis=1)
    wrong = np.flatnonzero(~small(R, unit))
    needed = X.shape[1] + SPARE_ROWS
    if len(wrong) < needed:
        return
    for B in _linear_parts(X[wrong], R[wrong], needed):
        fits = small(R[wrong] - X[wrong] @ B, unit[wrong])
        if np.count_nonzero(fits) < needed:
            continue
        left, s, right = np.linalg.svd(B, full_matrices=False)
        for sign in (1.0, -1.0):
            outer = np.vstack([model.outer[:-1], sign * s[0] * right[:1], model.outer[-1:]])
            yield Model(np.vstack([model.W, sign * left[:, 0]]), outer, model.n_neurons + 1, model.kind)


def _linear_parts(X: Array, R: Array, needed: int) -> Iterator[Array]:
    """Weights (d, m) of linear functions that many rows of R may obey."""
    if R.shape[1] > 1:
        group = _largest_group(R)
        if len(group) >= needed:
            yield np.asarray(np.linalg.lstsq(X[group], R[group], rcond=None)[0], dtype=np.float64)
    rng = np.random.default_rng(0)
    half_spaces = [np.ones(len(X), dtype=bool), X @ X.mean(axis=0) > 0]
    half_spaces += [X @ u > 0 for u in rng.standard_normal((4, X.shape[1]))]
    for rows in half_spaces:
        if np.count_nonzero(rows) >= needed:
            yield _robust_linear(X, R, rows.astype(float))


def _largest_group(R: Array) -> npt.NDArray[np.int64]:
    """The most rows of R (n, m), m > 1, that are multiples of one vector."""
    units = R / np.linalg.norm(R, axis=1, keepdims=True)
    units *= np.where(units @ np.random.default_rng(1).standard_normal(R.shape[1]) < 0, -1.0, 1.0)[:, None]
    keys = units @ np.random.default_rng(2).standard_normal(R.shape[1])
    order = np.argsort(keys)
    ends = np.flatnonzero(np.diff(keys[order]) > PARALLEL) + 1
    return np.asarray(max(np.split(order, ends), key=len))


def _robust_linear(X: Array, R: Array, weights: Array) -> Array:
    """Linear fit (d, m) by iterated weights of Geman and McClure; the scale is the lower third of the residuals."""
    B: Array = np.zeros((X.shape[1], R.shape[1]))
    for _ in range(_LINEAR_STEPS):
        root = np.sqrt(weights)[:, None]
        B = np.asarray(np.linalg.lstsq(X * root, R * root, rcond=None)[0], dtype=np.float64)
        residuals = np.linalg.norm(R - X @ B, axis=1)
        weights = geman_mcclure(residuals, max(float(np.quantile(residuals, 0.3)), np.finfo(float).tiny))
    return np.asarray(B)
