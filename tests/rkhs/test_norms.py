"""The norm bound is the tower of the paper, exact norms stay below it, and no sample of a function exceeds its norm."""

import math

import numpy as np
import pytest

import fastmom as fm
from fastmom.rkhs.networks import activate, random_l1_network
from fastmom.rkhs.norms import kernel_taylor, network_norm, sample_norm, taylor

# F(k, L) of the specification, by (activation, c, k): {L: F}; large ones as log F.
TABLE = {
    ("erf", 0.25, 1): {0.5: 0.282, 1: 1.14, 2: 5.79},
    ("erf", 0.25, 2): {0.5: 0.159, 0.75: 0.541, 1: 1.32, 1.5: 12.4},
    ("erf", 0.25, 3): {0.5: 0.0899, 0.75: 0.458, 1: 1.56},
    ("erf", 0.5, 1): {0.5: 0.400, 1: 1.69, 2: 20.1},
    ("erf", 0.5, 2): {0.5: 0.320, 0.75: 1.14, 1: 4.67, 1.5: 2.9e9},
    ("erf", 0.5, 3): {0.5: 0.255, 0.75: 1.50, 1: 1.3e8},
    ("erf", 1, 1): {0.5: 0.572, 1: 2.90, 2: 574},
    ("erf", 1, 2): {0.5: 0.661, 0.75: 6.22, 1: 1.0e6},
    ("erf", 1, 3): {0.5: 0.780, 0.75: 4.4e31},
    ("smoothed_hinge", 0.25, 1): {0.5: 0.473, 1: 1.34, 2: 5.48},
    ("smoothed_hinge", 0.25, 2): {0.5: 0.466, 0.75: 0.893, 1: 1.72, 1.5: 8.6},
    ("smoothed_hinge", 0.25, 3): {0.5: 0.464, 0.75: 0.930, 1: 2.25},
    ("smoothed_hinge", 0.5, 1): {0.5: 0.383, 1: 1.28, 2: 7.55},
    ("smoothed_hinge", 0.5, 2): {0.5: 0.344, 0.75: 0.738, 1: 1.70, 1.5: 346},
    ("smoothed_hinge", 0.5, 3): {0.5: 0.332, 0.75: 0.734, 1: 2.61},
    ("smoothed_hinge", 1, 1): {0.5: 0.335, 1: 1.37, 2: 60.6},
    ("smoothed_hinge", 1, 2): {0.5: 0.264, 0.75: 0.697, 1: 2.45, 1.5: 5.9e17},
    ("smoothed_hinge", 1, 3): {0.5: 0.241, 0.75: 0.670, 1: 888},
}
ROWS = np.linspace(-1, 1, 15)
DISC = np.array([(a, b) for a in ROWS for b in ROWS if a * a + b * b <= 1])


def recursion(X, depth):
    """The kernel matrix as the paper defines it."""
    K = X @ X.T
    for _ in range(depth):
        K = 1 / (2 - K)
    return K


@pytest.mark.parametrize("case", TABLE, ids=lambda case: "-".join(map(str, case)))
def test_the_bound_is_that_of_the_table(case):
    activation, c, depth = case
    for L, bound in TABLE[case].items():
        found = math.exp(fm.network_norm_bound(depth, L, activation, c))
        digits = 0.06 if bound > 1e3 else 0.006  # the table's rounding
        assert found == pytest.approx(bound, rel=digits), L


def test_a_tower_stays_a_number():
    assert fm.network_norm_bound(2, 1.5, "erf", 1) == pytest.approx(959.8, abs=0.1)
    assert fm.network_norm_bound(3, 1, "erf", 1) == pytest.approx(2 * 1019606.77**2, rel=1e-6)
    assert fm.network_norm_bound(9, 3, "erf", 2) == math.inf
    assert fm.network_norm_bound(9, 3, "smoothed_hinge", 2) == math.inf
    assert math.isfinite(fm.network_norm_bound(3, 1e-200, "erf", 1e100))
    assert fm.network_norm_bound(0, 2.0) == pytest.approx(math.log(2))


@pytest.mark.parametrize("activation", ["erf", "smoothed_hinge"])
def test_the_series_and_its_asymptotic_form_meet(activation):
    """Where summing ends, near 2 c L^2 = 1e6."""
    L = np.sqrt(0.5e6 * np.array([0.9999, 0.99999, 1.00001, 1.0001]))
    steps = np.diff([fm.network_norm_bound(1, bound, activation, 1) for bound in L])
    slope = np.diff(L * L)  # log F ~ 2 c L^2 - ...: the growth is the same on both sides
    np.testing.assert_allclose(steps, 2 * slope, rtol=1e-5)


@pytest.mark.parametrize("activation", ["erf", "smoothed_hinge"])
def test_the_bound_sums_the_series_of_its_definition(activation):
    b, L = taylor(activation, 0.7, 200), 1.3
    terms = 2.0 ** (np.arange(201) + 1) * b**2 * L ** (2 * np.arange(201))
    assert fm.network_norm_bound(1, L, activation, 0.7) == pytest.approx(
        math.log(L * math.sqrt(terms.sum())), abs=1e-13
    )


@pytest.mark.parametrize("activation", ["erf", "smoothed_hinge"])
def test_taylor_coefficients_sum_to_the_function(activation):
    t = np.linspace(-1, 1, 21)
    np.testing.assert_allclose(
        np.polynomial.Polynomial(taylor(activation, 0.8, 60))(t), activate(t, activation, 0.8), atol=1e-14
    )


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_kernels_taylor_coefficients_sum_to_its_recursion(depth):
    t = np.linspace(-0.9, 0.9, 19)
    value = t
    for _ in range(depth):
        value = 1 / (2 - value)
    np.testing.assert_allclose(np.polynomial.Polynomial(kernel_taylor(depth, 400))(t), value, atol=1e-14)


@pytest.mark.parametrize("activation", ["erf", "smoothed_hinge"])
@pytest.mark.parametrize("c", [0.25, 1.0])
def test_one_neuron_attains_the_bound(activation, c):
    network = random_l1_network(7, 1, width=1, activation=activation, c=c, rng=0)
    assert network.norm() == pytest.approx(math.exp(fm.network_norm_bound(1, 1.0, activation, c)), rel=1e-12)


@pytest.mark.parametrize(("activation", "c"), [("erf", 0.25), ("erf", 1.0), ("smoothed_hinge", 1.0)])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_sample_norms_exact_norms_and_the_bound_are_in_order(activation, c, depth):
    L = 1.0 if c < 1 or depth < 3 else 0.75
    bound = math.exp(fm.network_norm_bound(depth, L, activation, c))
    for seed in range(2):
        network = random_l1_network(2, depth, L, width=4, activation=activation, c=c, rng=seed)
        exact = network.norm(24)
        assert exact <= bound
        assert sample_norm(recursion(DISC, depth), network.predict(DISC)) <= exact * (1 + 1e-9)


def test_a_sample_shows_the_norm_of_a_smooth_function():
    network = random_l1_network(2, 1, width=4, c=0.25, rng=3)
    assert sample_norm(recursion(DISC, 1), network.predict(DISC)) == pytest.approx(network.norm(), rel=1e-4)


def test_deep_and_shallow_formulas_agree():
    """A second layer that does nothing but scale by a small factor is linear: norms follow from c_1."""
    w = np.array([[0.6, -0.3, 0.2]])
    shallow = network_norm([w, [[1.0]]], c=0.5)
    turned = network_norm([w @ np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0], [[1.0]]], c=0.5)
    assert turned == pytest.approx(shallow, rel=1e-14)
    b, lam2 = taylor("erf", 0.5, 80), float((w**2).sum())
    series = b**2 * lam2 ** np.arange(81) / kernel_taylor(2, 80)
    tiny = network_norm([w, [[1e-6]], [[1e6 * math.sqrt(math.pi) / (2 * math.sqrt(0.5))]]], c=0.5)
    assert tiny == pytest.approx(math.sqrt(series.sum()), rel=1e-9)


def test_the_linear_class_has_the_l2_norm():
    assert network_norm([[[3.0, 4.0]]]) == pytest.approx(5)


def test_a_norm_beyond_floats_is_infinite():
    assert network_norm([[[100.0]], [[1.0]]]) == math.inf


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([], "at least one matrix"),
        ([np.ones((2, 3)), np.ones((1, 3))], r"weights\[1\]: has 3 columns"),
        ([np.ones((2, 3)), np.ones((2, 2))], "one output at a time"),
        ([np.eye(9), np.ones((9, 9)), np.ones((1, 9))], "sample_norm"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        network_norm(weights)
