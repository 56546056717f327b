"""Moments of high order in k dimensions: nothing is lost, and samples show it."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.moments.implicit_tower import exact_products, implicit_tower, sample_products, tower_neurons


def directions(k, d, seed=0):
    U = np.random.default_rng(seed).standard_normal((k, d))
    U[1] = U[0] + 0.05 * U[1]  # two that are close
    return U / np.linalg.norm(U, axis=1, keepdims=True)


def hermite_tensor(X, w, order):
    """Mean of w He_order(x) as a matrix of order / 2 indices on each side, by the recurrence of the definition."""
    n, d = X.shape
    values = [np.ones((n, 1)), X]
    for level in range(2, order + 1):
        new = np.einsum("na,nb->nab", values[-1], X).reshape(n, *(d,) * level)
        before = values[-2].reshape(n, *(d,) * (level - 2))
        for axis in range(level - 1):
            pair = np.einsum("ab,n...->nab...", np.eye(d), before)
            new -= np.moveaxis(pair, (1, 2), (1 + axis, level))
        values.append(new.reshape(n, -1))
    return np.mean(w[:, None] * values[order], axis=0).reshape(d ** (order // 2), -1)


@pytest.mark.parametrize("height", [1, 2, 3, 4])
def test_projections_keep_every_power_of_the_neurons(height):
    U = directions(3, 6)
    tower = implicit_tower(exact_products(np.array([1.0, 0.7, 1.3]), U), 6, 3, height)
    f = tower.features(U)
    assert np.abs(np.linalg.norm(f, axis=1) - 1).max() < 1e-12
    # inner products of powers are powers of inner products: the projection is an isometry on their span
    assert np.abs(f @ f.T - (U @ U.T) ** height).max() < 1e-12
    assert np.abs(np.abs(tower_neurons(tower) @ U.T).max(axis=0) - 1).max() < 1e-9


def test_higher_levels_part_close_neurons():
    products = exact_products(np.ones(3), directions(3, 6))
    conditions = [s[0] / s[-1] for s in implicit_tower(products, 6, 3, 4).spectra]
    assert np.all(np.diff(conditions) < 0)


def test_more_neurons_than_inputs_need_a_second_level():
    U = np.random.default_rng(3).standard_normal((7, 4))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    products = exact_products(np.linspace(0.5, 1.5, 7), U)
    with pytest.raises(ValueError, match="height: "):
        implicit_tower(products, 4, 7, 1)
    found = tower_neurons(implicit_tower(products, 4, 7, 2))
    assert np.abs(np.abs(found @ U.T).max(axis=0) - 1).max() < 1e-9


def test_neurons_of_both_signs_are_refused():
    products = exact_products(np.array([1.0, -0.7, 1.3]), directions(3, 6))
    with pytest.raises(ValueError, match="both signs"):
        implicit_tower(products, 6, 3, 1)


@pytest.mark.parametrize(("height", "k", "d"), [(0, 3, 6), (5, 3, 6), (1, 100, 100)])
def test_impossible_towers_are_refused(height, k, d):
    with pytest.raises(ValueError, match=r"^height: |^n_neurons: "):
        implicit_tower(exact_products(np.ones(3), directions(3, 6)), d, k, height)


def test_order_four_is_the_explicit_tensor():
    X = np.random.default_rng(0).standard_normal((100, 3))
    y = np.abs(X @ directions(2, 3).T).sum(axis=1)
    products = sample_products(X, y, np.random.default_rng(1))
    rest = fm.hermite_residual(X, y, 2)[0]
    phi = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 2)))[0].T
    lift = np.kron(phi, np.eye(3))
    expected = lift @ hermite_tensor(X, rest, 4) @ lift.T / (2 * fm.Activation("relu").coefficient(4))
    assert np.abs(products((phi,)) - (expected + expected.T) / 2).max() < 1e-12


def test_draws_are_unbiased():
    # two inputs, few rows, many draws: only the mean over h is left, which is the explicit tensor
    X = np.random.default_rng(0).standard_normal((40, 2))
    y = np.abs(X @ directions(2, 2).T).sum(axis=1)
    products = sample_products(X, y, np.random.default_rng(1), draws=20_000)
    rest = fm.hermite_residual(X, y, 2)[0]
    phi, second = np.eye(2), np.eye(4)[:3]
    lift = np.kron(second, np.eye(2))
    expected = lift @ hermite_tensor(X, rest, 6) @ lift.T / (2 * fm.Activation("relu").coefficient(6))
    found = products((phi, second))
    assert np.abs(found - expected).max() < 0.06 * np.abs(expected).max()


def test_samples_show_many_positive_neurons():
    teacher = fm.random_teacher(16, 12, output="positive", kind="conditioned", condition=4.0, rng=0)
    X, y = fm.make_samples(teacher, 40_000, rng=1)
    tower = implicit_tower(sample_products(X, y[:, 0], np.random.default_rng(2)), 16, 12, 1)
    cosines = np.abs(tower_neurons(tower) @ teacher.W.T)
    assert cosines.max(axis=0).min() > 0.95 and len(set(cosines.argmax(axis=0))) == 12
