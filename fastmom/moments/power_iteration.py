"""Fixed points of v -> T(I, v, .., v), one vector at a time or an orthonormal basis at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.moments.joint_fit import unit_rows
from fastmom.moments.tensor_action import Contraction
from fastmom.runtime.validation import require_finite

Array = npt.NDArray[np.float64]

SETTLED = 1e-10  # change of an entry of a unit vector that counts as none


def contracted(contraction: Contraction, V: Array) -> Array:
    """Rows T(I, v, .., v) for every row of V (b, k, k)."""
    rows = V.reshape(-1, V.shape[-1])
    G = np.asarray(contraction(rows), dtype=np.float64)
    if G.shape != rows.shape:
        raise ValueError(
            f"T: the callable returned shape {G.shape} for rows of shape {rows.shape}; return T(I, v, .., v)"
        )
    require_finite(G, "T(I, v, .., v)")
    return G.reshape(V.shape)


def _polar(G: Array) -> Array:
    """Nearest matrices with orthonormal rows."""
    left, _, right = np.linalg.svd(G, full_matrices=False)
    return np.asarray(left @ right)


def orthogonal_ascents(
    contraction: Contraction, V: Array, max_iterations: int
) -> tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Iterate V (b, k, k) to rest, all together; also the iterations of each, and which came to rest."""
    V = V.copy()
    iterations = np.zeros(len(V), dtype=np.int64)
    moving = np.ones(len(V), dtype=bool)
    for _ in range(max_iterations):
        before = V[moving]
        after = _polar(contracted(contraction, before))
        # A negative weight turns its vector around at order 4: up to signs that is no move.
        side = np.where(np.einsum("bia,bia->bi", before, after) < 0, -1.0, 1.0)[:, :, None]
        change = np.abs(side * after - before).max(axis=(1, 2))
        V[moving] = after
        iterations[moving] += 1
        moving[moving] = change > SETTLED
        if not moving.any():
            break
    return V, iterations, ~moving


def ascents(contraction: Contraction, V: Array, max_iterations: int) -> tuple[Array, int, bool]:
    """Iterate unit vectors (r, d) one by one; iterations, and whether all came to rest."""
    for i in range(max_iterations):
        after = unit_rows(contraction(V))
        side = np.where(np.einsum("ra,ra->r", V, after) < 0, -1.0, 1.0)[:, None]
        change = float(np.abs(side * after - V).max())
        V = after
        if change <= SETTLED:
            return V, i + 1, True
    return V, max_iterations, False
