"""The span of a few hidden weights from random contractions of even Hermite moments.

For F(x) = linear.x + sum_i s_i |b_i.x|, the moment of an even order l contracted with a unit vector g is

    T_l(g, .., g, I, I) = sum_i c_l s_i |b_i| <u_i, g>^{l-2} u_i u_i^T,    u_i = b_i / |b_i|,

of rank k at most, with its range in the span of the neurons. For a random g the numbers <u_i, g>^2 differ, so that no
combination of neurons cancels in all orders l = 2, 4, .., 2 k unless it is zero or they are parallel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.moments.contraction import HIGHEST_ORDER, contract_matrix
from fastmom.moments.hermite import hermite_residual

Array = npt.NDArray[np.float64]

_ROWS_PER_COEFFICIENT = 3  # from which the quadratic part is removed before moments of order four and more
_EDGE = 1.05  # times what labels in a random order reach
_FAINT = 1e-3  # weight of an eigenvector that does not stand out: it counts where nothing else does
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class MomentSubspace:
    """Where the moments see neurons.

    Attributes
    ----------
    V : ndarray (d, r)
        Orthonormal columns, by decreasing strength.
    strengths : ndarray (d,)
        Singular values of all eigenvectors together, each as long as its eigenvalue exceeds what noise reaches, in
        units of that.
    linear : ndarray (d,)
        Least-squares linear part of the labels.
    """

    V: Array
    strengths: Array
    linear: Array


def moment_subspace(
    X: Array,
    y: Array,
    n_directions: int,
    rng: np.random.Generator,
    *,
    orders: tuple[int, ...] = (2, 4),
    n_contractions: int = 2,
    ambient: bool = False,
) -> MomentSubspace:
    """Span the eigenvectors of ``M_l = T_l(g, .., g, I, I)`` for random unit g that stand out of the noise.

    Chen, Dou, Goel, Klivans, Meka 2023 (arXiv 2304.10524) take one M_l at a time, Chen and Narayanan 2023 (arXiv
    2307.12496) all orders at once. Two changes make it work at sizes that exist. Before the moment of order two the
    linear part is removed by least squares, before higher ones the quadratic too: they are noise to them. And g is
    drawn from the span of the linear part and of the second moment instead of all of R^d, which would cost a factor
    d^{(l-2)/2} of the signal.

    Parameters
    ----------
    X : ndarray (n, d)
        Standard Gaussian inputs.
    y : ndarray (n,)
        Labels, or what a network leaves of them.
    n_directions : int
        r, at most d.
    rng : Generator
    orders : tuple of int
        Even, from 2 to 10.
    n_contractions : int
        Vectors g for each order beyond two.
    ambient : bool
        Draw g from R^d, as the papers do.

    Returns
    -------
    MomentSubspace

    Raises
    ------
    ValueError
        For orders that are odd or out of range.
    """
    if any(order % 2 or not 2 <= order <= HIGHEST_ORDER for order in orders):
        raise ValueError(f"orders: expected even numbers from 2 to {HIGHEST_ORDER}, got {orders}")
    n, d = X.shape
    rest, fit = hermite_residual(X, y, degree=1)
    linear = fit.linear[0]
    first = _visible(X, rest, np.zeros(d), 2, rng)
    found = [first] if 2 in orders else []
    higher = [order for order in orders if order > 2]
    if higher and n >= _ROWS_PER_COEFFICIENT * math.comb(d + 2, 2):
        rest = hermite_residual(X, y, degree=2)[0]
    span = np.eye(d) if ambient else _span(linear, first, n_directions)
    for order in higher:
        for _ in range(n_contractions):
            g = span @ rng.standard_normal(span.shape[1])
            found.append(_visible(X, rest, g / np.linalg.norm(g), order, rng))
    V, strengths, _ = np.linalg.svd(np.hstack(found), full_matrices=False)
    return MomentSubspace(V[:, :n_directions], strengths, linear)


def _visible(X: Array, w: Array, g: Array, order: int, rng: np.random.Generator) -> Array:
    """Eigenvectors of T_l(g, .., g, I, I), each as long as its eigenvalue stands out of the noise (d, d).

    The noise of the moment is (l - 2)!^{1/2} across g, sqrt(l - 1) times as much in a row along g, and again in the
    entry of both: the matrix is levelled first, and its eigenvectors are turned back. What noise amounts to is measured
    on labels in a random order.
    """
    if not w.any():
        return np.zeros((X.shape[1], X.shape[1]))
    matrices = contract_matrix(X, np.column_stack([w, rng.permutation(w)]), g, order)
    level = np.eye(len(g)) + (1 / math.sqrt(order - 1) - 1) * np.outer(g, g)
    values, vectors = np.linalg.eigh(level @ matrices[0] @ level)
    edge = _EDGE * float(np.linalg.norm(level @ matrices[1] @ level, 2))
    excess = np.maximum(np.abs(values) / edge - 1, _FAINT * np.abs(values) / edge)
    back = np.linalg.solve(level, vectors)
    return np.asarray(back / np.linalg.norm(back, axis=0) * excess)


def _span(linear: Array, visible: Array, n_directions: int) -> Array:
    """Orthonormal basis of the linear part and the top of the second moment (d, r)."""
    strength = np.linalg.norm(visible, axis=0)
    top = visible[:, np.argsort(-strength)[:n_directions]]
    top = top / np.maximum(np.linalg.norm(top, axis=0), _TINY)
    size = float(np.linalg.norm(linear))
    return np.linalg.qr(np.column_stack([linear / size, top]) if size > 0 else top)[0]
