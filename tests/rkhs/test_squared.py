"""Least squares over a ball by eigenvalues: norm at the radius, proven gap."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.rkhs.squared import squared_ball


def problem(n=120, q=2):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return fm.recursive_kernel(X, depth=2.0), np.sin(X @ rng.standard_normal((4, q))) + 0.1 * rng.standard_normal(
        (n, q)
    )


@pytest.mark.parametrize("radius", [0.01, 1.0, 5.0])
def test_the_gap_is_closed_and_the_ball_is_full(radius):
    K, Y = problem()
    fit = squared_ball(K, Y, radius)
    assert abs(fit.relative_gap) <= 1e-12
    assert fit.norm == pytest.approx(radius, rel=1e-9)


def test_no_function_of_the_ball_is_below_the_dual_value():
    K, Y = problem()
    fit = squared_ball(K, Y, 1.0)
    rng = np.random.default_rng(1)
    for _ in range(20):
        alpha = fit.coefficients + 0.1 * rng.standard_normal(Y.shape)
        alpha *= min(1.0, 1.0 / np.sqrt(np.vdot(alpha, K @ alpha)))
        assert 0.5 * np.sum((Y - K @ alpha) ** 2) / len(K) >= fit.dual


def test_a_ball_that_need_not_be_full():
    K, Y = problem(40)
    fit = squared_ball(K, Y, 1e4)
    assert fit.norm < 1e3 and fit.primal < 1e-12
