"""SNAP, the unit systems and the sample they work on."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import resolve
from fastmom.patterns.model import ModelClass
from fastmom.patterns.noisy import label_rank, strongest_direction
from fastmom.patterns.sample import coordinates, draw_sample, label_space
from fastmom.patterns.snap import Deflation, find_neurons
from fastmom.patterns.unit_systems import examine_neurons, newton_finish, solve_semidefinite


def drawn(d=8, k=5, m=6, n=120, seed=0):
    teacher = fm.random_teacher(d, k, m, rng=seed)
    X, Y = fm.make_samples(teacher, n, rng=seed + 1)
    return teacher, draw_sample(X, Y, np.empty((n, 0)))


class TestSample:
    @pytest.mark.parametrize("spread", [1.0, 1e3, 1e8, np.inf])
    def test_coordinates_invert_each_other_however_collinear_the_inputs(self, spread):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((50, 6)) * 10.0 ** rng.uniform(-5, 5, 6)
        X[:, 5] = X[:, 4] * (1.0 if spread == np.inf else 1.0 + rng.standard_normal(50) / spread)
        inputs, back, forward = coordinates(X)
        e = 5 if spread == np.inf else 6
        assert inputs.shape == (50, e)
        np.testing.assert_allclose(forward @ back, np.eye(e), atol=1e-7)
        np.testing.assert_allclose(X @ back, inputs, rtol=1e-7, atol=1e-7 * np.abs(inputs).max())

    def test_label_space_holds_labels_and_known_functions(self):
        rng = np.random.default_rng(1)
        Y = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 5)) * 10.0 ** np.arange(-6, 4, 2)
        known = np.ones((40, 1))
        Z, n_known = label_space(Y, known)
        assert Z.shape == (40, 4) and n_known == 1
        np.testing.assert_allclose(Z.T @ Z, np.eye(4), atol=1e-12)
        np.testing.assert_allclose(Z @ (Z.T @ Y), Y, rtol=1e-9, atol=1e-12 * np.abs(Y).max())

    def test_duplicate_known_functions_count_once(self):
        known = np.column_stack([np.ones(30), np.full(30, 2.0)])
        assert label_space(np.arange(30.0)[:, None] ** 2, known)[1] == 1


class TestSnap:
    def test_finds_every_neuron_once(self):
        for seed in range(10):
            teacher, sample = drawn(seed=seed)
            found = find_neurons(sample, 0.0, np.random.default_rng(0), patience=40)
            assert found.complete and len(found.directions) == 5
            W = found.directions @ sample.back.T
            cosines = (W / np.linalg.norm(W, axis=1, keepdims=True)) @ teacher.W.T
            assert sorted(np.argmax(cosines, axis=0)) == list(range(5))
            np.testing.assert_allclose(cosines.max(axis=0), 1.0, atol=1e-12)

    def test_a_removed_function_leaves_no_correlation_behind(self):
        teacher, sample = drawn()
        state = Deflation(sample, 0.0)
        direction = sample.forward @ teacher.W[0]
        before = state.locate(direction)
        assert before[1] < 1e-12 and before[2] > 1e-2
        state.remove(before[0])
        assert state.n_free == 4
        assert state.locate(direction)[2] < 1e-12
        others = [state.locate(sample.forward @ w)[2] for w in teacher.W[1:]]
        assert min(others) > 1e-3

    def test_rotating_and_rescaling_the_labels_changes_nothing_that_matters(self):
        teacher, sample = drawn(n=200)
        rng = np.random.default_rng(3)
        turned = draw_sample(sample.X, sample.Y @ rng.standard_normal((6, 6)), np.empty((200, 0)))
        for s in (sample, turned):
            found = find_neurons(s, 0.0, np.random.default_rng(0), patience=40)
            W = found.directions @ s.back.T
            np.testing.assert_allclose(
                np.sort((W / np.linalg.norm(W, axis=1, keepdims=True)) @ teacher.W.T, axis=0)[-1], 1.0, atol=1e-11
            )

    def test_labels_without_neurons_end_the_search(self):
        rng = np.random.default_rng(0)
        sample = draw_sample(rng.standard_normal((100, 8)), rng.standard_normal((100, 4)), np.empty((100, 0)))
        found = find_neurons(sample, 0.0, rng, patience=10)
        assert not found.complete and not len(found.directions) and found.best < 0.99


class TestUnitSystems:
    def test_newton_converges_quadratically_to_round_off(self):
        for seed in range(5):
            teacher, sample = drawn(seed=seed)
            start = teacher.W + 1e-6 * np.random.default_rng(seed).standard_normal(teacher.W.shape)
            fit = newton_finish(sample, np.empty((120, 0)), start, 0.0)
            assert fit.residual < 1e-14

    def test_a_neuron_of_the_network_is_the_only_function_of_its_pattern(self):
        teacher, sample = drawn()
        for test in examine_neurons(sample, np.empty((120, 0)), teacher.W, 0.0):
            assert test.correlation == pytest.approx(1.0, abs=1e-12)
            assert test.rival < 0.999 and not len(test.free)

    def test_twins_with_one_pattern_rival_each_other(self):
        teacher = fm.random_teacher(8, 3, 5, rng=0)
        X = fm.sample_inputs(60, 8, rng=1)
        W = teacher.W.copy()
        W[1] = W[0] + 1e-4 * np.random.default_rng(9).standard_normal(8)
        assert np.array_equal(X @ W[0] > 0, X @ W[1] > 0)
        sample = draw_sample(X, fm.TwoLayerNetwork(W, teacher.A).predict(X), np.empty((60, 0)))
        rivals = [test.rival for test in examine_neurons(sample, np.empty((60, 0)), W, 0.0)]
        assert min(rivals[:2]) > 1 - 1e-10 and rivals[2] < 0.999

    def test_free_directions_are_those_that_active_rows_do_not_span(self):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((60, 8))
        w = rng.standard_normal(8)
        X[X @ w > 0, 6:] = 0.0
        sample = draw_sample(X, np.maximum(X @ w, 0)[:, None], np.empty((60, 0)))
        (test,) = examine_neurons(sample, np.empty((60, 0)), w[None], 0.0)
        active = X[X @ w > 0]
        assert len(test.free) == 8 - np.linalg.matrix_rank(active)
        np.testing.assert_allclose(active @ test.free.T, 0.0, atol=1e-12)

    def test_singular_systems_get_the_least_norm_solution(self):
        rng = np.random.default_rng(0)
        B = rng.standard_normal((6, 4))
        right = B @ rng.standard_normal(4)
        np.testing.assert_allclose(solve_semidefinite(B @ B.T, right), np.linalg.pinv(B @ B.T) @ right, atol=1e-8)


class TestNoise:
    def test_rank_of_noisy_labels_is_found_to_within_one(self):
        hits = 0
        for seed in range(20):
            teacher = fm.random_teacher(12, 5, 12, rng=seed)
            _, Y = fm.make_samples(teacher, 1000, noise=0.1, rng=seed)
            rank = label_rank(Y, np.empty((1000, 0)))
            assert abs(rank - 5) <= 1
            hits += rank == 5
        assert hits >= 15

    def test_shuffled_residuals_are_told_from_structured_ones(self):
        rng = np.random.default_rng(0)
        kind = ModelClass(resolve("relu"), False, False, None)
        X = rng.standard_normal((500, 6))
        noise = rng.standard_normal((500, 3))
        assert strongest_direction(X, noise, kind, rng)[1] < 1.35
        assert strongest_direction(X, noise + np.abs(X[:, :3]), kind, rng)[1] > 2.0
