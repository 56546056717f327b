"""The canonical form of networks without hidden biases: what the function determines, and nothing else."""

import math

import numpy as np
import pytest

import fastmom as fm
from fastmom.patterns.kinks import (
    KinkNetwork,
    active_sides,
    apply_pattern_gram,
    function_distance,
    kinks_of,
    match_kinks,
    mean_square,
    relu_network,
)


def rows(d, n=500, seed=9):
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.3)", "abs"])
def test_the_kinks_are_the_same_function(activation):
    linear = np.arange(6.0)[None]
    drawn = fm.random_teacher(6, 4, rng=0)
    network = fm.TwoLayerNetwork(3 * drawn.W, drawn.A, output_bias=[0.7], linear=linear, activation=activation)
    X = rows(6)
    assert np.abs(kinks_of(network).predict(X) - network.predict(X)).max() < 1e-13


def test_parallel_neurons_are_one_kink_and_pairs_that_cancel_are_linear():
    w = np.array([0.6, 0.8, 0.0])
    network = fm.TwoLayerNetwork([w, -2 * w, [1, 0, 0], [-1, 0, 0]], [1.0, 1.0, 1.5, -1.5])
    kinks = kinks_of(network)
    assert kinks.n_kinks == 1 and np.allclose(kinks.B, 1.5 * w) and kinks.signs[0] == 1
    assert np.allclose(kinks.linear, -0.5 * w + [1.5, 0, 0])


@pytest.mark.parametrize("kind", ["gaussian", "opposite", "same", "clump"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_relu_form_is_the_teacher_again(kind, k):
    if k == 1 and kind in ("opposite", "same"):
        pytest.skip("one neuron has no angle")
    teacher = fm.random_teacher(8, k, kind=kind, rng=k)
    found = relu_network(kinks_of(teacher))
    assert found.linear is None
    assert fm.compare(found, teacher).max_error < 1e-12


def test_sides_beyond_enumeration():
    teacher = fm.random_teacher(40, 30, rng=3)
    found = relu_network(kinks_of(teacher))
    assert found.linear is None and fm.compare(found, teacher).max_error < 1e-12


def test_a_linear_part_that_no_sides_explain_is_kept():
    drawn = fm.random_teacher(5, 2, rng=1)
    teacher = fm.TwoLayerNetwork(drawn.W, drawn.A, linear=[[0.0, 0.0, 0.0, 0.3, 0.0]])
    found = relu_network(kinks_of(teacher))
    assert found.linear is not None
    assert np.abs(found.predict(rows(5)) - teacher.predict(rows(5))).max() < 1e-13


def test_exchanges_reach_what_enumeration_finds_where_sides_are_few():
    # more kinks than inputs: many sides are nearly as good, and the least leftover is not zero
    rng = np.random.default_rng(4)
    kinks = KinkNetwork(rng.standard_normal(3), rng.standard_normal((6, 3)), np.ones(6))
    leftover = np.linalg.norm(kinks.linear - active_sides(kinks) @ kinks.B)
    every = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6)).reshape(6, -1).T
    assert leftover == pytest.approx(np.linalg.norm(kinks.linear - every @ kinks.B, axis=1).min())


def test_the_pattern_gram_is_the_expectation():
    # in the plane, x = r (cos a, sin a) with E r^2 = 2: an average over angles
    B = np.array([[1.0, 0.2], [-0.3, 2.0], [0.5, 0.11]])
    angle = (np.arange(400_000) + 0.5) * 2 * np.pi / 400_000
    x = np.column_stack([np.cos(angle), np.sin(angle)])
    g = np.column_stack([np.ones(len(x)), np.sign(x @ B.T)])
    P = np.random.default_rng(0).standard_normal((4, 2))
    values = np.sum((x @ P.T) * g, axis=1)
    expected = 2 * (g * values[:, None]).T @ x / len(x)
    assert np.abs(apply_pattern_gram(B, P) - expected).max() < 2e-5


def test_mean_square_in_the_plane():
    kinks = KinkNetwork(np.array([0.4, -1.0]), np.array([[1.0, 0.2], [0.9, 0.25]]), np.array([1.0, -1.0]))
    angle = (np.arange(100_000) + 0.5) * 2 * np.pi / 100_000
    x = np.column_stack([np.cos(angle), np.sin(angle)])
    assert mean_square(kinks) == pytest.approx(2 * np.mean(kinks.predict(x) ** 2), rel=1e-6)


def test_function_distance_is_that_of_many_samples():
    teacher = fm.random_teacher(6, 3, rng=5)
    X = rows(6, 100_000)
    Y = teacher.predict(X)
    for size in (0.3, 1e-3, 1e-7, 1e-12):
        W = teacher.W + size * np.random.default_rng(1).standard_normal(teacher.W.shape)
        student = fm.TwoLayerNetwork(W, teacher.A, output_bias=[size])
        sampled = np.linalg.norm(student.predict(X) - Y) / np.linalg.norm(Y - Y.mean())
        assert function_distance(kinks_of(student), kinks_of(teacher)) == pytest.approx(sampled, rel=0.02)


def test_matching_knows_order_and_sign_only():
    kinks = kinks_of(fm.random_teacher(7, 4, rng=2))
    order, flips = np.array([2, 0, 3, 1]), np.array([1.0, -1.0, -1.0, 1.0])
    same = KinkNetwork(kinks.linear, flips[:, None] * kinks.B[order], kinks.signs[order])
    match = match_kinks(same, kinks)
    assert match.error == 0 and match.linear_error == 0
    assert np.array_equal(order[match.assignment], np.arange(4))
    other = KinkNetwork(kinks.linear, kinks.B, kinks.signs * [1, 1, 1, -1])
    assert math.isinf(match_kinks(other, kinks).error)
    fewer = KinkNetwork(kinks.linear, kinks.B[:3], kinks.signs[:3])
    assert math.isinf(match_kinks(fewer, kinks).error) and math.isfinite(function_distance(fewer, kinks))


@pytest.mark.parametrize(
    "network",
    [
        fm.TwoLayerNetwork(np.eye(2), np.eye(2)),
        fm.TwoLayerNetwork(np.eye(2), [1.0, 1.0], hidden_bias=[0.0, 1.0]),
        fm.TwoLayerNetwork(np.eye(2), [1.0, 1.0], activation="softplus"),
    ],
)
def test_networks_without_this_form_are_refused(network):
    with pytest.raises(ValueError, match="network: "):
        kinks_of(network)
