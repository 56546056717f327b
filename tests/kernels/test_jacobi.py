"""Plane rotations of many matrices at once are what their definition in plain NumPy says."""

import numpy as np
import pytest

from fastmom.kernels import jacobi, jacobi_reference

SMALLEST = 1e-13
# (families, matrices, side)
SHAPES = [(1, 1, 1), (1, 3, 1), (1, 1, 2), (2, 1, 6), (3, 3, 2), (1, 7, 5), (2, 40, 9), (1, 20, 20)]


def family(L, k, noise=0.0, seed=0):
    """Symmetric matrices (L, k, k) that share an orthonormal basis (rows of V), up to noise; and V."""
    rng = np.random.default_rng(seed)
    V = np.linalg.qr(rng.standard_normal((k, k))).Q
    E = rng.standard_normal((L, k, k))
    return np.einsum("li,ia,ib->lab", rng.standard_normal((L, k)), V, V) + noise * (E + E.transpose(0, 2, 1)), V


def rotate(families, max_sweeps=100, form="serial", smallest=SMALLEST):
    """Rotated upper triangles (b, L, k, k), rotations and sweeps; lower triangles and sweeps come as garbage."""
    b, _, k, _ = np.shape(families)
    entries = np.ascontiguousarray(np.moveaxis(families, 1, 3))
    entries[:, *np.tril_indices(k, -1)] = np.nan
    rotations, sweeps = np.tile(np.eye(k), (b, 1, 1)), np.full(b, -7)
    getattr(jacobi.joint_rotations, form)(entries, rotations, smallest, max_sweeps, sweeps)
    assert np.isnan(entries[:, *np.tril_indices(k, -1)]).all()
    entries[:, *np.tril_indices(k, -1)] = 0
    return np.moveaxis(entries, 3, 1), rotations, sweeps


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("max_sweeps", [0, 1, 2])
@pytest.mark.parametrize(("b", "L", "k"), SHAPES)
def test_a_few_sweeps_are_those_of_the_definition(b, L, k, max_sweeps, noise):
    families = [family(L, k, noise, seed)[0] for seed in range(b)]
    entries, rotations, sweeps = rotate(families, max_sweeps)
    for i, matrices in enumerate(families):
        moved, V, count = jacobi_reference.joint_rotations(matrices, SMALLEST, max_sweeps)
        np.testing.assert_allclose(rotations[i], V, atol=1e-12)
        np.testing.assert_allclose(entries[i], np.triu(moved), atol=1e-12 * np.abs(matrices).max())
        assert sweeps[i] == count


@pytest.mark.parametrize(("L", "k"), [(3, 2), (7, 5), (20, 20)])
def test_at_rest_it_is_where_the_definition_rests(L, k):
    matrices, _ = family(L, k, noise=0.01)
    _, rotations, sweeps = rotate([matrices])
    _, V, _ = jacobi_reference.joint_rotations(matrices, SMALLEST, 100)
    np.testing.assert_allclose(rotations[0], V, atol=1e-10)
    assert sweeps[0] < 20


def test_no_other_angle_leaves_less_off_the_diagonal():
    for seed in range(20):
        M = family(4, 2, noise=1.0, seed=seed)[0]
        G = jacobi_reference.plane_rotation(M, 0, 1)
        angles = np.linspace(-np.pi / 4, np.pi / 4, 2001)
        c, s = np.cos(angles), np.sin(angles)
        off = [(c * s)[:, None] * (M[:, 1, 1] - M[:, 0, 0]), (c * c - s * s)[:, None] * M[:, 0, 1]]
        assert np.sum((G @ M @ G.T)[:, 0, 1] ** 2) <= np.sum((off[0] + off[1]) ** 2, axis=1).min() * (1 + 1e-12)
        np.testing.assert_allclose(G @ G.T, np.eye(2), atol=1e-15)
        assert G[0, 0] >= np.sqrt(0.5) - 1e-15


@pytest.mark.parametrize(("L", "k"), [(1, 8), (3, 4), (20, 20), (50, 33)])
def test_a_shared_basis_is_found_whatever_the_seed(L, k):
    for seed in range(10):
        matrices, truth = family(L, k, seed=seed)
        entries, rotations, _ = rotate([matrices])
        np.testing.assert_allclose(rotations[0] @ rotations[0].T, np.eye(k), atol=1e-13)
        np.testing.assert_allclose(entries[0] * (1 - np.eye(k)), 0, atol=1e-11)
        np.testing.assert_allclose(np.abs(rotations[0] @ truth.T).max(axis=0), 1, atol=1e-9)


def test_the_matrices_turn_with_the_basis():
    matrices, _ = family(9, 6, noise=0.3)
    entries, rotations, _ = rotate([matrices])
    np.testing.assert_allclose(entries[0], np.triu(rotations[0] @ matrices @ rotations[0].T), atol=1e-12)


def test_equal_diagonals_turn_by_half_a_right_angle():
    _, rotations, sweeps = rotate([[[[2.0, 1.0], [1.0, 2.0]], [[0.0, 3.0], [3.0, 0.0]]]])
    np.testing.assert_allclose(np.abs(rotations[0]), np.sqrt(0.5))
    assert sweeps[0] == 1


def test_round_off_has_no_direction():
    noise = 1e-16 * family(5, 12, noise=1.0)[0]
    for matrices in (np.eye(12) + noise, np.eye(12) * np.repeat([1.0, 2.0, 3.0], 4) + noise, np.zeros((5, 12, 12))):
        _, rotations, sweeps = rotate([matrices])
        assert sweeps[0] == 0
        np.testing.assert_array_equal(rotations[0], np.eye(12))


@pytest.mark.parametrize("exponent", [-200, 200])
def test_units_do_not_matter(exponent):
    matrices, _ = family(6, 5, noise=0.1)
    np.testing.assert_array_equal(rotate([matrices * 2.0**exponent])[1], rotate([matrices])[1])


@pytest.mark.parametrize(("b", "L", "k"), SHAPES)
def test_threads_the_serial_twin_and_company_change_no_bit(b, L, k):
    families = [family(L, k, 0.1, seed)[0] for seed in range(b)]
    apart = [rotate([matrices]) for matrices in families]
    for form in ("serial", "parallel"):
        for found, single in zip(rotate(families, form=form), zip(*apart, strict=True), strict=True):
            np.testing.assert_array_equal(found, np.concatenate(single))
