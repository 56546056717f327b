"""Labels of which a share is wrong: exact recovery, and no certificate where another network fits as well."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import resolve
from fastmom.learners.corrupted_labels import suspicious
from fastmom.patterns.model import ModelClass
from fastmom.patterns.noisy import fit_noisy
from fastmom.runtime.passes import Rows


def draw(shape, n, seed, share, kind, **teacher):
    network = fm.random_teacher(*shape, rng=seed, **teacher)
    clean_rows, clean = fm.make_samples(network, n, rng=seed + 1000)
    X, Y = fm.make_samples(network, n, corruption=share, corruption_kind=kind, rng=seed + 1000)
    assert np.array_equal(X, clean_rows)
    return network, X, Y, np.flatnonzero(np.any(clean != Y, axis=1))


# (d, k, m), rows, share, kind, networks
CASES = [
    ((20, 8, 8), 1000, 0.45, "gross", 4),
    ((20, 8, 8), 1000, 0.4, "shuffle", 4),
    ((20, 8, 8), 1000, 0.4, "flip", 4),
    ((20, 8, 3), 1500, 0.2, "gross", 4),
    ((20, 5, 1), 1500, 0.05, "gross", 4),
    ((20, 5, 1), 1500, 0.05, "shuffle", 4),
]


@pytest.mark.parametrize(("shape", "n", "share", "kind", "seeds"), CASES)
def test_networks_are_recovered_exactly(shape, n, share, kind, seeds):
    for seed in range(seeds):
        teacher, X, Y, wrong = draw(shape, n, seed, share, kind)
        result = fm.learn_rectified(X, Y, shape[1], noise="gross", rng=seed)
        assert result.success and result.certificate.certified and result.status == "recovered", result
        assert fm.compare(result, teacher).max_error < 1e-12
        assert np.array_equal(result.diagnostics["corrupt_rows"], wrong)
        assert result.certificate.n_corrupt == len(wrong) and result.certificate.n_rows == n
        assert f"the other {len(wrong):,} are judged corrupt" in result.message
        assert f"{len(wrong):,} corrupt ones apart" in repr(result)


def test_biases_and_slopes():
    for seed in range(3):
        teacher, X, Y, _ = draw((20, 8, 8), 1000, seed, 0.3, "shuffle", bias=True)
        result = fm.learn_rectified(X, Y, 8, noise="gross", bias=True, rng=seed)
        assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-12
        teacher, X, Y, _ = draw((10, 4, 2), 600, seed, 0.2, "gross", activation="leaky_relu(0.2)")
        result = fm.learn_rectified(X, Y, 4, noise="gross", activation="leaky_relu(0.2)", rng=seed)
        assert result.certificate.certified and fm.compare(result, teacher).max_error < 1e-12


def test_the_number_of_neurons_is_found():
    for shape, n, share, kind in (((20, 8, 10), 1000, 0.3, "shuffle"), ((6, 3, 1), 300, 0.1, "shuffle")):
        for seed in (17, 21, 22):
            teacher, X, Y, _ = draw(shape, n, seed, share, kind)
            result = fm.learn_rectified(X, Y, noise="gross", rng=seed)
            assert result.certificate.certified and result.n_hidden == shape[1], (shape, seed, result)
            assert fm.compare(result, teacher).max_error < 1e-11


@pytest.mark.parametrize(("share", "kind"), [(0.45, "gross"), (0.4, "flip"), (0.02, "shuffle")])
def test_auto_notices_wrong_rows(share, kind):
    teacher, X, Y, wrong = draw((20, 8, 8), 1000, 1, share, kind)
    result = fm.learn_rectified(X, Y, 8, rng=0)
    assert result.variant == "robust" and result.certificate.certified
    assert fm.compare(result, teacher).max_error < 1e-12
    assert np.array_equal(result.diagnostics["corrupt_rows"], wrong)


def test_gaussian_noise_is_not_suspected():
    kind = ModelClass(resolve("relu"), False, False, 4)
    for seed in range(6):
        teacher = fm.random_teacher(10, 4, 4, rng=seed)
        rows = Rows(*fm.make_samples(teacher, 600, noise=(0.01, 0.3, 1.0)[seed % 3], rng=seed))
        fit = fit_noisy(rows, kind, 4, np.random.default_rng(seed))
        assert not suspicious(rows, fit.model, np.random.default_rng(0))


def test_exact_labels_have_no_corrupt_rows():
    teacher, X, Y, _ = draw((10, 4, 4), 300, 0, 0.0, "gross")
    result = fm.learn_rectified(X, Y, 4, noise="gross", rng=0)
    assert result.certificate.certified and not len(result.diagnostics["corrupt_rows"])
    assert fm.compare(result, teacher).max_error < 1e-12


def test_noisy_labels_are_not_certified():
    teacher = fm.random_teacher(10, 4, 4, rng=0)
    X, Y = fm.make_samples(teacher, 500, noise=0.05, corruption=0.1, rng=1)
    result = fm.learn_rectified(X, Y, 4, noise="gross", rng=0)
    assert not result.success and result.status == "no_exact_fit" and "noisy" in result.message


# What is certified must be the network that labelled most rows.


def honest(result, truth):
    """Not certified, or right."""
    return not result.certificate or fm.compare(result, truth).max_error < 1e-9


def two_networks(shape, n, share, seed, **changes):
    """Labels of one network, on a share of the rows those of another."""
    rng = np.random.default_rng(seed)
    first = fm.random_teacher(*shape, rng=seed)
    second = fm.random_teacher(*shape, rng=seed + 500)
    if "neurons" in changes:  # all but some neurons are shared
        kept = changes["neurons"]
        W, A = second.W.copy(), second.A.copy()
        W[kept:], A[:, kept:] = W[kept:], A[:, kept:]
        W[:kept], A[:, :kept] = first.W[:kept], first.A[:, :kept]
        second = fm.TwoLayerNetwork(W, A)
    X = rng.standard_normal((n, shape[0]))
    chosen = rng.permutation(n)[: round(share * n)]
    Y = first.predict(X)
    Y[chosen] = second.predict(X[chosen])
    return first, X, Y


@pytest.mark.parametrize("shape", [(8, 3, 3), (8, 3, 1), (5, 1, 1)])
@pytest.mark.parametrize("share", [0.3, 0.45, 0.5])
def test_labels_of_two_networks(shape, share):
    for seed in range(4):
        first, X, Y = two_networks(shape, 400, share, seed)
        result = fm.learn_rectified(X, Y, shape[1], noise="gross", rng=seed)
        assert honest(result, first), result
        if share == 0.5:
            assert not result.certificate


@pytest.mark.parametrize("m", [1, 3])
def test_networks_that_differ_in_one_neuron(m):
    for seed in range(2):
        for share in (0.3, 0.5):
            first, X, Y = two_networks((8, 3, m), 500, share, seed, neurons=2)
            result = fm.learn_rectified(X, Y, 3, noise="gross", rng=seed)
            assert honest(result, first), result


@pytest.mark.parametrize("m", [1, 3])
def test_a_network_with_a_neuron_less_is_not_certified(m):
    teacher = fm.random_teacher(8, 4, m, rng=0)
    biased = fm.TwoLayerNetwork(teacher.W, teacher.A, [0.0, 0.0, 0.0, -1.3])  # active on a tenth of the rows
    for network, bias in ((teacher, False), (biased, "hidden")):
        X, Y = fm.make_samples(network, 800, corruption=0.05, rng=0)
        result = fm.learn_rectified(X, Y, 3, noise="gross", bias=bias, rng=0)
        assert not result.certificate, result


def test_wrong_rows_in_a_half_space():
    for seed in range(2):
        teacher, X, Y, _ = draw((8, 3, 2), 600, seed, 0.0, "gross")
        wrong = X[:, 0] > 0.6
        Y[wrong] = np.random.default_rng(seed).standard_normal((np.count_nonzero(wrong), 2))
        assert honest(fm.learn_rectified(X, Y, 3, noise="gross", rng=seed), teacher)


def test_few_rows_are_no_proof():
    for n in (20, 30, 40, 60):
        for seed in range(6):
            teacher, X, Y, _ = draw((6, 3, 1), n, seed, 0.2, "shuffle")  # 18 unknowns
            assert honest(fm.learn_rectified(X, Y, 3, noise="gross", rng=seed), teacher), (n, seed)


def test_duplicated_rows_count_once():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((400, 6)), rng.standard_normal((400, 2))
    X[:260], Y[:260] = X[np.arange(260) % 5], Y[np.arange(260) % 5]  # two thirds of the rows are five points
    for k in (1, 2, 5):
        assert not fm.learn_rectified(X, Y, k, noise="gross", rng=0).certificate


def test_labels_without_a_network():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((500, 5))
    binary = (rng.random((500, 1)) < 0.4).astype(float)
    sparse = rng.standard_normal((500, 2)) * (rng.random((500, 1)) < 0.3)
    lattice = rng.choice([-1.0, 1.0], (500, 5))
    for inputs, Y in ((X, binary), (X, sparse), (lattice, binary), (X, np.zeros((500, 1))), (X, np.ones((500, 2)))):
        for bias in (False, True):
            assert not fm.learn_rectified(inputs, Y, 2, noise="gross", bias=bias, rng=0).certificate


def test_an_unknown_number_of_neurons_on_one_sided_inputs():
    for seed in range(4):
        teacher = fm.random_teacher(6, 3, 1, rng=seed)
        X, Y = fm.make_samples(teacher, 200, law="uniform", corruption=0.3, corruption_kind="flip", rng=seed)
        result = fm.learn_rectified(X, Y, noise="gross", rng=seed)
        if result.certificate:  # no neuron that another could replace
            assert all(item.neuron is None for item in result.certificate.unidentified)
            assert np.count_nonzero(np.abs(result.predict(X) - teacher.predict(X)) > 1e-8) <= 6


def test_what_the_route_cannot_do_is_said():
    X, Y = fm.make_samples(fm.random_teacher(4, 2, 2, rng=0), 100, rng=0)
    result = fm.learn_rectified(X, Y, 2, noise="gross", variant="snap")
    assert result.status == "not_applicable" and "variant='auto'" in result.message


def test_same_seed_same_bits():
    _, X, Y, _ = draw((20, 8, 3), 1500, 0, 0.2, "gross")
    first, second = (fm.learn_rectified(X, Y, 8, noise="gross", rng=4) for _ in range(2))
    assert np.array_equal(first.network.W, second.network.W) and np.array_equal(first.network.A, second.network.A)
