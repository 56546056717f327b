"""Exact recovery, and its refusals, over many seeds: what the learner promises, as success counts."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import fastmom as fm
from benchmarks import cramer_rao
from benchmarks.problems import EXACT, LAWS, NOISY, Problem

DATA = Path(__file__).parents[1] / "data"


def outcomes(problem, seeds, **options):
    """(recovered and certified, worst neuron error, ascents a neuron) for each seed."""
    found = []
    for seed in range(seeds):
        teacher, X, Y = problem.draw(seed)
        result = fm.learn_rectified(X, Y, bias=problem.bias, rng=seed, **options)
        certified = result.success and result.certificate.certified
        error = fm.compare(result, teacher).max_error
        assert not certified or error < 1e-6 or result.certificate.unidentified, f"false certificate, seed {seed}"
        found.append((certified, error, result.diagnostics["starts"] / problem.n_hidden))
    return found


def count(found, error):
    return sum(certified and e <= error for certified, e, _ in found)


class TestExactLabels:
    def test_four_rows_an_input_recover_all_of_50_networks(self):
        found = outcomes(EXACT["20-10-10, n=80"], 50)
        assert count(found, 1e-13) == 50
        assert np.mean([starts for *_, starts in found]) <= 1.3

    def test_three_rows_an_input_recover_95_percent(self):
        assert count(outcomes(EXACT["20-10-10, n=60"], 40), 1e-12) >= 38

    @pytest.mark.parametrize(
        ("name", "seeds", "error"),
        [
            ("50-20-20, n=200", 20, 1e-13),
            ("10-40-40, n=400", 10, 1e-12),
            ("5-30-30, n=500", 10, 1e-12),
            ("20-10-10, n=400, condition 100", 10, 1e-12),
            ("50-20-25, n=500, biases", 10, 1e-12),
        ],
    )
    def test_more_neurons_than_inputs_conditioning_and_biases_do_not_matter(self, name, seeds, error):
        assert count(outcomes(EXACT[name], seeds), error) == seeds

    @pytest.mark.parametrize("law", LAWS)
    def test_any_input_law_will_do(self, law):
        assert count(outcomes(EXACT[f"30-15-15, n=360, {law}"], 20), 1e-12) == 20

    @pytest.mark.parametrize("slope", [0.01, 0.1, 0.3, 0.6])
    def test_leaky_networks_of_known_slope_are_recovered(self, slope):
        activation = f"leaky_relu({slope})"
        problem = Problem(20, 10, 10, 80, teacher={"activation": activation})
        assert count(outcomes(problem, 10, activation=activation), 1e-12) == 10

    @pytest.mark.parametrize("bias", ["hidden", "output"])
    def test_one_kind_of_bias_alone(self, bias):
        for seed in range(5):
            full = fm.random_teacher(15, 6, 8, bias=True, rng=seed)
            teacher = fm.TwoLayerNetwork(
                full.W,
                full.A,
                hidden_bias=full.hidden_bias if bias == "hidden" else None,
                output_bias=full.output_bias if bias == "output" else None,
            )
            X, Y = fm.make_samples(teacher, 150, rng=seed)
            result = fm.learn_rectified(X, Y, bias=bias, rng=seed)
            assert result.certificate.certified
            assert fm.compare(result, teacher).max_error < 1e-12

    def test_many_rows_cost_little_memory_and_a_rare_neuron_is_not_lost(self):
        teacher = fm.random_teacher(100, 50, 50, rng=0)
        X, Y = fm.make_samples(teacher, 100_000, rng=1)
        fm.learn_rectified(X[:2000], Y[:2000], rng=0)  # compiles
        tracemalloc.start()
        result = fm.learn_rectified(X, Y, rng=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert result.certificate.certified and result.certificate.n_rows == 100_000
        assert fm.compare(result, teacher).max_error <= 1e-12
        assert peak < 50e6

    def test_a_neuron_active_on_few_of_many_rows_is_found_by_its_residual(self):
        teacher = fm.random_teacher(10, 4, 6, bias=True, rng=0)
        hidden_bias = teacher.hidden_bias.copy()
        hidden_bias[2] = -3.2  # active on about 7 rows in 10,000
        rare = fm.TwoLayerNetwork(teacher.W, teacher.A, hidden_bias, teacher.output_bias)
        X, Y = fm.make_samples(rare, 100_000, rng=1)
        result = fm.learn_rectified(X, Y, bias=True, rng=0)
        assert result.certificate.certified and not result.certificate.unidentified
        assert result.certificate.activity.min() < 200
        assert fm.compare(result, rare).max_error < 1e-9

    @pytest.mark.parametrize("power", [3, 6, 14])
    def test_one_huge_row_does_not_drown_the_others(self, power):
        for seed in range(5):
            teacher = fm.random_teacher(5, 3, 4, rng=seed)
            X = fm.sample_inputs(300, 5, rng=seed + 100)
            X[0] *= 10.0**power
            result = fm.learn_rectified(X, teacher.predict(X), rng=seed)
            assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-12

    def test_ill_conditioned_inputs_do_not_matter(self):
        for seed in range(5):
            rng = np.random.default_rng(seed)
            teacher = fm.random_teacher(6, 3, 4, rng=rng)
            rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
            X = rng.standard_normal((200, 6)) * np.geomspace(1, 1e-4, 6) @ rotation
            result = fm.learn_rectified(X, teacher.predict(X), rng=seed)
            assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-8

    def test_the_order_of_magnitude_of_inputs_and_outputs_does_not_matter(self):
        teacher = fm.random_teacher(12, 5, 7, rng=0)
        X, Y = fm.make_samples(teacher, 100, rng=1)
        units = 10.0 ** np.linspace(-6, 6, 12)
        scales = 10.0 ** np.linspace(-8, 8, 7)
        result = fm.learn_rectified(X * units, Y * scales, rng=0)
        assert result.certificate.certified
        restored = fm.TwoLayerNetwork(result.network.W * units, result.network.A / scales[:, None])
        assert fm.compare(restored, teacher).max_error < 1e-10


class TestTrainedNetworks:
    @staticmethod
    def load(name):
        with np.load(DATA / f"trained_{name}.npz") as file:
            teacher = fm.TwoLayerNetwork(file["W"], file["A"], file["hidden_bias"], file["output_bias"])
            return teacher, file["X"], file["Y"]

    @pytest.mark.parametrize("name", ["wine_3", "digits_8"])
    def test_recovered_from_gaussian_rows(self, name):
        teacher, _, _ = self.load(name)
        for seed in range(5):
            X, Y = fm.make_samples(teacher, 1000, rng=seed)
            result = fm.learn_rectified(X, Y, bias=True, rng=seed)
            assert result.certificate.certified and result.certificate.residual <= 1e-10
            assert not result.certificate.unidentified
            assert fm.compare(result, teacher).max_error < 1e-10

    @pytest.mark.parametrize("name", ["wine_3", "digits_8"])
    def test_recovered_from_their_own_training_rows(self, name):
        teacher, X, Y = self.load(name)
        for seed in range(10):
            result = fm.learn_rectified(X, Y, bias=True, rng=seed)
            assert result.certificate.certified and result.certificate.residual <= 1e-10
            assert fm.compare(result, teacher, X).function_error < 1e-10
            assert_equal_beyond_what_is_undetermined(result, teacher)

    def test_pixels_that_active_rows_never_show_are_reported(self):
        teacher, X, Y = self.load("digits_8")
        result = fm.learn_rectified(X, Y, bias=True, rng=0)
        order = fm.compare(result, teacher).assignment
        inputs = np.column_stack([X, np.ones(len(X))])
        active = X @ teacher.W.T + teacher.hidden_bias > 0
        free = {
            int(order[i]): 54 - np.linalg.matrix_rank(inputs[active[:, i]])
            for i in range(8)
            if np.linalg.matrix_rank(inputs[active[:, i]]) < 54
        }
        reported = {item.neuron: len(item.directions) for item in result.certificate.unidentified}
        assert reported == free

    def test_one_output_is_enough(self):
        teacher, X, Y = self.load("diabetes_4")
        result = fm.learn_rectified(X, Y, 4, bias=True, rng=0)
        assert result.certificate.certified and result.variant == "even_odd"
        gaussian = np.random.default_rng(0).standard_normal((4000, X.shape[1]))
        again = fm.learn_rectified(gaussian, teacher.predict(gaussian), 4, bias=True, rng=0)
        assert again.certificate.certified and fm.compare(again, teacher).max_error < 1e-10


def assert_equal_beyond_what_is_undetermined(result, teacher):
    """Neurons agree with the teacher's, but for the reported weight directions."""
    free = {item.neuron: item.directions for item in result.certificate.unidentified}
    student = result.network
    for i, j in enumerate(fm.compare(result, teacher).assignment):
        scale = np.linalg.norm(teacher.W[i]) / np.linalg.norm(teacher.A[:, i])
        mine = np.append(student.W[j], student.hidden_bias[j]) * np.linalg.norm(student.A[:, j])
        true = np.append(teacher.W[i], teacher.hidden_bias[i]) * np.linalg.norm(teacher.A[:, i])
        difference = mine - true
        if j in free:
            difference -= free[j].T @ (free[j] @ difference)
        assert np.linalg.norm(difference) < 1e-8 * np.linalg.norm(true) * max(1.0, scale)


class TestNoise:
    @pytest.mark.parametrize(
        ("name", "known"),
        [
            (min(NOISY), True),
            (min(NOISY), False),
            (max(NOISY), True),
            *(
                pytest.param(name, known, marks=pytest.mark.nightly)
                for name in NOISY
                for known in (True, False)
                if name not in (min(NOISY), max(NOISY)) or (name == max(NOISY) and not known)
            ),
        ],
    )
    def test_error_sits_on_the_cramer_rao_bound(self, name, known):
        problem, ratios = NOISY[name], []
        for seed in range(20):
            teacher, X, Y = problem.draw(seed)
            result = fm.learn_rectified(X, Y, 8 if known else None, rng=seed)
            assert result.success and result.status == "least_squares" and result.n_hidden == 8
            assert not result.certificate.certified
            sigma = problem.noise * np.sqrt(np.mean(teacher.predict(X) ** 2))
            assert result.diagnostics["noise_std"] == pytest.approx(sigma, rel=0.05)
            assignment = fm.compare(result, teacher).assignment
            error = cramer_rao.squared_error(result.network, teacher, assignment)
            ratios.append(error / cramer_rao.bound(teacher, X, sigma))
        assert np.mean(ratios) <= 1.15

    def test_biases_and_leaky_slopes_under_noise(self):
        for seed in range(5):
            teacher = fm.random_teacher(10, 4, 6, bias=True, activation="leaky_relu(0.2)", rng=seed)
            X, Y = fm.make_samples(teacher, 3000, noise=0.05, rng=seed)
            result = fm.learn_rectified(X, Y, 4, bias=True, activation="leaky_relu(0.2)", rng=seed)
            assert result.success
            assert fm.compare(result, teacher).max_error < 0.1

    def test_wide_networks_are_fitted_without_forming_their_normal_matrix(self):
        teacher = fm.random_teacher(50, 32, 32, rng=0)
        X, Y = fm.make_samples(teacher, 3000, noise=0.01, rng=1)
        result = fm.learn_rectified(X, Y, 32, noise="gaussian", rng=0)
        assert result.success
        assert fm.compare(result, teacher).max_error < 0.03


class TestRefusals:
    @pytest.fixture(scope="class")
    @staticmethod
    def samples():
        teacher = fm.random_teacher(20, 10, 10, rng=0)
        return teacher, *fm.make_samples(teacher, 400, rng=1)

    @staticmethod
    def refused(result, status):
        assert not result.success
        assert result.certificate is None or not result.certificate.certified
        assert result.status in status, result.message
        assert result.message

    @pytest.mark.parametrize("seed", range(5))
    def test_labels_of_deficient_rank(self, samples, seed):
        teacher, X, Y = samples
        rng = np.random.default_rng(seed)
        mix = rng.standard_normal((10, 6)) @ rng.standard_normal((6, 10))
        self.refused(fm.learn_rectified(X, Y @ mix, variant="snap", rng=seed), {"rank_deficient"})
        for k in (None, 10):
            result = fm.learn_rectified(X, Y @ mix, k, rng=seed)
            assert result.certificate.certified and result.variant == "even_odd"
            assert fm.compare(result, fm.TwoLayerNetwork(teacher.W, mix.T @ teacher.A)).max_error < 1e-10

    @pytest.mark.parametrize("n", [1, 5, 19, 21, 39])
    def test_too_few_rows(self, samples, n):
        _, X, Y = samples
        self.refused(fm.learn_rectified(X[:n], Y[:n], rng=0), {"too_few_rows"})

    @pytest.mark.parametrize("n", [45, 100, 400])
    def test_labels_that_have_nothing_to_do_with_the_inputs(self, samples, n):
        _, X, _ = samples
        for seed in range(5):
            Y = np.random.default_rng(seed).standard_normal((n, 10))
            result = fm.learn_rectified(X[:n], Y, rng=seed)
            self.refused(result, {"no_signal", "not_converged", "too_few_rows", "misfit"})

    @pytest.mark.parametrize(
        "function", [np.tanh, *(pytest.param(f, marks=pytest.mark.nightly) for f in (np.square, np.sin))]
    )
    @pytest.mark.parametrize("n", [pytest.param(250, marks=pytest.mark.nightly), 400])
    def test_networks_of_another_kind(self, samples, function, n):
        teacher, X, _ = samples
        Y = function(X[:n] @ teacher.W.T) @ teacher.A.T
        for seed in range(3):
            self.refused(fm.learn_rectified(X[:n], Y, rng=seed), {"misfit", "not_converged", "no_signal"})

    def test_fewer_outputs_than_neurons_where_snap_alone_is_asked(self, samples):
        teacher, X, Y = samples
        self.refused(fm.learn_rectified(X, Y[:, :4], 10, variant="snap", rng=0), {"too_few_outputs"})
        result = fm.learn_rectified(X, Y[:, :4], 10, rng=0)
        assert result.certificate.certified
        assert fm.compare(result, fm.TwoLayerNetwork(teacher.W, teacher.A[:4])).max_error < 1e-11

    def test_constant_labels(self, samples):
        _, X, _ = samples
        self.refused(fm.learn_rectified(X, np.full((400, 3), 2.5), bias=True, rng=0), {"no_signal"})

    def test_an_absolute_value_is_two_neurons_and_not_noise(self):
        recovered = 0
        for seed in range(10):
            X = fm.sample_inputs(100, 3, rng=seed)
            w = np.random.default_rng(seed + 99).standard_normal(3)
            result = fm.learn_rectified(X, np.abs(X @ w), rng=seed)
            assert result.status != "least_squares"
            if result.success:
                assert fm.compare(result, fm.TwoLayerNetwork([w, -w], [[1.0, 1.0]])).max_error < 1e-11
                recovered += 1
        assert recovered >= 9

    def test_an_offset_that_swallows_the_digits_is_named(self, samples):
        _, X, Y = samples
        result = fm.learn_rectified(X, Y + 1e12, bias="output", rng=0)
        self.refused(result, {"no_signal"})
        assert "offset" in result.message

    @pytest.mark.parametrize("size", [1e-6, pytest.param(1e-3, marks=pytest.mark.nightly), 1.0])
    def test_one_wrong_row_is_not_certified(self, samples, size):
        _, X, Y = samples
        wrong = Y.copy()
        wrong[17, 3] += size
        result = fm.learn_rectified(X, wrong, rng=0)
        assert result.certificate is None or not result.certificate.certified

    def test_labels_in_single_precision_are_fitted_but_not_certified(self, samples):
        teacher, X, Y = samples
        result = fm.learn_rectified(X, Y.astype(np.float32), rng=0)
        assert result.success and result.status == "least_squares"
        assert not result.certificate.certified
        assert fm.compare(result, teacher).max_error < 1e-4


def few_active_rows(seed, q):
    """A teacher of 4 neurons with biases, the first two active on q of 300 rows each."""
    rng = np.random.default_rng(seed)
    teacher = fm.random_teacher(6, 4, 5, bias=True, rng=rng)
    X = fm.sample_inputs(300, 6, rng=rng)
    bias = teacher.hidden_bias.copy()
    for i in (0, 1):
        sorted_ = np.sort(X @ teacher.W[i])
        bias[i] = -(sorted_[-q] + sorted_[-q - 1]) / 2
    return fm.TwoLayerNetwork(teacher.W, teacher.A, bias, teacher.output_bias), X


class TestWhatTheRowsLeaveOpen:
    @pytest.mark.parametrize("q", [1, 2, 5, 6, 9])
    def test_neurons_with_few_active_rows_are_found_and_their_free_directions_reported(self, q):
        for seed in range(8):
            teacher, X = few_active_rows(seed, q)
            result = fm.learn_rectified(X, teacher.predict(X), bias=True, rng=seed)
            assert result.certificate.certified and result.n_hidden == 4
            assert sorted(result.certificate.activity)[:2] == [q, q]
            assert_equal_beyond_what_is_undetermined(result, teacher)
            free = [len(item.directions) for item in result.certificate.unidentified]
            assert free == [max(0, 7 - q)] * (2 if q < 7 else 0)

    def test_three_active_rows_in_200_000_are_enough_to_find_a_neuron(self):
        rng = np.random.default_rng(0)
        teacher = fm.random_teacher(6, 4, 5, bias=True, rng=rng)
        X = fm.sample_inputs(200_000, 6, rng=rng)
        top = np.sort(X @ teacher.W[0])[-4:]
        bias = teacher.hidden_bias.copy()
        bias[0] = -(top[0] + top[1]) / 2
        rare = fm.TwoLayerNetwork(teacher.W, teacher.A, bias, teacher.output_bias)
        result = fm.learn_rectified(X, rare.predict(X), bias=True, rng=0)
        assert result.certificate.certified and result.certificate.activity.min() == 3
        assert [len(item.directions) for item in result.certificate.unidentified] == [4]

    def test_neurons_active_on_every_row_come_back_as_a_linear_part(self):
        teacher = fm.random_teacher(8, 5, 7, bias=True, rng=0)
        hidden_bias = teacher.hidden_bias.copy()
        hidden_bias[[0, 3]] = 20.0
        open_ = fm.TwoLayerNetwork(teacher.W, teacher.A, hidden_bias, teacher.output_bias)
        X, Y = fm.make_samples(open_, 300, rng=1)
        result = fm.learn_rectified(X, Y, bias=True, rng=0)
        assert result.certificate.certified and result.n_hidden == 3
        assert any("linear" in item.reason for item in result.certificate.unidentified)
        linear = teacher.A[:, [0, 3]] @ teacher.W[[0, 3]]
        np.testing.assert_allclose(result.network.linear, linear, atol=1e-12)

    def test_an_opposite_pair_is_two_neurons_not_a_linear_part(self):
        teacher = fm.random_teacher(8, 4, 6, rng=0)
        W = teacher.W.copy()
        W[3] = -W[0]
        pair = fm.TwoLayerNetwork(W, teacher.A)
        X, Y = fm.make_samples(pair, 120, rng=1)
        for seed in range(5):
            result = fm.learn_rectified(X, Y, rng=seed)
            assert result.certificate.certified and result.network.linear is None
            assert fm.compare(result, pair).max_error < 1e-12

    def test_a_positive_bias_on_top_of_a_parallel_neuron_could_be_an_opposite_pair_and_is_said_to(self):
        X = fm.sample_inputs(200, 3, rng=0)
        w = [0.6, 0.8, 0.0]
        teacher = fm.TwoLayerNetwork([w, w], [[1.0, 0.5], [-0.3, 1.0]], [0.3, 20.0], [0.0, 0.0])
        result = fm.learn_rectified(X, teacher.predict(X), bias=True, rng=0)
        assert result.certificate.certified
        assert {item.neuron for item in result.certificate.unidentified} == {0, 1}

    def test_neurons_that_could_point_the_other_way_are_named(self):
        X = fm.sample_inputs(300, 2, rng=0)
        A = np.random.default_rng(3).standard_normal((6, 5))
        teacher = fm.TwoLayerNetwork([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 1.0]], A)
        for seed in range(4):
            result = fm.learn_rectified(X, teacher.predict(X), rng=seed)
            assert result.certificate.certified
            assert {item.neuron for item in result.certificate.unidentified} >= set(range(5))

    def test_effects_below_the_resolution_are_not_excluded(self):
        for size in (1e-11, 1e-12, 1e-13):
            teacher = fm.random_teacher(5, 3, 4, rng=0)
            A = teacher.A * [size, 1.0, 1.0]
            X = fm.sample_inputs(300, 5, rng=0)
            result = fm.learn_rectified(X, fm.TwoLayerNetwork(teacher.W, A).predict(X), rng=0)
            if result.certificate.certified and result.n_hidden == 2:
                assert "not excluded" in result.certificate.unidentified[-1].reason

    def test_the_network_returned_is_the_one_that_was_verified(self):
        X = fm.sample_inputs(200, 3, rng=0)
        teacher = fm.TwoLayerNetwork(np.eye(3), np.diag([1.0, 2.0, 3.0]), [0.0, 0.2, 20.0])
        result = fm.learn_rectified(X, teacher.predict(X), bias="hidden", rng=0)
        assert result.certificate.certified
        np.testing.assert_allclose(result.predict(X), teacher.predict(X), atol=1e-11)

    def test_a_corner_on_a_boundary_leaves_room_for_another_network(self):
        corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
        X = np.tile(corners, (5, 1))
        wrong = 0
        for seed in range(60):
            rng = np.random.default_rng(seed)
            teacher = fm.TwoLayerNetwork(rng.standard_normal((3, 3)), rng.standard_normal((3, 3)))
            result = fm.learn_rectified(X, teacher.predict(X), rng=seed)
            if result.certificate and result.certificate.certified and not result.certificate.unidentified:
                wrong += fm.compare(result, teacher).max_error > 1e-6
        assert wrong == 0

    def test_two_neurons_with_the_same_active_rows_are_named(self):
        rng = np.random.default_rng(5)
        teacher = fm.random_teacher(10, 3, 5, rng=0)
        W = teacher.W.copy()
        X = fm.sample_inputs(60, 10, rng=1)
        W[1] = W[0] + 1e-4 * rng.standard_normal(10)
        assert np.array_equal(X @ W[0] > 0, X @ W[1] > 0)
        twins = fm.TwoLayerNetwork(W, teacher.A)
        result = fm.learn_rectified(X, twins.predict(X), rng=0)
        if result.certificate.certified:
            assert len({item.neuron for item in result.certificate.unidentified} - {None}) == 2

    def test_neurons_that_do_nothing_are_missing_from_the_answer_and_said_to_be(self):
        teacher = fm.random_teacher(10, 5, 6, rng=0)
        A = teacher.A.copy()
        A[:, 2] = 0.0
        X, Y = fm.make_samples(fm.TwoLayerNetwork(teacher.W, A), 100, rng=1)
        result = fm.learn_rectified(X, Y, 5, rng=0)
        assert result.certificate.certified and result.n_hidden == 4
        assert "n_hidden=5" in result.certificate.unidentified[-1].reason

    def test_inputs_that_span_too_little_are_said_to(self):
        teacher = fm.random_teacher(12, 4, 5, rng=0)
        X = fm.sample_inputs(200, 12, rng=1)
        X[:, 7] = X[:, 2]
        X[:, 9] = 0.0
        result = fm.learn_rectified(X, teacher.predict(X), rng=0)
        assert result.certificate.certified
        whole = [item for item in result.certificate.unidentified if item.neuron is None]
        assert len(whole) == 1 and len(whole[0].directions) == 2
        np.testing.assert_allclose(X @ whole[0].directions.T, 0.0, atol=1e-10)


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ({"bias": "both"}, "bias"),
            ({"noise": "gausian"}, "gaussian"),
            ({"variant": "snapp"}, "snap"),
            ({"n_hidden": 0}, "n_hidden"),
            ({"n_hidden": 2.5}, "n_hidden"),
            ({"activation": "relux"}, "relu"),
            ({"rng": "x"}, "rng"),
        ],
    )
    def test_a_wrong_option_is_named(self, options, word):
        with pytest.raises((ValueError, TypeError), match=word):
            fm.learn_rectified(np.ones((10, 2)), np.ones(10), **options)

    @pytest.mark.parametrize("name", ["X", "Y"])
    def test_numbers_whose_squares_underflow_are_refused(self, name):
        arrays = {"X": np.ones((30, 2)), "Y": np.ones((30, 2))}
        arrays[name] = arrays[name] * [1.0, 1e-170]
        with pytest.raises(ValueError, match=f"{name}: .*column 1"):
            fm.learn_rectified(**arrays)

    def test_an_unknown_option_of_learn_names_the_nearest(self):
        with pytest.raises(TypeError, match="did you mean 'noise'"):
            fm.learn(np.ones((10, 2)), np.ones(10), nose="none")

    def test_an_unknown_method_names_the_nearest(self):
        with pytest.raises(ValueError, match="rectified"):
            fm.learn(np.ones((10, 2)), np.ones(10), method="rectifed")
