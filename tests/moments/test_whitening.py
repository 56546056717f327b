"""Whitening makes a second moment the identity on its top eigenspace, and square roots are square roots."""

import numpy as np
import pytest

from fastmom.moments.whitening import symmetric_roots, whiten


def moment(values, seed=0):
    """Symmetric matrix with these eigenvalues."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))
    return (Q * np.asarray(values)) @ Q.T


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 3, 6])
def test_the_moment_is_the_identity_in_whitened_coordinates(k, seed):
    M = moment([5.0, 4.0, 3.0, 2.0, 1.0, 0.5], seed)
    space = whiten(M, k)
    np.testing.assert_allclose(space.whiten.T @ M @ space.whiten, np.eye(k), atol=1e-13)
    np.testing.assert_allclose(space.unwhiten, M @ space.whiten, atol=1e-13)
    np.testing.assert_allclose(space.unwhiten.T @ space.whiten, np.eye(k), atol=1e-13)


def test_weighted_directions_become_orthonormal_and_come_back():
    rng = np.random.default_rng(0)
    B, c = rng.standard_normal((3, 8)), np.array([3.0, 1.0, 0.2])
    space = whiten((B.T * c) @ B)
    assert space.rank == 3 and space.gap == pytest.approx(1.0)
    V = np.sqrt(c)[:, None] * B @ space.whiten
    np.testing.assert_allclose(V @ V.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(V @ space.unwhiten.T, np.sqrt(c)[:, None] * B, atol=1e-12)


def test_the_spectrum_is_reported_largest_size_first():
    space = whiten(moment([4.0, -0.5, 1.0, 0.0, 2.0]), 2)
    np.testing.assert_allclose(space.values, [4.0, 2.0, 1.0, -0.5, 0.0], atol=1e-14)
    assert space.rank == 4 and space.gap == pytest.approx(0.5)


def test_a_multiple_of_the_identity_determines_no_smaller_space():
    assert whiten(2 * np.eye(4), 2).gap == 0.0
    assert whiten(2 * np.eye(4)).gap == 1.0


@pytest.mark.parametrize(
    ("values", "k"), [([2.0, -1.0, 0.5], 2), ([-2.0, -1.0], 1), ([1.0, 0.0, 0.0], 2), ([0.0, 0.0], None)]
)
def test_a_space_on_which_the_moment_is_not_positive_is_refused(values, k):
    with pytest.raises(ValueError, match=r"^M: not positive on its top-"):
        whiten(moment(values), k)


@pytest.mark.parametrize(
    ("M", "k", "message"),
    [
        (np.ones((2, 3)), None, r"M: expected a square matrix, got shape \(2, 3\)"),
        ([[1.0, 0.5], [0.0, 1.0]], None, "M: not symmetric"),
        ([[1.0, np.nan], [np.nan, 1.0]], None, r"M\[0, 1\] is nan"),
        (np.eye(2), 3, "k: 3 directions asked of a 2 by 2 matrix"),
        (np.eye(2), 0, "k: expected at least 1"),
    ],
)
def test_what_is_no_symmetric_matrix_is_refused_by_name(M, k, message):
    with pytest.raises(ValueError, match="^" + message):
        whiten(M, k)


@pytest.mark.parametrize("seed", range(5))
def test_roots_square_to_the_matrix_and_invert_it(seed):
    C = moment([3.0, 1e-3, 2.0, 1.0], seed)
    roots = symmetric_roots(C)
    np.testing.assert_allclose(roots.root @ roots.root, C, atol=1e-13)
    np.testing.assert_allclose(roots.inverse_root @ C @ roots.inverse_root, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(roots.values, [3.0, 2.0, 1.0, 1e-3], rtol=1e-12)
    assert roots.rank == 4


@pytest.mark.parametrize("seed", range(5))
def test_a_deficient_covariance_is_inverted_on_its_range_alone(seed):
    C = moment([3.0, 0.0, 2.0, 0.0], seed)
    roots = symmetric_roots(C)
    assert roots.rank == 2
    np.testing.assert_allclose(roots.inverse_root @ roots.inverse_root, np.linalg.pinv(C, rcond=1e-10), atol=1e-12)
    np.testing.assert_allclose(roots.root @ roots.inverse_root @ C, C, atol=1e-12)


def test_a_floor_decides_which_directions_count():
    C = np.diag([1.0, 1e-3])
    assert symmetric_roots(C, floor=1e-2).rank == 1
    assert symmetric_roots(np.diag([1.0, -1e-3]), floor=1e-2).rank == 1
    with pytest.raises(ValueError, match=r"^C: not positive semidefinite, it has the eigenvalue -0.001"):
        symmetric_roots(np.diag([1.0, -1e-3]))
