"""Products of labels that vanish on every row: exact recovery from a null space, for any input law.

Where z in label space singles out one neuron, z.y = relu(w.x), the product (z.y)(z.y - w.x) is zero on every row. It
is linear in (z z^T, z w^T): the null space of the features [svec(y y^T), -y (x) x] is spanned by the neurons, and a
joint diagonalisation tells them apart. Our own route, not the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from fastmom.moments.diagonalization import diagonalize_jointly
from fastmom.moments.tensors import smat

Array = npt.NDArray[np.float64]

VANISHING = 1e-10  # singular value of the features, columns of unit norm, relative to the largest
_STEPS = 3  # of inverse iteration: the gap is that of round-off to data


@dataclass(frozen=True)
class NullSpace:
    """Linear relations among products of labels with labels and inputs.

    Attributes
    ----------
    vectors : ndarray (k, P)
        Orthonormal, of the smallest singular values.
    values : ndarray (q,)
        Smallest singular values relative to the largest, ascending.
    nullity : int
        How many are zero to round-off; k when the rows tell all neurons apart. Counted up to the first that is not.
    """

    vectors: Array
    values: Array
    nullity: int


def pair_products(Z: Array) -> Array:
    """svec(z z^T) of every row (n, k(k+1)/2), off-diagonal entries times sqrt 2."""
    i, j = np.triu_indices(Z.shape[1])
    return np.asarray(Z[:, i] * Z[:, j] * np.where(i == j, 1.0, np.sqrt(2.0)))


def label_products(Z: Array, X: Array, ones: Array | None) -> Array:
    """Features (n, P) that are linear in a neuron's unknowns.

    Parameters
    ----------
    Z : ndarray (n, k)
        Labels in a basis of their span.
    X : ndarray (n, d)
        Inputs; with a hidden bias or an output bias the last one is `ones`.
    ones : ndarray (n,) or None
        The constant function, when the network has an output bias g: (z.y - g)(z.y - g - w.x) is linear in
        (z z^T, z (w + 2 g e)^T, g (w + g e)) with e.x = ones, which adds the features ones * x.
    """
    products = (-Z[:, :, None] * X[:, None, :]).reshape(len(Z), -1)
    blocks = [pair_products(Z), products]
    if ones is not None:
        blocks.append(ones[:, None] * X)
    return np.hstack(blocks)


def null_space(Z: Array, X: Array, ones: Array | None, k: int, rng: np.random.Generator) -> NullSpace:
    """Null space of the label products: triangular factor block by block, then inverse iteration on it.

    Parameters as in `label_products`; k is the nullity expected.
    """
    factor, norms = _triangular_factor(Z, X, ones)
    size = min(k + 4, len(factor))
    while True:
        values, vectors = _smallest_singular(factor, size, rng)
        nullity = int(np.count_nonzero(values < VANISHING))
        if nullity < size or size == len(factor):
            break
        size = min(2 * size, len(factor))
    vectors = vectors[:k] / norms
    return NullSpace(np.linalg.qr(vectors.T)[0].T, values, nullity)


def _triangular_factor(Z: Array, X: Array, ones: Array | None) -> tuple[Array, Array]:
    """R (P, P) of the features with columns of unit norm, and those norms."""
    width = label_products(Z[:1], X[:1], None if ones is None else ones[:1]).shape[1]
    factor = np.empty((0, width))
    for rows in np.array_split(np.arange(len(Z)), max(1, len(Z) // (2 * width))):
        part = label_products(Z[rows], X[rows], None if ones is None else ones[rows])
        stacked = np.vstack([factor, part]) if len(factor) else part
        factor = scipy.linalg.qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0][:width]
    square = np.zeros((width, width))
    square[: len(factor)] = factor
    norms = np.linalg.norm(square, axis=0)
    norms[norms == 0] = 1.0
    return square / norms, norms


def _smallest_singular(factor: Array, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The `size` smallest singular values (ascending, relative to the largest) and vectors (size, P)."""
    diagonal = np.diag(factor)
    floor = np.finfo(float).eps * float(np.linalg.norm(factor)) / len(factor)
    pivots = np.where(np.abs(diagonal) < floor, floor, diagonal)
    regular = factor.copy()
    np.fill_diagonal(regular, pivots)
    V = np.linalg.qr(rng.standard_normal((len(factor), size)))[0]
    for _ in range(_STEPS):
        for transposed in (1, 0):
            V = scipy.linalg.solve_triangular(regular, V, trans=transposed, check_finite=False)
            V = scipy.linalg.qr(V, mode="economic", overwrite_a=True, check_finite=False)[0]
    _, values, rotation = np.linalg.svd(factor @ V, full_matrices=False)
    return values[::-1] / _largest_singular(factor, rng), (V @ rotation.T[:, ::-1]).T


def _largest_singular(factor: Array, rng: np.random.Generator) -> float:
    v = rng.standard_normal(len(factor))
    for _ in range(8):
        v = factor.T @ (factor @ (v / np.linalg.norm(v)))
    return float(np.sqrt(np.linalg.norm(v)))


@dataclass(frozen=True)
class Neurons:
    """What singles out each neuron: z.y - g = relu(w.x) up to a positive factor.

    Attributes
    ----------
    Z : ndarray (k, k)
        Rows z, unit norm, in the basis of the labels.
    W : ndarray (k, d)
        Rows w.
    offsets : ndarray (k,)
        The g, zero without an output bias.
    residual : float
        Of the joint diagonalisation.
    """

    Z: Array
    W: Array
    offsets: Array
    residual: float


def neurons_of(space: NullSpace, mean: Array, n_inputs: int, output_bias: bool, rng: np.random.Generator) -> Neurons:
    """The neurons that span a null space of as many dimensions; `mean` (k,) of the labels tells z from -z."""
    k = len(mean)
    P = k * (k + 1) // 2
    pairs = smat(space.vectors[:, :P])
    mixed = space.vectors[:, P : P + k * n_inputs].reshape(-1, k, n_inputs)
    joint = diagonalize_jointly(pairs, rng)
    duals = np.linalg.inv(joint.Z.T)
    c = np.einsum("ia,lab,ib->li", duals, pairs, duals)
    W = np.einsum("li,ia,lad->id", c, duals, mixed) / np.einsum("li,li->i", c, c)[:, None]
    offsets = np.zeros(k)
    if output_bias:
        tail = np.linalg.lstsq(c, space.vectors[:, P + k * n_inputs :], rcond=None)[0]
        size = np.einsum("id,id->i", W[:, :-1], W[:, :-1])
        offsets = np.einsum("id,id->i", W[:, :-1], tail[:, :-1]) / np.where(size > 0, size, 1.0)
        W[:, -1] -= 2 * offsets
    sign = np.where(joint.Z @ mean < offsets, -1.0, 1.0)
    return Neurons(sign[:, None] * joint.Z, sign[:, None] * W, sign * offsets, joint.residual)
