"""What the kernel of `fastmom.kernels.hinge` computes, in plain NumPy: tests hold the kernel to it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def ascent(K: Array, y: Array, p: Array, C: float, least: float, most: int) -> tuple[Array, int]:
    """Coordinates after at most `most` steps of the dual sum_i p_i - (C / 2) z^T K z, z = p y, 0 <= p <= 1.

    Each step takes the coordinate whose best step gains most (to 20 bits, the last of equals), while one gains more
    than `least`.
    """
    p = p.copy()
    for count in range(most):
        slope, curvature = 1 - C * y * (K @ (p * y)), C * np.diag(K)
        step = np.clip(p + slope / curvature, 0, 1) - p
        gain = step * (slope - 0.5 * step * curvature)
        rounded = gain.view(np.int64) >> 32
        i = int(np.flatnonzero(rounded == rounded.max())[-1])
        if not gain[i] > least:
            return p, count
        p[i] += step[i]
    return p, most
