"""Neurons active on few rows, which no ascent reaches: the sparse non-negative functions of the label space.

When ascents are exhausted, what is left of the label space belongs to neurons of few active rows. Such a function is
found by a linear programme (least sum among the non-negative ones with a given part beyond the known functions), its
weights by another (equal to the function where it is positive, as negative as can be elsewhere). Form of our own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SUPPORT = 1e-9  # relative to the largest value; less is zero
MAX_SHARE = 0.25  # of the rows on which a rare neuron is active
MAX_MISSING = 6
MAX_ROWS = 5000


def linear_programme(objective: Array, **constraints: Any) -> Array | None:
    """Minimiser, None if there is none. Loads SciPy's optimisers only when a rare neuron asks for them."""
    from scipy.optimize import linprog

    solved = linprog(objective, **constraints)
    return np.asarray(solved.x) if solved.status == 0 else None


def sparse_functions(basis: Array, n_known: int) -> list[Array]:
    """Non-negative functions (n,) of the label space with few positive rows, sparsest first.

    Parameters
    ----------
    basis : ndarray (n, r)
        Orthonormal basis of the label space, functions already found first.
    n_known : int
        How many those are.
    """
    n, r = basis.shape
    if r - n_known > MAX_MISSING or n > MAX_ROWS:
        return []
    found = []
    for j in range(n_known, r):
        for sign in (1.0, -1.0):
            bounds: list[tuple[float | None, float | None]] = [(None, None)] * r
            bounds[j] = (sign, sign)
            solution = linear_programme(basis.sum(axis=0), A_ub=-basis, b_ub=np.zeros(n), bounds=bounds)
            if solution is not None:
                values = basis @ solution
                positive = values > SUPPORT * np.abs(values).max()
                if 0 < np.count_nonzero(positive) <= MAX_SHARE * n:
                    found.append(_restricted(basis, positive))
    return sorted((f for f in found if f is not None), key=np.count_nonzero)


def _restricted(basis: Array, positive: npt.NDArray[np.bool_]) -> Array | None:
    """The function of the label space that vanishes off the given rows, to round-off."""
    _, s, vt = np.linalg.svd(basis[~positive], full_matrices=True)
    if len(s) == len(vt) and s[-1] > 1e-7:
        return None
    values = basis @ vt[-1]
    return np.where(positive, values * np.sign(values[positive].sum()), 0.0)


def weights_of(function: Array, inputs: Array) -> Array | None:
    """Direction u (e,) with relu(inputs @ u) equal to the function, least-norm up to what keeps other rows inactive."""
    active = function > 0
    target = inputs[active]
    _, s, vt = np.linalg.svd(target, full_matrices=True)
    rank = int(np.count_nonzero(s > 1e-10 * s[0]))
    null = vt[rank:].T
    least = np.linalg.pinv(target, rcond=1e-10) @ function[active]
    rest = inputs[~active]
    if not null.shape[1]:
        return np.asarray(least)
    size = np.linalg.norm(rest, axis=1)
    q = null.shape[1]
    solution = linear_programme(
        np.append(np.zeros(q), -1.0),
        A_ub=np.column_stack([rest @ null, size]),
        b_ub=-rest @ least,
        bounds=[(None, None)] * q + [(0.0, float(np.linalg.norm(least)))],
    )
    return None if solution is None else np.asarray(least + null @ solution[:-1])
