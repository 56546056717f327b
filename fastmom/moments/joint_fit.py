"""Least squares of symmetric matrices by a common congruence: S_l = sum_i c_li z_i z_i^T, all of it at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.moments.tensors import svec

Array = npt.NDArray[np.float64]

_STEPS = 60
_INNER_STEPS = 200
_INNER_TOLERANCE = 1e-2  # of the conjugate gradients, relative
_SETTLED = 1e-6  # predicted gain of a step, relative to the sum of squares, that is not worth it
_ROUND_OFF = 1e-14
_LEAST_DAMPING = 1e-8


@dataclass(frozen=True)
class JointFit:
    """Rows Z (k, k) of unit norm, their least-squares coefficients (L, k), and the relative residual."""

    Z: Array
    coefficients: Array
    residual: float


def unit_rows(Z: Array) -> Array:
    """Rows of unit norm; zero rows stay."""
    length = np.linalg.norm(Z, axis=-1, keepdims=True)
    return np.asarray(Z / np.where(length > 0, length, 1.0))


def outer_squares(Z: Array) -> Array:
    """svec(z z^T) of every row (..., k, k (k + 1) / 2)."""
    return svec(Z[..., :, None] * Z[..., None, :])


def fit_coefficients(S: Array, Z: Array) -> JointFit:
    """Least-squares coefficients for given rows of unit norm."""
    target, design = svec(S).T, outer_squares(Z).T
    coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
    size = float(np.linalg.norm(target))
    left = float(np.linalg.norm(target - design @ coefficients))
    return JointFit(Z, np.ascontiguousarray(coefficients.T, dtype=np.float64), left / size if size > 0 else 0.0)


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
        Of a residual no larger than that of the start.

    Notes
    -----
    Coefficients are eliminated (variable projection), and the normal matrix of what remains acts on directions (k, k)
    through products of (k, k) matrices only: a step costs O(k^4 + L k^3), no matrix of side k^2 is formed.
    """
    best = fit_coefficients(S, unit_rows(Z))
    size = float(np.sum(S * S))
    damping = 1e-3
    for _ in range(_STEPS):
        step, gain = _step(S, best, damping)
        if not gain > (_SETTLED * best.residual**2 + _ROUND_OFF**2) * size:
            break
        trial = fit_coefficients(S, unit_rows(best.Z + step))
        if trial.residual < best.residual:
            best, damping = trial, max(_LEAST_DAMPING, damping / 5)
        elif best.residual < 100 * _ROUND_OFF:
            break
        else:
            damping *= 5
    return best


def _step(S: Array, at: JointFit, damping: float) -> tuple[Array, float]:
    """A damped Gauss-Newton step (k, k), and half the gain that the linearised model promises (at least)."""
    Z, c = at.Z, at.coefficients
    k = len(Z)
    G = Z @ Z.T
    couplings = c.T @ c
    eliminated = np.linalg.inv(G * G + _ROUND_OFF * np.eye(k))
    remainder = S - (Z.T * c[:, None, :]) @ Z
    gradient = 2 * np.einsum("li,lia->ia", c, Z @ remainder)
    scale = 2 * (np.diag(couplings) + _ROUND_OFF * np.trace(couplings) / k + np.finfo(float).tiny)
    scaled = G[:, :, None] * Z
    blocks = (1 + damping) * np.eye(k) + Z[:, :, None] * Z[:, None, :]
    blocks -= 2 * scaled.transpose(0, 2, 1) @ eliminated @ scaled
    preconditioner = np.linalg.inv(scale[:, None, None] * blocks)

    def normal(P: Array) -> Array:
        Q = P @ Z.T
        back = couplings * Q.T - 2 * (couplings @ ((G * Q) @ eliminated)) * G
        return 2 * ((couplings * G) @ P + back @ Z) + damping * scale[:, None] * P

    step = _conjugate_gradients(normal, lambda r: np.einsum("iab,ib->ia", preconditioner, r), gradient)
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
