"""The hinge loss over a ball: the gap is proven, the margins are those of the optimum, and the ball is joint."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fastmom.rkhs.hinge import hinge_ball


def kernel(X, Z, depth=4.0):
    s = 1 - X @ Z.T
    return 1 - s / (1 + depth * s)


def problem(n=150, q=1, noise=0.4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    F = np.sin(3 * X @ rng.standard_normal((3, q))) + noise * rng.standard_normal((n, q))
    return kernel(X, X), np.where(F > 0, 1.0, -1.0)


def loss(K, Y, alpha):
    return np.maximum(0, 1 - Y * (K @ alpha)).sum() / len(K)


def norm(K, alpha):
    return np.sqrt(np.vdot(alpha, K @ alpha))


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("radius", [0.01, 0.3, 3.0, 10.0])
def test_the_gap_is_proven_and_the_ball_is_full(q, radius):
    K, Y = problem(q=q)
    fit = hinge_ball(K, Y, radius)
    assert fit.primal == pytest.approx(loss(K, Y, fit.coefficients), abs=1e-12)
    assert norm(K, fit.coefficients) == pytest.approx(radius, rel=1e-12)
    assert 0 <= fit.primal - fit.dual + 1e-12 and fit.primal - fit.dual <= 3e-5
    assert fit.iterations <= 30


def test_no_function_of_the_ball_is_below_the_dual_value():
    K, Y = problem(60)
    fit = hinge_ball(K, Y, 2.0, tolerance=1e-10)
    L = np.linalg.cholesky(K + 1e-12 * np.eye(60))

    def smooth(w):  # subgradient descent of a general solver, from several starts, stays above
        w = w * min(1, 2.0 / np.linalg.norm(w))
        return np.maximum(0, 1 - Y[:, 0] * (L @ w)).mean()

    rng = np.random.default_rng(1)
    values = [minimize(smooth, rng.standard_normal(60), method="Powell", options={"maxiter": 3}).fun for _ in range(2)]
    assert min(values) >= fit.dual
    assert fit.primal - fit.dual <= 1e-10


def test_margins_are_those_of_the_optimum():
    K, Y = problem()
    fit = hinge_ball(K, Y, 3.0, tolerance=1e-12)
    margin, p = (Y * (K @ fit.coefficients))[:, 0], (Y * fit.coefficients)[:, 0] * fit.penalty * len(K)
    assert ((p >= -1e-12) & (p <= 1 + 1e-12)).all()
    assert (margin[p > 1 - 1e-9] <= 1 + 1e-6).all() and (margin[p < 1e-9] >= 1 - 1e-6).all()
    np.testing.assert_allclose(margin[(p > 1e-9) & (p < 1 - 1e-9)], 1, atol=1e-6)


def test_a_ball_that_need_not_be_full():
    """Separable rows: the loss goes to zero inside the ball."""
    K, Y = problem(noise=0.0)
    for radius in (100.0, 1e3, 1e5):
        fit = hinge_ball(K, Y, radius)
        assert fit.norm < 50 and fit.primal <= 3e-5 and fit.dual == 0
        assert norm(K, fit.coefficients) == pytest.approx(fit.norm, rel=1e-9)


@pytest.mark.parametrize("radius", [1.0, 5.0, 20.0, 160.0])
def test_one_class_against_many_others(radius):
    """Ten rare classes in one ball: the start, with every row at its bound, is far from the optimum."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    F = X @ rng.standard_normal((5, 10)) + 0.1 * rng.standard_normal((200, 10))
    Y = np.where(np.arange(10) == F.argmax(axis=1)[:, np.newaxis], 1.0, -1.0)
    fit = hinge_ball(kernel(X, X, 0.25), Y, radius)
    assert fit.primal - fit.dual <= 3e-5 and fit.iterations <= 60
    assert fit.norm <= radius * (1 + 1e-12)


def test_rows_with_both_labels_are_not_separable():
    K, Y = problem(60)
    twice, labels = np.tile(K, (2, 2)), np.concatenate([Y, -Y])
    fit = hinge_ball(twice, labels, 5.0)
    assert fit.dual == pytest.approx(1.0, abs=1e-4) and fit.primal == pytest.approx(1.0, abs=1e-4)


def test_one_label_and_one_row():
    assert hinge_ball(np.ones((1, 1)), np.ones((1, 1)), 0.5).primal == pytest.approx(0.5)
    K, _ = problem(20)
    fit = hinge_ball(K, -np.ones((20, 1)), 10.0)
    assert fit.primal <= 3e-5


def test_labels_turned_around_turn_the_function():
    K, Y = problem()
    one, other = hinge_ball(K, Y, 3.0), hinge_ball(K, -Y, 3.0)
    np.testing.assert_array_equal(one.coefficients, -other.coefficients)


def test_the_linear_kernel_is_solved_too():
    """Rank 3: almost no choice of free rows has an invertible block."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((100, 3)) / 3
    Y = np.where(X[:, :1] + 0.2 * rng.standard_normal((100, 1)) > 0, 1.0, -1.0)
    fit = hinge_ball(X @ X.T, Y, 2.0)
    assert fit.primal - fit.dual <= 3e-5


def test_as_accurate_as_libsvm_at_its_penalty():
    svm = pytest.importorskip("sklearn.svm")
    K, Y = problem(300)
    fit = hinge_ball(K, Y, 4.0, tolerance=1e-8)
    rival = svm.SVC(kernel="precomputed", C=1 / (300 * fit.penalty), tol=1e-6).fit(K, Y[:, 0])
    offset = rival.intercept_[0]  # LIBSVM has an offset and we none: ours cannot be better than it allows
    alpha = np.zeros(300)
    alpha[rival.support_] = rival.dual_coef_[0]
    penalised = 0.5 * fit.penalty * norm(K, alpha) ** 2 + np.maximum(0, 1 - Y[:, 0] * (K @ alpha + offset)).mean()
    ours = 0.5 * fit.penalty * fit.norm**2 + fit.primal
    assert penalised <= ours + 1e-9
    assert ours <= penalised + 0.01
