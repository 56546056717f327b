"""Products of labels that vanish on every row, and the null space they span."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.moments import label_products


def problem(n=200, shape=(5, 4, 4), bias=False, seed=0):
    teacher = fm.random_teacher(*shape, bias=bias, rng=seed)
    X, Y = fm.make_samples(teacher, n, rng=seed + 1)
    return teacher, X, Y


def test_a_neurons_product_vanishes_on_every_row():
    teacher, X, Y = problem()
    Z = np.linalg.inv(teacher.A)
    features = label_products.label_products(Y, X, None)
    i, j = np.triu_indices(4)
    for z, w in zip(Z, teacher.W, strict=True):
        pair = np.outer(z, z)[i, j] * np.where(i == j, 1.0, np.sqrt(2))
        assert np.abs(features @ np.concatenate([pair, np.outer(z, w).ravel()])).max() < 1e-12


@pytest.mark.parametrize("n", [25, 60, 500])
def test_the_null_space_has_one_dimension_a_neuron(n):
    _, X, Y = problem(n)
    space = label_products.null_space(Y, X, None, 4, np.random.default_rng(0))
    features = label_products.label_products(Y, X, None)
    values = np.linalg.svd(features / np.linalg.norm(features, axis=0), compute_uv=False)
    P = features.shape[1]
    missing = int(np.count_nonzero(values < 1e-10 * values[0])) + max(0, P - n)
    assert space.nullity == missing
    if missing == 4:
        assert np.abs(features @ space.vectors.T).max() < 1e-10
    assert missing == 4 or n == 25


def test_the_neurons_are_read_off_the_null_space():
    _, X, Y = problem()
    rng = np.random.default_rng(0)
    space = label_products.null_space(Y, X, None, 4, rng)
    neurons = label_products.neurons_of(space, Y.mean(axis=0), 5, False, rng)
    assert neurons.residual < 1e-10
    values = Y @ neurons.Z.T
    np.testing.assert_allclose(values, np.maximum(X @ neurons.W.T, 0), atol=1e-9)


def test_an_output_bias_is_read_off_too():
    _, X, Y = problem(bias=True)
    rng = np.random.default_rng(0)
    ones = np.ones(len(X))
    X = np.column_stack([X, ones])
    space = label_products.null_space(Y, X, ones, 4, rng)
    assert space.nullity == 4
    neurons = label_products.neurons_of(space, Y.mean(axis=0), 6, True, rng)
    values = Y @ neurons.Z.T - neurons.offsets
    np.testing.assert_allclose(values, np.maximum(X @ neurons.W.T, 0), atol=1e-9)


def test_round_off_is_told_from_data_over_ten_orders():
    _, X, Y = problem()
    rng = np.random.default_rng(0)
    for noise, nullity in ((0.0, 4), (1e-13, 4), (1e-7, 0), (1e-3, 0)):
        labels = Y + noise * rng.standard_normal(Y.shape)
        assert label_products.null_space(labels, X, None, 4, rng).nullity == nullity
