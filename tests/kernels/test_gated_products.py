"""Products with the Jacobian and its transpose are what their definitions in plain NumPy say."""

import numpy as np
import pytest

from fastmom.kernels import even_odd_reference as reference
from fastmom.kernels import gated_products

# (rows, inputs, neurons, outputs): one of each, rows on both sides of a tile
SHAPES = [(1, 1, 1, 1), (3, 5, 2, 2), (255, 3, 4, 1), (256, 2, 1, 3), (257, 7, 3, 2), (1300, 20, 30, 1)]
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-4}


def problem(n, d, k, m, dtype, slope):
    rng = np.random.default_rng(n + d + k)
    X = rng.standard_normal((n, d)).astype(dtype)
    P, outer, R, T = (rng.standard_normal(shape).astype(dtype) for shape in ((k, d), (k, m), (n, m), (n, k)))
    return X, np.where(T > 0, T, slope * T).astype(dtype), np.where(T > 0, 1.0, slope), P, outer, R


def forward(X, F, slope, P, outer, lanes=1, form="serial"):
    (n, k), m = F.shape, outer.shape[1]
    scratch = np.full_like(gated_products.gated_scratch(lanes, k, X.dtype), np.nan)
    R, sums = np.full((n, m), np.nan, X.dtype), np.full((gated_products.tiles(n), k, m), np.nan, X.dtype)
    call = getattr(gated_products.jacobian_products, form)
    call(X, F, X.dtype.type(slope), np.ascontiguousarray(P.T), outer, scratch, R, sums)
    return R, sums


def backward(X, F, slope, R, outer, lanes=1, form="serial"):
    n, k = F.shape
    scratch = np.full_like(gated_products.gated_scratch(lanes, k, X.dtype), np.nan)
    sums = np.full((gated_products.tiles(n), k, X.shape[1]), np.nan, X.dtype)
    call = getattr(gated_products.transposed_products, form)
    call(X, F, X.dtype.type(slope), R, np.ascontiguousarray(outer.T), scratch, sums)
    return sums


def close(found, truth, tolerance):
    np.testing.assert_allclose(found, truth, rtol=0, atol=tolerance * np.abs(truth).max())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize(("n", "d", "k", "m"), SHAPES)
def test_products_are_those_of_the_jacobian(n, d, k, m, slope, dtype):
    X, F, gates, P, outer, R = problem(n, d, k, m, dtype, slope)
    moved, onto = forward(X, F, slope, P, outer, lanes=2)
    truth = reference.jacobian_product(*(a.astype(np.float64) for a in (X, gates, P, outer)))
    close(moved, truth, TOLERANCE[dtype])
    close(onto.sum(axis=0), F.T.astype(np.float64) @ truth, TOLERANCE[dtype])
    pulled = backward(X, F, slope, R, outer, lanes=3)
    truth = reference.transposed_product(*(a.astype(np.float64) for a in (X, gates, R, outer)))
    close(pulled.sum(axis=0), truth, TOLERANCE[dtype])


def test_lanes_and_threads_do_not_change_a_bit():
    X, F, _, P, outer, R = problem(*SHAPES[-1], np.float32, 0.0)
    ours = [*forward(X, F, 0.0, P, outer), backward(X, F, 0.0, R, outer)]
    for lanes, form in ((4, "serial"), (2, "parallel")):
        others = [*forward(X, F, 0.0, P, outer, lanes, form), backward(X, F, 0.0, R, outer, lanes, form)]
        for one, other in zip(ours, others, strict=True):
            np.testing.assert_array_equal(one, other)
