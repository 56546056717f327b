"""Gauss-Newton on activation patterns: exact where labels are exact, for any input law; splits; rectifiers' form."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.kernels import kinks_reference as reference
from fastmom.patterns import kink_fit
from fastmom.patterns.kink_atoms import search_kinks
from fastmom.patterns.kink_descent import EVEN, RECTIFIED, KinkRows, Preconditioner, descend, evaluate, read_rows, start
from fastmom.patterns.kinks import KinkNetwork, kinks_of, match_kinks


def problem(n=1500, seed=0, noise=0.0, law="gaussian", d=6, k=3, **kind):
    teacher = fm.random_teacher(d, k, rng=seed, **kind)
    X, Y = fm.make_samples(teacher, n, noise=noise, law=law, rng=seed + 50)
    return kinks_of(teacher), read_rows(X, Y[:, 0])


def network(point):
    return KinkNetwork(point.v, point.B, point.signs)


def test_the_root_whitens_rows_of_any_rank():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3)) @ rng.standard_normal((3, 5)) * [1e-3, 1, 1e3, 1, 1]
    rows = read_rows(X, np.ones(400))
    Z = X @ rows.root
    assert Z.shape[1] == 3
    np.testing.assert_allclose(Z.T @ Z / 400, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(rows.back @ rows.root, np.eye(3), atol=1e-10)


@pytest.mark.parametrize(("slope", "linear"), [(EVEN, True), (RECTIFIED, False)])
def test_the_preconditioner_inverts_the_expected_normal_matrix(slope, linear):
    n, d, k = 200_000, 4, 2
    rng = np.random.default_rng(1)
    X, B = rng.standard_normal((n, d)) @ np.diag([0.5, 1, 2, 1]), rng.standard_normal((k, d))
    G = np.column_stack([np.full(n, float(linear)), np.where(X @ B.T > 0, 1.0, slope)])
    design = (G[:, :, None] * X[:, None, :]).reshape(n, -1)
    P = rng.standard_normal((1 + k, d)) * [[float(linear)], [1.0], [1.0]]
    image = (design.T @ (design @ P.ravel()) / n).reshape(1 + k, d)
    scale = np.diag([0.5, 1, 2, 1])
    rows = KinkRows(X, X[:, 0], np.linalg.inv(scale), scale)
    found = Preconditioner(rows, B, slope, linear)(image)
    assert np.linalg.norm(found - P) < 0.03 * np.linalg.norm(P)  # the sampling error of the matrix


def test_the_first_step_is_the_least_squares_fit_of_the_patterns():
    _, rows = problem(n=300)
    B = np.random.default_rng(3).standard_normal((2, 6))
    fit = descend(rows, start(rows, B), max_steps=1)
    truth = reference.pattern_fit(rows.X, rows.y, B)
    assert np.linalg.norm(fit.point.unknowns - truth) < 0.05 * np.linalg.norm(truth)  # stopped early, by design


@pytest.mark.parametrize("law", ["gaussian", "laplace", "exponential", "student_t", "correlated"])
def test_exact_labels_are_fitted_to_round_off(law):
    truth, rows = problem(law=law, seed=4)
    search = kink_fit.KinkSearch(rows, 3, np.random.default_rng(0))
    search.random(12)
    assert search.exact
    match = match_kinks(network(search.best.point), truth)
    assert max(match.error, match.linear_error) < 1e-12


def test_a_true_kink_network_is_at_rest():
    truth, rows = problem()
    fit = descend(rows, evaluate(rows, EVEN, truth.B, truth.signs, truth.linear))
    assert fit.converged and fit.steps <= 1


def test_a_pair_splits_where_its_residual_says():
    truth, rows = problem(n=8000, k=2, kind="same", angle=0.3, noise=0.02)
    one = kink_fit.KinkSearch(rows, 1, np.random.default_rng(0))
    one.random(4)
    two = kink_fit.KinkSearch(rows, 2, np.random.default_rng(0))
    two.split(one.best.point, 1)
    optimum = descend(rows, evaluate(rows, EVEN, truth.B, truth.signs, truth.linear)).point.loss
    assert two.starts == 1
    assert two.best.point.loss < 1.001 * optimum < 0.9 * one.best.point.loss


def test_a_poor_optimum_of_exact_labels_is_told_from_one_of_noise():
    shown = []
    for noise in (0.0, 1e-4):
        _, rows = problem(n=2000, k=2, kind="same", angle=0.2, noise=noise)
        one = kink_fit.KinkSearch(rows, 1, np.random.default_rng(0))
        one.random(4)
        shown.append(kink_fit.hides_exact_labels(rows, one.best.point))
    truth, rows = problem(n=2000, noise=1e-4)
    optimum = descend(rows, evaluate(rows, EVEN, truth.B, truth.signs, truth.linear)).point
    assert shown == [True, False] and not kink_fit.hides_exact_labels(rows, optimum)
    assert not kink_fit.hides_exact_labels(rows.part(26), optimum)  # hardly more rows than unknowns show nothing


def test_merged_kinks_are_one_of_the_summed_coefficient():
    truth, rows = problem(n=20_000, k=3, kind="opposite", angle=0.1)
    point = evaluate(rows, EVEN, truth.B, truth.signs, truth.linear)
    B, signs, _ = kink_fit.merged(point, rows)
    np.testing.assert_allclose(signs[0] * B[0], truth.signs[0] * truth.B[0] + truth.signs[1] * truth.B[1])
    assert len(B) == 2


def test_spare_kinks_of_an_exact_fit_are_dropped():
    truth, rows = problem(k=2)
    B = np.vstack([truth.B[0] / 2, truth.B[0] / 2, truth.B[1]])
    signs = truth.signs[[0, 0, 1]]
    fit = kink_fit.simplified(rows, descend(rows, evaluate(rows, EVEN, B, signs, truth.linear)))
    assert match_kinks(network(fit.point), truth).error < 1e-12


def test_rectifiers_have_fewer_unknowns_and_less_noise():
    truth, rows = problem(noise=0.1, n=1000)
    free = descend(rows, evaluate(rows, EVEN, truth.B, truth.signs, truth.linear))
    tied = kink_fit.rectified(rows, free.point)
    found = KinkNetwork(tied.point.signs @ tied.point.B / 2, tied.point.B / 2, tied.point.signs)
    assert free.point.loss <= tied.point.loss
    assert match_kinks(found, truth).linear_error < match_kinks(network(free.point), truth).linear_error


def test_the_low_dimensional_search_finds_separated_and_cancelling_kinks():
    for kind in ({}, {"kind": "opposite", "angle": 0.1}, {"kind": "clump", "angle": 0.2}):
        _, rows = problem(n=3000, d=4, **kind)
        best = search_kinks(rows.X, rows.y, 3, np.random.default_rng(0))[0]
        assert best.loss < 1e-6 * rows.energy, kind
