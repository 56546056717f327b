"""Sums of products of pair features are what their definitions in plain NumPy say, block by block."""

import numpy as np
import pytest

from fastmom.kernels import tensor, tensor_reference

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
