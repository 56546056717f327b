"""Starts of the rectified learner from moments of Gaussian inputs (Bakshi, Jayaram, Woodruff 2018).

Labels Y = F U^T, F = f(X V^T), f the rectifier, x standard Gaussian. With c = 1/sqrt(2 pi) and Hermite tensors S_l,

    E[y x^T] = U V / 2,   E[y_a S_2(x)] = c sum_i U_ai v_i v_i^T,   E[y_a S_4(x)] = -c sum_i U_ai v_i^(x)4.

The published route uses order 4 for every m; order 2 suffices where m >= 2 and is far more exact. Orthonormal V make
the columns of F independent, and their third cumulant is 0.3265: then independent components of the labels are neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.moments.decomposition import orthogonal_power_iteration
from fastmom.moments.diagonalization import diagonalize_jointly
from fastmom.moments.hermite import hermite_residual
from fastmom.moments.tensors import small_tensor
from fastmom.moments.whitening import symmetric_roots

Array = npt.NDArray[np.float64]

MEAN = 1 / np.sqrt(2 * np.pi)  # of a rectified standard Gaussian, also E[f''] and -E[f'''']
DEVIATION = np.sqrt(0.5 - 1 / (2 * np.pi))


@dataclass(frozen=True)
class GaussianEstimate:
    """A network from moments.

    Attributes
    ----------
    A : ndarray (m, k)
        Output weights.
    W : ndarray (k, d)
        Unit hidden weights, oriented.
    residual : float
        Of the decomposition, relative.
    agreement : float
        Fraction of neurons that both sign steps orient alike.
    """

    A: Array
    W: Array
    residual: float
    agreement: float


def standardize(X: Array) -> tuple[Array, Array]:
    """Inputs of unit covariance about zero, X @ R, and R (d, d); a hidden weight w of them is R w of X."""
    R = symmetric_roots(X.T @ X / len(X)).inverse_root
    return X @ R, R


def from_second_moment(X: Array, Y: Array, k: int, rng: np.random.Generator) -> GaussianEstimate:
    """Joint diagonalisation of the m second moments E[y_a S_2(x)], m >= 2; k <= d.

    Parameters
    ----------
    X : ndarray (n, d)
        Gaussian inputs of any covariance, mean zero.
    Y : ndarray (n, m)
        Labels.
    k : int
        Number of neurons.
    rng : numpy.random.Generator
        Draws pencils.
    """
    x, R = standardize(X)
    _, fit = hermite_residual(x, Y)
    T2 = 2 * fit.quadratic
    Q = _span(T2, k)
    joint = diagonalize_jointly(np.einsum("da,mde,eb->mab", Q, T2, Q, optimize=True), rng)
    return _oriented(x, Y, fit.linear, joint.coefficients / MEAN, joint.Z @ Q.T, R, joint.residual)


def from_fourth_moment(X: Array, y: Array, k: int, rng: np.random.Generator) -> GaussianEstimate:
    """Joint diagonalisation of the slices of E[y S_4(x)] in the span of E[y S_2(x)], for one output; k <= d.

    Parameters as in `from_second_moment`, y (n, 1).
    """
    x, R = standardize(X)
    residual, fit = hermite_residual(x, y)
    Q = _span(2 * fit.quadratic, k)
    T4 = small_tensor(x, np.ascontiguousarray(residual[:, 0]), Q, 4)
    i, j = np.triu_indices(k)
    slices = T4[i, j] * np.where(i == j, 1.0, np.sqrt(2.0))[:, None, None]  # least squares over all of T4
    joint = diagonalize_jointly(slices, rng)
    Z = joint.Z
    # order 2 has the better scale: c sum_i u_i z_i z_i^T on the directions found
    products = np.einsum("ia,ib->abi", Z, Z).reshape(k * k, k)
    T2 = np.einsum("da,mde,eb->mab", Q, 2 * fit.quadratic, Q, optimize=True).reshape(1, k * k)
    U = np.linalg.lstsq(products, T2.T, rcond=None)[0].T / MEAN
    return _oriented(x, y, fit.linear, U, Z @ Q.T, R, joint.residual)


def from_components(X: Array, Y: Array, k: int, rng: np.random.Generator) -> GaussianEstimate:
    """Independent components of the labels by their third cumulant, for orthonormal V (of standardised inputs); m >= k.

    Parameters as in `from_second_moment`.
    """
    x, R = standardize(X)
    centred = Y - Y.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(Y))
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    white = np.ascontiguousarray(centred @ (vectors / np.sqrt(values)))
    T3 = small_tensor(white, np.ones(len(Y)), np.eye(k), 3)
    found = orthogonal_power_iteration(T3, rng=rng)
    r = found.vectors * np.sign(np.einsum("abc,ia,ib,ic->i", T3, *[found.vectors] * 3))[:, None]
    W = 2 * (white @ r.T * DEVIATION).T @ x / len(x)
    U = (vectors * np.sqrt(values)) @ r.T / DEVIATION
    return _oriented(x, Y, Y.T @ x / len(x), U, W, R, float(found.residual))


def _span(T2: Array, k: int) -> Array:
    """Orthonormal basis (d, k) of the leading directions of second moments (m, d, d)."""
    return np.ascontiguousarray(np.linalg.eigh(np.einsum("mab,mbc->ac", T2, T2))[1][:, ::-1][:, :k])


def _oriented(x: Array, Y: Array, linear: Array, U: Array, V: Array, R: Array, residual: float) -> GaussianEstimate:
    """Signs of the rows of V, then weights of the inputs as given."""
    V = V / np.linalg.norm(V, axis=1, keepdims=True)
    signs = signs_by_linear_part(linear, U, V)
    others = signs_by_regression(x, Y, V)
    W = (signs[:, None] * V) @ R
    length = np.linalg.norm(W, axis=1)
    return GaussianEstimate(U * length, W / length[:, None], residual, float(np.mean(signs == others)))


def signs_by_linear_part(linear: Array, U: Array, V: Array) -> Array:
    """Signs (k,) of the rows of V by one linear solve: E[y x^T] = sum_i s_i U_i v_i^T / 2.

    The odd part of f(t) is t / 2 whatever the law of x, so `linear` may be the regression on any inputs.
    """
    design = np.einsum("mi,id->mdi", U, V).reshape(-1, len(V)) / 2
    return np.where(np.linalg.lstsq(design, linear.ravel(), rcond=None)[0] < 0, -1.0, 1.0)


def signs_by_regression(X: Array, Y: Array, V: Array) -> Array:
    """Signs (k,) by which of f(v.x) and f(-v.x) the labels miss more, all 2 k given (theorem T3c of the paper).

    The sum of squares that leaving out one column of a regression adds is |coefficient|^2 / (F^T F)^-1_jj.
    """
    T = X @ V.T
    F = np.hstack([np.maximum(T, 0.0), np.maximum(-T, 0.0)])
    inverse = np.linalg.pinv(F.T @ F)
    missed = np.sum((inverse @ (F.T @ Y)) ** 2, axis=1) / np.maximum(np.diag(inverse), np.finfo(float).tiny)
    k = len(V)
    return np.where(missed[:k] < missed[k:], -1.0, 1.0)
