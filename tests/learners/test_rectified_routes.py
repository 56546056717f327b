"""Fewer outputs than neurons, moments, independent components, and the choice among routes."""

import numpy as np
import pytest

import fastmom as fm


def networks(shape, n, seeds, noise=0.0, bias=False, **kwargs):
    for seed in range(seeds):
        teacher = fm.random_teacher(*shape, bias=bias, rng=seed, **kwargs)
        yield seed, teacher, *fm.make_samples(teacher, n, noise=noise, rng=seed + 100)


# (d, k, m), rows, biases, networks
FEW_OUTPUTS = [
    ((20, 5, 1), 500, False, 10),
    ((20, 10, 1), 2000, False, 10),
    ((20, 10, 3), 733, False, 10),
    ((10, 20, 1), 3000, False, 3),
    ((8, 4, 1), 600, True, 6),
    ((10, 6, 2), 800, "hidden", 4),
    ((10, 6, 2), 800, "output", 4),
]


@pytest.mark.parametrize(("shape", "n", "bias", "seeds"), FEW_OUTPUTS)
def test_fewer_outputs_than_neurons(shape, n, bias, seeds):
    for seed, full, X, _ in networks(shape, n, seeds, bias=bool(bias)):
        hidden = full.hidden_bias if bias in (True, "hidden") else None
        output = full.output_bias if bias in (True, "output") else None
        teacher = fm.TwoLayerNetwork(full.W, full.A, hidden_bias=hidden, output_bias=output)
        result = fm.learn_rectified(X, teacher.predict(X), shape[1], bias=bias, rng=seed)
        assert result.certificate.certified and result.variant == "even_odd", result
        assert not result.certificate.unidentified and result.success
        assert fm.compare(result, teacher).max_error < 1e-12


def test_the_number_of_neurons_is_found_too():
    for shape, n, bias in (((20, 10, 3), 733, False), ((10, 4, 1), 1000, True), ((20, 10, 1), 2000, False)):
        for seed, teacher, X, Y in networks(shape, n, 3, bias=bias):
            result = fm.learn_rectified(X, Y, bias=bias, rng=seed)
            assert result.n_hidden == shape[1] and fm.compare(result, teacher).max_error < 1e-12


def test_leaky_neurons_of_one_output():
    for seed, teacher, X, Y in networks((12, 5, 1), 600, 4, activation="leaky_relu(0.2)"):
        result = fm.learn_rectified(X, Y, 5, activation="leaky_relu(0.2)", rng=seed)
        assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-11


def test_too_few_rows_for_one_output_are_not_certified():
    for seed, _, X, Y in networks((10, 8, 1), 60, 4):  # 80 unknowns
        result = fm.learn_rectified(X, Y, 8, noise="none", rng=seed)
        assert not result.success and not result.certificate


def test_scarce_rows_are_told():
    for seed, teacher, X, Y in networks((6, 3, 1), 30, 4):  # 18 unknowns
        result = fm.learn_rectified(X, Y, 3, rng=seed)
        if result.success and fm.compare(result, teacher).max_error > 1e-9:
            assert result.certificate.unidentified
        if result.certificate and result.certificate.certified:
            assert any("few" in item.reason for item in result.certificate.unidentified)


def test_what_is_no_network_of_that_size_is_not_recovered():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((800, 6))
    wide = fm.random_teacher(6, 12, 1, rng=1).predict(X)
    for y in (rng.standard_normal(800), np.sin(3 * X[:, 0]), wide):
        result = fm.learn_rectified(X, y, 3, rng=2)
        assert not result.success and not result.certificate


@pytest.mark.parametrize("m", [5, 3])
def test_second_moments_of_gaussian_inputs(m):
    for seed, teacher, X, Y in networks((10, 5, m), 60_000, 3, kind="orthonormal"):
        result = fm.learn_rectified(X, Y, 5, variant="moments", rng=seed)
        assert result.variant == "moments" and result.certificate.certified, result
        assert fm.compare(result, teacher).max_error < 1e-11
        start = result.diagnostics["start"]
        angles = np.sort(np.max(start @ teacher.W.T, axis=1))
        assert angles[0] > np.cos(0.12) and result.diagnostics["sign_agreement"] == 1.0


def test_fourth_moments_of_one_output():
    recovered = 0
    for seed, teacher, X, Y in networks((6, 3, 1), 60_000, 4, kind="orthonormal", output="positive"):
        result = fm.learn_rectified(X, Y, 3, variant="moments", rng=seed)
        if result.success:
            assert fm.compare(result, teacher).max_error < 1e-11
            recovered += 1
    assert recovered >= 3


def test_independent_components_of_orthonormal_neurons():
    for seed, teacher, X, Y in networks((10, 5, 5), 60_000, 3, kind="orthonormal"):
        result = fm.learn_rectified(X, Y, 5, variant="ica", rng=seed)
        assert result.variant == "ica" and result.certificate.certified, result
        assert np.max(result.diagnostics["start"] @ teacher.W.T, axis=1).min() > np.cos(0.1)


def test_gaussian_inputs_of_any_covariance():
    mix = np.random.default_rng(0).standard_normal((8, 8))
    for seed, teacher, X, _ in networks((8, 4, 4), 30_000, 2):
        result = fm.learn_rectified(X @ mix, teacher.predict(X @ mix), 4, variant="moments", rng=seed)
        assert result.success and fm.compare(result, teacher).max_error < 1e-10


@pytest.mark.parametrize("variant", ["moments", "ica"])
def test_moments_have_no_room_for_a_hidden_bias(variant):
    _, _, X, Y = next(networks((6, 3, 3), 500, 1, bias=True))
    result = fm.learn_rectified(X, Y, 3, variant=variant, bias=True, rng=0)
    assert result.status == "not_applicable" and not result.success


@pytest.mark.parametrize("variant", ["snap", "ica"])
def test_variants_that_need_outputs_say_so(variant):
    _, _, X, Y = next(networks((6, 4, 2), 500, 1))
    result = fm.learn_rectified(X, Y, 4, variant=variant, rng=0)
    assert result.status == "too_few_outputs" and "even_odd" in result.message


def test_standard_errors_come_with_least_squares():
    _, _, X, Y = next(networks((8, 4, 5), 2000, 1, noise=0.1))
    result = fm.learn_rectified(X, Y, 4, rng=0)
    errors = result.diagnostics["standard_errors"]
    assert result.status == "least_squares" and errors["W"].shape == (4, 8) and errors["A"].shape == (5, 4)
    assert np.all(errors["A"] > 0) and np.all(np.isfinite(errors["W"]))


# (d, k, m, n, noise, law, biases): what auto has to tell apart without being told anything
MIXED = [
    (10, 5, 6, 300, 0.0, "gaussian", False),
    (10, 5, 6, 300, 0.0, "gaussian", True),
    (10, 5, 6, 300, 0.0, "student_t", False),
    (10, 4, 1, 800, 0.0, "gaussian", False),
    (10, 4, 1, 800, 0.0, "laplace", True),
    (10, 5, 2, 1000, 0.0, "mixture", False),
    (10, 5, 6, 2000, 0.1, "gaussian", False),
    (10, 5, 6, 2000, 0.1, "laplace", True),
    (5, 8, 8, 300, 0.0, "gaussian", False),
]


@pytest.mark.parametrize("problem", MIXED, ids=str)
def test_auto_finds_the_network_without_being_told(problem):
    d, k, m, n, noise, law, bias = problem
    for seed in range(3):
        teacher = fm.random_teacher(d, k, m, bias=bias, rng=seed)
        X, Y = fm.make_samples(teacher, n, law=law, noise=noise, rng=seed + 10)
        result = fm.learn(X, Y, rng=seed)
        assert result.success and result.n_hidden == k, result
        assert fm.compare(result, teacher).max_error < (0.15 if noise else 1e-10)
        assert f"route {result.variant!r}" in result.message
        assert ("biases" in result.message) == bias
