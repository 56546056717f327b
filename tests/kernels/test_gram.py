"""Grams over groups and pairs are what their definitions in plain NumPy say."""

import numpy as np
import pytest

from fastmom.kernels import gram, reference

# (rows, inputs, neurons): one row, one input, one neuron, odd sizes, rows on both sides of a gather
SHAPES = [(1, 1, 1), (1, 5, 3), (2, 1, 4), (13, 3, 2), (255, 4, 3), (256, 7, 2), (257, 2, 5), (1031, 17, 6)]


def inputs(n, d, seed=0):
    X = np.random.default_rng(seed).standard_normal((n, d))
    X.flags.writeable = False  # as passes hand rows over
    return X


def random_gates(k, n, seed=1):
    return np.random.default_rng(seed).integers(0, 2, (k, n)).astype(np.uint8)


def scratch(lanes, d):
    return np.full_like(gram.gram_scratch(lanes, d), np.nan)


def pattern_grams(X, groups, lanes=1, form="serial"):
    order = np.concatenate(groups).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    out = np.full((len(groups), X.shape[1], X.shape[1]), np.nan)
    getattr(gram.pattern_grams, form)(X, order, starts, scratch(lanes, X.shape[1]), out)
    return out


def pair_grams(X, gates, lanes=1, form="serial"):
    pairs = np.column_stack(np.triu_indices(len(gates)))
    rows = np.full((lanes, len(X)), -1)
    out = np.full((len(pairs), X.shape[1], X.shape[1]), np.nan)
    getattr(gram.pair_grams, form)(X, gates, pairs, rows, scratch(lanes, X.shape[1]), out)
    return pairs, out


def close(found, truth):
    np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-12 * np.abs(truth).max(initial=0.0))


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_the_gram_of_a_group_sums_over_its_rows(n, d, k, lanes):
    X = inputs(n, d)
    cuts = np.sort(np.random.default_rng(3).integers(0, n + 1, k))
    groups = np.split(np.random.default_rng(2).permutation(n), cuts)
    for found, group in zip(pattern_grams(X, groups, lanes), groups, strict=True):
        close(found, reference.gram_of_rows(X, group))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 700])
def test_groups_on_both_sides_of_a_gather(size):
    X = inputs(700, 6)
    group = np.random.default_rng(4).permutation(700)[:size]
    close(pattern_grams(X, [group])[0], reference.gram_of_rows(X, group))


def test_a_row_named_twice_counts_twice():
    X = inputs(3, 2)
    close(pattern_grams(X, [np.array([1, 1])])[0], 2 * np.outer(X[1], X[1]))


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_the_gram_of_a_pair_sums_over_the_rows_where_both_are_active(n, d, k, lanes):
    X, gates = inputs(n, d), random_gates(k, n)
    for (i, j), found in zip(*pair_grams(X, gates, lanes), strict=True):
        close(found, reference.pair_gram(X, gates, i, j))


@pytest.mark.parametrize("value", [0, 1])
def test_neurons_that_are_never_or_always_active(value):
    X = inputs(600, 5)
    _, out = pair_grams(X, np.full((2, 600), value, dtype=np.uint8))
    for found in out:
        close(found, value * X.T @ X)


@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_threads_and_the_serial_twin_give_the_same_bits_whatever_the_lanes(n, d, k):
    X, gates = inputs(n, d), random_gates(k, n)
    groups = np.array_split(np.random.default_rng(2).permutation(n), k)
    for form in ("serial", "parallel"):
        for lanes in (1, 2, 3):
            np.testing.assert_array_equal(pattern_grams(X, groups, lanes, form), pattern_grams(X, groups))
            np.testing.assert_array_equal(pair_grams(X, gates, lanes, form)[1], pair_grams(X, gates)[1])
