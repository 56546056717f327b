"""Functions of the label space that live on few rows, and the weights behind them."""

import numpy as np
import pytest

from fastmom.patterns.rare import sparse_functions, weights_of


def label_basis(n=80, q=3, seed=0):
    """An orthonormal basis of two dense non-negative functions and one positive on the first q rows only."""
    rng = np.random.default_rng(seed)
    F = np.maximum(rng.standard_normal((n, 3)), 0.0)
    F[:, 2] = np.where(np.arange(n) < q, rng.uniform(0.5, 2.0, n), 0.0)
    return np.linalg.qr(F @ rng.standard_normal((3, 3)))[0], F[:, 2]


@pytest.mark.parametrize("q", [1, 3, 10])
def test_the_sparse_function_is_found_among_dense_ones(q):
    for seed in range(10):
        basis, sparse = label_basis(q=q, seed=seed)
        found = sparse_functions(basis, 0)[0]
        assert np.array_equal(found > 0, sparse > 0)
        np.testing.assert_allclose(found / np.linalg.norm(found), sparse / np.linalg.norm(sparse), atol=1e-12)


def test_a_space_without_sparse_functions_yields_none():
    rng = np.random.default_rng(0)
    assert sparse_functions(np.linalg.qr(rng.standard_normal((60, 3)))[0], 0) == []


@pytest.mark.parametrize("q", [1, 4, 9])
def test_weights_equal_the_function_where_it_is_positive_and_stay_negative_elsewhere(q):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((60, 6))
        X[:, 0] = 1.0
        w = rng.standard_normal(6)
        order = np.sort(X[:, 1:] @ w[1:])
        w[0] = -(order[-q] + order[-q - 1]) / 2
        function = np.maximum(X @ w, 0.0)
        u = weights_of(function, X)
        np.testing.assert_allclose(np.maximum(X @ u, 0.0), function, atol=1e-10)


def test_a_function_that_no_half_space_has_is_refused():
    X = np.column_stack([np.linspace(-1, 1, 21), np.ones(21)])
    function = np.zeros(21)
    function[10] = 1.0  # in the middle of a line
    assert weights_of(function, X) is None
