"""Fused passes of the landscape objective and of gated sums against their definitions in plain NumPy."""

import numpy as np
import pytest

from fastmom.kernels.gated_sum import gated_gradient_pass, gated_product_pass, gated_scratch
from fastmom.kernels.quartic import quartic_gradient_pass, quartic_product_pass, quartic_scratch
from fastmom.runtime.passes import Rows, sum_over_rows

RNG = np.random.default_rng(0)
N, D, M = 1100, 5, 3
X, B, E = RNG.standard_normal((N, D)), RNG.standard_normal((M, D)), RNG.standard_normal((M, D))
W = RNG.standard_normal((N, 1))
ALPHA, BETA = 0.7, -0.2


def total(kernel, labels, parameters, width, scratch, size=512):
    return sum_over_rows(
        Rows(X, labels),
        kernel,
        parameters,
        width=width,
        scratch_width=-(-scratch // size),
        row_flops=1.0,
        stage="test",
        size=size,
    )


def slopes(B):
    u = X @ B.T
    S = np.sum(u**2, axis=1, keepdims=True)
    return W * (4 * ALPHA * u * (S - u**2) + 4 * BETA * u**3)


def test_value_and_gradient_are_their_definition():
    sums = total(quartic_gradient_pass, W, (B, np.array([ALPHA, BETA])), 1 + B.size, quartic_scratch(D, M, 1))
    u = X @ B.T
    S, F = np.sum(u**2, axis=1), np.sum(u**4, axis=1)
    assert sums[0] == pytest.approx(np.sum(W[:, 0] * (ALPHA * (S**2 - F) + BETA * F)), rel=1e-12)
    np.testing.assert_allclose(sums[1:].reshape(M, D), slopes(B).T @ X, rtol=1e-11, atol=1e-9)


def test_the_product_is_the_derivative_of_the_gradient():
    sums = total(quartic_product_pass, W, (B, E, np.array([ALPHA, BETA])), B.size, quartic_scratch(D, M, 2))
    u, e = X @ B.T, X @ E.T
    S, c = np.sum(u**2, axis=1, keepdims=True), np.sum(u * e, axis=1, keepdims=True)
    curved = W * (e * (4 * ALPHA * (S - u**2) + 12 * BETA * u**2) + 8 * ALPHA * u * (c - u * e))
    np.testing.assert_allclose(sums.reshape(M, D), curved.T @ X, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_gated_gradient_is_that_of_half_the_squared_residual(slope):
    sums = total(gated_gradient_pass, W, (B, np.array([slope])), 1 + B.size, gated_scratch(D, M))
    t = X @ B.T
    r = np.where(t > 0, t, slope * t).sum(axis=1) - W[:, 0]
    assert sums[0] == pytest.approx(r @ r, rel=1e-12)
    gates = np.where(t > 0, 1.0, slope)
    np.testing.assert_allclose(sums[1:].reshape(M, D), (gates * r[:, None]).T @ X, rtol=1e-11, atol=1e-10)


def test_gated_product_is_the_normal_matrix_of_a_pattern():
    gates = np.where(X @ B.T > 0, 1.0, 0.1)
    sums = total(gated_product_pass, gates, (E,), B.size, gated_scratch(D, M))
    design = (gates[:, :, None] * X[:, None, :]).reshape(N, -1)
    np.testing.assert_allclose(sums, design.T @ (design @ E.ravel()), rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("kernel", [quartic_gradient_pass, gated_gradient_pass])
def test_threads_do_not_change_the_bits(kernel):
    size, n_blocks = 512, -(-N // 512)
    parameter = np.array([ALPHA, BETA])
    results = []
    for lanes, run in ((1, kernel.serial), (2, kernel.parallel)):
        scratch = np.empty((lanes, size, quartic_scratch(D, M, 1)))
        sums = np.zeros((n_blocks, 1 + B.size))
        run(X, W, B, parameter, scratch, np.empty(N), sums)
        results.append(sums)
    assert np.array_equal(*results)
