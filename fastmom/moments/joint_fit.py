"""Least squares of symmetric matrices by a common congruence: S_l = sum_i c_li z_i z_i^T, all of it at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.moments.tensors import svec

Array = npt.NDArray[np.float64]

_PRIOR = 3.0  # weight of the ridge: best of 0.3 to 30 on moments of noisy samples, 1 being that of a Gaussian prior
_CLEAN = 1e-6  # residual up to which there is no noise to speak of, so no ridge
_STEPS = 100
_INNER_STEPS = 200
_INNER_TOLERANCE = 1e-2  # of the conjugate gradients, relative
_SETTLED = 1e-6  # predicted gain of a step, relative to the residual's square, that is not worth it
_ROUND_OFF = 1e-14
_LEAST_DAMPING = 1e-8


@dataclass(frozen=True)
class JointFit:
    """Rows of unit norm, their coefficients, and how well they fit.

    Attributes
    ----------
    Z : ndarray (k, k)
        Unit rows.
    coefficients : ndarray (L, k)
        Least squares for these rows, with the ridge.
    residual : float
        Frobenius norm of what is left of the matrices, relative to theirs.
    ridge : float
        Weight of the sum of squares of the coefficients.
    objective : float
        Square of the residual plus the ridge's term, relative to the matrices' sum of squares.
    """

    Z: Array
    coefficients: Array
    residual: float
    ridge: float
    objective: float


def unit_rows(Z: Array) -> Array:
    """Rows of unit norm; zero rows stay."""
    length = np.linalg.norm(Z, axis=-1, keepdims=True)
    return np.asarray(Z / np.where(length > 0, length, 1.0))


def outer_squares(Z: Array) -> Array:
    """svec(z z^T) of every row (..., k, k (k + 1) / 2)."""
    return svec(Z[..., :, None] * Z[..., None, :])


def fit_coefficients(S: Array, Z: Array, ridge: float = 0.0) -> JointFit:
    """Coefficients for given rows of unit norm."""
    L, k, _ = S.shape
    target, design = svec(S).T, outer_squares(Z).T
    stacked = np.vstack([design, np.sqrt(ridge) * np.eye(k)])
    coefficients = np.linalg.lstsq(stacked, np.vstack([target, np.zeros((k, L))]), rcond=None)[0]
    size = float(np.sum(target * target)) or 1.0
    left = float(np.sum((target - design @ coefficients) ** 2)) / size
    objective = left + ridge * float(np.sum(coefficients * coefficients)) / size
    return JointFit(Z, np.ascontiguousarray(coefficients.T, dtype=np.float64), left**0.5, ridge, objective)


def fit_rows(S: Array, Z: Array) -> JointFit:
    """Rows and coefficients of least squares near a start, by Levenberg-Marquardt.

    Parameters
    ----------
    S : ndarray (L, k, k)
        Symmetric matrices.
    Z : ndarray (k, k)
        Where to start.

    Returns
    -------
    JointFit
        Of a residual no larger than that of the start, but for the ridge.

    Notes
    -----
    Without a ridge on the coefficients, noise is best fitted by two rows that nearly collapse, of huge and opposite
    coefficients. The ridge is that of a prior on the coefficients with the variance the matrices suggest, in units
    of the noise that the residual shows: it vanishes with the residual, exact fits stay exact.

    Coefficients are eliminated (variable projection), and the normal matrix of what remains acts on directions (k, k)
    through products of (k, k) matrices only: a step costs O(k^4 + L k^3), no matrix of side k^2 is formed.
    """
    best = _with_prior(S, fit_coefficients(S, unit_rows(Z)))
    size = float(np.sum(S * S))
    damping = 1e-3
    for _ in range(_STEPS):
        step, gain = _step(S, best, damping)
        if not gain > (_SETTLED * best.residual**2 + _ROUND_OFF**2) * size:
            break
        trial = fit_coefficients(S, unit_rows(best.Z + step), best.ridge)
        if trial.objective < best.objective:
            best, damping = _with_prior(S, trial), max(_LEAST_DAMPING, damping / 5)
        elif best.residual < 100 * _ROUND_OFF:
            break
        else:
            damping *= 5
    return fit_coefficients(S, best.Z, _ridge(best))


def _ridge(fit: JointFit) -> float:
    """What the residual calls for."""
    return _PRIOR * 2 / (len(fit.Z) + 1) * fit.residual**2 if fit.residual > _CLEAN else 0.0


def _with_prior(S: Array, fit: JointFit) -> JointFit:
    """The same rows with a ridge that follows the residual down."""
    wanted = _ridge(fit)
    if wanted == fit.ridge or wanted > 0.9 * fit.ridge > 0:
        return fit
    return fit_coefficients(S, fit.Z, wanted)


def _step(S: Array, at: JointFit, damping: float) -> tuple[Array, float]:
    """A damped Gauss-Newton step (k, k) along the unit spheres, and a measure of the gain that its model promises."""
    Z, c = at.Z, at.coefficients
    k = len(Z)
    G = Z @ Z.T
    couplings = c.T @ c
    eliminated = np.linalg.inv(G * G + (at.ridge + _ROUND_OFF) * np.eye(k))
    left = S - (Z.T * c[:, None, :]) @ Z
    scale = 2 * (np.diag(couplings) + _ROUND_OFF * np.trace(couplings) / k + np.finfo(float).tiny)
    scaled = G[:, :, None] * Z
    radial = Z[:, :, None] * Z[:, None, :]
    spheres = np.eye(k) - radial
    blocks = spheres @ ((1 + damping) * np.eye(k) - 2 * scaled.transpose(0, 2, 1) @ eliminated @ scaled) @ spheres
    preconditioner = np.linalg.inv(scale[:, None, None] * (blocks + radial))

    def tangent(P: Array) -> Array:
        return np.asarray(P - np.einsum("ia,ia->i", P, Z)[:, None] * Z)

    def normal(P: Array) -> Array:
        Q = P @ Z.T
        back = couplings * Q.T - 2 * (couplings @ ((G * Q) @ eliminated)) * G
        return tangent(2 * ((couplings * G) @ P + back @ Z) + damping * scale[:, None] * P)

    gradient = tangent(2 * np.einsum("li,lia->ia", c, Z @ left))
    step = _conjugate_gradients(normal, lambda r: tangent(np.einsum("iab,ib->ia", preconditioner, r)), gradient)
    return step, float(np.vdot(gradient, step))


def _conjugate_gradients(matrix: Callable[[Array], Array], inverse: Callable[[Array], Array], right: Array) -> Array:
    """Solve matrix(x) = right, preconditioned by `inverse`, to a rough relative accuracy."""
    x = np.zeros_like(right)
    r = right.copy()
    direction = inverse(r)
    before = first = float(np.vdot(r, direction))
    for _ in range(_INNER_STEPS):
        image = matrix(direction)
        curvature = float(np.vdot(direction, image))
        if not curvature > 0:
            break
        x = x + before / curvature * direction
        r = r - before / curvature * image
        solved = inverse(r)
        after = float(np.vdot(r, solved))
        if after <= _INNER_TOLERANCE**2 * first:
            break
        direction = solved + after / before * direction
        before = after
    return x
