"""The squared loss over a ball: every solver finds the same function, and dual values are below every loss in it."""

import numpy as np
import pytest

from fastmom.rkhs import ball
from fastmom.rkhs.conjugate_gradients import squared_by_gradients
from fastmom.rkhs.features import nystrom_features
from fastmom.rkhs.normal_equations import NormalEquations
from fastmom.rkhs.products import as_ball_rows, kernel_values, product_with
from fastmom.rkhs.squared import squared_ball

DEPTH = 2.0


def problem(n=400, d=5, q=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X = as_ball_rows(X / np.linalg.norm(X, axis=1)[:, None] * (1 - 1e-14))
    Y = np.column_stack([np.tanh(3 * X[:, 0]) * X[:, 1], X[:, 2]])[:, :q] + 0.1 * rng.standard_normal((n, q))
    return X, Y


def by_eigenvalues(K, Y, radius):
    """Coefficients of the minimiser: bisection of the penalty."""
    spectrum, axes = np.linalg.eigh(K)
    along = axes.T @ Y
    low, high = 1e-16, 1e6
    for _ in range(200):
        middle = np.sqrt(low * high)
        weights = along / (spectrum + middle)[:, None]
        low, high = (middle, high) if np.sum(spectrum[:, None] * weights**2) > radius**2 else (low, middle)
    return axes @ weights


@pytest.mark.parametrize("radius", [0.01, 0.5, 3.0, 10.0, 15.0])
@pytest.mark.parametrize("q", [1, 2])
def test_two_or_three_factors_find_what_eigenvalues_find(q, radius):
    X, Y = problem(q=q)
    K = kernel_values(X, None, DEPTH)
    before = K.copy()
    fit = squared_ball(K, Y, radius)
    np.testing.assert_array_equal(K, before)
    assert fit.iterations <= 3
    assert abs(fit.norm - radius) <= 1e-9 * radius
    assert fit.relative_gap <= 1e-12 and fit.exact_gap
    truth = by_eigenvalues(K, Y, radius)
    np.testing.assert_allclose(fit.coefficients, truth, rtol=1e-6, atol=1e-8 * np.abs(truth).max())


def test_a_ball_that_need_not_be_full():
    X, Y = problem(n=40)
    fit = squared_ball(kernel_values(X, None, DEPTH), Y, 1e4)
    assert fit.norm < 1e3 and fit.primal < 1e-12


def test_equal_rows_and_labels_of_zero_are_no_trouble():
    X, Y = problem(n=40)
    X = as_ball_rows(np.repeat(X[:20], 2, axis=0))
    K = kernel_values(X, None, DEPTH)
    assert squared_ball(K, Y, 0.5).relative_gap <= 1e-12
    assert squared_ball(K, Y, 1e4).primal > 1e-6  # equal rows with other labels
    assert not squared_ball(K, 0 * Y, 1.0).coefficients.any()


@pytest.mark.parametrize("radius", [0.5, 3.0])
def test_conjugate_gradients_find_the_same_function(radius):
    X, Y = problem()
    truth = squared_ball(kernel_values(X, None, DEPTH), Y, radius)
    fit = squared_by_gradients(X, Y, DEPTH, radius, np.random.default_rng(1), n_landmarks=100)
    assert fit.relative_gap <= 1e-6 and fit.norm <= radius * (1 + 1e-12)
    assert fit.dual <= truth.primal * (1 + 1e-12) and fit.primal <= truth.primal * (1 + 2e-6)


def test_a_penalty_instead_of_a_radius():
    X, Y = problem()
    fit = squared_by_gradients(X, Y, DEPTH, None, np.random.default_rng(1), penalty=1e-3, tolerance=1e-9)
    alpha = np.linalg.solve(kernel_values(X, None, DEPTH) + 1e-3 * len(X) * np.eye(len(X)), Y)
    np.testing.assert_allclose(fit.coefficients, alpha, rtol=1e-3, atol=1e-3 * np.abs(alpha).max())
    assert fit.relative_gap <= 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_no_function_of_the_ball_is_below_the_dual_value(seed):
    X, Y = problem(seed=seed, n=100)
    K = kernel_values(X, None, DEPTH)
    rng = np.random.default_rng(seed + 10)
    for _ in range(20):
        a, alpha = (rng.standard_normal(Y.shape) * rng.choice([0.01, 0.1, 1.0]) for _ in range(2))
        alpha *= 2.0 / np.sqrt(np.vdot(alpha, K @ alpha))
        bound = ball.dual_value(a, float(np.sum(a * Y - a * a / 2)), float(np.vdot(a, K @ a)), 2.0)
        assert bound <= 0.5 * np.sum((K @ alpha - Y) ** 2) / len(Y)


def test_all_rows_as_landmarks_give_the_whole_ball():
    X, Y = problem()
    spectrum = NormalEquations(nystrom_features(X, DEPTH), 2).update(X, Y).solved()
    fit, truth = spectrum.fit(spectrum.penalty(3.0), 3.0), squared_ball(kernel_values(X, None, DEPTH), Y, 3.0)
    assert abs(fit.primal - truth.primal) <= 1e-9 * truth.primal and abs(fit.norm - 3.0) <= 1e-9
    assert fit.relative_gap <= 1e-9


def test_sums_merge_and_give_the_error_on_other_rows():
    X, Y = problem()
    span = nystrom_features(as_ball_rows(X[:60]), DEPTH)
    parts = [NormalEquations(span, 2).update(as_ball_rows(X[rows]), Y[rows]) for rows in (slice(250), slice(250, 400))]
    solved = parts[0].solved()
    fit = solved.fit(0.1, 1.0)
    left = product_with(as_ball_rows(X[250:]), span.landmarks, fit.coefficients, DEPTH) - Y[250:]
    np.testing.assert_allclose(solved.error_on(parts[1], 0.1), np.sum(left**2) / 150, rtol=1e-9)
    whole = NormalEquations(span, 2).update(X, Y)
    np.testing.assert_allclose(parts[0].merge(parts[1]).products, whole.products, rtol=1e-12)
    with pytest.raises(ValueError, match="other landmarks"):
        whole.merge(NormalEquations(nystrom_features(as_ball_rows(X[1:61]), DEPTH), 2))
