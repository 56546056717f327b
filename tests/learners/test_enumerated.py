"""Enumeration: row spans of any inputs, and the best single neuron of noisy labels."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.patterns.enumeration import best_neuron


@pytest.mark.parametrize("law", ["gaussian", "hypercube", "student_t"])
def test_row_spans_of_any_inputs(law):
    for seed in range(4):
        teacher = fm.random_teacher(12, 8, 9, rng=seed)
        X, Y = fm.make_samples(teacher, 300, law=law, rng=seed)
        result = fm.learn_rectified(X, Y, variant="enumerate", rng=seed)
        assert result.certificate.certified and result.variant == "enumerate", result
        assert result.n_hidden == 8 and fm.compare(result, teacher).max_error < 1e-12


def test_row_spans_with_biases():
    for seed in range(4):
        teacher = fm.random_teacher(8, 5, 6, bias=True, rng=seed)
        X, Y = fm.make_samples(teacher, 300, rng=seed)
        result = fm.learn_rectified(X, Y, bias=True, variant="enumerate", rng=seed)
        assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-11


def test_noisy_labels_hold_no_neuron():
    X, Y = fm.make_samples(fm.random_teacher(8, 4, 4, rng=0), 200, noise=1e-3, rng=0)
    result = fm.learn_rectified(X, Y, 4, variant="enumerate", rng=0)
    assert not result.success and result.status == "no_neurons_found" and "0 of 4" in result.message


@pytest.mark.parametrize("d", [1, 2, 3])
def test_one_neuron_of_exact_labels(d):
    for seed in range(4):
        teacher = fm.random_teacher(d, 1, 1, rng=seed)
        X, Y = fm.make_samples(teacher, 120, rng=seed)
        result = fm.learn_rectified(X, Y, 1, variant="enumerate", rng=0)
        assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-12


@pytest.mark.parametrize(("d", "bias"), [(2, False), (3, False), (2, "hidden")])
def test_no_start_does_better_than_the_global_optimum(d, bias):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, Y = rng.standard_normal((60, d)), rng.standard_normal((60, 1))  # nothing but local optima
        result = fm.learn_rectified(X, Y, 1, variant="enumerate", bias=bias, rng=0)
        assert result.success and result.status == "global_optimum" and not result.certificate
        best = float(np.sum((Y - result.predict(X)) ** 2))
        rows = np.column_stack([X, np.ones(60)]) if bias else X
        F = np.maximum(rows @ rng.standard_normal((rows.shape[1], 50_000)), 0.0)
        losses = np.sum(Y**2) - (Y[:, 0] @ F) ** 2 / np.maximum(np.sum(F * F, axis=0), 1e-300)
        assert best <= losses.min() * (1 + 1e-12) and losses.min() < 1.05 * best


def test_units_do_not_matter():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 3)), rng.standard_normal(80)
    plain, scaled = best_neuron(X, y), best_neuron(X * [1e6, 1.0, 1e-6], 1e-3 * y)
    assert scaled.explained == pytest.approx(1e-6 * plain.explained, rel=1e-9)


REFUSED = [
    ((40, 25, 25), 400, {}, "too_large", "trials of row spans"),
    ((6, 1, 1), 400, {}, "too_large", "activation patterns to visit"),
    ((4, 3, 2), 200, {}, "too_few_outputs", "at least as many"),
    ((4, 2, 2), 200, {"activation": "leaky_relu(0.1)"}, "not_applicable", "relu neurons"),
]


@pytest.mark.parametrize(("shape", "n", "options", "status", "words"), REFUSED)
def test_what_is_out_of_reach_is_refused_with_its_cost(shape, n, options, status, words):
    X, Y = fm.make_samples(fm.random_teacher(*shape, rng=0), n, rng=0)
    result = fm.learn_rectified(X, Y, shape[1], variant="enumerate", **options)
    assert not result.success and result.status == status and words in result.message
    assert status != "too_large" or "hours of a core" in result.message


def test_same_seed_same_bits():
    X, Y = fm.make_samples(fm.random_teacher(12, 10, 10, rng=0), 300, rng=0)
    first, second = (fm.learn_rectified(X, Y, variant="enumerate", rng=3) for _ in range(2))
    assert np.array_equal(first.network.W, second.network.W)
