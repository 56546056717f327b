"""Activations are what their Hermite coefficients say, and their names read back exactly."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss, hermeval

from fastmom.activations import Activation, leaky_relu, relu, resolve

ALL = [relu(), leaky_relu(0.01), leaky_relu(0.3), leaky_relu(0.9)]
SLOPES = st.floats(min_value=0.0, max_value=1.0, exclude_min=True, exclude_max=True)


def hermite_mean(f, order):
    """E[f(z) He_order(z)] by Gauss quadrature, exact for the odd part a t and the even part b |t| of f."""
    nodes, weights = hermegauss(40)
    basis = [0.0] * order + [1.0]
    linear = np.sum(weights * nodes * hermeval(nodes, basis))
    half_squares, half_weights = np.polynomial.laguerre.laggauss(40)
    t = np.sqrt(2 * half_squares)
    absolute = np.sum(half_weights * (hermeval(t, basis) + hermeval(-t, basis)))
    return ((f(1.0) - f(-1.0)) * linear + (f(1.0) + f(-1.0)) * absolute) / (2 * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("f", ALL, ids=str)
@pytest.mark.parametrize("order", range(11))
def test_coefficients_are_the_hermite_means_of_the_activation(f, order):
    assert f.coefficient(order) == pytest.approx(hermite_mean(f, order), rel=1e-10, abs=1e-10)


def test_relu_coefficients_are_the_closed_form():
    root = math.sqrt(2 * math.pi)
    found = [relu().coefficient(order) * root for order in range(9)]
    assert found == pytest.approx([1, root / 2, 1, 0, -1, 0, 3, 0, -15], abs=1e-14)


@pytest.mark.parametrize("f", ALL, ids=str)
def test_moments_exist_where_the_coefficient_is_not_zero(f):
    assert f.moment_orders == (1, 2, 4, 6, 8, 10)


@given(SLOPES, st.floats(-1e6, 1e6))
def test_leaky_relu_is_a_line_on_each_side(slope, t):
    assert leaky_relu(slope)(t) == (t if t > 0 else slope * t)


@pytest.mark.parametrize("f", ALL, ids=str)
def test_derivative_is_one_above_zero_and_the_slope_elsewhere(f):
    assert f.derivative([-2.0, -0.0, 0.0, 1e-300, 5.0]).tolist() == [f.slope, f.slope, f.slope, 1.0, 1.0]


@pytest.mark.parametrize("f", ALL, ids=str)
def test_odd_part_is_linear_and_scale_passes_through(f):
    t = np.linspace(-3, 3, 13)
    assert f(t) - f(-t) == pytest.approx(2 * f.coefficient(1) * t, abs=1e-15)
    assert f.odd_linear and f.homogeneous
    assert f(4 * t) == pytest.approx(4 * f(t), abs=0)


@pytest.mark.parametrize("f", ALL, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_dtype_is_kept(f, dtype):
    t = np.array([-1.0, 2.0], dtype=dtype)
    assert f(t).dtype == f.derivative(t).dtype == dtype
    assert f(np.array([-1, 2])).dtype == np.float64


def test_relu_of_infinities_and_nan():
    assert relu()([-np.inf, np.inf]).tolist() == [0.0, np.inf]
    assert np.isnan(relu()(np.nan)) and np.isnan(leaky_relu(0.5)(np.nan))


@given(SLOPES)
def test_text_form_reads_back_exactly(slope):
    f = leaky_relu(slope)
    assert resolve(str(f)) == f
    assert resolve(str(leaky_relu(np.float64(slope)))) == f


def test_names():
    assert str(relu()) == "relu" and str(leaky_relu(0.1)) == "leaky_relu(0.1)"
    assert resolve("relu") == relu() and resolve("leaky_relu") == leaky_relu(0.01)
    assert resolve(leaky_relu(0.2)) == leaky_relu(0.2)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("rleu", "did you mean 'relu'"),
        ("leakyrelu(0.1)", "did you mean 'leaky_relu'"),
        ("quux", "use one of 'relu', 'leaky_relu'"),
        ("", "use one of"),
        ("relu(0.1)", "has no slope"),
        ("leaky_relu(x)", "0 < slope < 1"),
        ("leaky_relu(1.0)", "0 < slope < 1"),
        ("leaky_relu(0)", "0 < slope < 1"),
        ("leaky_relu(nan)", "0 < slope < 1"),
        ("leaky_relu(-0.1)", "0 < slope < 1"),
        ("leaky_relu(0.1", "unknown activation"),
    ],
)
def test_unknown_activations_are_refused_by_name(spec, words):
    with pytest.raises(ValueError, match=r"^activation: ") as caught:
        resolve(spec)
    assert words in str(caught.value)


def test_what_is_no_name_is_refused():
    with pytest.raises(TypeError, match="activation"):
        resolve(3)
    with pytest.raises(ValueError, match="order"):
        relu().coefficient(-1)
    with pytest.raises(ValueError, match="activation"):
        Activation("relu", 0.2)


@pytest.mark.parametrize(
    ("spec", "coefficients"),
    [
        ("abs", (0.79788, 0, 0.79788, 0, -0.79788)),
        ("softplus", (0.80606, 0.5, 0.20662, 0, -0.06240)),
        ("gelu", (0.28210, 0.5, 0.42314, 0, -0.35262)),
        ("swish", (0.20662, 0.5, 0.35085, 0, -0.18521)),
        ("tanh", (0, 0.60571, 0, -0.36360, 0)),
        ("sigmoid", (0.5, 0.20662, 0, -0.06240, 0)),
        ("erf", (0, 0.65147, 0, -0.43431, 0)),
    ],
)
def test_smooth_activations_have_known_coefficients_and_slopes(spec, coefficients):
    f = resolve(spec)
    np.testing.assert_allclose([f.coefficient(order) for order in range(5)], coefficients, atol=6e-6)
    t, h = np.array([-40.0, -1.3, -0.2, 0.4, 2.0, 40.0]), 1e-6
    np.testing.assert_allclose(f.derivative(t), (f(t + h) - f(t - h)) / (2 * h), atol=1e-8)
    assert np.isfinite(f([-1e4, 1e4])).all() and resolve(str(f)) == f
