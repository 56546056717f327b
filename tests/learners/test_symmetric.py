"""The symmetric learner: exact from few rows by algebra, from moments and a polish, and honest where it cannot be."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import resolve
from fastmom.patterns.gauss_newton import descend
from fastmom.patterns.model import ModelClass
from fastmom.runtime.passes import Rows

SYMMETRIC = ("gaussian", "mixture", "hypercube", "student_t", "laplace")


def orthonormal_teacher(k, seed):
    """Both weight matrices orthonormal, as in the paper's experiments."""
    rng = np.random.default_rng([seed, k])
    W, A = (np.linalg.qr(rng.standard_normal((k, k)))[0] for _ in range(2))
    return fm.TwoLayerNetwork(W, A)


def output_error(network, teacher):
    """Relative Frobenius error of A, neurons matched, hidden weights of unit norm."""
    order = fm.compare(network, teacher).assignment
    assert (order >= 0).all()
    scale = np.linalg.norm(network.W, axis=1)
    return np.linalg.norm((network.A * scale)[:, order] - teacher.A) / np.linalg.norm(teacher.A)


# --- algebraic -------------------------------------------------------------------------------------------------------

# (d, k, m, n, seeds): a little above the number of products, up to k = 2 d and m = k + 3
SHAPES = [(10, 10, 10, 310, 12), (5, 10, 10, 210, 12), (20, 20, 20, 620, 4), (20, 10, 13, 260, 8), (6, 1, 1, 40, 5)]


@pytest.mark.parametrize(("d", "k", "m", "n", "seeds"), SHAPES)
def test_the_null_space_of_label_products_is_the_network(d, k, m, n, seeds):
    for seed in range(seeds):
        teacher = fm.random_teacher(d, k, m, rng=seed)
        result = fm.learn_symmetric(*fm.make_samples(teacher, n, rng=seed + 1000), k, variant="algebraic", rng=seed)
        assert result.certificate.certified, result
        assert result.diagnostics["nullity"] == k
        assert fm.compare(result, teacher).max_error < 1e-11


def test_thirty_two_neurons():
    teacher = fm.random_teacher(32, 32, 32, rng=0)
    result = fm.learn_symmetric(*fm.make_samples(teacher, 1560, rng=1), variant="algebraic", rng=2)
    assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-11


@pytest.mark.parametrize("law", ["exponential", "uniform", "sparse", "correlated", "student_t"])
def test_the_null_space_asks_nothing_of_the_inputs_law(law):
    recovered = 0
    for seed in range(6):
        X = fm.sample_inputs(400, 10, law, rng=seed)
        pool = fm.random_teacher(10, 200, 10, rng=seed)
        share = (X @ pool.W.T > 0).mean(axis=0)
        kept = np.flatnonzero((share > 0.2) & (share < 0.8))[:10]
        teacher = fm.TwoLayerNetwork(pool.W[kept], pool.A[:, kept])
        result = fm.learn_symmetric(X, teacher.predict(X), 10, variant="algebraic", rng=seed)
        assert result.success or result.status == "nullity"
        if result.success:
            assert fm.compare(result, teacher).max_error < 1e-10
            recovered += 1
    assert recovered >= 5


def test_few_exponential_rows():
    for seed in range(3):
        teacher = fm.random_teacher(10, 10, 10, rng=seed)
        samples = fm.make_samples(teacher, 150, law="exponential", rng=seed + 100)
        result = fm.learn_symmetric(*samples, 10, variant="algebraic", rng=seed)
        assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-11


@pytest.mark.parametrize("bias", [True, "hidden", "output"])
def test_the_null_space_has_room_for_biases(bias):
    for seed in range(5):
        teacher = fm.random_teacher(10, 8, 10, bias=True, rng=seed)
        hidden = teacher.hidden_bias if bias != "output" else None
        output = teacher.output_bias if bias != "hidden" else None
        teacher = fm.TwoLayerNetwork(teacher.W, teacher.A, hidden_bias=hidden, output_bias=output)
        X, Y = fm.make_samples(teacher, 400, rng=seed + 10)
        result = fm.learn_symmetric(X, Y, 8, variant="algebraic", bias=bias, rng=seed)
        assert result.certificate.certified, result
        assert fm.compare(result, teacher).max_error < 1e-11


def test_too_few_informative_rows_are_refused_by_nullity_and_another_route_recovers():
    for seed in range(12):
        teacher = fm.random_teacher(10, 10, 10, kind="correlated", rng=seed)
        X, Y = fm.make_samples(teacher, 150, rng=seed + 50)
        refused = fm.learn_symmetric(X, Y, 10, variant="algebraic", rng=seed)
        assert refused.status == "nullity" and not refused.success and refused.network is None
        assert str(refused.diagnostics["nullity"]) in refused.message and refused.diagnostics["nullity"] > 10
        result = fm.learn_symmetric(X, Y, 10, rng=seed)
        assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-11


def test_noisy_labels_have_no_null_space():
    teacher = fm.random_teacher(6, 4, 4, rng=0)
    result = fm.learn_symmetric(*fm.make_samples(teacher, 500, noise=0.01, rng=1), 4, variant="algebraic", rng=2)
    assert result.status == "nullity" and not result.success and "not exact" in result.message


def test_a_wrong_number_of_neurons_is_told_by_the_rank():
    teacher = fm.random_teacher(6, 4, 6, rng=0)
    result = fm.learn_symmetric(*fm.make_samples(teacher, 300, rng=1), 5, variant="algebraic", rng=2)
    assert result.status == "rank" and "4" in result.message


# --- moments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", SYMMETRIC)
def test_moments_alone_find_orthonormal_networks(law):
    errors = []
    for seed in range(5):
        teacher = orthonormal_teacher(10, seed)
        X = fm.sample_inputs(10_000, 10, law, rng=seed)
        result = fm.learn_symmetric(X, teacher.predict(X), 10, polish=False, rng=seed)
        assert result.status == "estimated" and not result.certificate.certified
        errors.append(output_error(result.network, teacher))
    assert np.median(errors) < 1e-3  # uncorrected regressions: 2e-2 to 5e-2


def test_the_published_algorithm_finds_them_too_but_less_exactly():
    errors = []
    for seed in range(6):
        teacher = orthonormal_teacher(6, seed)
        X = fm.sample_inputs(40_000, 6, rng=seed)
        result = fm.learn_symmetric(X, teacher.predict(X), 6, variant="paper", polish=False, rng=seed)
        errors.append(fm.compare(result, teacher).max_error)
    assert 1e-3 < np.median(errors) < 0.2


@pytest.mark.parametrize("variant", ["paper", "refined"])
def test_polished_moments_are_exact(variant):
    recovered = 0
    for seed in range(6):
        teacher = orthonormal_teacher(8, seed)
        result = fm.learn_symmetric(*fm.make_samples(teacher, 5000, rng=seed + 1), 8, variant=variant, rng=seed)
        if result.success:
            assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-11
            recovered += 1
    assert recovered >= (6 if variant == "refined" else 4)


@pytest.mark.parametrize(("d", "k", "m", "n"), [(20, 5, 9, 3000), (12, 12, 20, 3000), (7, 1, 3, 500), (30, 2, 2, 1000)])
def test_fewer_neurons_than_inputs_and_more_outputs(d, k, m, n):
    for seed in range(3):
        teacher = fm.random_teacher(d, k, m, rng=seed)
        result = fm.learn_symmetric(*fm.make_samples(teacher, n, law="laplace", rng=seed + 1), rng=seed)
        assert result.n_hidden == k and fm.compare(result, teacher).max_error < 1e-11


def test_under_noise_the_least_squares_optimum_is_reached():
    n, k = 2000, 10
    for seed in range(10):
        teacher = orthonormal_teacher(k, seed)
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n, k))
        Y = teacher.predict(X) + 0.3 * rng.standard_normal((n, k))
        result = fm.learn_symmetric(X, Y, k, rng=seed)
        kind = ModelClass(resolve("relu"), False, False, k)
        from_truth = descend(Rows(X, Y), kind, teacher.W, settled=1e-6).point.loss
        assert result.status == "least_squares" and result.success and not result.certificate.certified
        assert np.sum((result.predict(X) - Y) ** 2) <= 1.001 * from_truth
        assert result.diagnostics["noise_std"] == pytest.approx(0.3, rel=0.03)


def test_the_number_of_neurons_is_counted_under_noise():
    counts = []
    for seed in range(8):
        teacher = fm.random_teacher(10, 5, 5 + seed % 4, kind="orthonormal", rng=seed)
        samples = fm.make_samples(teacher, 4000, noise=0.2, rng=seed + 1)
        counts.append(fm.learn_symmetric(*samples, rng=seed).n_hidden)
    assert counts.count(5) >= 7


def test_what_the_moments_cannot_have_goes_another_way():
    for kwargs, bias in (({"bias": True}, True), ({}, False)):
        d, k = (6, 4) if bias else (4, 8)
        teacher = fm.random_teacher(d, k, k, rng=3, **kwargs)
        result = fm.learn_symmetric(*fm.make_samples(teacher, 1000, rng=4), k, bias=bias, rng=5)
        assert result.certificate.certified and "not by moments" in result.message
        assert fm.compare(result, teacher).max_error < 1e-11
        plain = fm.learn_symmetric(*fm.make_samples(teacher, 1000, rng=4), k, bias=bias, variant="paper", rng=5)
        assert plain.status == "not_applicable" and not plain.success and plain.network is None


# --- asymmetric inputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["exponential", "uniform", "sparse"])
@pytest.mark.parametrize("variant", ["paper", "refined"])
def test_asymmetric_inputs_are_told(law, variant):
    teacher = fm.random_teacher(6, 4, 4, rng=0)
    X = fm.sample_inputs(3000, 6, law, rng=1) + {"exponential": 0.0, "uniform": -0.4, "sparse": 0.5}[law]
    Y = teacher.predict(X)
    alone = fm.learn_symmetric(X, Y, 4, variant=variant, polish=False, rng=2)
    assert alone.status == "asymmetric_inputs" and not alone.success and "not symmetric" in alone.message
    assert alone.diagnostics["symmetry_p_value"] < 1e-4
    polished = fm.learn_symmetric(X, Y, 4, variant=variant, rng=2)
    assert "not symmetric" in polished.message
    if polished.success:
        assert polished.certificate.certified and fm.compare(polished, teacher).max_error < 1e-11


def test_a_neuron_that_never_speaks_is_not_invented():
    teacher = fm.random_teacher(6, 4, 4, rng=0)
    X = fm.sample_inputs(3000, 6, "uniform", rng=1)
    assert (X @ teacher.W.T > 0).any(axis=0).sum() == 3
    for variant in ("refined", "paper", "algebraic"):
        result = fm.learn_symmetric(X, teacher.predict(X), 4, variant=variant, rng=2)
        assert not result.success or (result.n_hidden == 3 and len(result.certificate.unidentified))
    assert fm.learn_symmetric(X, teacher.predict(X), rng=2).n_hidden == 3


@pytest.mark.parametrize("law", SYMMETRIC)
def test_symmetric_inputs_are_not_accused(law):
    teacher = fm.random_teacher(5, 3, 3, rng=0)
    for seed in range(20):
        X = fm.sample_inputs(500, 5, law, rng=seed)
        result = fm.learn_symmetric(X, teacher.predict(X), 3, polish=False, rng=seed)
        assert result.diagnostics["symmetry_p_value"] > 1e-4


# --- the answer ------------------------------------------------------------------------------------------------------


def test_the_diagnostics_a_theorist_wants():
    teacher = orthonormal_teacher(6, 0)
    found = fm.learn_symmetric(*fm.make_samples(teacher, 20_000, rng=1), 6, rng=2).diagnostics
    assert found["detector_values"].shape == (21,) and 0 <= found["detector_gap"] < 0.1
    assert found["regression_values"].shape == (6,) and 0 < found["distinguishing_value"] < 1
    assert found["corrections"] >= 1 and found["symmetry_p_value"] > 1e-4


def test_same_seed_same_bits():
    X, Y = fm.make_samples(fm.random_teacher(8, 5, 6, rng=0), 3000, noise=0.1, rng=1)
    first, second = (fm.learn_symmetric(X, Y, 5, rng=7).network for _ in range(2))
    assert first.W.tobytes() == second.W.tobytes() and first.A.tobytes() == second.A.tobytes()


def test_the_learner_is_found_by_name():
    teacher = fm.random_teacher(6, 3, 4, rng=0)
    result = fm.learn(*fm.make_samples(teacher, 300, rng=1), "symmetric", n_hidden=3, variant="algebraic", rng=2)
    assert result.method == "symmetric" and result.variant == "algebraic" and result.success


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variant": "refine"}, "variant.*'refined'"),
        ({"polish": "yes"}, "polish"),
        ({"bias": "both"}, "bias"),
        ({"n_hidden": 0}, "n_hidden"),
    ],
)
def test_options_that_do_not_exist_are_named(options, words):
    X, Y = fm.make_samples(fm.random_teacher(4, 2, 2, rng=0), 50, rng=1)
    with pytest.raises((ValueError, TypeError), match=words):
        fm.learn_symmetric(X, Y, **options)


def test_fewer_outputs_than_neurons_are_refused():
    X, Y = fm.make_samples(fm.random_teacher(6, 4, 2, rng=0), 500, rng=1)
    result = fm.learn_symmetric(X, Y, 4, rng=2)
    assert result.status == "too_few_outputs" and not result.success


@pytest.mark.parametrize("scale", [1e100, 1e-100])
@pytest.mark.parametrize("variant", ["refined", "paper", "algebraic"])
def test_units_do_not_matter(variant, scale):
    teacher = fm.random_teacher(4, 3, 3, rng=0)
    X, Y = fm.make_samples(teacher, 400, rng=1)
    result = fm.learn_symmetric(X * scale, Y * scale, 3, variant=variant, rng=2)
    assert result.success and fm.compare(result, teacher).max_error < 1e-11


@pytest.mark.parametrize(("d", "k", "m", "n"), [(1, 1, 1, 10), (2, 2, 2, 30), (5, 5, 5, 20), (3, 3, 8, 40)])
@pytest.mark.parametrize("variant", ["refined", "algebraic"])
def test_small_problems(variant, d, k, m, n):
    teacher = fm.random_teacher(d, k, m, rng=1)
    X, Y = fm.make_samples(teacher, n, rng=2)
    result = fm.learn_symmetric(X, Y, k, variant=variant, rng=3)
    if result.certificate is not None and result.certificate.certified:
        assert fm.compare(result, teacher).max_error < 1e-10 or result.certificate.unidentified
    else:
        assert n < 2 * k * (d + k)  # few rows for so many unknowns: no claim
