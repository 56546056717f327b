"""The Hermite residual is the residual of least squares on all products of inputs, and carries the higher moments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmom.moments.hermite import hermite_residual


def relu_labels(X, m, seed=1):
    B = np.random.default_rng(seed).standard_normal((X.shape[1], m)) / np.sqrt(X.shape[1])
    return np.maximum(X @ B, 0)


def design(X, degree):
    """All products of at most `degree` inputs."""
    i, j = np.triu_indices(X.shape[1])
    return np.column_stack([np.ones((len(X), 1)), X, X[:, i] * X[:, j]][: degree + 1])


def least_squares(X, Y, degree):
    D = design(X, degree)
    for _ in range(2):  # the second time to correct the round-off of the first
        Y = Y - D @ np.linalg.solve(D.T @ D, D.T @ Y)
    return Y


def fitted(fit, X):
    trace = np.trace(fit.quadratic, axis1=1, axis2=2)
    return fit.constant + X @ fit.linear.T + np.einsum("na,oab,nb->no", X, fit.quadratic, X) - trace


@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize(("n", "d", "m"), [(400, 1, 1), (500, 4, 3), (1500, 12, 2), (2500, 53, 1), (300, 3, 40)])
def test_the_residual_is_that_of_least_squares_on_the_explicit_design(n, d, m, degree):
    X = np.random.default_rng(0).standard_normal((n, d))
    Y = relu_labels(X, m)
    residual, fit = hermite_residual(X, Y, degree, tol=1e-11)
    np.testing.assert_allclose(residual, least_squares(X, Y, degree), atol=1e-10)
    np.testing.assert_allclose(residual, Y - fitted(fit, X), atol=1e-12)
    assert fit.relative_residual <= 1e-11 and (fit.iterations > 0) == (degree == 2)


def test_the_default_tolerance_is_far_below_the_sampling_error():
    X = np.random.default_rng(0).standard_normal((2000, 10))
    Y = relu_labels(X, 2)
    residual, fit = hermite_residual(X, Y)
    exact = least_squares(X, Y, 2)
    assert np.abs(residual - exact).max() < 1e-5 * Y.std() and fit.relative_residual <= 1e-6


def test_a_quadratic_is_removed_whole_and_its_coefficients_are_its_moments():
    rng = np.random.default_rng(0)
    X, c, b, Q = (
        rng.standard_normal((800, 6)),
        rng.standard_normal(2),
        rng.standard_normal((2, 6)),
        rng.standard_normal((2, 6, 6)),
    )
    Q += Q.transpose(0, 2, 1)
    Y = c + X @ b.T + np.einsum("na,oab,nb->no", X, Q, X) - np.trace(Q, axis1=1, axis2=2)
    residual, fit = hermite_residual(X, Y, tol=1e-13)
    np.testing.assert_allclose(residual, 0, atol=1e-10)
    np.testing.assert_allclose(fit.constant, c, atol=1e-10)  # T_0 = E[y]
    np.testing.assert_allclose(fit.linear, b, atol=1e-10)  # T_1 = E[y x]
    np.testing.assert_allclose(fit.quadratic, Q, atol=1e-10)  # T_2 / 2 = E[y (x x^T - I)] / 2


def test_moments_of_relu_neurons_come_out_of_the_coefficients():
    # E[relu(b.x)] = c_0, E[relu(b.x) x] = b / 2, E[relu(b.x) (x x^T - I)] = c_0 b b^T, c_0 = 1 / sqrt(2 pi), |b| = 1.
    X = np.random.default_rng(0).standard_normal((40_000, 5))
    b = np.array([0.6, 0.0, 0.8, 0.0, 0.0])
    _, fit = hermite_residual(X, np.maximum(X @ b, 0))
    c = 1 / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(fit.constant, c, atol=0.01)
    np.testing.assert_allclose(fit.linear[0], b / 2, atol=0.01)
    np.testing.assert_allclose(2 * fit.quadratic[0], c * np.outer(b, b), atol=0.02)


def test_scale_offset_and_mixing_of_the_inputs_change_nothing():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 8))
    Y = relu_labels(X, 2)
    residual, fit = hermite_residual(X, Y)
    mixed = (X @ rng.standard_normal((8, 8)) + 3) * 10.0 ** np.arange(-4, 4)
    again, same = hermite_residual(mixed, Y)
    np.testing.assert_allclose(again, residual, atol=1e-8)
    assert same.iterations == fit.iterations


def test_scale_and_offset_of_the_labels_pass_through():
    X = np.random.default_rng(0).standard_normal((1000, 5))
    Y = relu_labels(X, 2)
    residual, _ = hermite_residual(X, Y)
    for scale in (1e-200, 1e150):
        again, _ = hermite_residual(X, scale * Y)
        np.testing.assert_allclose(again / scale, residual, atol=1e-11)
    np.testing.assert_allclose(hermite_residual(X, Y + 1e4)[0], residual, atol=1e-8)


def test_each_output_is_fitted_as_if_it_were_alone():
    X = np.random.default_rng(0).standard_normal((700, 6))
    Y = np.column_stack([relu_labels(X, 2), np.zeros(700), X[:, 0], np.exp(X[:, 1])])
    residual, fit = hermite_residual(X, Y)
    for o in range(Y.shape[1]):
        alone, own = hermite_residual(X, Y[:, o])
        assert alone.shape == (700,)
        np.testing.assert_allclose(residual[:, o], alone, atol=1e-12)
        np.testing.assert_allclose(fit.quadratic[o], own.quadratic[0], atol=1e-12)


def test_dependent_and_constant_inputs_leave_the_fit_least_squares():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 3))
    Y = relu_labels(X, 1)
    wide = np.column_stack([X, X[:, 0] - X[:, 2], np.full(600, 7.0), np.zeros(600)])
    np.testing.assert_allclose(hermite_residual(wide, Y, tol=1e-12)[0], least_squares(X, Y, 2), atol=1e-9)


def test_inputs_whose_squares_are_constant_leave_the_fit_least_squares():
    X = np.random.default_rng(0).choice([-1.0, 1.0], (600, 5))
    Y = relu_labels(X, 1)
    D = design(X, 2)
    exact = Y - D @ np.linalg.lstsq(D, Y, rcond=1e-10)[0]
    np.testing.assert_allclose(hermite_residual(X, Y, tol=1e-12)[0], exact, atol=1e-9)


@pytest.mark.parametrize("tol", [1e-6, 0.0])
@pytest.mark.parametrize("inputs", ["gaussian", "cube", "ternary", "repeated", "heavy", "constant", "rare"])
def test_fits_stop_at_round_off_whatever_is_asked(inputs, tol):
    rng = np.random.default_rng(0)
    X = {
        "gaussian": rng.standard_normal((300, 5)),
        "cube": rng.choice([-1.0, 1.0], (300, 5)),
        "ternary": rng.choice([-1.0, 0.0, 1.0], (300, 5)),
        "repeated": np.repeat(rng.standard_normal((20, 5)), 30, axis=0),  # fewer rows than coefficients
        "heavy": rng.standard_t(1.5, (600, 5)),
        "constant": np.ones((300, 2)),
        "rare": rng.choice([0.0, 1.0], (300, 3), p=[0.995, 0.005]),
    }[inputs]
    Y = np.column_stack([relu_labels(X, 2), np.full(len(X), 3.0), X[:, 0], X[:, 0] ** 2 + X[:, -1]])
    D = design(X, 2)
    exact = Y - D @ np.linalg.lstsq(D, Y, rcond=1e-11)[0]
    residual, fit = hermite_residual(X, Y, tol=tol)
    assert fit.iterations < 60
    scale = np.maximum(np.abs(Y).max(axis=0), 1e-300)
    np.testing.assert_allclose(residual / scale, exact / scale, atol=max(30 * tol, 1e-11))


def test_labels_without_any_quadratic_part_keep_themselves():
    X = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T  # all corners: their products are orthogonal
    y = X[:, 0] * X[:, 1] * X[:, 2]
    np.testing.assert_allclose(hermite_residual(X, y, tol=0.0)[0], y, atol=1e-13)
    constant = np.full(16, 0.1)
    assert not hermite_residual(X, constant, 1)[1].linear.any()


def test_as_many_rows_as_coefficients_are_interpolated_and_fewer_refused():
    X = np.random.default_rng(0).standard_normal((28, 6))
    Y = relu_labels(X, 1)
    assert np.abs(hermite_residual(X, Y, tol=1e-13)[0]).max() < 1e-6
    with pytest.raises(
        ValueError, match=r"^X: 27 rows for the 28 coefficients of degree 2 in 6 inputs; pass at least 28"
    ):
        hermite_residual(X[:27], Y[:27])
    with pytest.raises(ValueError, match=r"^X: 6 rows for the 7 coefficients of degree 1"):
        hermite_residual(X[:6], Y[:6], 1)


def test_too_few_iterations_say_so():
    X = np.random.default_rng(0).standard_normal((300, 10))
    _, fit = hermite_residual(X, relu_labels(X, 1), max_iterations=2)
    assert fit.iterations == 2 and fit.relative_residual > 1e-3


def test_the_fit_serves_other_rows():
    X = np.random.default_rng(0).standard_normal((900, 5))
    Y = relu_labels(X, 2)
    residual, fit = hermite_residual(X, Y)
    np.testing.assert_allclose(fit.residual(X[100:107], Y[100:107]), residual[100:107], atol=1e-14)
    with pytest.raises(ValueError, match=r"^X, Y: have 4 and 2 columns, the fit 5 and 2"):
        fit.residual(X[:, :4], Y)


@pytest.mark.parametrize("layout", ["C", "F", "strided", "float32", "list"])
def test_layout_and_dtype_of_the_rows_do_not_matter(layout):
    X = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32).astype(float)
    Y = X[:, 0] * X[:, 1] + X[:, 2]
    expected, _ = hermite_residual(X, Y)
    given = {
        "C": X,
        "F": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=0)[::2],
        "float32": X.astype(np.float32),
        "list": X.tolist(),
    }[layout]
    np.testing.assert_array_equal(hermite_residual(given, Y)[0], expected)


@pytest.mark.parametrize(("where", "bad"), [("X", np.nan), ("X", np.inf), ("Y", np.nan), ("Y", -np.inf)])
def test_a_bad_entry_is_named(where, bad):
    X = np.random.default_rng(0).standard_normal((100, 3))
    Y = relu_labels(X, 2)
    (X if where == "X" else Y)[41, 1] = bad
    with pytest.raises(ValueError, match=rf"^{where}\[41, 1\] is {bad:g}"):
        hermite_residual(X, Y)
    _, fit = hermite_residual(X[:40], Y[:40])
    with pytest.raises(ValueError, match=rf"^{where}\[41, 1\] is {bad:g}"):
        fit.residual(X, Y)


def test_labels_too_large_for_products_are_refused():
    X = np.random.default_rng(0).standard_normal((100, 3))
    with pytest.raises(ValueError, match=r"^X, Y: products y x x\^T overflow"):
        hermite_residual(1e130 * X, 1e140 * X[:, 0])
    with pytest.raises(ValueError, match=r"^X: no entry of column 0"):
        hermite_residual(1e-170 * X, X[:, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"degree": 3}, "degree: expected 0, 1 or 2, got 3"),
        ({"degree": -1}, "degree: expected at least 0"),
        ({"tol": -1.0}, "tol: expected a finite number"),
        ({"max_iterations": -1}, "max_iterations: expected at least 0"),
    ],
)
def test_bad_options_are_refused_by_name(arguments, message):
    X = np.random.default_rng(0).standard_normal((100, 3))
    with pytest.raises(ValueError, match="^" + message):
        hermite_residual(X, X[:, 0], **arguments)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 3), st.integers(0, 2), st.integers(0, 60))
def test_the_residual_is_orthogonal_to_all_products(seed, d, m, degree, extra):
    rng = np.random.default_rng(seed)
    n = 40 + extra
    X, Y = rng.standard_normal((n, d)), rng.standard_normal((n, m))
    residual, _ = hermite_residual(X, Y, degree, tol=1e-12)
    assert np.abs(design(X, degree).T @ residual).max() < 1e-8 * n


def quartic(X, y, b):
    """T_4(I, b, b, b) = E[y S_4(x)](I, b, b, b), |b| = 1: He_3(t) x - 3 He_2(t) b, t = b.x."""
    t = X @ b
    return X.T @ (y * (t**3 - 3 * t)) / len(X) - 3 * np.mean(y * (t**2 - 1)) * b


@pytest.mark.parametrize(("k", "n", "repeats", "gain"), [(10, 20_000, 16, 30), (50, 20_000, 5, 300)])
def test_control_variates_cut_the_error_of_the_fourth_moment(k, n, repeats, gain):
    # Orthonormal relu neurons, labels their sum: T_4(I, b, b, b) = c_4 b, c_4 = -1 / sqrt(2 pi), b one of them.
    errors = []
    for seed in range(repeats):
        X = np.random.default_rng(seed).standard_normal((n, k))
        y = np.maximum(X, 0).sum(axis=1)
        b = np.eye(k)[0]
        truth = -b / np.sqrt(2 * np.pi)
        kept = hermite_residual(X, y)[0]
        errors.append([np.sum((quartic(X, labels, b) - truth) ** 2) for labels in (y, kept)])
    raw, controlled = np.mean(errors, axis=0)
    assert raw / controlled >= gain
