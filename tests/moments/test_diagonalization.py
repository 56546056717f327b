"""Joint diagonalisation finds the directions that symmetric matrices share, and says when it did not."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from fastmom.moments import joint_fit
from fastmom.moments.diagonalization import diagonalize_jointly, jacobi_diagonalize, random_pencil
from fastmom.moments.joint_fit import fit_coefficients, fit_rows, unit_rows

SEEDS = range(20)


def matrices_of(Z, c, noise=0.0, seed=0):
    """sum_i c_li z_i z_i^T plus symmetric noise, relative to the Frobenius norm."""
    S = np.einsum("li,ia,ib->lab", c, Z, Z)
    E = np.random.default_rng(1000 + seed).standard_normal(S.shape)
    E += E.transpose(0, 2, 1)
    return S + noise * np.linalg.norm(S) / np.linalg.norm(E) * E


def draw(seed, k, L=None, kind="gaussian"):
    """Unit rows Z of some kind, and coefficients (L, k)."""
    rng = np.random.default_rng(seed)
    Z, c = rng.standard_normal((k, k)), rng.standard_normal((L or k, k))
    if kind == "orthogonal":
        Z = np.linalg.qr(Z).Q
    elif kind == "correlated":
        Z += 2 * rng.standard_normal(k)
    elif kind == "near pair" and k > 1:
        Z[1] = Z[0] + 1e-2 * Z[1]
    elif kind == "unequal":
        c *= np.geomspace(1, 1e-3, k)
    return unit_rows(Z), c


def distance(found, Z):
    """Root mean square distance of rows after matching, whatever their signs."""
    cosines = found @ Z.T
    i, j = linear_sum_assignment(-np.abs(cosines))
    side = np.where(cosines[i, j] < 0, -1.0, 1.0)
    return np.linalg.norm(side[:, None] * found[i] - Z[j]) / np.sqrt(len(Z))


def find(S, seed=0, **options):
    return diagonalize_jointly(S, np.random.default_rng(seed), **options)


# ---- exact matrices


@pytest.mark.parametrize("kind", ["gaussian", "orthogonal", "correlated", "near pair", "unequal"])
@pytest.mark.parametrize(("k", "L"), [(1, 1), (2, 2), (5, 5), (5, 2), (10, 3), (10, 55), (20, 20)])
def test_exact_matrices_give_their_directions(k, L, kind):
    errors = []
    for seed in SEEDS:
        Z, c = draw(seed, k, L, kind)
        found = find(matrices_of(Z, c), seed)
        assert found.residual < 1e-12
        np.testing.assert_allclose(np.linalg.norm(found.Z, axis=1), 1)
        errors.append(distance(found.Z, Z))
    # Two matrices alone may have nearly equal quotients; near rows and small coefficients cost digits.
    assert max(errors) < (1e-6 if L == 2 or kind in ("near pair", "unequal") else 1e-10)


def test_coefficients_are_those_of_the_directions():
    Z, c = draw(0, 6, 4)
    found = find(matrices_of(Z, c))
    order = np.argmax(np.abs(found.Z @ Z.T), axis=0)
    np.testing.assert_allclose(found.coefficients[:, order], c, atol=1e-12)


def test_a_span_without_positive_definite_matrix_is_no_obstacle():
    for seed in SEEDS:
        Z, c = draw(seed, 6, 3)
        c[:, 2] = -c[:, 0] - c[:, 1]  # no combination is positive on all three
        found = find(matrices_of(Z, c), seed)
        assert found.residual < 1e-12 and distance(found.Z, Z) < 1e-9


@pytest.mark.parametrize("condition", [1e2, 1e4])
def test_ill_conditioned_directions_cost_digits_and_no_more(condition):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        U, V = np.linalg.qr(rng.standard_normal((2, 10, 10))).Q
        Z = unit_rows(U * np.geomspace(1, 1 / condition, 10) @ V)
        found = find(matrices_of(Z, rng.standard_normal((10, 10))), seed)
        assert distance(found.Z, Z) < 1e-14 * condition**2


@pytest.mark.parametrize("exponent", [-480, 480])
def test_units_do_not_matter(exponent):
    Z, c = draw(0, 5)
    S = matrices_of(Z, c, noise=0.01)
    pencils = [random_pencil(matrices, np.random.default_rng(0)) for matrices in (S, S * 2.0**exponent)]
    np.testing.assert_array_equal(*pencils)
    rotated = [jacobi_diagonalize(matrices) for matrices in (S, S * 2.0**exponent)]
    np.testing.assert_array_equal(rotated[0].V, rotated[1].V)
    assert rotated[0].off_diagonal == rotated[1].off_diagonal
    one, other = find(S), find(S * 2.0**exponent)
    np.testing.assert_array_equal(one.Z, other.Z)
    np.testing.assert_array_equal(one.coefficients * 2.0**exponent, other.coefficients)


def test_a_change_of_coordinates_changes_the_directions_with_it():
    Z, c = draw(0, 6)
    H = np.random.default_rng(1).standard_normal((6, 6))
    S = matrices_of(Z, c)
    assert distance(find(H.T @ S @ H).Z, unit_rows(Z @ H)) < 1e-10


# ---- what the matrices do not determine


def test_directions_of_equal_coefficients_are_called_undetermined():
    for seed in SEEDS:
        Z, c = draw(seed, 6)
        assert find(matrices_of(Z, c), seed).separation > 0.05
        c[:, 3] = -2 * c[:, 2]
        found = find(matrices_of(Z, c), seed)
        assert found.residual < 1e-10
        assert found.separation < 1e-6
        kept = [0, 1, 4, 5]
        assert np.min(np.abs(found.Z @ Z[kept].T).max(axis=0)) > 1 - 1e-10


def test_a_direction_without_coefficients_is_called_undetermined():
    for seed in SEEDS:
        Z, c = draw(seed, 5)
        c[:, 2] = 0
        found = find(matrices_of(Z, c), seed)
        assert found.residual < 1e-10 and found.separation < 1e-6


@pytest.mark.parametrize("k", [2, 7])
def test_one_matrix_determines_nothing(k):
    for seed in SEEDS:
        Z, c = draw(seed, k, 1)
        found = find(matrices_of(Z, c), seed)
        assert found.residual < 1e-10 and found.separation == 0


def test_matrices_that_share_nothing_leave_a_large_residual():
    for seed in range(5):
        E = np.random.default_rng(seed).standard_normal((8, 8, 8))
        assert find(E + E.transpose(0, 2, 1), seed).residual > 0.3


def test_no_matrices_to_speak_of():
    found = find(np.zeros((3, 4, 4)))
    assert found.residual == 0 and found.separation == 0 and np.isfinite(found.Z).all()


def test_complex_pencils_are_survived():
    """Two matrices whose quotient has no real eigenvector, noise on a third that would have told."""
    S = np.array([[[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]])
    for seed in SEEDS:
        Z = random_pencil(S, np.random.default_rng(seed))
        assert np.isrealobj(Z) and np.linalg.cond(Z) < 1e6
        found = find(S, seed)
        assert found.residual == pytest.approx(np.sqrt(0.5), rel=1e-3)


# ---- noise


@pytest.mark.parametrize(("k", "kind"), [(5, "gaussian"), (10, "gaussian"), (10, "correlated"), (20, "orthogonal")])
def test_under_noise_the_least_squares_optimum_next_to_the_truth_is_found(k, kind):
    for seed in SEEDS:
        Z, c = draw(seed, k, kind=kind)
        S = matrices_of(Z, c, noise=0.01, seed=seed)
        found, best = find(S, seed), fit_rows(S, Z)
        assert found.residual < best.residual * (1 + 1e-3)
        assert distance(found.Z, best.Z) < 1e-2 and distance(found.Z, Z) < 0.1


def test_least_squares_is_ten_times_more_accurate_than_one_pencil():
    ratios = []
    for seed in SEEDS:
        Z, c = draw(seed, 10)
        S = matrices_of(Z, c, noise=1e-3, seed=seed)
        ratios.append(distance(random_pencil(S, np.random.default_rng(seed)), Z) / distance(find(S, seed).Z, Z))
    assert np.median(ratios) > 10


def test_under_moderate_noise_no_two_rows_collapse():
    for seed in SEEDS:
        Z, c = draw(seed, 10)
        found = find(matrices_of(Z, c, noise=0.1, seed=seed), seed)
        assert np.linalg.cond(found.Z) < 10 * np.linalg.cond(Z)
        assert distance(found.Z, Z) < 0.3


def test_noise_would_collapse_rows_but_for_the_ridge(monkeypatch):
    def conditions():
        found = (fit_rows(matrices_of(*draw(seed, 6, 3), noise=0.5, seed=seed), np.eye(6)) for seed in range(8))
        return [np.linalg.cond(fit.Z) for fit in found]

    assert max(conditions()) < 1e3
    monkeypatch.setattr(joint_fit, "_PRIOR", 0.0)
    assert max(conditions()) > 1e3


def test_where_no_best_rows_exist_they_collapse_and_the_separation_says_so():
    """The pencil is defective: rows e_1 +- t e_2 fit the better the smaller t, and never exactly."""
    S = np.array([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]])
    for seed in SEEDS:
        assert find(S, seed).separation < 1e-5


def test_the_same_seed_gives_the_same_bits():
    Z, c = draw(0, 7)
    S = matrices_of(Z, c, noise=0.05)
    np.testing.assert_array_equal(find(S, 3).Z, find(S, 3).Z)


def test_the_answer_does_not_depend_on_the_seed():
    Z, c = draw(0, 8)
    S = matrices_of(Z, c, noise=0.02)
    for seed in SEEDS:
        assert distance(find(S, seed).Z, find(S, 0).Z) < 1e-3


def test_a_larger_problem_is_exact_from_its_first_pencil():
    Z, c = draw(0, 32)
    found = find(matrices_of(Z, c))
    assert distance(found.Z, Z) < 1e-12 and found.method == "pencil"


# ---- the pieces


def test_the_gauss_newton_step_is_that_of_the_normal_equations():
    """A full step from near the optimum of exact matrices lands quadratically nearer."""
    Z, c = draw(0, 6)
    S = matrices_of(Z, c)
    for size in (1e-2, 1e-4):
        start = unit_rows(Z + size * np.random.default_rng(1).standard_normal(Z.shape))
        assert fit_rows(S, start).residual < 1e-13 < fit_coefficients(S, start).residual


@pytest.mark.parametrize("k", [3, 10])
def test_least_squares_is_stationary(k):
    """No small change of the rows, with their best coefficients, lowers the objective."""
    Z, c = draw(0, k)
    S = matrices_of(Z, c, noise=0.05)
    best = fit_rows(S, Z)
    for seed in SEEDS:
        moved = best.Z + 1e-3 * np.random.default_rng(seed).standard_normal(Z.shape)
        assert fit_coefficients(S, unit_rows(moved), best.ridge).objective > best.objective


def test_jacobi_diagonalizes_what_an_orthogonal_matrix_can():
    for seed in SEEDS:
        Z, c = draw(seed, 9, 5, "orthogonal")
        found = jacobi_diagonalize(matrices_of(Z, c))
        assert found.converged and found.off_diagonal < 1e-12 and found.sweeps < 10
        assert distance(found.V, Z) < 1e-10


def test_jacobi_measures_what_is_off_the_diagonal():
    Z, c = draw(0, 6, 4, "orthogonal")
    S = matrices_of(Z, c, noise=0.2)
    found = jacobi_diagonalize(S)
    rotated = found.V @ S @ found.V.T
    off = np.linalg.norm(rotated * (1 - np.eye(6))) / np.linalg.norm(S)
    assert found.off_diagonal == pytest.approx(off, rel=1e-10)
    assert off < 0.2


def test_only_upper_triangles_are_read():
    Z, c = draw(0, 5)
    S = matrices_of(Z, c)
    np.testing.assert_array_equal(find(np.triu(S)).Z, find(S).Z)
    np.testing.assert_array_equal(jacobi_diagonalize(np.triu(S)).V, jacobi_diagonalize(S).V)


@pytest.mark.parametrize("function", [jacobi_diagonalize, find, lambda S: random_pencil(S, np.random.default_rng(0))])
def test_what_is_no_family_of_symmetric_matrices_is_refused(function):
    with pytest.raises(ValueError, match=r"^matrices: expected square matrices \(L, k, k\), got shape \(3, 3\)"):
        function(np.eye(3))
    with pytest.raises(ValueError, match=r"^matrices: expected square"):
        function(np.zeros((0, 2, 2)))
    with pytest.raises(ValueError, match=r"^matrices\[1, 0, 1\] is nan"):
        function(np.array([np.eye(2), [[1, np.nan], [0, 1]]]))
    with pytest.raises(TypeError, match=r"^matrices: is complex"):
        function(np.zeros((1, 2, 2), dtype=complex))


def test_some_pencil_is_needed():
    with pytest.raises(ValueError, match=r"^n_pencils: expected at least 1, got 0"):
        find(np.eye(2)[None], n_pencils=0)
