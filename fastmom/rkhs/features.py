"""Functions in the span of some landmarks: features whose inner products are the kernel's, restricted to that span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from fastmom.rkhs.products import kernel_values

Array = npt.NDArray[np.float64]

_JITTER = 4e-16  # relative to the trace, on the diagonal of the landmarks' kernel


@dataclass(frozen=True, eq=False)
class Nystrom:
    """Features phi(x) = R^-1 K(landmarks, x), R R^T = K(landmarks, landmarks): |w| is the norm of x -> w.phi(x).

    Attributes
    ----------
    landmarks : ndarray (r, d)
    factor : ndarray (r, r)
        R, lower triangular.
    depth : float
    """

    landmarks: Array
    factor: Array
    depth: float

    def features(self, X: Array) -> Array:
        """Phi (n, r), one row for each row of X."""
        columns = np.asarray(kernel_values(self.landmarks, X, self.depth), dtype=np.float64)
        return solve_triangular(self.factor, columns, lower=True, overwrite_b=True).T

    def coefficients(self, w: Array) -> Array:
        """Coefficients (r, q) of the kernel at the landmarks for weights w (r, q) of the features."""
        return solve_triangular(self.factor, w, lower=True, trans="T")


def nystrom_features(landmarks: Array, depth: float) -> Nystrom:
    """Features of the span of landmarks (r, d), rows of `as_ball_rows`.

    A jitter of round-off size keeps nearly equal landmarks apart; it makes norms larger, never smaller.
    """
    K = np.asarray(kernel_values(landmarks, None, depth), dtype=np.float64)
    K[np.diag_indices(len(K))] += _JITTER * len(K) * max(1.0, float(np.trace(K)))
    return Nystrom(landmarks, cholesky(K, lower=True, overwrite_a=True, check_finite=False), depth)
