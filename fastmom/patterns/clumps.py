"""Neurons that noise does not let one tell apart, and what their clump amounts to.

Near a common direction u, neurons with kinks b_i act as ``a |u.x| + sgn(u.x) p.x``: a monopole, the sum a of their
coefficients, and a dipole p across u. A few noisy rows determine these two long before they determine the members.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.patterns.kinks import KinkNetwork, apply_pattern_gram

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

CLEAR = 2.0  # RMS errors by which two kinks must differ to be told apart
_NO_INFORMATION = 1e-12  # eigenvalue of the information, relative to the largest, that counts as none


@dataclass(frozen=True, eq=False)
class Clump:
    """Kinks near one line.

    Attributes
    ----------
    members : ndarray (q,)
        Which kinks.
    direction : ndarray (d,)
        Unit vector u: their mean, up to signs, weighted by size.
    coefficient : float
        The monopole a, of |u.x|.
    dipole : ndarray (d,)
        p, orthogonal to u.
    """

    members: Indices
    direction: Array
    coefficient: float
    dipole: Array


def clumps(kinks: KinkNetwork, angle: float) -> list[Clump]:
    """Clumps of at least two kinks, neighbours within `angle` (radians) of each other, up to sign.

    Examples
    --------
    >>> import fastmom as fm
    >>> from fastmom.patterns.clumps import clumps
    >>> from fastmom.patterns.kinks import kinks_of
    >>> teacher = fm.random_teacher(10, 3, kind="opposite", angle=0.05, rng=0)
    >>> [clump.members.tolist() for clump in clumps(kinks_of(teacher), 0.1)]
    [[0, 1]]
    """
    return [_clump(kinks, group) for group in _groups(_angles(kinks.B) <= angle) if len(group) > 1]


def unresolved(
    kinks: KinkNetwork, noise_std: float, n_rows: int, sides: Array | None = None, clear: float = CLEAR
) -> list[Clump]:
    """Clumps whose members differ by less than `clear` times the error of the difference, see `resolution`."""
    return [
        _clump(kinks, group) for group in _groups(resolution(kinks, noise_std, n_rows, sides) < clear) if len(group) > 1
    ]


def resolution(kinks: KinkNetwork, noise_std: float, n_rows: int, sides: Array | None = None) -> Array:
    """Distance of the directions of every pair of kinks over the RMS error of their difference (k, k).

    The information of standard Gaussian rows about c_i = signs_i b_i is ``n / noise^2`` times the pattern Gram
    ``E[sgn(b_i.x) sgn(b_j.x) x x^T]``, plus ``e_i e_j I`` where the linear part is known to be ``sum_i e_i c_i``.

    Parameters
    ----------
    kinks : KinkNetwork
    noise_std : float
        Of the labels.
    n_rows : int
    sides : ndarray (k,), optional
        The e of a network of ReLUs without a linear part of its own; see `fastmom.patterns.kinks.active_sides`.

    Returns
    -------
    ndarray (k, k)
        Infinite on the diagonal.
    """
    (k, d), out = kinks.B.shape, np.full((kinks.n_kinks, kinks.n_kinks), math.inf)
    if noise_std == 0 or k < 2:
        return out
    basis = np.linalg.qr(kinks.B.T)[0]  # the information maps the span to itself, and acts on all beyond it alike
    B = kinks.B @ basis
    within, beyond = (noise_std**2 / n_rows * _inverse(part) for part in _information(B, sides))
    r, sizes = B.shape[1], np.linalg.norm(B, axis=1)
    units, weights = B / sizes[:, None], kinks.signs / sizes
    projections = weights[:, None, None] * (np.eye(r) - units[:, :, None] * units[:, None, :])
    for i, j in zip(*np.triu_indices(k, 1), strict=True):
        side = math.copysign(1.0, float(units[i] @ units[j]))
        change, spare = np.zeros((r, k, r)), np.zeros(k)  # of the difference, by the unknowns
        change[:, i], change[:, j] = projections[i], -side * projections[j]
        spare[i], spare[j] = weights[i], -side * weights[j]
        J = change.reshape(r, k * r)
        variance = float(np.trace(J @ within @ J.T)) + (d - r) * float(spare @ beyond @ spare)
        out[i, j] = out[j, i] = np.linalg.norm(units[i] - side * units[j]) / math.sqrt(variance)
    return out


def collapsed(kinks: KinkNetwork, angle: float) -> KinkNetwork:
    """The network with every clump replaced by its monopole; the linear part is exact and stays.

    For neurons of the same sign nothing of first order is lost: their dipole is zero.
    """
    groups = clumps(kinks, angle)
    left = np.setdiff1d(
        np.arange(kinks.n_kinks), np.concatenate([np.zeros(0, dtype=np.intp), *(g.members for g in groups)])
    )
    kept = [group for group in groups if group.coefficient != 0]
    B = [*kinks.B[left], *(abs(group.coefficient) * group.direction for group in kept)]
    signs = [*kinks.signs[left], *(math.copysign(1.0, group.coefficient) for group in kept)]
    return KinkNetwork(kinks.linear, np.array(B).reshape(-1, len(kinks.linear)), np.array(signs), kinks.constant)


def _clump(kinks: KinkNetwork, members: Indices) -> Clump:
    B = kinks.B[members]
    turned = np.where(B @ B[np.argmax(np.linalg.norm(B, axis=1))] < 0, -1.0, 1.0)[:, None] * B
    direction = turned.sum(axis=0)
    direction /= np.linalg.norm(direction)
    total = kinks.signs[members] @ turned
    coefficient = float(total @ direction)
    return Clump(members, direction, coefficient, total - coefficient * direction)


def _angles(B: Array) -> Array:
    """Angles of all pairs of lines (k, k), accurate for small ones."""
    U = B / np.linalg.norm(B, axis=1, keepdims=True)
    minus, plus = (np.linalg.norm(U[:, None] + sign * U[None], axis=2) for sign in (-1.0, 1.0))
    return np.asarray(2 * np.arctan2(np.minimum(minus, plus), np.maximum(minus, plus)))


def _groups(near: npt.NDArray[np.bool_]) -> list[Indices]:
    """Connected sets of a symmetric relation."""
    free, groups = np.ones(len(near), dtype=bool), []
    for first in range(len(near)):
        if free[first]:
            group = np.arange(len(near)) == first
            while (grown := group | near[group].any(axis=0)).sum() > group.sum():
                group = grown
            free &= ~group
            groups.append(np.flatnonzero(group))
    return groups


def _information(B: Array, sides: Array | None) -> tuple[Array, Array]:
    """Of one row with noise one: about all c_i in the span of B (k r, k r), and in any direction beyond it (k, k)."""
    k, r = B.shape
    within = np.empty((k * r, k * r))
    for unknown in range(k * r):
        unit = np.zeros((1 + k, r))
        unit[1 + unknown // r, unknown % r] = 1.0
        within[unknown] = apply_pattern_gram(B, unit)[1:].ravel()
    units = B / np.linalg.norm(B, axis=1, keepdims=True)
    beyond = 1 - 2 / math.pi * np.arccos(np.clip(units @ units.T, -1.0, 1.0))
    tie = np.zeros((k, k)) if sides is None else np.outer(sides, sides)
    return within + np.kron(tie, np.eye(r)), beyond + tie


def _inverse(information: Array) -> Array:
    """Inverse, with a huge variance where there is no information."""
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    return np.asarray((vectors / np.maximum(values, _NO_INFORMATION * values[-1])) @ vectors.T)
