"""The span of a few neurons from randomly contracted even moments."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.moments.narrow_moments import moment_subspace


def largest_sine(V, W):
    units = W / np.linalg.norm(W, axis=1, keepdims=True)
    return float(np.sqrt(np.max(1 - np.sum((units @ V) ** 2, axis=1))))


def subspace(kind, k, r, d=12, n=40_000, seed=0, **options):
    teacher = fm.random_teacher(d, k, kind=kind, rng=seed)
    X, y = fm.make_samples(teacher, n, rng=seed + 100)
    return teacher, moment_subspace(X, y[:, 0], r, np.random.default_rng(seed), **options)


@pytest.mark.parametrize("seed", range(3))
def test_moments_span_the_neurons(seed):
    teacher, space = subspace("gaussian", 3, 3, seed=seed)
    assert np.abs(space.V.T @ space.V - np.eye(3)).max() < 1e-12
    assert largest_sine(space.V, teacher.W) < 0.1
    expected = (teacher.A[0] / 2) @ teacher.W
    assert np.linalg.norm(space.linear - expected) < 0.05 * np.linalg.norm(expected)


@pytest.mark.parametrize("seed", range(3))
def test_order_four_sees_what_the_second_moment_does_not(seed):
    teacher, space = subspace("balanced", 4, 2, seed=seed, n_contractions=4)
    assert largest_sine(space.V, teacher.W) < 0.2
    assert space.strengths[1] > 3 * space.strengths[2]
    teacher, second = subspace("balanced", 4, 2, seed=seed, orders=(2,))
    assert largest_sine(second.V, teacher.W) > 0.5


def test_contractions_within_the_span_cost_less_signal_than_the_papers():
    within, ambient = (
        np.median(
            [largest_sine(s.V, t.W) for t, s in (subspace("balanced", 4, 2, d=30, seed=i, ambient=a) for i in range(3))]
        )
        for a in (False, True)
    )
    assert within < 0.5 * ambient


def test_labels_without_even_part_show_nothing():
    X = np.random.default_rng(0).standard_normal((5000, 6))
    space = moment_subspace(X, X @ np.arange(6.0), 2, np.random.default_rng(1))
    assert np.allclose(space.linear, np.arange(6.0))
    assert space.V.shape == (6, 2) and np.isfinite(space.V).all()


@pytest.mark.parametrize("orders", [(3,), (2, 12), (0,)])
def test_orders_without_signal_are_refused(orders):
    X = np.random.default_rng(0).standard_normal((500, 3))
    with pytest.raises(ValueError, match="orders: "):
        moment_subspace(X, np.abs(X[:, 0]), 1, np.random.default_rng(0), orders=orders)
