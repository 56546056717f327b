"""Rectified activations of any shape are recovered from their zero sets, exactly."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import resolve

# (activation, rows for 20 inputs and 10 neurons, networks of 10 that must come out)
SHAPES = [
    ("relu^2", 400, 10),
    ("relu^3", 400, 10),
    ("relu^1.5", 400, 10),
    ("relu^0.5", 600, 8),
    ("rectified_tanh", 400, 9),
    ("rectified_expm1", 400, 10),
    ("rectified_log1p", 400, 10),
]


def problem(activation, n, shape=(20, 10, 10), bias=False, seed=0):
    teacher = fm.random_teacher(*shape, bias=bias, activation=activation, rng=seed)
    return teacher, *fm.make_samples(teacher, n, rng=seed + 1)


@pytest.mark.parametrize(("activation", "n", "least"), SHAPES)
def test_networks_are_recovered_to_round_off(activation, n, least):
    recovered = 0
    for seed in range(10):
        teacher, X, Y = problem(activation, n, seed=seed)
        result = fm.learn_rectified(X, Y, 10, activation=activation, rng=seed)
        assert result.success == bool(result.certificate)
        if result.success:
            assert fm.compare(result, teacher).max_error < 1e-11
            recovered += 1
    assert recovered >= least


@pytest.mark.parametrize("activation", ["relu^2", "rectified_expm1"])
def test_biases_and_an_unknown_number_of_neurons(activation):
    recovered = 0
    for seed in range(4):
        teacher, X, Y = problem(activation, 300, (8, 5, 7), bias=True, seed=seed)
        result = fm.learn_rectified(X, Y, activation=activation, bias=True, rng=seed)
        assert result.success == bool(result.certificate)
        if result.success:
            assert result.n_hidden == 5 and fm.compare(result, teacher).max_error < 1e-11
            recovered += 1
    assert recovered >= 3


def test_the_scale_of_a_power_is_in_the_output_weights_and_others_keep_theirs():
    for activation, free in (("relu^2", True), ("rectified_expm1", False)):
        teacher = fm.random_teacher(6, 3, 3, activation=activation, rng=0)
        teacher = fm.TwoLayerNetwork(2 * teacher.W, teacher.A, activation=activation)
        X, Y = fm.make_samples(teacher, 300, rng=1)
        found = fm.learn_rectified(X, Y, 3, activation=activation, rng=2).network
        np.testing.assert_allclose(np.linalg.norm(found.W, axis=1), 1.0 if free else 2.0, rtol=1e-10)
        assert fm.compare(found, teacher).max_error < 1e-11


def test_what_is_not_such_a_network_is_not_recovered():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 6))
    for Y in (rng.standard_normal((400, 3)), np.maximum(X[:, :3], 0), X[:, :3] ** 2):
        result = fm.learn_rectified(X, Y, 3, activation="relu^2", rng=1)
        assert not result.success and not result.certificate
        assert result.status in ("no_neurons_found", "residual") and "relu^2" in result.message


def test_fewer_outputs_than_neurons_are_refused():
    _, X, Y = problem("relu^2", 300, (6, 4, 2))
    result = fm.learn_rectified(X, Y, 4, activation="relu^2", rng=0)
    assert result.status == "too_few_outputs" and not result.success


def test_noise_is_told():
    _, X, Y = problem("relu^2", 400, (6, 4, 4))
    result = fm.learn_rectified(X, Y + 1e-3 * np.random.default_rng(0).standard_normal(Y.shape), 4, activation="relu^2")
    assert not result.success and result.status in ("no_neurons_found", "residual")


@pytest.mark.parametrize("text", ["relu^2", "relu^0.3333333333333333", "relu^2.5", "rectified_tanh", "rectified_log1p"])
def test_names_read_back_and_inverses_invert(text):
    f = resolve(text)
    assert resolve(str(f)) == f and f.rectified and f.odd_linear is False
    t = np.linspace(0.01, 3, 50)
    np.testing.assert_allclose(f.inverse(f(t)), t, rtol=1e-9)
    assert np.all(f(-t) == 0) and np.all(f.derivative(-t) == 0)
    np.testing.assert_allclose(f.derivative(t), (f(t + 1e-6) - f(t - 1e-6)) / 2e-6, rtol=1e-5)


@pytest.mark.parametrize("order", range(5))
def test_coefficients_of_powers_are_half_line_moments(order):
    known = {"relu^2": [0.5, 0.79788456, 1, 0.79788456, 0], "relu^3": [0.79788456, 1.5, 2.39365368, 3, 2.39365368]}
    for text, values in known.items():
        assert resolve(text).coefficient(order) == pytest.approx(values[order], abs=1e-7)
    assert 4 not in resolve("relu^2").moment_orders and 3 in resolve("relu^2").moment_orders


@pytest.mark.parametrize(("text", "words"), [("relu^-1", "power"), ("relu^x", "relu"), ("relu^0", "power")])
def test_powers_that_do_not_exist_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        resolve(text)
