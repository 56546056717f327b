"""The landscape learner: exact recovery, noise, every optimizer and activation, and failures that say so."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import fastmom as fm
from benchmarks.landscape import draw, fresh_batches
from fastmom.learners.landscape_repair import gathered
from fastmom.moments.landscape_search import descend_batches, surrogate_error
from fastmom.patterns.gated_sum import fit_gated_sum, population_factor, population_normal, smallest_eigenvalue
from fastmom.patterns.model import ModelClass

RELU = ModelClass(fm.Activation("relu"), False, False, None)


def summed(network):
    """Hidden weights with the output weights in them."""
    return network.A.T * network.W


def error(network, teacher):
    """Relative error of the hidden weights with the output weights in them."""
    found, true = summed(network), summed(teacher)
    i, j = linear_sum_assignment(np.linalg.norm(found[:, None] - true, axis=2))
    return np.linalg.norm(found[i] - true[j]) / np.linalg.norm(true)


@pytest.mark.parametrize(
    ("d", "k", "n", "options"),
    [
        (10, 10, 3000, {}),
        (20, 20, 10_000, {}),
        (50, 10, 4000, {}),
        (20, 20, 20_000, {"a": (1, 10)}),
        (20, 10, 20_000, {"orthonormal": False}),
        (20, 20, 20_000, {"condition": 2}),
        (20, 20, 20_000, {"condition": 4}),
    ],
)
def test_exact_labels_are_recovered_and_certified(d, k, n, options):
    for seed in range(2):
        teacher, X, y = draw(d, k, n, seed, **options)
        result = fm.learn_landscape(X, y, k, rng=seed)
        assert result.status == "recovered" and result.certificate.certified, result.message
        assert not result.certificate.unidentified
        assert error(result.network, teacher) < 1e-12


def test_most_networks_of_condition_eight_are_recovered():
    found = []
    for seed in range(4):
        teacher, X, y = draw(20, 20, 20_000, seed, condition=8)
        result = fm.learn_landscape(X, y, 20, rng=seed)
        assert result.status in ("recovered", "misfit")
        found.append(result.success)
        assert not result.success or fm.compare(result, teacher).max_error < 1e-9
    assert sum(found) >= 3


def test_few_rows_are_enough_or_the_result_says_that_they_are_not():
    recovered = 0
    for seed in range(10):
        teacher, X, y = draw(10, 10, 500, seed)
        result = fm.learn_landscape(X, y, 10, rng=seed)
        assert result.success == (result.network is not None and error(result.network, teacher) < 1e-10)
        recovered += result.success
    assert recovered >= 8


def test_noisy_labels_reach_the_optimum_next_to_the_truth():
    teacher, X, y = draw(20, 20, 20_000, 0, noise=0.5)
    result = fm.learn_landscape(X, y, 20, rng=0)
    assert result.status == "least_squares" and not result.certificate.certified
    assert result.diagnostics["noise_std"] == pytest.approx(0.5, rel=0.02)
    best = fit_gated_sum(X, y, RELU, summed(teacher))
    from_truth = np.linalg.norm(best.W - summed(teacher)) / np.linalg.norm(summed(teacher))
    assert error(result.network, teacher) < min(0.05, 1.1 * from_truth)
    assert result.diagnostics["standard_errors"] is not None


def test_the_moment_stage_alone_is_an_estimate_and_no_success():
    teacher, X, y = draw(20, 20, 30_000, 0)
    result = fm.learn_landscape(X, y, 20, polish=False, rng=0)
    assert result.status == "not_polished" and not result.success and result.certificate is None
    assert error(result.network, teacher) < 0.12
    cosines = np.abs(result.diagnostics["start"] @ teacher.W.T)
    assert np.sqrt(np.mean(2 - 2 * cosines.max(axis=1))) < 0.10


@pytest.mark.parametrize("optimizer", ["orthogonal", "lbfgs", "trust-krylov", "sgd"])
def test_every_optimizer_gets_there(optimizer):
    teacher, X, y = draw(6, 6, 20_000, 1)
    result = fm.learn_landscape(X, y, 6, optimizer=optimizer, mu=4.0, lam=2.0, rng=0)
    assert result.variant == optimizer and result.certificate.certified
    assert error(result.network, teacher) < 1e-12
    diagnostics = result.diagnostics
    if optimizer in ("lbfgs", "trust-krylov"):
        assert diagnostics["agreement"] == 1.0 and diagnostics["smallest_eigenvalue"] > 0
        assert diagnostics["trace"][-1] < diagnostics["trace"][0]
    if optimizer == "sgd":
        assert len(diagnostics["trace"]) == 2000


def test_the_projected_empirical_objective_leads_near_the_truth():
    teacher, X, y = draw(20, 20, 30_000, 0)
    result = fm.learn_landscape(X, y, 20, optimizer="lbfgs", mu=4.0, lam=2.0, polish=False, rng=0)
    start = result.diagnostics["start"]
    assert surrogate_error(start, teacher.W) < 0.1


def test_stochastic_descent_on_fresh_samples_reaches_the_truth():
    teacher, X, y = draw(6, 6, 20_000, 0)
    rng = np.random.default_rng(1)
    batches = fresh_batches(teacher, X, y, rng)
    start = rng.standard_normal((6, 6)) / np.sqrt(6)
    found = descend_batches(batches, start, sign=-1.0, steps=600, truth=teacher.W)
    assert found.diagnostics["surrogate_trace"][-1] < 5e-3 < found.diagnostics["surrogate_trace"][0]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "erf", "relu^2"])
def test_activations_without_order_four_go_by_order_three(activation):
    n = 200_000 if activation in ("tanh", "sigmoid") else 20_000
    teacher, X, y = draw(5, 5, n, 0, a=(1, 3), activation=activation)
    with pytest.raises(ValueError, match=r"^activation: .*orders 1 and"):
        fm.learn_landscape(X, y, 5, activation=activation, optimizer="lbfgs")
    result = fm.learn_landscape(X, y, 5, activation=activation, rng=0)
    assert result.status == "recovered" and fm.compare(result, teacher).max_error < 1e-10
    assert result.diagnostics["order"] == 3
    if n == 200_000:  # directions of the moments alone
        start = result.diagnostics["start"]
        assert np.sqrt(np.mean([np.min(np.sum((start - b) ** 2, axis=1)) for b in teacher.W])) < 0.02


@pytest.mark.parametrize("activation", ["softplus", "gelu", "swish", "abs", "leaky_relu(0.1)"])
def test_activations_with_order_four_are_recovered(activation):
    teacher, X, y = draw(5, 4, 20_000, 0, a=(1, 2), activation=activation)
    result = fm.learn_landscape(X, y, 4, activation=activation, rng=0)
    assert result.status == "recovered" and result.certificate.certified
    assert np.abs(result.network.predict(X)[:, 0] - y).max() < 1e-10
    if activation == "abs":
        assert "sign" in result.certificate.unidentified[0].reason
    else:
        assert fm.compare(result, teacher).max_error < 1e-9


def test_smooth_neurons_with_noise():
    teacher, X, y = draw(5, 4, 20_000, 0, activation="gelu", noise=0.1)
    result = fm.learn_landscape(X, y, 4, activation="gelu", rng=0)
    assert result.status == "least_squares" and not result.certificate.certified
    assert result.diagnostics["noise_std"] == pytest.approx(0.1, rel=0.05)
    assert fm.compare(result, teacher).max_error < 0.05


@pytest.mark.parametrize("covariance", ["auto", "given"])
def test_inputs_of_any_covariance(covariance):
    teacher, Z, _ = draw(8, 5, 20_000, 0)
    C = np.eye(8) + 0.4 * np.random.default_rng(1).standard_normal((8, 8))
    X = Z @ C
    law = C.T @ C if covariance == "given" else covariance
    result = fm.learn_landscape(X, teacher.predict(X), 5, covariance=law, rng=0)
    assert result.diagnostics["covariance"] == {"auto": "estimated", "given": "given"}[covariance]
    assert result.certificate.certified and error(result.network, teacher) < 1e-11


def test_several_outputs_negative_weights_and_unknown_numbers():
    teacher, X, y = draw(10, 6, 6000, 1)
    several = fm.TwoLayerNetwork(teacher.W, np.random.default_rng(0).uniform(0.5, 2, (3, 6)))
    result = fm.learn_landscape(X, several.predict(X), 6, rng=0)
    assert result.certificate.certified and fm.compare(result, several).max_error < 1e-12
    result = fm.learn_landscape(X, -y, rng=0)
    assert result.n_hidden == 6 and result.certificate.certified and (result.network.A < 0).all()
    assert fm.learn(X, y, "landscape", n_hidden=6, rng=0).method == "landscape"


def test_failures_name_the_assumption():
    teacher, X, y = draw(10, 6, 6000, 1)
    signed = fm.TwoLayerNetwork(teacher.W, [1, 1, 1, -1, -1, -1])
    result = fm.learn_landscape(X, signed.predict(X), 6, rng=0)
    assert result.status == "no_gap" and "both signs" in result.message
    result = fm.learn_landscape(X, y, 4, rng=0)
    assert not result.success and "no gap after 4" in result.message
    result = fm.learn_landscape(X, y, 12, rng=0)
    assert result.status == "not_applicable" and "k <= d" in result.message
    rng = np.random.default_rng(0)
    result = fm.learn_landscape(X, rng.standard_normal(6000), 6, rng=0)
    assert not result.success
    skewed = rng.exponential(size=(6000, 10)) - 1
    result = fm.learn_landscape(skewed, np.sin(3 * skewed).sum(axis=1), 6, rng=0)
    assert not result.success and "not Gaussian" in result.message


def test_what_is_no_such_network_is_never_a_success():
    _, X, _ = draw(8, 4, 4000, 0)
    t = X @ np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0][:, :4]
    wrong = {
        "cubes": np.maximum(t, 0) ** 3,
        "biases": np.maximum(t + 0.7, 0),
        "tanh": np.tanh(2 * t) + t**2,
        "absolute values": np.abs(t),
    }
    for labels in wrong.values():
        assert not fm.learn_landscape(X, labels.sum(axis=1), 4, rng=0).success


def test_same_seed_same_bits():
    _, X, y = draw(25, 22, 6000, 0, noise=0.1)  # k above the size whose tensor is formed
    one, other = (fm.learn_landscape(X, y, 22, polish=False, rng=3) for _ in range(2))
    assert one.network == other.network
    _, X, y = draw(5, 5, 1000, 0, noise=0.1)
    one, other = (fm.learn_landscape(X, y, 5, rng=3) for _ in range(2))
    assert one.network == other.network


def test_the_population_normal_matrix_is_the_mean_over_samples():
    rng = np.random.default_rng(0)
    W, n = rng.standard_normal((3, 4)), 200_000
    X = rng.standard_normal((n, 4))
    gates = np.where(X @ W.T > 0, 1.0, 0.1)
    design = (gates[:, :, None] * X[:, None, :]).reshape(n, -1)
    assert np.abs(design.T @ design / n - population_normal(W, 0.1)).max() < 0.01
    assert smallest_eigenvalue(X, ModelClass(fm.Activation("leaky_relu", 0.1), False, False, None), W) > 0.3
    factor = np.triu(population_factor(W, 0.1))
    np.testing.assert_allclose(factor.T @ factor, population_normal(W, 0.1), atol=1e-9)


def test_rows_that_leave_a_weight_open_show_in_the_smallest_eigenvalue():
    rng = np.random.default_rng(0)
    W, X = np.eye(3)[:2], rng.standard_normal((500, 3))
    X[X[:, 0] > 0] *= [1.0, 1.0, 0.0]  # the first neuron never sees the third input
    assert smallest_eigenvalue(X, RELU, W) < 1e-10


def test_spare_neurons_are_gathered():
    W = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.001], [0.0, 1e-5]])
    np.testing.assert_allclose(gathered(W, 2), [[3.0, 0.001], [0.0, 1.00001]], atol=1e-4)
