"""The logistic loss over a ball: few Newton steps to a gap that the definition confirms."""

import numpy as np
import pytest

from fastmom.rkhs.logistic import logistic_ball, logistic_in_features
from fastmom.rkhs.logistic_loss import loss, loss_gradient, probabilities


def problem(n=400, r=12, q=1, seed=0):
    rng = np.random.default_rng(seed)
    Phi = rng.standard_normal((n, r)) * 0.8 ** np.arange(r)
    F = Phi @ rng.standard_normal((r, q)) + 0.5 * rng.standard_normal((n, q))
    if q == 1:
        return Phi, np.where(F > 0, 1.0, -1.0)
    return Phi, np.eye(q)[F.argmax(axis=1)]


def dual(Phi, Y, w, radius):
    """D(a) of the certificate at a = -loss': entropies - (B / n) ||Phi^T a||."""
    n, G = len(Phi), loss_gradient(Phi @ w, Y)
    P = np.hstack([abs(G), 1 - abs(G)]) if Y.shape[1] == 1 else probabilities(Phi @ w)
    entropy = -np.sum(P * np.log(np.maximum(P, 1e-300)), axis=1)
    return entropy.mean() - radius / n * np.linalg.norm(Phi.T @ G)


@pytest.mark.parametrize("q", [1, 2, 5])
@pytest.mark.parametrize("radius", [0.01, 0.5, 2.0])
def test_the_gap_is_that_of_the_dual_value(q, radius):
    Phi, Y = problem(q=q)
    fit = logistic_in_features(Phi, Y, radius)
    assert fit.gap <= 1e-9 and fit.steps <= 10
    assert fit.primal == pytest.approx(loss(Phi @ fit.weights, Y), abs=1e-14)
    assert fit.primal - dual(Phi, Y, fit.weights, radius) == pytest.approx(fit.gap, abs=1e-13)
    assert np.linalg.norm(fit.weights) == pytest.approx(radius, rel=1e-12)


@pytest.mark.parametrize("q", [1, 4])
def test_the_multiplier_is_that_of_the_gradient(q):
    Phi, Y = problem(q=q)
    fit = logistic_in_features(Phi, Y, 1.0, tolerance=1e-14)
    gradient = Phi.T @ loss_gradient(Phi @ fit.weights, Y) / len(Phi)
    np.testing.assert_allclose(gradient, -fit.penalty * fit.weights, atol=1e-7)  # root of the gap


@pytest.mark.parametrize("q", [1, 3])
def test_a_ball_larger_than_the_minimiser_is_not_full(q):
    rng = np.random.default_rng(0)
    Phi = rng.standard_normal((300, 3))
    Y = np.sign(rng.standard_normal((300, 1))) if q == 1 else np.eye(3)[rng.integers(0, 3, 300)]
    fit = logistic_in_features(Phi, Y, 50.0)
    assert fit.penalty == 0 and fit.gap <= 1e-9 and np.linalg.norm(fit.weights) < 49
    assert np.linalg.norm(Phi.T @ loss_gradient(Phi @ fit.weights, Y)) < 1e-7


def test_two_classes_are_the_binary_loss_of_the_difference():
    """Softmax of two columns with a joint ball: f_1 = -f_2 = f / 2, so the binary ball is sqrt(2) larger."""
    Phi, y = problem()
    both = logistic_in_features(Phi, np.hstack([y > 0, y < 0]).astype(float), 1.0, tolerance=1e-12)
    one = logistic_in_features(Phi, y, np.sqrt(2), tolerance=1e-12)
    assert both.primal == pytest.approx(one.primal, abs=1e-11)
    np.testing.assert_allclose(both.weights[:, :1] - both.weights[:, 1:], one.weights, atol=1e-5)


def test_rows_that_are_separable_end_with_a_loss_near_zero():
    Phi, Y = problem(n=40, r=60)
    fit = logistic_in_features(Phi, Y, 1e4)
    assert fit.primal <= 1e-9 and fit.gap <= 1e-9 and np.linalg.norm(fit.weights) <= 1e4


def test_part_of_the_rows_first_changes_nothing():
    Phi, Y = problem(n=4000, r=5)
    fit = logistic_in_features(Phi, Y, 2.0, tolerance=1e-13)
    alone = logistic_in_features(Phi, Y, 2.0, start=np.zeros((5, 1)), tolerance=1e-13)
    np.testing.assert_allclose(fit.weights, alone.weights, atol=1e-6)
    assert fit.primal == pytest.approx(alone.primal, abs=1e-12)


def test_features_that_repeat_do_not_matter():
    Phi, Y = problem(q=3)
    fit = logistic_in_features(np.hstack([Phi, Phi]) / np.sqrt(2), Y, 1.0)
    assert fit.gap <= 1e-9
    assert fit.primal == pytest.approx(logistic_in_features(Phi, Y, 1.0).primal, abs=2e-9)


def test_the_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    for Y in (np.sign(rng.standard_normal((6, 1))), np.eye(3)[rng.integers(0, 3, 6)]):
        F = 3 * rng.standard_normal(Y.shape)
        D, h = rng.standard_normal(Y.shape), 1e-6
        numerical = (loss(F + h * D, Y) - loss(F - h * D, Y)) / (2 * h)
        assert np.vdot(loss_gradient(F, Y), D) / 6 == pytest.approx(numerical, rel=1e-7)
    assert loss(np.array([[-800.0], [800.0]]), np.ones((2, 1))) == pytest.approx(400)


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("radius", [0.5, 5.0, 50.0])
def test_a_kernel_matrix_is_as_good_as_features(q, radius):
    Phi, Y = problem(n=120, r=12, q=q)
    X = Phi / np.linalg.norm(Phi, axis=1, keepdims=True)
    s = 1 - X @ X.T
    K = 1 - s / (1 + 2 * s)
    fit = logistic_ball(K, Y, radius)
    assert fit.primal - fit.dual <= 2e-9 and fit.iterations <= 12
    assert fit.norm == pytest.approx(radius, rel=1e-8)
    assert fit.norm == pytest.approx(np.sqrt(np.vdot(fit.coefficients, K @ fit.coefficients)), rel=1e-9)
    assert fit.primal == pytest.approx(loss(K @ fit.coefficients, Y), abs=1e-12)
    features = logistic_in_features(np.linalg.cholesky(K + 1e-13 * np.eye(120)), Y, radius)
    assert fit.primal == pytest.approx(features.primal, abs=3e-9)


def test_rows_that_repeat_have_a_singular_kernel():
    Phi, Y = problem(n=60, r=4)
    X = np.vstack([Phi, Phi]) / np.linalg.norm(Phi, axis=1).max()
    fit = logistic_ball(1 / (2 - X @ X.T), np.vstack([Y, -Y]), 3.0)
    assert fit.primal == pytest.approx(np.log(2), abs=1e-9) and fit.primal - fit.dual <= 1e-9
