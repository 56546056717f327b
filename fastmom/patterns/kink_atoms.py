"""Search for kinks in the few dimensions that moments show: atoms added one by one, a beam of the best, descents.

Atoms: a monopole |u.z|; a dipole sgn(u.z) e.z, which a clump of near neurons of both signs looks like, as two kinks
u +- e; a split of a kink that is there. Every candidate descends a few steps (`fastmom.kernels.kink_descents`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels.kink_descents import descents_scratch, kink_descents

Array = npt.NDArray[np.float64]

BEAM = 3
ROWS = 6000  # at most
_SCOUT_ROWS = 2000
_SCOUT_STEPS, _STEPS = 4, 20
_DIRECTIONS = 300
_WIDTHS = (0.5, 0.12)  # of a dipole or a split, relative to its kink
_APART = 0.2  # radians between atoms of one kind
_RANDOM = 12  # candidates of the last level without any history


@dataclass(frozen=True, eq=False)
class FewDimensional:
    """Kinks in a few dimensions: B (k, m), signs (k,), v (m,), and the loss on the rows of the search."""

    B: Array
    signs: Array
    v: Array
    loss: float


def search_kinks(Z: Array, y: Array, k: int, rng: np.random.Generator) -> list[FewDimensional]:
    """The best k kinks of labels y (n,) over rows Z (n, m) of second moment I, best first, at most `BEAM`."""
    Z, y = np.ascontiguousarray(Z[:ROWS]), y[:ROWS]
    m = Z.shape[1]
    beam = [_linear(Z, y)]
    for size in range(1, k + 1):
        candidates = [B for state in beam for B in _grown(Z, y, state, rng) if len(B) == size]
        candidates += [B for state in _previous(beam, size) for B in _pairs(Z, y, state, rng)]
        if size == k:
            candidates += list(rng.standard_normal((_RANDOM, k, m)))
        scouted = _descended(Z[:_SCOUT_ROWS], y[:_SCOUT_ROWS], np.array(candidates), _SCOUT_STEPS)
        finalists = np.array([state.B for state in scouted[: 2 * BEAM]])
        beam = [state for state in beam if len(state.B) == size - 1][:1]  # what dipoles of the next level grow from
        beam = _descended(Z, y, finalists, _STEPS)[:BEAM] + beam
    return [state for state in beam if len(state.B) == k]


def _linear(Z: Array, y: Array) -> FewDimensional:
    v = np.asarray(np.linalg.lstsq(Z, y, rcond=None)[0], dtype=np.float64)
    return FewDimensional(np.empty((0, Z.shape[1])), np.empty(0), v, float(np.sum((y - Z @ v) ** 2)))


def _previous(beam: list[FewDimensional], size: int) -> list[FewDimensional]:
    return [state for state in beam if len(state.B) == size - 2]


def _descended(Z: Array, y: Array, B: Array, steps: int) -> list[FewDimensional]:
    """Every candidate (b, k, m) after some steps, lowest loss first."""
    (b, k, m), Z = B.shape, np.ascontiguousarray(Z)
    B, signs, V, losses = B.copy(), np.zeros((b, k)), np.zeros((b, m)), np.zeros(b)
    kink_descents(Z, np.ascontiguousarray(y), B, signs, V, steps, descents_scratch(b, m, k), losses)
    return [FewDimensional(B[i], signs[i], V[i], float(losses[i])) for i in np.argsort(losses, kind="stable")]


def _directions(state: FewDimensional, m: int, rng: np.random.Generator) -> Array:
    """Unit vectors at random, and near the kinks that are there."""
    U = rng.standard_normal((_DIRECTIONS, m))
    near = [b / np.linalg.norm(b) + s * rng.standard_normal((5, m)) / np.sqrt(m) for b in state.B for s in (0.5, 0.1)]
    U = np.vstack([U, *near])
    return np.asarray(U / np.linalg.norm(U, axis=1, keepdims=True))


def _residual(Z: Array, y: Array, state: FewDimensional) -> Array:
    return np.asarray(y - Z @ state.v - np.abs(Z @ state.B.T) @ state.signs)


def _strongest(scores: Array, U: Array, count: int) -> list[int]:
    """Indices of the highest scores, directions apart."""
    chosen: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(abs(U[i] @ U[j]) < np.cos(_APART) for j in chosen):
            chosen.append(int(i))
        if len(chosen) == count:
            break
    return chosen


def _grown(Z: Array, y: Array, state: FewDimensional, rng: np.random.Generator) -> list[Array]:
    """Candidates of one kink more: monopoles and splits."""
    z, r = Z[:_SCOUT_ROWS], _residual(Z[:_SCOUT_ROWS], y[:_SCOUT_ROWS], state)
    U = _directions(state, Z.shape[1], rng)
    features = np.abs(z @ U.T)
    features -= features.mean(axis=0)
    scores = np.abs((r - r.mean()) @ features) / np.linalg.norm(features, axis=0).clip(min=1e-300)
    out = [np.vstack([state.B, U[i]]) for i in _strongest(scores, U, 3)]
    for j, b in enumerate(state.B):
        for width in _WIDTHS:
            e = width * np.linalg.norm(b) * _unit(rng.standard_normal(len(b)))
            out.append(np.vstack([np.delete(state.B, j, axis=0), b + e, b - e]))
    return out


def _pairs(Z: Array, y: Array, state: FewDimensional, rng: np.random.Generator) -> list[Array]:
    """Candidates of two kinks more: dipoles."""
    z, r = Z[:_SCOUT_ROWS], _residual(Z[:_SCOUT_ROWS], y[:_SCOUT_ROWS], state)
    U = _directions(state, Z.shape[1], rng)
    pulls = (np.where(z @ U.T > 0, 1.0, -1.0) * r[:, None]).T @ z
    pulls -= np.einsum("ij,ij->i", pulls, U)[:, None] * U
    out: list[Array] = []
    for i in _strongest(np.linalg.norm(pulls, axis=1), U, 2):
        e = _unit(pulls[i])
        out.extend(np.vstack([state.B, U[i] + width * e, U[i] - width * e]) for width in _WIDTHS)
    return out


def _unit(e: Array) -> Array:
    return np.asarray(e / (np.linalg.norm(e) or 1.0))
