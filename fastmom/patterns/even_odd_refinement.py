"""The digits that orthonormal inputs cost: one Gauss-Newton step with the residual of the rows as they are.

Weights found in orthonormal coordinates inherit the round-off of the coordinates, times the condition of the problem.
Iterative refinement (Wilkinson 1963): the residual is formed from the rows themselves, the correction from the
factored normal matrix in working coordinates, which needs a few digits only. Its use for networks is our own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.patterns.even_odd_system import System
from fastmom.patterns.model import Model

Array = npt.NDArray[np.float64]

_FLOOR = 1e-13  # damping that covers the round-off of the normal matrix


def refine(plain: System, model: Model, X: Array, Y: Array) -> Model:
    """The model after one correction on the rows X (n, d), Y (n, m) of the sample, or as it was if that is no gain.

    `plain` has no free inputs; a model with linear functions, or without neurons, is returned as it is.
    """
    k = model.n_neurons
    if not k or len(model.hidden) > k:
        return model
    corrected = _corrected(plain, model, _residual(model, X, Y))
    if corrected is None or np.linalg.norm(_residual(corrected, X, Y)) >= np.linalg.norm(_residual(model, X, Y)):
        return model
    return corrected


def _residual(model: Model, X: Array, Y: Array) -> Array:
    T = X @ model.W.T
    return np.asarray(Y - np.where(T > 0, T, model.kind.slope * T) @ model.outer[:-1] - model.outer[-1])


def _corrected(plain: System, model: Model, residual: Array) -> Model | None:
    """Hidden and output weights moved by the joint least-squares step for the residual (n, m)."""
    sample = plain.sample
    V = model.W @ sample.forward.T
    size = np.linalg.norm(V, axis=1, keepdims=True)
    state = plain.evaluate(V)
    residual = residual * sample.constant[:, None]
    T = sample.X @ state.V.T
    gates = np.where(state.active, 1.0, plain.slope)
    F = T * gates

    def output_part(R: Array) -> tuple[Array, Array]:
        """Coefficients of the neurons and of the free constant in R."""
        free = plain.free.T @ R
        own = state.inverse_root @ (state.inverse_root.T @ (F.T @ R - state.overlap.T @ free))
        return own, free - state.overlap @ own

    own, free = output_part(residual)
    rest = residual - F @ own - plain.free @ free
    N, scale = plain.scaled_normal_matrix(state, np.float64)
    raised = N.copy(order="F")
    raised[np.diag_indices_from(raised)] += _FLOOR
    factor, failed = scipy.linalg.lapack.dpotrf(raised, lower=1, clean=0, overwrite_a=1)
    if failed:
        return None
    right = (((rest @ state.outer.T) * gates).T @ sample.X * scale).reshape(-1)
    step = scipy.linalg.lapack.dpotrs(factor, right, lower=1)[0].reshape(scale.shape) * scale
    own, free = output_part(residual - ((sample.X @ step.T) * gates) @ state.outer)
    outer = model.outer.copy()
    outer[:-1] += own / size
    for c, bias in zip(plain.constant, free, strict=True):
        outer[-1] += bias / (c @ sample.constant)
    hidden = model.W + (step * size) @ sample.back.T
    return Model(hidden, outer, model.n_neurons, model.kind)
