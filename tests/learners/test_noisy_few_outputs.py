"""Noisy labels of fewer outputs than neurons: the bound is reached, and noise is told from a missing neuron."""

import numpy as np
import pytest

import fastmom as fm
from benchmarks import cramer_rao
from benchmarks.auto import SWEEP
from fastmom.activations import resolve
from fastmom.patterns.even_odd import fit_even_odd
from fastmom.patterns.model import ModelClass
from fastmom.runtime.passes import Rows


def draw(shape, n, seed, noise, bias=False):
    teacher = fm.random_teacher(*shape, bias=bias, rng=seed)
    return teacher, *fm.make_samples(teacher, n, noise=noise, rng=seed + 100)


def rows_and_class(X, Y):
    return Rows(X, Y.reshape(len(X), -1)), ModelClass(resolve("relu"), False, False, None)


@pytest.mark.parametrize(
    ("shape", "noise"), [((20, 6, 2), 0.3), pytest.param((20, 5, 1), 0.1, marks=pytest.mark.nightly)]
)
def test_error_sits_on_the_cramer_rao_bound_and_intervals_hold(shape, noise):
    ratios, held = [], []
    for seed in range(20):
        teacher, X, Y = draw(shape, 4000, seed, noise)
        result = fm.learn_rectified(X, Y, shape[1], noise="gaussian", rng=seed)
        assert result.status == "least_squares" and result.n_hidden == shape[1], result
        assert not result.certificate.certified and "no certificate" in result.message
        order = fm.compare(result, teacher).assignment
        sigma = noise * np.sqrt(np.mean(teacher.predict(X) ** 2))
        error = cramer_rao.squared_error(result.network, teacher, order)
        ratios.append(error / cramer_rao.bound(teacher, X, sigma))
        errors = result.diagnostics["standard_errors"]
        length = np.linalg.norm(teacher.W, axis=1)
        off = np.abs(result.network.W[order] - teacher.W / length[:, None]) / errors["W"][order]
        off_outer = np.abs(result.network.A[:, order] - teacher.A * length) / errors["A"][:, order]
        held.append(np.concatenate([off.ravel(), off_outer.ravel()]) < 1.96)
    assert np.mean(ratios) <= 1.15
    assert 0.93 <= np.mean(np.concatenate(held)) <= 0.97


def test_the_number_of_neurons_is_found_by_information():
    for shape, noise, seeds in (((20, 6, 2), 0.3, 2), ((10, 12, 1), 0.02, 1)):
        for seed in range(seeds):
            _, X, Y = draw(shape, 4000, seed, noise)
            result = fm.learn_rectified(X, Y, noise="gaussian", rng=seed)
            assert result.status == "least_squares" and result.n_hidden == shape[1]


def test_hidden_and_output_biases_of_one_output():
    for seed in range(2):
        teacher, X, Y = draw((10, 5, 1), 4000, seed, 0.05, bias=True)
        for k in (5, None):
            result = fm.learn_rectified(X, Y, k, bias=True, rng=seed)
            assert result.status == "least_squares" and result.n_hidden == 5
            assert fm.compare(result, teacher).max_error < 0.2


@pytest.mark.parametrize("known", [True, False])
def test_noise_ends_the_search_for_exact_labels_at_the_first_chance(known):
    for seed in range(4):
        _, X, Y = draw((10, 6, 2), 3000, seed, 0.1)
        rows, kind = rows_and_class(X, Y)
        fit = fit_even_odd(rows, kind, 6 if known else None, np.random.default_rng(seed))
        assert fit.noisy and not fit.exact and len(fit.starts) == 1


def test_many_missing_neurons_are_not_taken_for_noise():
    for seed in range(4):
        _, X, Y = draw((10, 20, 1), 3000, seed, 0.0)
        fit = fit_even_odd(*rows_and_class(X, Y), None, np.random.default_rng(seed))
        assert fit.exact and not fit.noisy


def test_noise_that_a_free_linear_part_fits_is_not_certified():
    problem = next(p for p in SWEEP if p.shape == (10, 5, 1) and p.n_rows == 60)
    for seed in (56, 57):  # 60 equations, and 50 + 10 unknowns with the linear part
        _, X, Y = problem.draw(seed)
        result = fm.learn_rectified(X, Y, 5, noise="none", rng=seed)
        assert not result.success and not result.certificate


def test_one_equation_more_than_unknowns_is_no_certificate():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((52, 10)), rng.standard_normal(52)
        result = fm.learn_rectified(X, y, 5, noise="none", rng=seed)
        assert not result.success and not result.certificate


def test_few_rows_do_not_tell_noise_from_neurons_of_unknown_number():
    _, X, Y = draw((10, 8, 1), 60, 54, 0.0)
    result = fm.learn(X, Y, rng=54)
    assert not result.success and "rows" in result.message


SHORT = [index for index, problem in enumerate(SWEEP) if index % 4 == 1 and problem.n_rows <= 3000]


@pytest.mark.parametrize("index", SHORT)
def test_auto_is_right_or_honest(index):
    outcome, _ = SWEEP[index].outcome(index)
    assert SWEEP[index].acceptable(outcome)
