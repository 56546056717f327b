"""Networks with fewer outputs than neurons: the even part, the way out of bad minima, the orientation."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import resolve
from fastmom.patterns.even_odd import fit_even_odd
from fastmom.patterns.even_odd_descent import ZERO, descend
from fastmom.patterns.even_odd_exchange import elimination, enlarge, exchange, prune, residual_directions
from fastmom.patterns.even_odd_orientation import orient
from fastmom.patterns.even_odd_system import System, read_sample
from fastmom.patterns.model import ModelClass
from fastmom.runtime.passes import Rows


def kind_of(activation="relu", hidden_bias=False, output_bias=False):
    return ModelClass(resolve(activation), hidden_bias, output_bias, None)


def fit(X, Y, k, seed=0, kind=None, **options):
    kind = kind or kind_of()
    rows = Rows(X, Y, ones=kind.hidden_bias)
    return fit_even_odd(rows, kind, k, np.random.default_rng([seed, 1]), **options)


def recover(d, k, m, n, seed, bias=False, activation="relu", asked="k", law="gaussian"):
    """Fit of a random teacher and its error."""
    teacher = fm.random_teacher(d, k, m, bias=bias, activation=activation, rng=seed)
    X, Y = fm.make_samples(teacher, n, law=law, rng=1000 + seed)
    found = fit(X, Y, k if asked == "k" else asked, seed, kind_of(activation, bias, bias))
    return found, fm.compare(found.model.network(), teacher).max_error


def random_system(n=120, d=4, m=2, seed=0, **form):
    rng = np.random.default_rng(seed)
    return System(read_sample(rng.standard_normal((n, d)), rng.standard_normal((n, m))), **form)


FORMS = [
    {"linear": True, "constant": False, "slope": 0.0},
    {"linear": True, "constant": True, "slope": 0.3},
    {"linear": False, "constant": True, "slope": 0.3},
    {"linear": False, "constant": False, "slope": 0.0},
]


@pytest.mark.parametrize("form", FORMS)
class TestSystem:
    def test_the_loss_is_that_of_least_squares_on_neurons_and_free_functions(self, form):
        system = random_system(**form)
        state = system.evaluate(np.random.default_rng(1).standard_normal((3, 4)))
        T = system.sample.X @ state.V.T
        known = [system.sample.X] if form["linear"] else []
        known += [system.sample.constant[:, None]] if form["constant"] else []
        columns = np.hstack([np.where(T > 0, T, form["slope"] * T), *known])
        rest = system.sample.Y - columns @ np.linalg.lstsq(columns, system.sample.Y, rcond=None)[0]
        np.testing.assert_allclose(state.residual, rest, atol=1e-12)
        assert state.loss == pytest.approx(np.sum(rest**2) / system.size)

    def test_the_gradient_is_the_slope_of_half_the_squared_residual(self, form):
        system = random_system(**form)
        rng = np.random.default_rng(2)
        state = system.evaluate(rng.standard_normal((3, 4)))
        step = rng.standard_normal((3, 4))
        step -= np.sum(step * state.V, axis=1, keepdims=True) * state.V
        up, down = (system.evaluate(state.V + h * step).loss * system.size for h in (1e-6, -1e-6))
        assert (up - down) / 4e-6 == pytest.approx(np.sum(state.gradient * step), rel=1e-5)

    @pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
    def test_the_normal_matrix_is_the_jacobians_without_free_functions_and_output_weights(self, form, dtype, tolerance):
        system = random_system(**form)
        k, d, m = 3, 4, 2
        state = system.evaluate(np.random.default_rng(3).standard_normal((k, d)))
        N, scale = system.scaled_normal_matrix(state, dtype)
        gates = np.where(state.active, 1.0, system.slope)
        known = np.hstack([system.free, gates * (system.sample.X @ state.V.T)])
        Q = np.linalg.qr(known)[0]
        J = np.einsum("ni,na,il->nlia", gates, system.sample.X, state.outer).reshape(-1, m * k * d)
        J = (J - Q @ (Q.T @ J)).reshape(-1, k * d)
        truth = (J.T @ J).reshape(k, d, k, d)
        for i, v in enumerate(state.V):
            truth[i, :, i, :] += np.trace(truth[i, :, i, :]) / d * np.outer(v, v)
        truth = (truth * scale[:, :, None, None] * scale).reshape(k * d, k * d)
        np.testing.assert_allclose(np.tril(N), np.tril(truth), atol=tolerance)
        np.testing.assert_allclose(np.diag(truth), 1.0, atol=tolerance)

    def test_removing_a_neuron_costs_what_elimination_says(self, form):
        system = random_system(**form)
        state = system.evaluate(np.random.default_rng(4).standard_normal((5, 4)))
        order, rise = elimination(state)
        losses = [system.evaluate(state.V[np.sort(order[i:])]).loss * system.size for i in range(5)]
        np.testing.assert_allclose(np.diff(losses), rise[:4], rtol=1e-6)
        others = [system.evaluate(np.delete(state.V, i, axis=0)).loss for i in range(5)]
        assert order[0] == np.argmin(others)


def test_beside_free_inputs_neither_orientation_nor_slope_matters():
    sample = random_system(linear=True, constant=False, slope=0.0).sample
    V = np.random.default_rng(5).standard_normal((3, 4))
    leaky = System(sample, linear=True, constant=False, slope=0.4)
    losses = [leaky.evaluate(V * signs).loss for signs in ([[1], [1], [1]], [[-1], [1], [-1]])]
    losses.append(System(sample, linear=True, constant=False, slope=0.0).evaluate(V).loss)
    assert losses == pytest.approx([losses[0]] * 3)


def test_inputs_that_depend_on_each_other_leave_fewer_directions():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 5))
    sample = read_sample(X, X[:, :1])
    assert sample.X.shape[1] == 3
    np.testing.assert_allclose(sample.X.T @ sample.X, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(X @ sample.back, sample.X, atol=1e-12)
    np.testing.assert_allclose(sample.forward @ sample.back, np.eye(3), atol=1e-12)


@pytest.fixture(scope="module")
def stuck():
    """Where descents from random neurons end: two neurons share one of the teacher's, one stands for two of them."""
    teacher = fm.random_teacher(10, 20, 1, rng=1)
    sample = read_sample(*fm.make_samples(teacher, 3000, rng=9))
    system = System(sample, linear=True, constant=False, slope=0.0)
    starts = np.random.default_rng(0).standard_normal((14, 20, 10))
    states = [descend(system, V)[0] for V in starts]
    return system, [state for state in states if state.loss > ZERO], teacher


class TestBadMinima:
    def test_descents_end_there(self, stuck):
        assert len(stuck[1]) >= 3 and all(state.loss > 1e-5 for state in stuck[1])

    def test_a_spare_neuron_where_the_residual_points_leaves_nothing(self, stuck):
        system, states, _ = stuck
        for state in states:
            assert enlarge(system, state, 1, np.random.default_rng(0)).loss <= ZERO

    def test_an_exchange_leads_out(self, stuck):
        system, states, _ = stuck
        for state in states:
            found, exchanges = exchange(system, state, np.random.default_rng(1))
            assert found.loss <= ZERO and 1 <= exchanges <= 5 and len(found.V) == 20


def test_the_residual_points_at_a_missing_neuron():
    for seed in range(5):
        teacher = fm.random_teacher(6, 6, 1, rng=seed)
        system = System(read_sample(*fm.make_samples(teacher, 3000, rng=9)), linear=True, constant=False, slope=0.0)
        state = system.evaluate(teacher.W[1:] @ system.sample.forward.T)
        best = residual_directions(system, state, 1, np.random.default_rng(0))[0] @ system.sample.back.T
        assert np.abs(teacher.W[0] @ best) > 0.9 * np.linalg.norm(best)


def test_spare_neurons_of_an_exact_fit_are_pruned():
    for seed in range(5):
        teacher = fm.random_teacher(6, 4, 1, rng=seed)
        sample = read_sample(*fm.make_samples(teacher, 1500, rng=9))
        system = System(sample, linear=True, constant=False, slope=0.0)
        state, _ = descend(system, np.random.default_rng(seed).standard_normal((9, 6)))
        pruned = prune(system, state)
        assert state.loss <= ZERO and pruned.loss <= ZERO and len(pruned.V) == 4


class TestOrientation:
    @pytest.mark.parametrize(("k", "equations"), [(1, 1), (5, 5), (8, 20), (20, 10), (30, 5), (50, 10), (12, 1)])
    def test_the_neurons_to_turn_are_found(self, k, equations):
        for seed in range(5):
            rng = np.random.default_rng(seed)
            moved, turned = rng.standard_normal((k, equations)), rng.integers(0, 2, k)
            found = orient(moved * (1 + 1e-13 * rng.standard_normal(moved.shape)), turned @ moved)
            np.testing.assert_array_equal(found.turned, turned)
            assert found.leftover < 1e-11

    def test_without_an_answer_there_is_none(self):
        rng = np.random.default_rng(0)
        for k, equations in [(5, 8), (5, 5), (20, 6)]:
            assert orient(rng.standard_normal((k, equations)), rng.standard_normal(equations)) is None

    def test_more_choices_than_the_equations_have_digits_are_not_settled(self):
        rng = np.random.default_rng(0)
        moved, turned = rng.standard_normal((30, 1)), rng.integers(0, 2, 30)
        assert orient(moved, turned @ moved) is None

    def test_a_neuron_may_point_both_ways(self):
        moved, shares = np.random.default_rng(0).standard_normal((4, 6)), np.array([0.0, 0.3, 1.0, 0.0])
        np.testing.assert_allclose(orient(moved, shares @ moved, max_pairs=1).turned, shares, atol=1e-12)
        assert orient(moved, shares @ moved, max_pairs=0) is None

    def test_as_many_pairs_as_equations_prove_nothing(self):
        rng = np.random.default_rng(1)
        assert orient(rng.standard_normal((4, 4)), rng.standard_normal(4), max_pairs=4) is None


@pytest.mark.parametrize(
    ("d", "k", "m", "n", "seeds"),
    [
        (20, 5, 1, 500, 20),
        (20, 10, 1, 2000, 10),
        (20, 10, 3, 733, 10),
        (10, 20, 1, 3000, 5),
        (5, 30, 1, 30_000, 5),
        (10, 50, 1, 30_000, 2),
    ],
)
def test_random_networks_are_recovered(d, k, m, n, seeds):
    for seed in range(seeds):
        found, error = recover(d, k, m, n, seed)
        assert found.exact and found.oriented and error < 1e-12, (seed, error)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.2)"])
@pytest.mark.parametrize(("d", "k", "m"), [(10, 4, 1), (8, 12, 1), (6, 5, 2)])
def test_with_biases(d, k, m, activation):
    for seed in range(3):
        found, error = recover(d, k, m, 3000, seed, bias=True, activation=activation)
        assert found.exact and error < 1e-11, (seed, error)


@pytest.mark.parametrize(("hidden", "output"), [(True, False), (False, True)])
def test_with_one_of_the_biases(hidden, output):
    for seed in range(3):
        teacher = fm.random_teacher(6, 9, 1, bias=True, rng=seed)
        teacher = fm.TwoLayerNetwork(
            teacher.W,
            teacher.A,
            hidden_bias=teacher.hidden_bias if hidden else None,
            output_bias=teacher.output_bias if output else None,
        )
        found = fit(*fm.make_samples(teacher, 3000, rng=seed), 9, kind=kind_of("relu", hidden, output))
        assert found.exact and fm.compare(found.model.network(), teacher).max_error < 1e-11


@pytest.mark.parametrize("law", ["student_t", "exponential", "hypercube", "sparse", "correlated", "mixture"])
def test_other_input_laws(law):
    for seed in range(3):
        found, error = recover(10, 6, 1, 2000, seed, law=law)
        assert found.exact and error < 1e-11


@pytest.mark.parametrize("rows", ["gaussian", "own"])
def test_a_network_trained_on_real_data(rows, trained):
    teacher, inputs = trained
    for seed in range(5):
        X = inputs if rows == "own" else fm.sample_inputs(4000, teacher.n_inputs, rng=seed)
        found = fit(X, teacher.predict(X), teacher.n_hidden, seed, kind_of("relu", True, True))
        assert found.exact and fm.compare(found.model.network(), teacher).max_error < 1e-10


@pytest.fixture
def trained():
    from pathlib import Path

    with np.load(Path(__file__).parents[1] / "data" / "trained_diabetes_4.npz") as data:
        network = fm.TwoLayerNetwork(data["W"], data["A"], data["hidden_bias"], data["output_bias"])
        return network, np.ascontiguousarray(data["X"], dtype=np.float64)


def test_too_many_neurons_asked_for_are_too_many():
    for seed in range(5):
        found, error = recover(8, 5, 1, 1500, seed, asked=9)
        assert found.exact and len(found.W) == 5 and error < 1e-12


def test_too_few_neurons_leave_a_residual():
    for seed in range(3):
        teacher = fm.random_teacher(8, 5, 1, rng=seed)
        found = fit(*fm.make_samples(teacher, 1000, rng=seed), 4, max_starts=3)
        assert not found.exact and found.residual > 1e-3 and len(found.starts) == 3 and len(found.W) <= 4


@pytest.mark.parametrize(("d", "k", "m", "n"), [(8, 5, 1, 1500), (10, 20, 1, 5000), (12, 9, 3, 700)])
def test_an_unknown_number_of_neurons_is_found(d, k, m, n):
    for seed in range(3):
        found, error = recover(d, k, m, n, seed, asked=None)
        assert found.exact and len(found.W) == k and error < 1e-12


def test_opposite_neurons_are_one_neuron_that_points_both_ways():
    for seed in range(5):
        teacher = fm.random_teacher(8, 4, 2, rng=seed)
        W = np.vstack([teacher.W, -teacher.W[0]])
        teacher = fm.TwoLayerNetwork(W, np.column_stack([teacher.A, 0.7 * teacher.A[:, 0]]))
        found = fit(*fm.make_samples(teacher, 1000, rng=seed), 5)
        assert found.exact and found.oriented and fm.compare(found.model.network(), teacher).max_error < 1e-12


def test_a_linear_part_that_no_orientation_explains_is_returned():
    for seed in range(3):
        teacher = fm.random_teacher(8, 4, 1, rng=seed)
        X, Y = fm.make_samples(teacher, 1500, rng=seed)
        found = fit(X, Y + X @ np.linspace(1, 2, 8)[:, None], 4)
        network = found.model.network()
        assert found.exact and not found.oriented and len(found.W) == 4
        truth = fm.TwoLayerNetwork(teacher.W, teacher.A, linear=np.linspace(1, 2, 8)[None])
        assert fm.compare(network, truth).max_error < 1e-12


def test_linear_labels_need_no_neuron():
    X = np.random.default_rng(0).standard_normal((200, 4))
    found = fit(X, X @ np.ones((4, 1)), 2)
    assert found.exact and len(found.W) == 0
    np.testing.assert_allclose(found.model.network().linear, np.ones((1, 4)), atol=1e-12)


def test_a_neuron_of_few_rows_is_found_though_the_sample_misses_it():
    teacher = fm.random_teacher(6, 4, 1, bias=True, rng=0)
    bias = teacher.hidden_bias.copy()
    bias[0] = -3.2  # active on a row in fifteen hundred
    teacher = fm.TwoLayerNetwork(teacher.W, teacher.A, bias, teacher.output_bias)
    X, Y = fm.make_samples(teacher, 60_000, rng=1)
    found = fit(X, Y, 4, kind=kind_of("relu", True, True))
    assert found.exact and fm.compare(found.model.network(), teacher).max_error < 1e-9


def test_noisy_labels_end_near_the_network_and_are_not_exact():
    teacher = fm.random_teacher(8, 4, 1, rng=0)
    X, Y = fm.make_samples(teacher, 3000, noise=0.02, rng=1)
    found = fit(X, Y, 4, max_starts=3)
    assert not found.exact and found.oriented and 0.015 < found.residual < 0.03
    assert fm.compare(found.model.network(), teacher).max_error < 0.1


def test_the_same_seed_gives_the_same_bits():
    teacher = fm.random_teacher(8, 10, 1, rng=0)
    X, Y = fm.make_samples(teacher, 2000, rng=1)
    first, second = (fit(X, Y, 10, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.model.hidden, second.model.hidden)
    np.testing.assert_array_equal(first.model.outer, second.model.outer)
