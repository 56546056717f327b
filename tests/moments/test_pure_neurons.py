"""The identities of the pure-neuron detector, and what correcting the regression does."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.moments import neuron_estimate, pure_neurons, symmetry
from fastmom.moments.tensors import smat, svec
from fastmom.runtime.passes import Rows

LAWS = ("gaussian", "laplace", "hypercube", "mixture", "student_t")


def teacher_and_rows(law, n=20_000, shape=(5, 4, 6), seed=0):
    teacher = fm.random_teacher(*shape, kind="orthonormal", rng=seed)
    X = fm.sample_inputs(n, shape[0], law, rng=seed + 1)
    return teacher, X, teacher.predict(X)


@pytest.mark.parametrize("law", LAWS)
def test_the_regression_on_symmetric_inputs_is_half_of_the_linear_network(law):
    teacher, X, Y = teacher_and_rows(law, n=50_000)
    B = pure_neurons.regress(Rows(X, Y)).B
    truth = teacher.A @ teacher.W / 2
    assert np.linalg.norm(B - truth) < 0.05 * np.linalg.norm(truth)


@pytest.mark.parametrize("law", ["gaussian", "laplace", "hypercube"])
def test_the_detector_is_a_sum_over_pairs_of_neurons(law):
    # with the true B the two sides agree sample by sample but for the noise-free cross terms of odd functions
    teacher, X, Y = teacher_and_rows(law, n=200_000)
    k = 4
    rows = Rows(X, Y)
    at = pure_neurons.frame(pure_neurons.regress(rows), teacher.A @ teacher.W / 2, k)
    p, q = X @ at.p_map, 2 * Y @ at.q_map - X @ at.p_map
    S, c = X @ teacher.W.T, (2 * at.q_map.T @ teacher.A) / 2  # u.p = sum_i (c^T u)_i s_i
    u = np.random.default_rng(0).standard_normal(k)
    g = 1 / (1 + np.sum(X**2, axis=1))
    left = np.mean(((q @ u) ** 2 - (p @ u) ** 2) * g)
    weights = c.T @ u
    pairs = np.minimum(S[:, :, None] * S[:, None, :], 0.0)
    i, j = np.triu_indices(k, 1)
    right = -4 * np.mean((pairs[:, i, j] @ (weights[i] * weights[j])) * g)
    assert left == pytest.approx(right, abs=0.02 * np.mean((p @ u) ** 2 * g))


def test_with_exact_regression_the_detector_vanishes_on_neurons():
    teacher, X, Y = teacher_and_rows("laplace")
    rows = Rows(X, Y)
    at = pure_neurons.frame(pure_neurons.regress(rows), teacher.A @ teacher.W / 2, 4)
    for plain in (0.0, 1.0):
        found = pure_neurons.detector(rows, at, plain=plain)
        Z = at.rows_of(teacher.A)
        vanishing = found.matrix @ svec(np.einsum("ia,ib->iab", Z, Z)).T
        assert np.abs(vanishing).max() < 1e-12 * found.spectrum[0]
        assert found.gap < 1e-12
        assert np.all(np.linalg.norm(svec(found.null_matrices), axis=1) == pytest.approx(1.0))


def test_rows_that_single_out_neurons_give_the_network_back():
    teacher, X, Y = teacher_and_rows("gaussian", shape=(7, 3, 5))
    regression = pure_neurons.regress(Rows(X, Y))
    at = pure_neurons.frame(regression, teacher.A @ teacher.W / 2, 3)
    Z = at.rows_of(teacher.A) * np.array([[1.0], [-1.0], [1.0]])  # signs are the mean label's to tell
    A, W = at.network(Z, regression.mean_label)
    np.testing.assert_allclose(W, teacher.W, atol=1e-12)
    np.testing.assert_allclose(A, teacher.A, atol=1e-12)


def test_label_noise_adds_the_image_of_the_test_functions_mean():
    teacher, X, Y = teacher_and_rows("gaussian", n=100_000)
    noisy = Y + 0.5 * np.random.default_rng(0).standard_normal(Y.shape)
    at = pure_neurons.frame(pure_neurons.regress(Rows(X, Y)), teacher.A @ teacher.W / 2, 4)
    clean, dirty = (pure_neurons.detector(Rows(X, labels), at, plain=0.0).matrix for labels in (Y, noisy))
    assert np.linalg.norm(clean - dirty) < 0.1 * np.linalg.norm(clean)  # 2e-1 times as much without the projection


@pytest.mark.parametrize("law", LAWS)
def test_each_correction_of_the_regression_gains_digits(law):
    teacher, X, Y = teacher_and_rows(law, shape=(6, 6, 6))
    errors = []
    for corrections in range(4):
        estimate = neuron_estimate.estimate_neurons(
            Rows(X, Y), 6, np.random.default_rng(0), plain=False, corrections=corrections
        )
        errors.append(fm.compare(fm.TwoLayerNetwork(estimate.W, estimate.A), teacher).max_error)
    assert errors[1] < errors[0] / 2 and errors[2] < errors[1] / 2 and errors[3] < errors[0] / 100


def test_refinement_finds_the_nearest_minimum_and_keeps_rows_apart():
    rng = np.random.default_rng(0)
    k = 6
    Z = rng.standard_normal((k, k))
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)
    P = k * (k + 1) // 2
    null = np.linalg.svd(svec(np.einsum("ia,ib->iab", Z, Z)))[2][:k]
    T = rng.standard_normal((P, P))
    T -= T @ null.T @ null  # vanishes on the svec(z z^T) alone
    start = Z + 0.05 * rng.standard_normal((k, k))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    found = neuron_estimate.refine(T, start)
    np.testing.assert_allclose(found, Z * np.sign(np.sum(found * Z, axis=1))[:, None], atol=1e-8)
    collapsing = start.copy()
    collapsing[1] = Z[0] + 0.01 * rng.standard_normal(k)  # nearest minimum is that of row 0
    collapsing[1] /= np.linalg.norm(collapsing[1])
    kept = neuron_estimate.refine(T, collapsing)
    assert np.linalg.cond(kept) <= 10 * np.linalg.cond(collapsing)


def test_the_distinguishing_matrix_has_one_column_a_pair_and_one_for_noise():
    X = np.random.default_rng(0).standard_normal((20_000, 4))
    values = symmetry.distinguishing_values(X, np.eye(4))
    assert values.shape == (7,) and values[-1] > 0.1
    parallel = np.eye(4)
    parallel[1] = parallel[0] + 1e-3 * parallel[1]
    assert symmetry.distinguishing_values(X, parallel)[-1] < 0.1 * values[-1]


@pytest.mark.parametrize("law", LAWS)
def test_the_bound_on_asymmetry_is_a_bound(law):
    bounds = [
        symmetry.asymmetry(fm.sample_inputs(300, 4, law, rng=seed), np.random.default_rng(seed)) for seed in range(200)
    ]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(bounds) <= level) <= level


@pytest.mark.parametrize("law", ["exponential", "uniform"])
def test_asymmetry_is_seen(law):
    bounds = [
        symmetry.asymmetry(fm.sample_inputs(1000, 4, law, rng=seed), np.random.default_rng(seed)) for seed in range(20)
    ]
    assert max(bounds) < 1e-6


def test_svec_keeps_inner_products():
    S = np.random.default_rng(0).standard_normal((2, 5, 5))
    S = S + S.transpose(0, 2, 1)
    assert svec(S[0]) @ svec(S[1]) == pytest.approx(np.sum(S[0] * S[1]))
    np.testing.assert_allclose(smat(svec(S)), S)
