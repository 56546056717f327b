"""Small tensors of the samples are what their definitions say, and symmetric matrices are vectors."""

import numpy as np
import pytest

from fastmom.moments.tensors import smat, svec


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_symmetric_matrices_are_vectors_with_the_same_inner_products(k, shape):
    rng = np.random.default_rng(k)
    S, T = (M + np.swapaxes(M, -1, -2) for M in rng.standard_normal((2, *shape, k, k)))
    assert svec(S).shape == (*shape, k * (k + 1) // 2)
    np.testing.assert_allclose(np.sum(svec(S) * svec(T), -1), np.sum(S * T, (-2, -1)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(smat(svec(S)), S, rtol=1e-15)


def test_coordinates_run_row_by_row_through_the_upper_triangle():
    z = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(svec(np.outer(z, z)) / np.sqrt([1, 2, 2, 1, 2, 1]), [1, 2, 3, 4, 6, 9])


@pytest.mark.parametrize("S", [1.0, [1.0, 2.0], np.zeros((2, 3))])
def test_only_square_matrices_have_coordinates(S):
    with pytest.raises(ValueError, match=r"^S: expected square matrices"):
        svec(S)


@pytest.mark.parametrize("v", [1.0, [], [1.0, 2.0], np.zeros((6, 4))])
def test_only_triangular_numbers_of_coordinates_make_a_matrix(v):
    with pytest.raises(ValueError, match=r"^v: expected k \(k \+ 1\) / 2 coordinates"):
        smat(v)
