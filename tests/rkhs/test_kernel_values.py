"""The kernel's closed form is the recursion of the paper; tiles, mirrored halves and products agree with it."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.kernels import recursive_kernel_reference


def rows(n, d, seed=0):
    X = np.random.default_rng(seed).standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True) * (1 - 1e-6)


@pytest.mark.parametrize("depth", range(9))
def test_the_closed_form_is_the_recursion(depth):
    """On [-1, 1], to 2e-15."""
    t = np.linspace(-1, 1, 20_001)
    found = fm.recursive_kernel([[1.0]], t[:, np.newaxis], depth=depth)[0]
    np.testing.assert_allclose(found, recursive_kernel_reference.recursion(t, depth), rtol=0, atol=2e-15)


@pytest.mark.parametrize("depth", [0, 0.25, 3])
@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (5, 700, 3), (300, 40, 9), (513, 1025, 2)])
def test_tiles_and_products_are_those_of_the_definition(n, m, d, depth):
    X, Z, V = rows(n, d), rows(m, d, 1), np.random.default_rng(2).standard_normal((m, 3))
    expected = recursive_kernel_reference.kernel_tiles(X, Z, depth)
    np.testing.assert_allclose(fm.recursive_kernel(X, Z, depth), expected, atol=1e-14)
    np.testing.assert_allclose(fm.kernel_matmul(X, Z, V, depth), expected @ V, atol=1e-12)
    np.testing.assert_allclose(fm.kernel_matmul(X, Z, V[:, 0], depth), expected @ V[:, 0], atol=1e-12)


@pytest.mark.parametrize("n", [1, 255, 600])
def test_the_matrix_of_one_argument_is_symmetric(n):
    X = rows(n, 4)
    K = fm.recursive_kernel(X, depth=2.0)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(K, recursive_kernel_reference.kernel_tiles(X, X, 2.0), atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fm.recursive_kernel([[1.0, 0.1]]), r"X\[0\] has norm 1.00499"),
        (lambda: fm.recursive_kernel([[1.0]], [[1.0, 0.0]]), "Z: has 2 columns, X 1"),
        (lambda: fm.recursive_kernel([[1.0]], depth=-1), "depth: expected a finite number"),
        (lambda: fm.recursive_kernel([[1.0]], out=np.zeros((2, 1))), r"out: expected a C-contiguous array \(1, 1\)"),
        (lambda: fm.kernel_matmul([[1.0]], None, [1.0, 2.0]), "V: has 2 rows; expected 1"),
        (lambda: fm.kernel_matmul([[1.0]], None, [np.nan]), r"V\[0, 0\] is nan"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
