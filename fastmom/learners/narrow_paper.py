"""Networks of a few ReLUs by random contractions of moments and nets of directions, as published.

Chen, Dou, Goel, Klivans, Meka 2023 (arXiv 2304.10524) discover neurons one after another, `iterative`; Chen and
Narayanan 2023 (arXiv 2307.12496) find them in one stage, `one_stage`. Both end in a net of directions that grows
exponentially in the number of neurons: its size is bounded, and `PaperFit` says how coarse that makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.moments.narrow_moments import moment_subspace
from fastmom.patterns.clumps import collapsed
from fastmom.patterns.kinks import KinkNetwork
from fastmom.patterns.neuron_net import best_choice, net_size, refined, regress, spacing, unit_net

Array = npt.NDArray[np.float64]

_NET_ROWS = 10_000  # on which choices are compared
_HELD_OUT = 4  # one row in so many selects
_SCALES = (0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
_STAGES_PER_NEURON = 2
_FEW_DIRECTIONS = 3  # of a subspace in which single neurons and pairs are looked for
_PAIRS = 10_000  # that a stage tries
_GAIN = 0.02  # of the held-out loss, that an additional neuron must bring


@dataclass(frozen=True, eq=False)
class PaperFit:
    """What was found.

    Attributes
    ----------
    kinks : KinkNetwork
    loss : float
        Held-out mean squared error, relative to the mean square of the labels.
    diagnostics : dict
        Net sizes and spacing, subspace strengths, and the loss after each stage.
    """

    kinks: KinkNetwork
    loss: float
    diagnostics: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows to estimate from, a part of them for the nets, and rows to select on."""

    X: Array
    y: Array
    held_X: Array
    held_y: Array

    @property
    def few(self) -> tuple[Array, Array]:
        return self.X[:_NET_ROWS], self.y[:_NET_ROWS]

    def loss(self, kinks: KinkNetwork) -> float:
        error = self.held_y - kinks.predict(self.held_X)[:, 0]
        return float(error @ error / (self.held_y @ self.held_y))


def one_stage(X: Array, y: Array, n_hidden: int, rng: np.random.Generator) -> PaperFit:
    """All orders at once, one subspace, one net of V^k, one regression (Chen and Narayanan 2023).

    The best choice of k directions of the net is then moved over finer nets, scale by scale, and neurons closer than a
    scale collapse; held-out rows choose among the scales.
    """
    rows = _split(X, y)
    space = moment_subspace(rows.X, rows.y, min(n_hidden, X.shape[1]), rng)
    few_X, few_y = rows.few
    Z, e = few_X @ space.V, few_y - few_X @ space.linear
    net = unit_net(space.V.shape[1], net_size(n_hidden), rng)
    U = net[best_choice(Z, e, net, n_hidden)]
    kinks, loss, losses = _through_scales(rows, space.V, Z, e, U, rng)
    found = {
        "subspace": space.strengths[: n_hidden + 1],
        "net": len(net),
        "net_spacing": spacing(net, rng),
        "losses": losses,
    }
    return PaperFit(kinks, loss, found)


def iterative(X: Array, y: Array, n_hidden: int, rng: np.random.Generator) -> PaperFit:
    """Neurons one after another, or two at once where they nearly cancel (Chen, Dou, Goel, Klivans, Meka 2023).

    Each stage takes the moments of what is left of the labels, searches a net in their subspace beside the neurons
    found, and fits all anew; neurons closer than the net collapse. At the end neurons beyond `n_hidden` are given up,
    and what remains is moved scale by scale in its own span.
    """
    rows = _split(X, y)
    kinks, losses = regress(rows.X, rows.y, np.zeros((0, X.shape[1]))), []
    loss, net = rows.loss(kinks), None
    for _ in range(_STAGES_PER_NEURON * n_hidden):
        larger, net = _discover(rows, kinks, n_hidden, rng)
        value = rows.loss(larger)
        if value > (1 - _GAIN) * loss:
            break
        kinks, loss = larger, value
        losses.append(loss)
    kinks = _fewer(rows, kinks, n_hidden)
    found: dict[str, Any] = {"stages": len(losses), "losses": losses, "net": 0, "net_spacing": np.pi / 2}
    if net is not None:
        found |= {"net": len(net), "net_spacing": spacing(net, rng)}
    if kinks.n_kinks == 0:
        return PaperFit(kinks, rows.loss(kinks), found)
    V = np.linalg.qr(kinks.B.T)[0]
    few_X, few_y = rows.few
    Z = few_X @ V
    kinks, loss, last = _through_scales(rows, V, Z, few_y - few_X @ kinks.linear, _units(kinks.B @ V), rng)
    return PaperFit(kinks, loss, found | {"losses": losses + last})


def _discover(rows: _Rows, kinks: KinkNetwork, n_hidden: int, rng: np.random.Generator) -> tuple[KinkNetwork, Array]:
    """The network with the best neuron, or the best pair, of a net in the subspace of what it leaves of the labels."""
    rest = rows.y - kinks.predict(rows.X)[:, 0]
    space = moment_subspace(rows.X, rest, min(_FEW_DIRECTIONS, n_hidden, rows.X.shape[1]), rng)
    few_X, few_y = rows.few
    known = _units(kinks.B)
    Z, e, given = few_X @ space.V, few_y - few_X @ kinks.linear, np.abs(few_X @ known.T)
    best, least = kinks, np.inf
    net = unit_net(space.V.shape[1], net_size(2, _PAIRS), rng)
    for count in (1, 2) if n_hidden > 1 else (1,):
        U = net[best_choice(Z, e, net, count, given)]
        U = refined(Z, e, U, _SCALES[1:4], rng, given)
        trial = regress(rows.X, rows.y, np.vstack([known, U @ space.V.T]))
        loss = rows.loss(trial)
        if loss < (1 - _GAIN) * least:
            best, least = trial, loss
    return _merged(rows, best, _SCALES[-2]), net


def _through_scales(
    rows: _Rows, V: Array, Z: Array, e: Array, U: Array, rng: np.random.Generator
) -> tuple[KinkNetwork, float, list[float]]:
    """Directions U (k, r) in V moved over finer and finer nets; the network of the scale that held-out rows choose."""
    kinks = regress(rows.X, rows.y, U @ V.T)
    loss = rows.loss(kinks)
    losses = [loss]
    for scale in _SCALES:
        U = refined(Z, e, U, (scale, scale), rng)
        trial = regress(rows.X, rows.y, U @ V.T)
        for candidate in (trial, _merged(rows, trial, scale)):
            value = rows.loss(candidate)
            if value < loss:
                kinks, loss = candidate, value
        losses.append(loss)
    return kinks, loss, losses


def _merged(rows: _Rows, kinks: KinkNetwork, angle: float) -> KinkNetwork:
    """The network with neurons closer than an angle collapsed, and fitted anew."""
    fewer = collapsed(kinks, angle)
    return kinks if fewer.n_kinks == kinks.n_kinks else regress(rows.X, rows.y, _units(fewer.B))


def _fewer(rows: _Rows, kinks: KinkNetwork, n_hidden: int) -> KinkNetwork:
    """The network without the neurons beyond `n_hidden` whose loss costs least."""
    while kinks.n_kinks > n_hidden:
        units = _units(kinks.B)
        trials = [regress(rows.X, rows.y, np.delete(units, i, axis=0)) for i in range(len(units))]
        kinks = min(trials, key=rows.loss)
    return kinks


def _split(X: Array, y: Array) -> _Rows:
    held = np.arange(len(X)) % _HELD_OUT == _HELD_OUT - 1
    return _Rows(X[~held], y[~held], X[held], y[held])


def _units(B: Array) -> Array:
    return np.asarray(B / np.linalg.norm(B, axis=1, keepdims=True))
