"""Sums of products of pair features are what their definitions in plain NumPy say, block by block."""

import numpy as np
import pytest

from fastmom.kernels import tensor, tensor_reference
from fastmom.kernels.hermite_products import hermite_pass, hermite_widths
from fastmom.moments.tensor_sums import hermite_products, ordered_indices, pair_numbers

# (rows, inputs, labels, directions of p, coordinates, rows of a block): odd sizes, and more than one tile or panel
PAIR_SHAPES = [
    (1, 1, 1, 1, 1, 64),
    (3, 5, 2, 1, 4, 2),
    (1, 12, 10, 10, 11, 64),
    (333, 4, 6, 3, 4, 128),
    (1500, 11, 9, 10, 11, 4096),
    (1100, 6, 4, 4, 2, 1100),
    (300, 20, 18, 17, 14, 64),
]


def close(found, truth, tolerance=1e-12):
    np.testing.assert_allclose(found, truth, rtol=tolerance, atol=tolerance * np.abs(truth).max(initial=0.0))


def fill(kernel, X, Y, parameters, widths, size, lanes=1, form="serial"):
    """The partial sums of each block; scratch and results start as garbage."""
    X.flags.writeable = Y.flags.writeable = False  # as passes hand rows over
    scratch_width, width = widths
    scratch = np.full((lanes, min(size, len(X)), scratch_width), np.nan, dtype=X.dtype)
    sums = np.full((-(-len(X) // scratch.shape[1]), width), np.nan)
    getattr(kernel, form)(X, Y, *parameters, scratch, np.empty(len(X)), sums)
    return sums


def distinguishing(X, Y, parameters, size, lanes=1, form="serial"):
    widths = tensor.distinguishing_widths(parameters[1].shape[1], parameters[0].shape[1])
    return fill(tensor.distinguishing_pass, X, Y, parameters, widths, size, lanes, form)


def distinguishing_truth(X, Y, *parameters):
    return np.concatenate([part.ravel() for part in tensor_reference.distinguishing_pass(X, Y, *parameters)])


def pair_problem(n, d, m, k, e, bounded=1.0):
    """X, Y, [coordinates, p_map, q_map, bounded]."""
    rng = np.random.default_rng(n)
    X, Y, *maps = (rng.standard_normal(shape) for shape in ((n, d), (n, m), (d, e), (d, k), (m, k)))
    return X, Y, [*maps, np.array([bounded])]


@pytest.mark.parametrize("bounded", [0.0, 1.0])
@pytest.mark.parametrize(("n", "d", "m", "k", "e", "size"), PAIR_SHAPES)
def test_correlations_of_pair_features_are_the_definition_on_every_block(n, d, m, k, e, size, bounded):
    X, Y, parameters = pair_problem(n, d, m, k, e, bounded)
    sums = distinguishing(X, Y, parameters, size, lanes=2)
    for b, found in enumerate(sums):
        rows = slice(b * size, (b + 1) * size)
        close(found, distinguishing_truth(X[rows], Y[rows], *parameters))
    close(sums.sum(axis=0), distinguishing_truth(X, Y, *parameters))


def test_rows_at_the_origin_have_no_test_features():
    X, Y, parameters = pair_problem(40, 3, 4, 3, 3)
    origin = np.arange(40) % 4 == 0
    X[origin] = 0.0
    found = distinguishing(X, Y, parameters, 64).sum(axis=0)
    close(found, distinguishing_truth(X, Y, *parameters))
    gathered = distinguishing_truth(X[~origin], Y[~origin], *parameters)
    close(found[: -pairs_of(3)], gathered[: -pairs_of(3)])  # all but the sum of F


def pairs_of(k):
    return k * (k + 1) // 2


def test_bounded_test_features_have_length_one():
    X, Y, parameters = pair_problem(500, 6, 5, 4, 6)
    gram = distinguishing(1e8 * X, Y, parameters, 128).sum(axis=0)[pairs_of(6) * pairs_of(4) :][: pairs_of(6) ** 2]
    assert np.trace(gram.reshape(pairs_of(6), -1)) == pytest.approx(500, rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_label_shows_in_the_correlations_of_its_block(bad):
    X, Y, parameters = pair_problem(100, 3, 2, 2, 3)
    Y[70, 1] = bad
    first, second = distinguishing(X, Y, parameters, 64)
    assert np.isfinite(first).all()
    correlations = second[: pairs_of(3) * pairs_of(2)].reshape(pairs_of(3), -1)
    assert not np.isfinite(correlations).any()


@pytest.mark.parametrize(("n", "d", "m", "k", "e", "size"), PAIR_SHAPES)
def test_threads_and_the_serial_twin_give_the_same_correlations_whatever_the_lanes(n, d, m, k, e, size):
    X, Y, parameters = pair_problem(n, d, m, k, e)
    sums = distinguishing(X, Y, parameters, size)
    for form in ("serial", "parallel"):
        for lanes in (1, 2, 3):
            np.testing.assert_array_equal(distinguishing(X, Y, parameters, size, lanes, form), sums)


# (rows, inputs, directions, weights, rows of a block): tiles of 256 rows, products of 12 to 24 rows by 48 to 96 columns
TENSOR_SHAPES = [
    (1, 1, 1, 1, 64),
    (1, 7, 5, 2, 64),
    (5, 3, 4, 1, 2),
    (257, 6, 3, 2, 4096),
    (300, 60, 8, 1, 128),
    (700, 15, 14, 3, 512),
]


def tensor_problem(n, d, k, q, dtype=np.float64):
    rng = np.random.default_rng(n + d)
    return (rng.standard_normal(shape).astype(dtype) for shape in ((n, d), (n, q), (d, k)))


def small_tensor(X, W, V, order, size, lanes=1, form="serial"):
    widths = tensor.small_tensor_widths(order, V.shape[1], W.shape[1])
    return fill(tensor.small_tensor_pass, X, W, [V, np.array([order])], widths, size, lanes, form)


def needed(flat, order, k):
    """The entries i_1 <= .. <= i_order of the tensor within a sum."""
    a, numbers = ordered_indices(k, order), pair_numbers(k)
    if order == 2:
        return flat.reshape(k, k)[a[0], a[1]]
    if order == 3:
        return flat.reshape(-1, k)[a[1] * (a[1] + 1) // 2 + a[0], a[2]]
    return flat.reshape(pairs_of(k), -1)[numbers[a[0], a[1]], numbers[a[2], a[3]]]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize(("n", "d", "k", "q", "size"), TENSOR_SHAPES)
def test_moments_of_projections_are_the_definition_on_every_block(n, d, k, q, size, order, dtype, tolerance):
    X, W, V = tensor_problem(n, d, k, q, dtype)
    for b, sums in enumerate(small_tensor(X, W, V, order, size, lanes=2)):
        rows = slice(b * size, (b + 1) * size)
        for w, found in zip(W[rows].T.astype(float), sums.reshape(q, -1), strict=True):
            first, second, whole = tensor_reference.small_tensor_pass(X[rows].astype(float), w, V.astype(float), order)
            close(found[0], w.sum(), tolerance)
            close(found[1 : 1 + k], first, tolerance)
            if order > 2:
                close(found[1 + k :][: pairs_of(k)], second, tolerance)
            close(needed(found[1 + k + pairs_of(k) :], order, k), whole[tuple(ordered_indices(k, order))], tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "p", "q", "size"), [(1, 1, 1, 64), (1, 12, 3, 1), (300, 3, 13, 128), (513, 5, 5, 4096)])
def test_joint_fourth_moments_are_the_definition_on_every_block(n, p, q, size, weighted, dtype, tolerance):
    Z, X, _ = tensor_problem(n, p, 1, q, dtype)
    w = np.random.default_rng(3).standard_normal(n).astype(dtype) if weighted else np.ones(n, dtype)
    Y = np.column_stack([X, w]) if weighted else X
    widths = tensor.face_splitting_widths(p, q)
    sums = fill(tensor.face_splitting_pass, Z, Y, [np.array([float(weighted)])], widths, size, lanes=2)
    for b, found in enumerate(sums):
        rows = slice(b * size, (b + 1) * size)
        parts = (part[rows].astype(float) for part in (Z, X, w))
        close(found, tensor_reference.face_splitting_pass(*parts).ravel(), tolerance)


HERMITE_SHAPES = [(1, 1, 1, 3, 64), (1, 4, 3, 0, 64), (257, 5, 2, 10, 4096), (300, 6, 5, 4, 128), (130, 9, 8, 2, 64)]


def hermite(X, W, V, order, size, lanes=1, form="serial"):
    nodes, exponents = hermite_products(V.shape[1], order)
    widths = hermite_widths(order, V.shape[1]), len(exponents)
    return fill(hermite_pass, X, W, [V, nodes], widths, size, lanes, form), exponents


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
@pytest.mark.parametrize(("n", "d", "r", "order", "size"), HERMITE_SHAPES)
def test_products_of_hermite_polynomials_are_the_definition_on_every_block(n, d, r, order, size, dtype, tolerance):
    X, W, V = tensor_problem(n, d, r, 1, dtype)
    V /= np.sqrt(d).astype(dtype)
    sums, exponents = hermite(X, W, V, order, size, lanes=2)
    for b, found in enumerate(sums):
        rows = slice(b * size, (b + 1) * size)
        parts = X[rows].astype(float), W[rows, 0].astype(float), V.astype(float)
        close(found, tensor_reference.hermite_pass(*parts, exponents), tolerance)


@pytest.mark.parametrize("form", ["serial", "parallel"])
@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_threads_and_the_serial_twin_give_the_same_moments_whatever_the_lanes(form, lanes):
    X, W, V = tensor_problem(1000, 7, 4, 2)
    for order in (2, 3, 4):
        np.testing.assert_array_equal(
            small_tensor(X, W, V, order, 128, lanes, form), small_tensor(X, W, V, order, 128), strict=True
        )
    np.testing.assert_array_equal(hermite(X, W, V, 4, 128, lanes, form)[0], hermite(X, W, V, 4, 128)[0])
    arguments = X, W, [np.zeros(1)], tensor.face_splitting_widths(7, 2), 128
    joint = fill(tensor.face_splitting_pass, *arguments)
    np.testing.assert_array_equal(fill(tensor.face_splitting_pass, *arguments, lanes, form), joint)
