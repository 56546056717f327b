"""Which way the neurons point, from the linear part of the network.

``f(t) = f(-t) + t`` for a rectifier: every neuron that is turned moves its linear function into the linear part.
Turning the right ones leaves none: ``sum_i z_i w_i = c`` with z_i in {0, 1}, w_i (D,) what neuron i moves, c what is
to move. Up to D neurons one linear solve tells. More neurons than equations are a subset sum, of low density as the
equations are known to some 40 bits each, and lattice reduction solves it (Lagarias and Odlyzko 1985; the basis is that
of Coster, Joux, LaMacchia, Odlyzko, Schnorr and Stern 1992, several sums at once). Its use for networks is our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels import lattice

Array = npt.NDArray[np.float64]

INTEGRAL = 1e-5  # distance of a share from 0 or 1 that counts as none
MATCHED = 1e-8  # leftover linear part relative to the neurons' own that counts as none
SPARE_BITS = 20  # by which the equations must outweigh the choices
_DETERMINED = 1e-5  # relative singular value above which one linear solve is trusted
_BITS = 44  # precision of the equations that is used at most, and
_STAGE = 6  # bits of them taken in at a time, so that the basis stays almost reduced


@dataclass(frozen=True)
class Orientation:
    """Shares of every neuron that point the other way.

    Attributes
    ----------
    turned : ndarray (k,)
        0: as given, 1: the other way. Between the two: both ways, an opposite pair with these shares.
    leftover : float
        Linear part that remains, relative to the neurons' own.
    spare_bits : float
        Evidence beyond what the choice among 2^k orientations uses up; infinite for a linear solve.
    """

    turned: Array
    leftover: float
    spare_bits: float


def orient(moved: Array, target: Array, max_pairs: int = 0) -> Orientation | None:
    """Shares z with ``z @ moved = target``.

    Parameters
    ----------
    moved : ndarray (k, D)
        What each neuron moves when it is turned.
    target : ndarray (D,)
        What is to be moved.
    max_pairs : int
        Neurons that may point both ways.

    Returns
    -------
    Orientation or None
        None if there are no such shares, or not enough evidence for them.
    """
    size = float(np.linalg.norm(moved)) / max(1.0, np.sqrt(len(moved)))
    if size == 0:
        return Orientation(np.zeros(len(moved)), 0.0, np.inf) if not target.any() else None
    moved, target = moved / size, target / size
    singular = np.linalg.svd(moved, compute_uv=False)
    if len(moved) > moved.shape[1] or singular[-1] < _DETERMINED * singular[0]:
        return _subset_sum(moved, target, int(np.count_nonzero(singular > _DETERMINED * singular[0])))
    shares = np.linalg.lstsq(moved.T, target, rcond=None)[0]
    whole = np.abs(shares - np.rint(shares)) < INTEGRAL
    shares = np.where(whole, np.rint(shares), shares)
    leftover = float(np.linalg.norm(shares @ moved - target))
    n_pairs = len(shares) - int(np.count_nonzero((shares == 0) | (shares == 1)))
    told = leftover < MATCHED and n_pairs <= max_pairs and n_pairs < len(target)  # each pair uses up an equation
    return Orientation(np.asarray(shares, dtype=np.float64), leftover, np.inf) if told else None


def _subset_sum(moved: Array, target: Array, rank: int) -> Orientation | None:
    """Z in {0, 1}^k with ``z @ moved = target`` to such precision that no other choice would come as close by chance.

    In the lattice of the rows (2 e_i, 0, 2 w_i M) and (1, ..., 1, 1, 2 c M)
    the solution is the short vector (1 - 2 z, 1, 0). M grows in stages, so that each finds an almost reduced basis of
    small integers.
    """
    k = len(moved)
    coordinates = np.zeros((k + 1, k + 1))
    coordinates[:k, :k] = 2.0 * np.eye(k)
    coordinates[k] = 1.0
    values = np.vstack([moved, 2.0 * target - moved.sum(axis=0)])
    for bits in range(0, _BITS + 1, _STAGE):
        basis = np.hstack([coordinates, 2.0**bits * (coordinates @ values)])[None]
        lattice.reduce_bases(basis, lattice.lattice_scratch(basis), np.empty(1, dtype=np.int64))
        coordinates = np.rint(basis[0, :, : k + 1])
        for u in coordinates[np.abs(coordinates).max(axis=1) == 1]:
            if np.abs(u).min() < 1:
                continue
            z = 0.5 * (1.0 - u[:k] * u[k])
            leftover = float(np.linalg.norm(z @ moved - target))
            spare_bits = -rank * np.log2(max(leftover / np.sqrt(rank), np.finfo(float).eps)) - k
            if leftover < MATCHED and spare_bits > SPARE_BITS:
                return Orientation(z, leftover, float(spare_bits))
    return None
