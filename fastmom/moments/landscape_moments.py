"""The moment stage of Ge, Lee and Ma 2017: labels to a tensor whose components are orthonormal, and back to neurons.

T_l = c_l sum_i a_i b_i^(x)l for unit b_i, a_i > 0. With a second moment M = sum_i m_i b_i b_i^T, m_i > 0, and its
whitening Wh^T M Wh = I, the vectors sqrt(m_i) Wh^T b_i are orthonormal, and M Wh maps them back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation
from fastmom.moments.contraction import contract_matrix
from fastmom.moments.hermite import HermiteCoefficients, hermite_residual
from fastmom.moments.tensor_action import Contraction, action_of
from fastmom.moments.tensors import small_tensor
from fastmom.moments.whitened_action import whitened_action
from fastmom.moments.whitening import Whitening, whiten

Array = npt.NDArray[np.float64]

TENSOR_UP_TO = 20  # whitened dimensions whose tensor is formed; above, it acts straight from the samples
SIGNAL = 1.5  # times the largest eigenvalue that noise alone would give


@dataclass(frozen=True)
class MomentStage:
    """What the samples say before any optimisation.

    Attributes
    ----------
    order : int
        Of the tensor, 3 or 4.
    fit : HermiteCoefficients
        Low moments: T_1 is its linear part, T_2 twice its quadratic part.
    residual : ndarray (n,)
        Labels without these: the weights of the tensor.
    space : Whitening
        Of the second moment.
    scale : float
        The second moment is `scale` sum_i m_i b_i b_i^T, m_i = a_i where it is |T_2|.
    sign : float
        Of the components' weights in the tensor, where a > 0.
    noise : float
        Eigenvalue of the second moment that the residual alone would give.
    """

    order: int
    fit: HermiteCoefficients
    residual: Array
    space: Whitening
    scale: float
    sign: float
    noise: float

    @property
    def metric(self) -> Array:
        """Covariance of the whitened inputs (k, k)."""
        return np.asarray(self.space.whiten.T @ self.space.whiten)

    def tensor(self, X: Array) -> Array:
        """Whitened tensor (k,) * order."""
        return small_tensor(X, self.residual, self.space.whiten, self.order)

    def action(self, X: Array) -> tuple[Contraction | Array, Contraction]:
        """The tensor for a decomposition, and how it acts: formed where small, from the samples where not."""
        if self.space.whiten.shape[1] <= TENSOR_UP_TO:
            T = self.sign * self.tensor(X)
            return T, action_of(T)
        act = whitened_action(X @ self.space.whiten, self.residual, self.metric, self.order)

        def signed(V: Array) -> Array:
            return self.sign * act(V)

        return signed, signed


def estimate_moments(X: Array, y: Array, f: Activation, k: int | None) -> MomentStage:
    """Low moments, control variates and whitening; a > 0.

    Parameters
    ----------
    X : ndarray (n, d)
        Standard Gaussian inputs.
    y : ndarray (n,)
        Labels.
    f : Activation
        Of the network: orders 2 and 4 where both exist, else 3 with 2 or 1.
    k : int or None
        Neurons; None: eigenvalues of the second moment that stand out of the noise.

    Raises
    ------
    ValueError
        If the second moment is not positive on k directions: the message of `whiten`.
    """
    n, d = X.shape
    even = 2 in f.moment_orders
    order = 4 if even and 4 in f.moment_orders else 3
    degree = 2 if even and n >= (d + 1) * (d + 2) // 2 else 1
    residual, fit = hermite_residual(X, y, degree, tol=1e-3)
    c2 = f.coefficient(2)
    if even:
        T2 = 2 * fit.quadratic[0] if degree == 2 else contract_matrix(X, residual, np.zeros(d), 2)
        M, scale = np.sign(c2) * T2, abs(c2)
    else:
        c1, c3 = f.coefficient(1), f.coefficient(3)
        mean = fit.linear[0] / c1
        length = float(np.linalg.norm(mean)) or 1.0
        M = np.sign(c3) * length * contract_matrix(X, residual, mean / length, 3)
        scale = abs(c3)
    unknowns = 1 + d + (degree == 2) * d * (d + 1) // 2
    deviation = float(np.sqrt(residual @ residual / max(1, n - unknowns)))
    inflation = 1 / np.sqrt(max(0.05, 1 - unknowns / n)) * (1.0 if even else np.sqrt(2) * length)
    noise = 2 * np.sqrt(d / n) * deviation * inflation
    M = (M + M.T) / 2
    if k is None:
        k = max(1, int(np.count_nonzero(np.linalg.eigvalsh(M) > SIGNAL * noise)))
    return MomentStage(order, fit, residual, whiten(M, k), scale, float(np.sign(f.coefficient(order))), noise)


def neurons(stage: MomentStage, V: Array, f: Activation) -> tuple[Array, Array]:
    """Unit rows (k, d), oriented, and output weights (k,) > 0 of orthonormal vectors V (k, k) as rows.

    The first moment c_1 sum_i a_i b_i orients rows where order 4 does not; a_i = |M Wh v_i|^2 / c_2 is more accurate
    than the first moment, which gives the output weights where there is no second.
    """
    rows = V @ stage.space.unwhiten.T
    length = np.linalg.norm(rows, axis=1)
    B = rows / np.where(length > 0, length, 1.0)[:, None]
    first = np.zeros(len(V))
    c1 = f.coefficient(1)
    if 1 in f.moment_orders:
        first = np.linalg.lstsq(B.T, stage.fit.linear[0] / c1, rcond=None)[0]
    if stage.order == 4:
        B = np.where(first < 0, -1.0, 1.0)[:, None] * B
    if 2 in f.moment_orders:
        return B, length**2 / stage.scale
    return B, np.maximum(np.abs(first), 1e-3 * np.abs(first).max())
