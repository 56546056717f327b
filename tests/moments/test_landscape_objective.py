"""The landscape objective: derivatives, its forms against each other and the population, and its minima."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.moments.landscape_objective import LandscapeObjective, population_risk, require_order_four
from fastmom.moments.landscape_search import minimise, smallest_eigenvalue, surrogate_error
from fastmom.moments.quartic_forms import SampledForm, TensorForm
from fastmom.moments.tensors import small_tensor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2000, 4))
y = np.maximum(X @ [1.0, 0.5, -1.0, 0.2], 0) + 0.1 * RNG.standard_normal(2000)
B, D = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))


def objectives():
    teacher = fm.random_teacher(4, 3, output="positive", rng=1)
    yield "samples", LandscapeObjective.from_samples(X, y, mu=0.5, lam=0.3)
    yield "raw labels", LandscapeObjective.from_samples(X, y, residual=False)
    yield "general", LandscapeObjective.from_samples(X, y, general=True)
    yield "tensor", LandscapeObjective.from_tensor(small_tensor(X, y, np.eye(4), 4), sign=-1.0)
    yield "population", LandscapeObjective.from_network(teacher, mu=2.0)
    yield "general population", LandscapeObjective.from_network(teacher, general=True)


@pytest.mark.parametrize("name", [name for name, _ in objectives()])
def test_derivatives_are_central_differences(name):
    G, h = dict(objectives())[name], 1e-5
    slope = (G.value(B + h * D) - G.value(B - h * D)) / (2 * h)
    assert np.sum(G.gradient(B) * D) == pytest.approx(slope, rel=1e-7)
    curved = (G.gradient(B + h * D) - G.gradient(B - h * D)) / (2 * h)
    product = G.product(B, D)
    assert np.abs(product - curved).max() < 1e-7 * np.abs(product).max()


def test_a_single_row_is_the_one_at_a_time_objective():
    G = LandscapeObjective.from_samples(X, y, residual=False, lam=0.2)
    b = B[:1]
    t, size = X @ b[0], b[0] @ b[0]
    varphi = size**2 / 8 - size * t**2 / 4 + t**4 / 24
    assert G.value(b) == pytest.approx(np.mean(y * varphi) + 0.2 * (size - 1) ** 2, rel=1e-12)  # s = -1 for relu


def test_two_rows_are_the_formula_of_the_paper_with_the_cross_term_minus_two():
    G = LandscapeObjective.from_samples(X, y, residual=False, mu=0.0, lam=0.0)
    v, w = B[:2]
    p, q = X @ v, X @ w
    phi = v @ v * (w @ w) / 2 + (v @ w) ** 2 - w @ w * p**2 / 2 - v @ v * q**2 / 2 - 2 * p * q * (v @ w)
    phi += p**2 * q**2 / 2
    assert G.value(B[:2]) == pytest.approx(-2 * np.mean(y * phi), rel=1e-11)


def test_sample_form_is_the_tensor_form_in_any_coordinates():
    Wh = RNG.standard_normal((4, 4))
    samples = SampledForm(X @ Wh, y, Wh.T @ Wh)
    tensor = TensorForm(small_tensor(X, y, Wh, 4))
    for alpha, beta in ((0.5, -0.1), (1.0, 0.0), (0.0, 1.0)):
        (value, gradient), (expected, slope) = (f.value_and_gradient(B, alpha, beta) for f in (samples, tensor))
        assert value == pytest.approx(expected, rel=1e-12)
        assert np.abs(gradient - slope).max() < 1e-12 * np.abs(slope).max()
        product, curved = samples.product(B, D, alpha, beta), tensor.product(B, D, alpha, beta)
        assert np.abs(product - curved).max() < 1e-12 * np.abs(curved).max()


@pytest.mark.parametrize("activation", ["relu", "softplus", "gelu", "swish", "abs", "leaky_relu(0.1)"])
def test_population_form_is_the_mean_over_samples(activation):
    teacher = fm.random_teacher(4, 3, kind="orthonormal", output="positive", activation=activation, rng=2)
    point = 1.5 * teacher.W[[0, 0, 1]] + 0.05 * B  # rows that share a direction: a large pair term
    exact = LandscapeObjective.from_network(teacher, lam=0.0).value(point)
    values = []
    for seed in range(8):
        inputs, labels = fm.make_samples(teacher, 20_000, rng=seed)
        values.append(LandscapeObjective.from_samples(inputs, labels, activation, lam=0.0).value(point))
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values) - exact) < 4 * error
    assert error < 0.2 * abs(exact)  # the test sees a wrong factor


@pytest.mark.parametrize("m", [10, 20, 50])
@pytest.mark.parametrize("mu", [0.1, 1.0])
def test_every_start_reaches_a_global_minimum_of_the_population_objective(m, mu):
    teacher = fm.TwoLayerNetwork(np.eye(m), np.ones(m))
    G = LandscapeObjective.from_network(teacher, mu=mu, lam=0.4)
    starts = {10: 20, 20: 8, 50: 2}[m]
    found = [minimise(G, m, np.random.default_rng(seed), starts=1) for seed in range(starts)]
    errors = [surrogate_error(search.diagnostics["B"], np.eye(m)) for search in found]
    assert max(errors) < 1e-10
    if m == 10:
        assert min(search.diagnostics["smallest_eigenvalue"] for search in found) > 0


def test_the_origin_is_no_minimum():
    G = LandscapeObjective.from_network(fm.TwoLayerNetwork(np.eye(3), np.ones(3)))
    assert smallest_eigenvalue(G, np.zeros((3, 3))) < -1


def test_minima_of_the_general_objective_are_dual_rows():
    rows = np.linalg.qr(RNG.standard_normal((5, 5)))[0] + 0.2 * RNG.standard_normal((5, 5))
    teacher = fm.TwoLayerNetwork(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.linspace(1, 2, 5))
    G = LandscapeObjective.from_network(teacher, mu=0.01, lam=5.0, general=True)
    found = minimise(G, 5, np.random.default_rng(0)).diagnostics["B"]
    assert surrogate_error(np.linalg.inv(found).T, teacher.W) < 1e-6


def test_the_population_risk_is_the_sum_over_orders():
    student = fm.random_teacher(5, 3, output="positive", rng=3)
    teacher = fm.random_teacher(5, 3, output="positive", rng=4)
    inputs = RNG.standard_normal((400_000, 5))
    gaps = (student.predict(inputs) - teacher.predict(inputs))[:, 0] ** 2
    terms = population_risk(student, teacher)
    assert abs(terms.sum() - gaps.mean()) < 4 * gaps.std() / np.sqrt(len(gaps)) + 1e-3 * terms.sum()
    assert terms[3] == terms[5] == 0 < terms[4]


@pytest.mark.parametrize(
    ("activation", "orders"),
    [("tanh", "1 and 3"), ("sigmoid", "1 and 3"), ("erf", "1 and 3"), ("relu^2", "1 and 2 and 3")],
)
def test_activations_without_order_four_are_refused_with_the_orders_that_work(activation, orders):
    with pytest.raises(ValueError, match=f"^activation: .*orders {orders}:"):
        require_order_four(activation)
    with pytest.raises(ValueError, match=r"^activation: "):
        LandscapeObjective.from_samples(X, y, activation)
