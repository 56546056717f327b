"""Exact labels show at a poor optimum: most rows have their patterns right and an exact fit."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.patterns.majority import exact_share


def problem(noise=0.0, wrong=0, outputs=1, n=600):
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((n, 5)), rng.standard_normal((2, 5))
    Y = np.maximum(X @ W.T, 0) @ rng.standard_normal((2, outputs)) + noise * rng.standard_normal((n, outputs))
    Y[:wrong] += 0.1
    gates = np.column_stack([np.ones(n), X @ (W + 0.02 * rng.standard_normal(W.shape)).T > 0])
    design = (gates[:, :, None] * X[:, None, :]).reshape(n, -1)
    return X, Y - design @ np.linalg.lstsq(design, Y, rcond=None)[0], gates


@pytest.mark.parametrize("outputs", [1, 3])
def test_few_wrong_patterns_leave_most_rows_an_exact_fit(outputs):
    assert 0.95 < exact_share(*problem(outputs=outputs)) < 1


def test_wrong_labels_are_left_out():
    assert 0.8 < exact_share(*problem(wrong=90)) < 0.85


@pytest.mark.parametrize("noise", [1e-8, 1e-3, 1.0])
def test_noise_has_no_exact_fit(noise):
    assert exact_share(*problem(noise)) == 0


def test_few_rows_show_nothing():
    assert exact_share(*problem(n=20)) == 0


def test_sparsely_wrong_labels_are_no_noise():
    X, y = fm.make_samples(fm.random_teacher(8, 3, rng=1), 1000, rng=2)
    y[::20] += 0.1
    result = fm.learn_narrow(X, y, 3, rng=0)
    assert not result.success and result.status == "incomplete" and "wrong" in result.message
