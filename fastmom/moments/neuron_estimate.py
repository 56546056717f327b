"""The network from moments of symmetric inputs: detect, diagonalise, refine, correct the regression, detect again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.moments import symmetry
from fastmom.moments.diagonalization import diagonalize_jointly, random_pencil
from fastmom.moments.pure_neurons import Detector, Regression, detector, frame, regress
from fastmom.moments.tensors import smat
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

SETTLED = 1e-3  # relative gain of the loss by a correction that is worth no further one
ASYMMETRIC = 1e-4  # bound on the probability of symmetric inputs below which they are called asymmetric
PROBE_ROWS = 8192  # on which inputs are examined
_CHUNK = 4096
_COLLAPSED = 10.0  # growth of the condition number of Z that betrays two rows on one neuron


@dataclass
class Estimate:
    """Network from moments: output weights A (m, k), unit hidden weights W (k, d), and what was seen on the way."""

    A: Array
    W: Array
    symmetric: bool
    gap: float
    diagnostics: dict[str, Any] = field(default_factory=dict)


def estimate_neurons(rows: Rows, k: int, rng: np.random.Generator, *, plain: bool, corrections: int) -> Estimate:
    """Estimate the network: regress, detect pure neurons, diagonalise, refine, correct.

    Parameters
    ----------
    rows : Rows
        Samples, m >= k and d >= k.
    k : int
        Number of neurons.
    rng : numpy.random.Generator
        Draws pencils and probes.
    plain : bool
        The published algorithm: no refinement, one pencil.
    corrections : int
        Of the regression by the residual, at most.
    """
    regression = regress(rows)
    at = frame(regression, regression.B, k)
    found = detector(rows, at, plain=regression.unit if plain else 0.0)
    if plain:
        Z = random_pencil(found.null_matrices, rng)
    else:
        Z = refine(found.matrix, diagonalize_jointly(found.null_matrices, rng).Z)
    step = Step(*at.network(Z, regression.mean_label), found)
    step, done = _corrected(rows, regression, step, corrections)
    chosen = rng.choice(rows.n_rows, size=min(rows.n_rows, PROBE_ROWS), replace=False)
    X, _ = rows.take(np.sort(chosen))
    p_value = symmetry.asymmetry(X, rng)
    diagnostics = {
        "symmetry_p_value": p_value,
        "detector_gap": step.found.gap,
        "detector_values": step.found.spectrum,
        "regression_values": at.spectrum,
        "distinguishing_value": float(symmetry.distinguishing_values(X @ step.W.T, np.eye(k))[-1]),
        "corrections": done,
    }
    return Estimate(step.A, step.W, p_value > ASYMMETRIC, step.found.gap, diagnostics)


@dataclass(frozen=True)
class Step:
    """Output weights A (m, k), unit hidden weights W (k, d), and the detector they come from."""

    A: Array
    W: Array
    found: Detector


def _corrected(rows: Rows, regression: Regression, step: Step, most: int) -> tuple[Step, int]:
    """Regress the residual instead of the labels and detect again, as long as the loss falls."""
    if most == 0:
        return step, 0
    rest = remainder(rows, regression, step.A, step.W)
    for corrections in range(most):
        at = frame(regression, rest.B, len(step.W))
        found = detector(rows, at, plain=0.0)
        Z = refine(found.matrix, at.rows_of(step.A))
        trial = Step(*at.network(Z, regression.mean_label), found)
        after = remainder(rows, regression, trial.A, trial.W)
        if not after.loss < rest.loss:
            return step, corrections
        gain = 1 - after.loss / rest.loss
        step, rest = trial, after
        if gain < SETTLED:
            return step, corrections + 1
    return step, most


def refine(T: Array, Z: Array, steps: int = 30) -> Array:
    """Rows z of unit norm that make |T svec(z z^T)|^2 smallest near the rows of Z (k, k), by Levenberg-Marquardt.

    Rows that run onto another's neuron go back to where they started.
    """
    M = smat(T)
    k = len(Z)
    start, damping = Z, np.full(k, 1e-3)
    MZ = np.einsum("pab,ib->ipa", M, Z, optimize=True)
    r = np.einsum("ipa,ia->ip", MZ, Z)
    loss = np.einsum("ip,ip->i", r, r)
    for _ in range(steps):
        J = 2 * (MZ - r[:, :, None] * Z[:, None, :])  # on the tangent: M z.z changes by 2 M z.dz, dz orthogonal to z
        H = J.transpose(0, 2, 1) @ J
        size = np.trace(H, axis1=1, axis2=2) / k
        H += (damping * size)[:, None, None] * np.eye(k) + size[:, None, None] * Z[:, :, None] * Z[:, None, :]
        H += np.finfo(float).tiny * np.eye(k)
        trial = Z - np.linalg.solve(H, np.einsum("ipa,ip->ia", J, r)[:, :, None])[:, :, 0]
        trial /= np.linalg.norm(trial, axis=1, keepdims=True)
        trial_MZ = np.einsum("pab,ib->ipa", M, trial, optimize=True)
        trial_r = np.einsum("ipa,ia->ip", trial_MZ, trial)
        trial_loss = np.einsum("ip,ip->i", trial_r, trial_r)
        better = trial_loss < loss
        gain = np.where(better, loss - trial_loss, 0.0)
        Z, MZ = np.where(better[:, None], trial, Z), np.where(better[:, None, None], trial_MZ, MZ)
        r, loss = np.where(better[:, None], trial_r, r), np.where(better, trial_loss, loss)
        damping = np.where(better, damping / 5, damping * 8)
        if not (gain > 1e-10 * loss).any() and (damping > 1e-3).any():
            break
    return _apart(start, Z)


def _apart(start: Array, Z: Array) -> Array:
    """Undo refinements that collapsed two rows, or all of them if that does not help."""
    limit = _COLLAPSED * np.linalg.cond(start)
    order = np.argsort(-np.abs(np.einsum("ia,ia->i", start, Z)))
    kept: list[int] = []
    result = Z.copy()
    for i in order:  # those that moved least are the most credible
        if kept and np.abs(result[kept] @ Z[i]).max() > 0.999:
            result[i] = start[i]
        kept.append(int(i))
    return result if np.linalg.cond(result) <= limit else start


@dataclass(frozen=True)
class Remainder:
    """What a network leaves of the labels: sum of squares, and its regression on x (m, d)."""

    loss: float
    B: Array


def remainder(rows: Rows, regression: Regression, A: Array, W: Array) -> Remainder:
    """Loss of the network, and the regression B = A W / 2 + regression of the residual on x.

    Under a symmetric law this is a regression with far less variance than the direct one: the part |s| that x does
    not explain is gone but for the error of A and W. Our own control variate; iterated, it converges to the
    network itself where labels are exact.
    """
    cross = np.zeros((rows.n_outputs, rows.n_inputs))
    loss = 0.0
    for _, X, Y in rows.chunks(_CHUNK):
        R = Y - np.maximum(X @ W.T, 0.0) @ A.T
        cross += R.T @ (X / regression.unit)
        loss += float(np.einsum("ij,ij->", R, R))
    inverse = regression.inverse_root * regression.unit
    B = A @ W / 2 + cross @ inverse @ inverse / (rows.n_rows * regression.unit)
    return Remainder(loss, B)
