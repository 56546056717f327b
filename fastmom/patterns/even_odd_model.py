"""From the even part of a network to the network: orientation, the last digits, output weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.patterns.even_odd_descent import ZERO, descend, sharpen
from fastmom.patterns.even_odd_orientation import orient
from fastmom.patterns.even_odd_system import State, System
from fastmom.patterns.model import Model, ModelClass
from fastmom.patterns.unit_systems import output_weights

Array = npt.NDArray[np.float64]

ALMOST_AS_GOOD = 1.5  # of the loss with a linear part: a network without one is preferred
LINEAR_RANK = 1e-9  # relative singular value below which a linear function is round-off


def finish(system: System, state: State, kind: ModelClass, max_pairs: int) -> Model:
    """The network of class `kind` whose even part, or whole, is the state.

    Where no orientation fits, the linear part that the neurons leave over is kept as linear functions.
    """
    plain = System(system.sample, linear=False, constant=kind.output_bias, slope=kind.slope)
    if not system.linear:
        return _model(plain, sharpen(plain, state), _no_functions(state), kind)
    oriented = _oriented(system, plain, state, kind, max_pairs)
    if oriented is None and state.loss <= ZERO:
        state = sharpen(system, state)
        oriented = _oriented(system, plain, state, kind, max_pairs)
    if oriented is None and state.loss > ZERO:
        oriented, _ = descend(plain, turn_roughly(system, state, kind))
        if oriented.loss * plain.size > ALMOST_AS_GOOD * state.loss * system.size:
            oriented = None
    if oriented is not None:
        return _model(plain, oriented, _no_functions(state), kind)
    return _model(plain, state, linear_part(system, state, kind), kind)


def _no_functions(state: State) -> Array:
    return np.empty((0, state.V.shape[1]))


def _oriented(system: System, plain: System, state: State, kind: ModelClass, max_pairs: int) -> State | None:
    """The state with neurons turned so that they leave no linear part, to the last digit; None if that fails."""
    moved, target = _linear_problem(system, state, kind)
    found = orient(moved, target, max_pairs) if state.loss <= ZERO else None
    if found is None:
        return None
    straight, turned = state.V[found.turned < 1], -state.V[found.turned > 0]
    oriented = sharpen(plain, plain.evaluate(np.vstack([straight, turned])))
    return oriented if oriented.loss <= ZERO else None


def turn_roughly(system: System, state: State, kind: ModelClass) -> Array:
    """Hidden weights turned so that little linear part remains, where there is no exact choice."""
    moved, target = _linear_problem(system, state, kind)
    leaning = np.linalg.lstsq(moved.T, 2 * target - moved.sum(axis=0), rcond=1e-6)[0]
    return np.where(leaning[:, None] > 0, -state.V, state.V)


def _linear_problem(system: System, state: State, kind: ModelClass) -> tuple[Array, Array]:
    """What turning each neuron moves into the linear part (k, D), and what is to be moved (D,); see `orient`.

    A neuron u f(t) of slope a has u = A / (1 - a), A its weight as a rectifier, and the linear part a u w
    beside it, turned - u w. A free constant takes up that part of a linear function.
    """
    slope = kind.slope
    moved = np.einsum("im,ie->ime", state.outer, state.V)
    target = (slope * moved.sum(axis=0) - (1 - slope) * _linear_weights(system, state)) / (1 + slope)
    moved, target = _beyond_constant(system, kind, moved), _beyond_constant(system, kind, target)
    return moved.reshape(len(moved), target.size), target.reshape(-1)


def linear_part(system: System, state: State, kind: ModelClass) -> Array:
    """Orthonormal weights (l, e) of the linear functions beside the neurons as they point now."""
    moved = np.einsum("im,ie->me", state.outer, state.V)
    weights = _linear_weights(system, state) - kind.slope / (1 - kind.slope) * moved
    _, s, vt = np.linalg.svd(_beyond_constant(system, kind, weights), full_matrices=False)
    return np.asarray(vt[s > LINEAR_RANK * np.linalg.norm(system.sample.Y)])


def _linear_weights(system: System, state: State) -> Array:
    """Coefficients (m, e) of the inputs among the free functions."""
    X = system.sample.X
    fit = system.sample.Y - state.residual - np.maximum(X @ state.V.T, 0.0) @ state.outer
    for c in system.constant:
        fit -= np.outer(system.sample.constant / (c @ system.sample.constant), c @ fit)
    return np.asarray(fit.T @ X)


def _beyond_constant(system: System, kind: ModelClass, weights: Array) -> Array:
    """Weights (..., e) of linear functions without their part along the constant, if that is free and an input."""
    sample = system.sample
    c = sample.X.T @ sample.constant
    inside = np.linalg.norm(sample.constant - sample.X @ c) < 1e-9 * np.linalg.norm(sample.constant)
    if not (kind.output_bias and inside):
        return weights
    c = c / np.linalg.norm(c)
    return np.asarray(weights - np.multiply.outer(weights @ c, c))


def _model(plain: System, state: State, linear: Array, kind: ModelClass) -> Model:
    """Output weights by least squares on the sample; weights for the original inputs."""
    sample, V = plain.sample, state.V
    T = sample.X @ V.T
    F = np.hstack([np.where(T > 0, T, kind.slope * T), sample.X @ linear.T])
    if kind.output_bias:
        F = np.column_stack([F, sample.constant])
    size = np.linalg.norm(F, axis=0).clip(min=np.finfo(float).tiny)
    outer = output_weights(F / size, sample.Y)[0] / size[:, None]
    if not kind.output_bias:
        outer = np.vstack([outer, np.zeros(sample.Y.shape[1])])
    hidden = np.vstack([V, linear]) @ sample.back.T
    norms = np.linalg.norm(hidden, axis=1).clip(min=np.finfo(float).tiny)
    outer[:-1] *= norms[:, None]
    return Model(hidden / norms[:, None], outer, len(V), kind)
