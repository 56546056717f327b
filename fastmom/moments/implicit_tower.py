"""Moments of high order of many positive neurons, held in k dimensions: Diakonikolas and Kane 2024, arXiv 2411.15669.

For F(x) = linear.x + sum_i a_i |u_i.x|, a_i > 0, the even moments ``M_2r = sum_i a_i u_i^(2r)``, which are Hermite
moments over E[|z| He_2r(z)], have rank k as matrices of d^r rows. A tower of projections

    Phi_1: R^d -> R^k1 top eigenvectors of M_2,
    A_{r+1} = (Phi_r (x) I) M_{2r+2} (Phi_r (x) I)^T, a matrix of k_r d rows,   Phi_{r+1} = V^T (Phi_r (x) I),

V the top k eigenvectors of A_{r+1}, keeps all of u_i^(r) in f_i = Phi_r u_i^(r): nothing of d^r numbers is formed, and
close neurons, alike in M_2, part at higher levels. It takes a_i > 0: otherwise neurons cancel, and directions are lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.activations import resolve
from fastmom.moments.contraction import HIGHEST_ORDER, contract_matrix
from fastmom.moments.diagonalization import jacobi_diagonalize
from fastmom.moments.hermite import hermite_residual
from fastmom.moments.tensors import face_splitting_gram

Array = npt.NDArray[np.float64]
Levels = tuple[Array, ...]
Products = Callable[[Levels], Array]

_BLOCK = 512
_NONE = 1e-10  # eigenvalue, relative to the largest, that counts as none
_MAX_ROWS = 4000  # of A: 128 MB


@dataclass(frozen=True, eq=False)
class Tower:
    """The projections, and what was seen at every level.

    Attributes
    ----------
    levels : tuple of ndarray
        Phi_1 (k_1, d), then V^T (k_{r+1}, k_r d) of every level.
    spectra : tuple of ndarray
        The eigenvalues that were kept, level by level.
    top : ndarray (k, k)
        A_R between the kept directions, R the number of levels.
    next : ndarray (k, d, k, d)
        A_{R+1}, from which the neurons are read.
    """

    levels: Levels
    spectra: tuple[Array, ...]
    top: Array
    next: Array

    def features(self, U: Array) -> Array:
        """Lift rows u of U (q, d) to f = Phi_R u^(R) (q, k)."""
        return _features(self.levels, U)


def implicit_tower(products: Products, n_inputs: int, n_neurons: int, height: int) -> Tower:
    """Build a tower of a height R; moments of orders 2, 4, .., 2 R + 2 take part.

    Parameters
    ----------
    products : callable
        `exact_products` or `sample_products`: A_{r+1} for the levels up to r.
    n_inputs, n_neurons : int
        d and k.
    height : int
        R, from 1 to 4. One is enough for k <= d neurons in general position.

    Raises
    ------
    ValueError
        For a height out of range, matrices that would be too large, and a top that is not positive: neurons of both
        signs, fewer neurons, or too few rows.
    """
    if not 1 <= height <= HIGHEST_ORDER // 2 - 1:
        raise ValueError(f"height: expected 1 to {HIGHEST_ORDER // 2 - 1}, got {height}")
    if n_neurons * n_inputs > _MAX_ROWS:
        raise ValueError(f"n_neurons: {n_neurons} x {n_inputs} rows of a level are too many, at most {_MAX_ROWS}")
    levels: Levels = ()
    spectra: list[Array] = []
    for _ in range(height):
        values, vectors = np.linalg.eigh(products(levels))
        kept = np.argsort(-values)[: min(n_neurons, len(values))]
        levels, spectra = (*levels, np.ascontiguousarray(vectors[:, kept].T)), [*spectra, values[kept]]
    k = len(levels[-1])
    if k < n_neurons:
        raise ValueError(f"height: {height} levels show {k} directions at most, {n_neurons} neurons need more levels")
    positive = spectra[-1] > _NONE * spectra[-1][0]
    if not positive.all():
        raise ValueError(
            f"n_neurons: level {height} shows {int(positive.sum())} positive eigenvalues, not {n_neurons}: "
            "neurons of both signs, fewer neurons, or too few rows"
        )
    return Tower(levels, tuple(spectra), np.diag(spectra[-1]), products(levels).reshape(k, n_inputs, k, n_inputs))


def tower_neurons(tower: Tower) -> Array:
    """Unit directions (k, d) of the neurons, each up to sign.

    Whitened by A_R, the f_i are orthonormal and diagonalise all slices ``sum_i a_i u_ib u_ie f_i f_i^T`` of A_{R+1}
    together; A_{R+1} contracted with one of them on both sides is then ``u_i u_i^T`` up to scale.
    """
    scale = 1 / np.sqrt(np.diag(tower.top))
    white = scale[:, None, None, None] * tower.next * scale[:, None]
    d = white.shape[1]
    b, e = np.triu_indices(d)
    slices = white.transpose(1, 3, 0, 2)
    slices = (slices + slices.transpose(1, 0, 2, 3)) / 2
    weights = np.where(b == e, 1.0, math.sqrt(2.0))
    rotation = jacobi_diagonalize(slices[b, e] * weights[:, None, None]).V
    squares = np.einsum("ia,bcad,id->ibc", rotation, slices, rotation, optimize=True)
    return np.asarray(np.linalg.eigh(squares)[1][:, :, -1])


def exact_products(a: Array, U: Array) -> Products:
    """A_{r+1} of known neurons: coefficients a (k,), unit directions U (k, d)."""

    def products(levels: Levels) -> Array:
        f = _lifted(_features(levels, U), U)
        return (f.T * a) @ f

    return products


def sample_products(X: Array, y: Array, rng: np.random.Generator, draws: int = 4) -> Products:
    """A_{r+1} estimated from samples (n, d), (n,) of standard Gaussian inputs.

    Order two and four are exact means over the rows. Beyond, ``He_l(x) = E_h (x + i h)^(l)`` for h ~ N(0, I) keeps the
    product form: with z = x + i h and p = Phi_r z^(r), A_{r+1} is the mean of ``y Re[(p (x) z) (p (x) z)^T]``, at
    2^l / 2 times the variance in order l for one draw of h a row.
    """
    linear_removed = hermite_residual(X, y, degree=1)[0]
    enough = len(X) >= math.comb(X.shape[1] + 2, 2)
    rest = hermite_residual(X, y, degree=2)[0] if enough else linear_removed

    def products(levels: Levels) -> Array:
        order = 2 * len(levels) + 2
        if order == 2:
            total = contract_matrix(X, linear_removed)
        elif order == 4:
            total = _order_four(X, rest, levels[0])
        else:
            total = _by_draws(X, rest, levels, rng, draws)
        return np.asarray((total + total.T) / (4 * resolve("relu").coefficient(order)))

    return products


def _features(levels: Levels, U: Array) -> Array:
    if not levels:
        return np.ones((len(U), 1), dtype=U.dtype)
    f = U @ levels[0].T
    for level in levels[1:]:
        f = _lifted(f, U) @ level.T
    return np.asarray(f)


def _lifted(f: Array, U: Array) -> Array:
    """Rows f (x) u."""
    return np.asarray((f[:, :, None] * U[:, None, :]).reshape(len(U), -1))


def _order_four(X: Array, w: Array, phi: Array) -> Array:
    """Mean of w (Phi (x) I) He_4(x) (Phi (x) I)^T: six products of pairs go, three of the identity come back."""
    (k, d), projected = phi.shape, np.ascontiguousarray(X @ phi.T)
    raw = face_splitting_gram(projected, X, w).reshape(k, d, k, d)
    second = np.asarray((X.T * w) @ X / len(X))
    u2, ux = phi @ second @ phi.T, phi @ second
    P, eye = phi @ phi.T, np.eye(d)
    pairs = np.einsum("ac,be->abce", P, second) + np.einsum("ac,be->abce", u2, eye)
    pairs += np.einsum("ab,ce->abce", phi, ux) + np.einsum("ce,ab->abce", phi, ux)
    pairs += np.einsum("ae,cb->abce", phi, ux) + np.einsum("cb,ae->abce", phi, ux)
    units = np.einsum("ac,be->abce", P, eye) + np.einsum("ab,ce->abce", phi, phi) + np.einsum("ae,cb->abce", phi, phi)
    return np.asarray((raw - pairs + float(np.mean(w)) * units).reshape(k * d, k * d))


def _by_draws(X: Array, w: Array, levels: Levels, rng: np.random.Generator, draws: int) -> Array:
    """Mean of w Re[(p (x) z) (p (x) z)^T] over the rows and draws of h for each."""
    d, width = X.shape[1], len(levels[-1])
    total = np.zeros((width * d, width * d))
    for first in range(0, len(X), _BLOCK):
        x, weights = X[first : first + _BLOCK], w[first : first + _BLOCK, None]
        for _ in range(draws):
            z = x + 1j * rng.standard_normal(x.shape)
            lifted = _lifted(_features(levels, z), z)
            real, imaginary = lifted.real, lifted.imag
            total += (real * weights).T @ real - (imaginary * weights).T @ imaginary
    return total / (draws * len(X))
