"""The published narrow learners: estimates as coarse as their nets, exact after the polish, no more than shown."""

import numpy as np
import pytest

import fastmom as fm

NETS = ["paper", "one_stage"]


def fit(variant, kind, k, d, n, seed, *, noise=0.0, n_hidden=None, output="signed", **options):
    teacher = fm.random_teacher(d, k, kind=kind, output=output, rng=seed)
    X, y = fm.make_samples(teacher, n, noise=noise, rng=seed + 100)
    return teacher, fm.learn_narrow(X, y, n_hidden or k, variant=variant, rng=seed, **options)


@pytest.mark.parametrize("variant", NETS)
@pytest.mark.parametrize(("kind", "k", "d"), [("gaussian", 2, 30), ("opposite", 3, 10)])
def test_nets_come_near_and_the_polish_is_exact(variant, kind, k, d):
    near = exact = 0
    for seed in range(2):
        teacher, result = fit(variant, kind, k, d, 6000, seed, polish=False)
        assert result.status == "not_polished" and not result.success and not result.certificate
        assert result.diagnostics["net"] > 0 and "net of" in result.message
        near += fm.compare(result, teacher).function_error < 0.2
        teacher, result = fit(variant, kind, k, d, 6000, seed)
        exact += result.status == "recovered" and fm.compare(result, teacher).max_error < 1e-9
    assert (near, exact) == (2, 2)


@pytest.mark.parametrize("variant", NETS)
def test_a_vanishing_second_moment(variant):
    teacher, result = fit(variant, "balanced", 4, 10, 6000, 1)
    assert result.status == "recovered" and fm.compare(result, teacher).function_error < 1e-12


@pytest.mark.parametrize("variant", NETS)
def test_noise_ends_in_the_optimum(variant):
    teacher, result = fit(variant, "gaussian", 2, 10, 5000, 0, noise=0.1)
    assert result.status == "least_squares" and not result.certificate
    assert fm.compare(result, teacher).function_error < 0.02


@pytest.mark.parametrize("variant", NETS)
def test_the_number_of_neurons_is_found(variant):
    teacher = fm.random_teacher(8, 2, rng=5)
    X, y = fm.make_samples(teacher, 5000, rng=6)
    result = fm.learn_narrow(X, y, variant=variant, max_hidden=3, rng=0)
    assert result.status == "recovered" and fm.compare(result, teacher).max_error < 1e-9
    estimate = fm.learn_narrow(X, y, variant=variant, max_hidden=3, polish=False, rng=0)
    assert estimate.n_hidden <= 3 and "guess" in estimate.message  # more neurons make up for a coarse net


def test_the_tower_does_not_claim_neurons_that_no_row_tells_apart():
    # no row lies between the two, so that their difference is one neuron to the labels
    w = np.array([0.6, 0.8, 0.0])
    X = np.random.default_rng(0).standard_normal((600, 3))
    teacher = fm.TwoLayerNetwork([w, w + np.array([0, 0, 1e-5])], [1.0, 2.0])
    assert not ((X @ teacher.W.T > 0)[:, 0] ^ (X @ teacher.W.T > 0)[:, 1]).any()
    result = fm.learn_narrow(X, teacher.predict(X), 2, variant="implicit", rng=0)
    assert not result.certificate or result.certificate.unidentified


@pytest.mark.parametrize("variant", [*NETS, "refined"])
def test_neurons_that_the_labels_do_not_show_are_not_claimed(variant):
    teacher, result = fit(variant, "gaussian", 2, 6, 1000, 0, n_hidden=3)
    assert result.n_hidden == 2 and fm.compare(result, teacher).max_error < 1e-9
    assert any("n_hidden=3" in item.reason for item in result.certificate.unidentified)


@pytest.mark.parametrize("variant", [*NETS, "implicit"])
@pytest.mark.parametrize("label", ["quadratic", "biased", "heavy"])
def test_other_functions_are_never_certified(variant, label):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((800, 5))
    y = {
        "quadratic": X[:, 0] ** 2,
        "biased": fm.random_teacher(5, 2, bias=True, rng=1).predict(X)[:, 0],
        "heavy": rng.standard_cauchy(800),
    }[label]
    result = fm.learn_narrow(X, y, 2, variant=variant, rng=0)
    assert not result.success and not result.certificate


@pytest.mark.parametrize("variant", [*NETS, "implicit"])
def test_the_inputs_need_no_scale_and_may_be_dependent(variant):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 4)) @ np.diag([1.0, 3.0, 0.2, 1.0])
    if variant != "implicit":  # which needs independent ones
        X = np.column_stack([X, X[:, 0] - X[:, 1], np.zeros(3000)])
    y = fm.random_teacher(X.shape[1], 2, output="positive", rng=1).predict(X)
    result = fm.learn_narrow(X, y, 2, variant=variant, rng=0)
    assert result.status == "recovered" and np.abs(result.predict(X) - y).max() < 1e-10


@pytest.mark.parametrize("variant", [*NETS, "implicit"])
def test_the_seed_decides_every_bit(variant):
    first, second = (fit(variant, "gaussian", 2, 5, 2000, 0, output="positive", polish=False)[1] for _ in range(2))
    assert first.network == second.network


@pytest.mark.parametrize("seed", range(2))
def test_the_tower_starts_many_positive_neurons(seed):
    teacher, result = fit("implicit", "gaussian", 12, 20, 20_000, seed, output="positive", polish=False)
    assert result.status == "not_polished"
    assert fm.compare(result, teacher).function_error < 0.3
    teacher, result = fit("implicit", "gaussian", 12, 20, 20_000, seed, output="positive")
    assert result.status == "recovered" and fm.compare(result, teacher).function_error < 1e-10


@pytest.mark.parametrize("options", [{"output": "signed"}, {"n_hidden": 200}])
def test_what_the_tower_cannot_do_is_refused(options):
    result = fit("implicit", "gaussian", 4, 6, 5000, 2, **options)[1]
    assert result.status == "not_applicable" and result.network is None
