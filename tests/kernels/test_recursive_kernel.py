"""The closed form is the recursion, and products are those of the whole matrix, whatever the tiles and threads."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.kernels import recursive_kernel as kernels
from fastmom.kernels import recursive_kernel_reference as reference

# One row, odd sizes, both sides of a tile
SHAPES = [(1, 1, 1), (3, 5, 2), (255, 513, 4), (257, 511, 3), (600, 1100, 20)]
DEPTHS = [0.0, 0.25, 1.0, 3.0, 128.0]


def ball(n, d, seed=0, dtype=np.float64):
    X = np.random.default_rng(seed).standard_normal((n, d))
    return np.ascontiguousarray(X / (np.linalg.norm(X, axis=1)[:, None] * 1.000001), dtype=dtype)


@pytest.mark.parametrize("depth", range(9))
def test_the_closed_form_is_the_recursion(depth):
    t = np.linspace(-1, 1, 20_001)
    found = fm.recursive_kernel(t[:, None], [[1.0]], depth)[:, 0]
    assert np.abs(found - reference.recursion(t, depth)).max() <= 2e-15


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
def test_values_and_products_are_what_their_definitions_say(n, m, d, depth):
    X, Z, V = ball(n, d), ball(m, d, 1), np.random.default_rng(2).standard_normal((m, 3))
    np.testing.assert_allclose(fm.recursive_kernel(X, Z, depth), reference.kernel_tiles(X, Z, depth), atol=1e-12)
    for columns in (1, 3):
        truth = reference.kernel_product(X, Z, V[:, :columns], depth)
        tolerance = 1e-12 * np.abs(truth).max()
        np.testing.assert_allclose(fm.kernel_matmul(X, Z, V[:, :columns], depth), truth, rtol=0, atol=tolerance)


@pytest.mark.parametrize("n", [1, 33, 256, 300, 700])
def test_the_kernel_matrix_of_one_set_is_exactly_symmetric(n):
    X = ball(n, 3)
    K = fm.recursive_kernel(X, depth=2.0)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(K, reference.kernel_tiles(X, X, 2.0), atol=1e-12)


def test_single_precision_stays_single_and_is_as_accurate():
    X, Z, v = ball(300, 5, dtype=np.float32), ball(700, 5, 1, np.float32), np.ones(700, np.float32)
    K, Kv = fm.recursive_kernel(X, Z, 3.0), fm.kernel_matmul(X, Z, v, 3.0)
    assert K.dtype == Kv.dtype == np.float32
    truth = reference.kernel_tiles(X.astype(float), Z.astype(float), 3.0)
    np.testing.assert_allclose(K, truth, atol=2e-6)
    np.testing.assert_allclose(Kv, truth.sum(axis=1), rtol=1e-5)


def test_threads_and_the_serial_twin_give_the_same_bits():
    dtype = np.float64
    X, Z, V = ball(1300, 6, dtype=dtype), ball(1100, 6, 1, dtype), np.ones((1100, 1), dtype)
    for array in (X, Z, V):
        array.flags.writeable = False
    depth = np.array([2.0], dtype=dtype)
    found = []
    for form in ("serial", "parallel"):
        for lanes in (1, 2, 3):
            scratch = np.full((lanes, kernels.panel_scratch(1300, 1100)), np.nan, dtype)
            K, G, p = np.empty((1300, 1100), dtype), np.empty((1300, 1300), dtype), np.zeros((1300, 1))
            getattr(kernels.kernel_tiles, form)(scratch, X, Z, depth, K)
            getattr(kernels.kernel_gram, form)(scratch, X, depth, G)
            getattr(kernels.kernel_product, form)(scratch, X, Z, V, depth, p)
            found.append((K.tobytes(), G.tobytes(), p.tobytes()))
    assert len(set(found)) == 1


def test_out_is_what_is_returned():
    X = ball(20, 3)
    out = np.empty((20, 20))
    assert fm.recursive_kernel(X, out=out) is out


def test_inputs_outside_the_ball_are_refused_with_their_row():
    with pytest.raises(ValueError, match=r"^X\[1\] has norm 2"):
        fm.recursive_kernel([[1.0, 0.0], [0.0, 2.0]])
