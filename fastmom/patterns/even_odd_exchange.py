"""Out of bad minima: add the neuron that the residual asks for, fit, and drop the one that is missed least.

A descent from anywhere ends in the network, or with two neurons on one of the teacher's and one neuron on two of them.
No small step leads out; a spare neuron does. The form, like the whole of the search, is our own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.patterns.even_odd_descent import ZERO, descend
from fastmom.patterns.even_odd_system import State, System

Array = npt.NDArray[np.float64]

CANDIDATES = 48  # directions that climb
CLIMBS = 15  # steps of each
APART = 0.9  # cosine above which two directions are one
EXCHANGES = 30  # at most, and
BARREN = 3  # in a row without a gain
GAIN = 1e-3  # relative
SPARE_STEPS = 20  # of a descent with a spare neuron
EXCHANGE_DAMPING = 1e-2
NEAR_DAMPING = 1e-4
SPARE = 1e-3  # of the greatest rise: less is left out on trial; twins on either side of no row may rise by 1e-5


def residual_directions(system: System, state: State, count: int, rng: np.random.Generator) -> Array:
    """Up to `count` directions (c, e) that explain most of the residual as a neuron each, the best first.

    Local maxima of ``|F_v^T R|^2 / F_v^T (I - Q Q^T) F_v`` over v, F_v the neuron's function, by steps along the
    gradient of the numerator from random starts.
    """
    X, R = system.sample.X, state.residual
    V = _unit(rng.standard_normal((CANDIDATES, X.shape[1])))
    for _ in range(CLIMBS):
        F, gates = _functions(system, V)
        V = _unit(V + _unit((gates * (R @ (R.T @ F))).T @ X))
    F, _ = _functions(system, V)
    overlap = system.free.T @ F
    own = np.einsum("ni,ni->i", F, F)
    rest = own - np.einsum("pi,pi->i", overlap, overlap)
    visible = rest > 1e-6 * own
    score = np.where(visible, np.sum((R.T @ F) ** 2, axis=0) / np.where(visible, rest, 1.0), -1.0)
    chosen: list[Array] = []
    for i in np.argsort(-score):
        alike = (abs(V[i] @ v) if system.linear else V[i] @ v for v in chosen)
        if score[i] > 0 and all(cosine < APART for cosine in alike):
            chosen.append(V[i])
        if len(chosen) == count:
            break
    return np.array(chosen).reshape(-1, X.shape[1])


def _functions(system: System, V: Array) -> tuple[Array, Array]:
    T = system.sample.X @ V.T
    gates = np.where(T > 0, 1.0, system.slope)
    return T * gates, gates


def _unit(V: Array) -> Array:
    return np.asarray(V / np.linalg.norm(V, axis=1, keepdims=True).clip(min=np.finfo(float).tiny))


def exchange(system: System, state: State, rng: np.random.Generator, most: int = EXCHANGES) -> tuple[State, int]:
    """Exchange neurons until nothing is left or nothing is gained; returns the state and the number of exchanges."""
    k, barren = len(state.V), 0
    for number in range(most):
        if state.loss <= ZERO or barren == BARREN:
            return state, number
        wider = enlarge(system, state, 1, rng)
        V = drop(wider, len(wider.V) - k)
        trial, _ = descend(system, V, damping=EXCHANGE_DAMPING)
        barren = 0 if trial.loss < (1.0 - GAIN) * state.loss else barren + 1
        if trial.loss < state.loss:
            state = trial
    return state, most


def enlarge(system: System, state: State, count: int, rng: np.random.Generator) -> State:
    """The network with up to `count` more neurons where the residual wants them, fitted."""
    directions = residual_directions(system, state, count, rng)
    start = np.vstack([state.V, directions])
    return descend(system, start, max_iterations=SPARE_STEPS, damping=EXCHANGE_DAMPING)[0]


def drop(state: State, count: int) -> Array:
    """Hidden weights without the `count` neurons that are missed least, one after the other."""
    return state.V[elimination(state)[0][count:]]


def without_spare(system: System, state: State, count: int) -> State:
    """Zero loss without the `count` neurons that are missed least if that is so near, else with them if it is.

    Spare neurons end with no weight, hence with no direction: the last steps are better conditioned without them.
    """
    trial, _ = descend(system, drop(state, count), max_iterations=SPARE_STEPS, damping=NEAR_DAMPING)
    return trial if trial.loss <= ZERO else descend(system, state.V, damping=NEAR_DAMPING)[0]


def prune(system: System, state: State) -> State:
    """The smallest network of zero loss that leaving neurons out of a network of zero loss leads to."""
    while len(state.V) > 1:
        order, rise = elimination(state)
        spare = int(np.count_nonzero(np.cumsum(rise) < SPARE * rise.max()))
        while spare:
            V = state.V[np.sort(order[spare:])]
            trial, _ = descend(system, V, max_iterations=SPARE_STEPS, damping=NEAR_DAMPING)
            if trial.loss <= ZERO:
                break
            spare //= 2
        if not spare:
            break
        state = trial
    return state


def elimination(state: State) -> tuple[npt.NDArray[np.int64], Array]:
    """Neurons in the order of backward elimination, hidden weights fixed, and the loss each one's removal adds.

    Removing neuron i from ``min |r|^2`` adds ``|a_i|^2 / (K^-1)_ii``; K^-1 and A of the others follow by one pivot.
    """
    k = len(state.V)
    scale = 1.0 / np.sqrt(np.maximum(np.diag(state.gram), np.finfo(float).tiny))
    gram = state.gram * scale[:, None] * scale
    inverse = np.linalg.inv(gram + 1e-12 * np.eye(k))
    outer = state.outer / scale[:, None]
    left = np.ones(k, dtype=bool)
    order, rise = [], []
    for _ in range(k):
        pivots = np.maximum(np.diag(inverse), np.finfo(float).tiny)
        cost = np.where(left, np.sum(outer**2, axis=1) / pivots, np.inf)
        i = int(np.argmin(cost))
        order.append(i)
        rise.append(float(cost[i]))
        outer = outer - np.outer(inverse[:, i], outer[i]) / pivots[i]
        inverse = inverse - np.outer(inverse[:, i], inverse[i]) / pivots[i]
        left[i] = False
    return np.array(order), np.array(rise)
