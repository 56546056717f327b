"""What the kernels of `fastmom.kernels.jacobi` compute, in plain NumPy: tests hold the kernels to these."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def plane_rotation(M: Array, p: int, q: int) -> Array:
    """The rotation G (k, k) in the plane (p, q), by at most pi / 4, least in the pq entries of all G M_l G^T.

    Cardoso and Souloumiac 1996: with h_l = (M_l,pp - M_l,qq, 2 M_l,pq), (cos 2t, sin 2t) is the top eigenvector of
    sum_l h_l h_l^T, on the side of cos 2t >= 0.
    """
    h = np.stack([M[:, p, p] - M[:, q, q], 2 * M[:, p, q]])
    x, y = np.linalg.eigh(h @ h.T)[1][:, -1]
    t = np.arctan2(y, x) / 2 if x >= 0 else np.arctan2(-y, -x) / 2
    G = np.eye(M.shape[-1])
    G[[p, p, q, q], [p, q, p, q]] = np.cos(t), np.sin(t), -np.sin(t), np.cos(t)
    return G


def joint_rotations(M: Array, smallest: float, max_sweeps: int) -> tuple[Array, Array, int]:
    """``V M_l V^T`` of symmetric matrices M (L, k, k), V (k, k), and sweeps: rotations plane by plane, row by row.

    A plane stays where the sine is at most `smallest`, or the pq entries are below `smallest` times the norm of the
    matrices' upper triangles over sqrt(k). The last sweep turns nothing, except when `max_sweeps` were not enough.
    """
    k = M.shape[-1]
    V = np.eye(k)
    negligible = smallest * np.linalg.norm(np.triu(M)) / np.sqrt(k)
    for sweep in range(max_sweeps):
        turned = False
        for p, q in zip(*np.triu_indices(k, 1), strict=True):
            G = plane_rotation(M, p, q)
            if abs(G[p, q]) > smallest and np.linalg.norm(M[:, p, q]) > negligible:
                M, V, turned = G @ M @ G.T, G @ V, True
        if not turned:
            return M, V, sweep
    return M, V, max_sweeps
