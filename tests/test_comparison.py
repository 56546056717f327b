"""Errors are zero exactly for the same network up to what no data can tell apart."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmom.comparison import compare
from fastmom.network import TwoLayerNetwork
from fastmom.result import FitResult
from fastmom.teachers import random_teacher


def teacher(seed=0, k=4, d=6, m=3, bias=True, activation="relu"):
    return random_teacher(d, k, m, bias=bias, activation=activation, rng=seed)


def changed(net, **fields):
    names = ("W", "A", "hidden_bias", "output_bias", "linear", "activation")
    return TwoLayerNetwork(**{**{name: getattr(net, name) for name in names}, **fields})


def disguised(net, rng):
    """The same function with neurons rescaled and exchanged; the order tells which is which."""
    order = rng.permutation(net.n_hidden)
    scale = np.exp(rng.uniform(-6, 6, net.n_hidden))
    bias = None if net.hidden_bias is None else (net.hidden_bias * scale)[order]
    W, A = (net.W * scale[:, None])[order], (net.A / scale)[:, order]
    return changed(net, W=W, A=A, hidden_bias=bias), order


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 8))
def test_order_and_scale_do_not_matter(seed, bias, k):
    truth = teacher(seed, k, bias=bias)
    student, order = disguised(truth, np.random.default_rng(seed))
    found = compare(student, truth)
    assert found.max_error < 1e-12 and found.function_error < 1e-12
    assert order[found.assignment].tolist() == list(range(k))
    assert found.neuron_errors.max() == found.max_error or found.max_error < 1e-14


def test_hidden_error_is_the_distance_of_the_unit_neurons():
    truth = teacher(bias=False)
    W = truth.W.copy()
    W[2] += 1e-3 * np.linalg.svd(W[2:3])[2][1]
    found = compare(changed(truth, W=W), truth)
    expected = np.linalg.norm(W[2] / np.linalg.norm(W[2]) - truth.W[2])
    assert found.hidden_error == pytest.approx(expected, rel=1e-10)
    assert found.neuron_errors[2] == found.max_error and found.neuron_errors[[0, 1, 3]].max() < 1e-14


def test_hidden_biases_count_relative_to_the_weights():
    truth = teacher()
    bias = truth.hidden_bias + np.array([0, 0.01, 0, 0])
    found = compare(changed(truth, W=truth.W * 2, hidden_bias=bias * 2, A=truth.A / 2), truth)
    assert found.hidden_error == pytest.approx(0.01) and found.output_error < 1e-14


def test_output_error_is_relative_for_each_neuron():
    truth = teacher()
    A = truth.A.copy()
    A[:, 1] *= 1.01
    assert compare(changed(truth, A=A), truth).output_error == pytest.approx(0.01)


def test_output_bias_and_linear_part_count_relative_to_one():
    truth = teacher()
    shifted = compare(changed(truth, output_bias=truth.output_bias + np.array([0.03, 0, 0])), truth)
    assert shifted.output_error == pytest.approx(0.03 / max(1, np.linalg.norm(truth.output_bias)))
    linear = np.zeros((3, 6))
    linear[0, 0] = 0.02
    assert compare(changed(truth, linear=linear), truth).output_error == pytest.approx(0.02)
    absent = changed(truth, output_bias=None)
    assert compare(absent, changed(truth, output_bias=np.zeros(3))).max_error < 1e-14


def test_a_missing_neuron_is_an_infinite_error():
    truth = teacher()
    found = compare(changed(truth, W=truth.W[1:], A=truth.A[:, 1:], hidden_bias=truth.hidden_bias[1:]), truth)
    assert found.hidden_error == found.output_error == found.max_error == math.inf
    assert found.assignment.tolist() == [-1, 0, 1, 2]
    assert found.neuron_errors[0] == math.inf and found.neuron_errors[1:].max() < 1e-14
    assert 0 < found.function_error < math.inf


def test_a_spare_neuron_is_an_infinite_output_error_unless_its_effect_is_negligible():
    truth = teacher()

    def with_spare(size):
        W = np.vstack([np.ones(6), truth.W])
        A = np.hstack([np.full((3, 1), size), truth.A])
        return changed(truth, W=W, A=A, hidden_bias=[0.1, *truth.hidden_bias])

    spare = compare(with_spare(0.1), truth)
    assert spare.output_error == math.inf and spare.hidden_error < 1e-14
    assert spare.assignment.tolist() == [1, 2, 3, 4]
    assert 0 < compare(with_spare(1e-12), truth).output_error < 1e-10
    assert compare(with_spare(0.0), truth).max_error < 1e-14


def test_split_neurons_are_one_and_the_assignment_names_the_networks_as_given():
    truth = teacher()
    W, A = np.vstack([truth.W, 2 * truth.W[:1]]), np.hstack([truth.A, truth.A[:, :1] / 4])
    A[:, 0] /= 2
    split = changed(truth, W=W, A=A, hidden_bias=[*truth.hidden_bias, 2 * truth.hidden_bias[0]])
    assert compare(split, truth).max_error < 1e-14
    backwards = compare(truth, split)
    assert backwards.max_error < 1e-14 and backwards.assignment.tolist() == [0, 1, 2, 3, 0]


def test_neurons_without_effect_need_no_match():
    truth = teacher()
    A = truth.A.copy()
    A[:, 1] = 0
    dead = changed(truth, A=A)
    rest = [0, 2, 3]
    student = changed(truth, W=truth.W[rest], A=A[:, rest], hidden_bias=truth.hidden_bias[rest])
    found = compare(student, dead)
    assert found.max_error < 1e-14 and found.assignment.tolist() == [0, -1, 1, 2]
    assert found.neuron_errors[1] == 0


def test_exact_neurons_are_matched_even_if_others_are_lost():
    truth = TwoLayerNetwork([[1.0, 0.0], [np.cos(0.1), np.sin(0.1)]], [1.0, 1.0])
    student = TwoLayerNetwork([[np.cos(0.1), np.sin(0.1)], [np.cos(0.3), np.sin(0.3)]], [1.0, 1.0])
    found = compare(student, truth)
    assert found.assignment.tolist() == [1, 0] and found.neuron_errors[1] < 1e-14


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from(["relu", "leaky_relu(0.25)"]))
def test_a_linear_part_hides_the_signs(seed, activation):
    truth = teacher(seed, activation=activation)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], 4)
    moved = 2 * truth.activation.coefficient(1) * truth.A[:, signs < 0]
    mirrored = changed(
        truth,
        W=truth.W * signs[:, None],
        hidden_bias=truth.hidden_bias * signs,
        linear=moved @ truth.W[signs < 0],
        output_bias=truth.output_bias + moved @ truth.hidden_bias[signs < 0],
    )
    found = compare(mirrored, truth)
    assert found.function_error < 1e-12 and found.max_error < 1e-12
    assert compare(truth, mirrored).max_error < 1e-12


def test_without_a_linear_part_the_sign_counts():
    truth = teacher(bias=False)
    assert compare(changed(truth, W=-truth.W), truth).hidden_error > 0.1


def test_another_activation_is_never_the_same_network():
    truth = teacher()
    found = compare(changed(truth, activation="leaky_relu(0.1)"), truth)
    assert found.hidden_error < 1e-14 and found.output_error == math.inf and found.function_error > 0.01


def test_function_error_is_relative_to_the_spread_of_the_teacher():
    truth = teacher()
    X = np.random.default_rng(3).standard_normal((500, 6))
    Y = truth.predict(X)
    expected = np.sqrt(0.03**2 / np.mean(np.sum((Y - Y.mean(axis=0)) ** 2, axis=1)))
    shifted = changed(truth, output_bias=truth.output_bias + np.array([0.03, 0, 0]))
    assert compare(shifted, truth, X).function_error == pytest.approx(expected)


def test_a_constant_teacher_has_no_spread():
    truth = TwoLayerNetwork(np.zeros((0, 2)), np.zeros((1, 0)), None, [1.0])
    assert compare(truth, truth).max_error == compare(truth, truth).function_error == 0
    assert compare(changed(truth, output_bias=[2.0]), truth).function_error == math.inf


def test_anything_that_predicts_has_a_function_error():
    class Model:
        def predict(self, X):
            return truth.predict(X)[:, 0]

    truth = teacher(m=1)
    found = compare(Model(), truth)
    assert found.function_error == 0 and math.isnan(found.max_error) and np.isnan(found.neuron_errors).all()
    fitted = compare(FitResult(success=True, status="fitted", model=Model()), truth)
    assert fitted.function_error == 0 and math.isnan(fitted.hidden_error)


def test_fits_are_compared_by_their_network():
    truth = teacher()
    assert compare(FitResult(success=True, status="recovered", network=truth), truth).max_error == 0
    nothing = compare(FitResult(success=False, status="no_neurons_found"), truth)
    assert nothing.max_error == nothing.function_error == math.inf and nothing.assignment.tolist() == [-1] * 4


def test_shapes_that_differ_are_both_named():
    with pytest.raises(ValueError, match="has 5 inputs and 3 outputs, the teacher 6 inputs and 3 outputs"):
        compare(teacher(d=5), teacher())

    class Model:
        def predict(self, X):
            return np.zeros((len(X), 2))

    with pytest.raises(ValueError, match=r"\(10000, 2\), the teacher \(10000, 3\)"):
        compare(Model(), teacher())
    with pytest.raises(ValueError, match="X: expected 6 columns"):
        compare(teacher(), teacher(), np.zeros((3, 5)))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(TypeError, match="teacher"):
        compare(teacher(), "net")
    with pytest.raises(TypeError, match="student"):
        compare("net", teacher())
