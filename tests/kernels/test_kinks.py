"""Passes of kinks, and descents in a few dimensions, are what their definitions in plain NumPy say."""

import numpy as np
import pytest

from fastmom.kernels import kink_descents, kinks
from fastmom.kernels import kinks_reference as reference

# (rows, inputs, kinks): rows shorter than a strip, of whole strips, with a rest; rows on both sides of tile and block
SHAPES = [(1, 1, 1), (7, 3, 2), (255, 4, 1), (257, 8, 5), (600, 5, 0), (2000, 50, 3)]
BLOCK = 512


def problem(n, d, k):
    rng = np.random.default_rng(n + d + k)
    X, y, B, v = (rng.standard_normal(shape) for shape in ((n, d), n, (k, d), d))
    return X, y, B, v, rng.choice([-1.0, 1.0], k), rng.standard_normal((1 << k, d))


def scratch(lanes, elements):
    return np.full((lanes, BLOCK, -(-elements // BLOCK)), np.nan)


def evaluated(X, y, B, v, signs, slope, lanes=1, form="serial"):
    (n, d), k = X.shape, len(B)
    codes, sums = np.full(n, np.nan), np.full((-(-n // BLOCK), 1 + (d << k)), np.nan)
    call = getattr(kinks.kink_pass, form)
    work = scratch(lanes, kinks.kink_scratch(d, k))
    call(X, y[:, None], np.vstack([B, v]), signs, np.array([slope]), work, codes, sums)
    return codes, sums


def grouped(X, codes, E, lanes=1, form="serial"):
    sums = np.full((-(-len(X) // BLOCK), E.size), np.nan)
    call = getattr(kinks.grouped_product_pass, form)
    call(X, codes[:, None], E, scratch(lanes, kinks.grouped_scratch(X.shape[1], len(E))), np.empty(0), sums)
    return sums


def close(found, truth):
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-12 * max(1.0, np.abs(truth).max()))


@pytest.mark.parametrize("slope", [-1.0, 0.0])
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_a_pass_gives_the_loss_the_codes_and_the_residual_weighted_rows(n, d, k, slope):
    X, y, B, v, signs, _ = problem(n, d, k)
    codes, sums = evaluated(X, y, B, v, signs, slope, lanes=2)
    r = reference.residuals(X, y, B, v, signs, slope)
    np.testing.assert_array_equal(codes, reference.codes(X, B))
    close(sums[:, 0].sum(), r @ r)
    close(sums[:, 1:].sum(axis=0).reshape(1 << k, d), reference.rows_by_code(X, r, reference.codes(X, B), 1 << k))


@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_a_grouped_product_is_that_of_the_rows_of_each_code(n, d, k):
    X, _, B, _, _, E = problem(n, d, k)
    code = reference.codes(X, B)
    close(
        grouped(X, code.astype(float), E, lanes=3).sum(axis=0).reshape(E.shape), reference.grouped_product(X, code, E)
    )


def test_the_grouped_product_is_the_normal_matrix_of_the_patterns():
    X, _, B, _, _, _ = problem(600, 5, 3)
    G = np.column_stack([np.ones(600), np.where(X @ B.T > 0, 1.0, -1.0)])
    design = (G[:, :, None] * X[:, None, :]).reshape(600, -1)
    P = np.random.default_rng(0).standard_normal((4, 5))
    factors = np.column_stack([np.ones(8), np.where(np.arange(8)[:, None] >> np.arange(3) & 1, 1.0, -1.0)])
    product = grouped(X, reference.codes(X, B).astype(float), factors @ P).sum(axis=0).reshape(8, 5)
    close(factors.T @ product, (design.T @ (design @ P.ravel())).reshape(4, 5))


def test_lanes_and_threads_do_not_change_a_bit():
    X, y, B, v, signs, E = problem(*SHAPES[-1])
    ours = evaluated(X, y, B, v, signs, -1.0)
    product = grouped(X, ours[0], E)
    for lanes, form in ((4, "serial"), (2, "parallel")):
        for one, other in zip(ours, evaluated(X, y, B, v, signs, -1.0, lanes, form), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(product, grouped(X, ours[0], E, lanes, form))


def small_descents(Z, y, B, steps):
    (b, k, m), B = B.shape, B.copy()
    signs, V, losses = np.zeros((b, k)), np.zeros((b, m)), np.zeros(b)
    work = kink_descents.descents_scratch(b, m, k)
    kink_descents.kink_descents(Z, y, B, signs, V, steps, work, losses)
    return B, signs, V, losses


@pytest.mark.parametrize(("n", "m", "k"), [(50, 1, 1), (300, 3, 2), (500, 4, 3)])
def test_a_first_step_is_the_least_squares_fit_of_the_patterns(n, m, k):
    rng = np.random.default_rng(k)
    Z, B = rng.standard_normal((n, m)), rng.standard_normal((2, k, m))
    y = reference.residuals(Z, np.zeros(n), B[0] + 0.3, np.ones(m), np.ones(k), -1.0)
    found, signs, V, losses = small_descents(Z, y, B, 1)
    for i in range(2):
        truth = reference.pattern_fit(Z, y, B[i])
        np.testing.assert_allclose(np.vstack([V[i], signs[i][:, None] * found[i]]), truth, atol=1e-9)
        r = reference.residuals(Z, y, found[i], V[i], signs[i], -1.0)
        np.testing.assert_allclose(losses[i], r @ r, rtol=1e-12)


def test_a_descent_finds_the_kinks_and_never_rises():
    rng = np.random.default_rng(0)
    Z, truth, signs, v = rng.standard_normal((600, 3)), rng.standard_normal((2, 3)), np.array([1.0, -1.0]), np.ones(3)
    y = reference.residuals(Z, np.zeros(600), truth, v, signs, -1.0)
    B = rng.standard_normal((8, 2, 3))
    losses = np.array([small_descents(Z, y, B, steps)[3] for steps in (0, 1, 2, 4, 8, 25)])
    assert (np.diff(losses, axis=0) <= 0).all()
    assert np.count_nonzero(losses[-1] < 1e-25 * (y @ y)) >= 6
