"""Fused passes of the landscape objective and of gated sums against their definitions in plain NumPy."""

import numpy as np
import pytest

from fastmom.kernels import quartic_reference as reference
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


def test_value_and_gradient_are_their_definition():
    sums = total(quartic_gradient_pass, W, (B, np.array([ALPHA, BETA])), 1 + B.size, quartic_scratch(D, M, 1))
    value, gradient = reference.quartic_gradient(X, W[:, 0], B, ALPHA, BETA)
    assert sums[0] == pytest.approx(value, rel=1e-12)
    assert np.abs(sums[1:].reshape(M, D) - gradient).max() < 1e-12 * np.abs(gradient).max()


def test_the_product_is_the_derivative_of_the_gradient():
    sums = total(quartic_product_pass, W, (B, E, np.array([ALPHA, BETA])), B.size, quartic_scratch(D, M, 2))
    product = reference.quartic_product(X, W[:, 0], B, E, ALPHA, BETA)
    assert np.abs(sums.reshape(M, D) - product).max() < 1e-12 * np.abs(product).max()


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_gated_gradient_is_that_of_half_the_squared_residual(slope):
    sums = total(gated_gradient_pass, W, (B, np.array([slope])), 1 + B.size, gated_scratch(D, M))
    loss, gradient = reference.gated_gradient(X, W[:, 0], B, slope)
    assert sums[0] == pytest.approx(loss, rel=1e-12)
    assert np.abs(sums[1:].reshape(M, D) - gradient).max() < 1e-12 * np.abs(gradient).max()


def test_gated_product_is_the_normal_matrix_of_a_pattern():
    gates = np.where(X @ B.T > 0, 1.0, 0.1)
    sums = total(gated_product_pass, gates, (E,), B.size, gated_scratch(D, M))
    product = reference.gated_product(X, gates, E)
    assert np.abs(sums.reshape(M, D) - product).max() < 1e-12 * np.abs(product).max()


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
