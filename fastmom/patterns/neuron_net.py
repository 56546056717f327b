"""Search of neurons in a few dimensions by enumeration: nets of directions, and least squares for every choice of them.

This is how the published algorithms for networks of a few neurons end. A net of V^k grows exponentially in k, so its
size is bounded here and its spacing is what follows; finer nets are laid around the best choice only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastmom.patterns.kinks import KinkNetwork

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

MAX_CHOICES = 200_000  # sets of k directions whose least squares are solved
MAX_DIRECTIONS = 600
_LOCAL_CHOICES = 20_000
_MAX_LOCAL = 60
_CHUNK = 50_000
_RIDGE = 1e-9  # of a direction's mean square: choices with two equal directions stay solvable
_PROBES = 1000


def net_size(n_neurons: int, choices: int = MAX_CHOICES) -> int:
    """The most directions of which all sets of k are few enough to try."""
    size = n_neurons
    while size < MAX_DIRECTIONS and math.comb(size + 1, n_neurons) <= choices:
        size += 1
    return size


def unit_net(n_dimensions: int, size: int, rng: np.random.Generator) -> Array:
    """Directions up to sign (size, r): evenly spaced in the plane, random in more dimensions, one in one."""
    if n_dimensions == 1:
        return np.ones((1, 1))
    if n_dimensions == 2:
        turn = math.pi * np.arange(size) / size
        return np.column_stack([np.cos(turn), np.sin(turn)])
    return _unit(rng.standard_normal((size, n_dimensions)))


def spacing(net: Array, rng: np.random.Generator) -> float:
    """Angle within which 99 % of all directions have one of the net."""
    probes = _unit(rng.standard_normal((_PROBES, net.shape[1])))
    nearest = np.abs(probes @ net.T).max(axis=1)
    return float(np.quantile(np.arccos(np.minimum(nearest, 1.0)), 0.99))


def best_choice(Z: Array, e: Array, net: Array, n_neurons: int, given: Array | None = None) -> Indices:
    """Which k directions of the net explain most of e by ``sum_i a_i |u_i.z|``, of all sets.

    Parameters
    ----------
    Z : ndarray (n, r)
        Projected inputs.
    e : ndarray (n,)
        Labels without their linear part.
    net : ndarray (N, r)
        Directions; all sets of k of them are tried.
    n_neurons : int
    given : ndarray (n, q), optional
        Values of functions that take part in every fit.
    """
    k = min(n_neurons, len(net))
    choices = np.array(list(itertools.combinations(range(len(net)), k)), dtype=np.intp)
    return _best(Z, e, net, choices, given)


def refined(
    Z: Array, e: Array, U: Array, radii: Sequence[float], rng: np.random.Generator, given: Array | None = None
) -> Array:
    """Directions U (k, r) moved to the best of all choices from finer and finer nets around each of them."""
    k, r = U.shape
    if r == 1:
        return U
    each = max(3, min(_MAX_LOCAL, int(_LOCAL_CHOICES ** (1 / k))))
    for radius in radii:
        steps = radius / math.sqrt(r) * rng.standard_normal((k, each, r))
        steps[:, 0] = 0.0
        local = _unit((U[:, None] + steps).reshape(-1, r))
        sets = np.stack(np.meshgrid(*[np.arange(each)] * k, indexing="ij"), axis=-1).reshape(-1, k)
        U = local[_best(Z, e, local, sets + each * np.arange(k), given)]
    return U


def _best(Z: Array, e: Array, net: Array, choices: Indices, given: Array | None) -> Indices:
    """The choice (k,) of the most explained sum of squares."""
    values = np.abs(Z @ net.T)
    q = 0 if given is None else given.shape[1]
    if given is not None:
        values = np.hstack([given, values])
    gram, target = values.T @ values, values.T @ e
    gram[np.diag_indices_from(gram)] *= 1 + _RIDGE
    best, most = choices[0], -math.inf
    for first in range(0, len(choices), _CHUNK):
        part = choices[first : first + _CHUNK]
        columns = np.hstack([np.broadcast_to(np.arange(q), (len(part), q)), part + q])
        right = target[columns]
        solved = np.linalg.solve(gram[columns[:, :, None], columns[:, None, :]], right[:, :, None])[:, :, 0]
        explained = np.sum(right * solved, axis=1)
        top = int(np.argmax(explained))
        if explained[top] > most:
            best, most = part[top], float(explained[top])
    return best


def regress(X: Array, y: Array, U: Array) -> KinkNetwork:
    """Least squares of the labels on the inputs and |u_i.x| for directions U (k, d)."""
    d = X.shape[1]
    values = np.hstack([X, np.abs(X @ U.T)])
    gram = values.T @ values
    gram[np.diag_indices_from(gram)] *= 1 + _RIDGE
    found = np.linalg.solve(gram, values.T @ y)
    a = found[d:]
    live = a != 0
    return KinkNetwork(found[:d], np.abs(a[live, None]) * U[live], np.sign(a[live]))


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
