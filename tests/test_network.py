"""A network is the function it says, its standard form the same function, its file the same bits."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmom.activations import leaky_relu
from fastmom.network import TwoLayerNetwork, load
from fastmom.runtime.files import write_npz
from fastmom.teachers import random_teacher

LINEAR = np.random.default_rng(5).standard_normal((3, 6))


def drawn(seed, hidden=True, output=True, linear=True, k=4, activation="relu"):
    """A network of 6 inputs and 3 outputs."""
    rng = np.random.default_rng(seed)
    return TwoLayerNetwork(
        3 * rng.standard_normal((k, 6)),
        rng.standard_normal((3, k)),
        rng.standard_normal(k) if hidden else None,
        rng.standard_normal(3) if output else None,
        LINEAR if linear else None,
        activation,
    )


def rows(n=50, d=6, seed=1):
    return np.random.default_rng(seed).standard_normal((n, d))


def formula(net, X):
    outputs = net.activation(X @ net.W.T + (0 if net.hidden_bias is None else net.hidden_bias)) @ net.A.T
    return (
        outputs
        + (net.output_bias if net.output_bias is not None else 0)
        + (X @ net.linear.T if net.linear is not None else 0)
    )


parts = st.tuples(st.integers(0, 10**6), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 6))


@given(parts, st.sampled_from(["relu", "leaky_relu(0.2)"]))
def test_predictions_are_the_formula(drawing, activation):
    net = drawn(*drawing, activation=activation)
    np.testing.assert_allclose(net.predict(rows()), formula(net, rows()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ">f8", np.int8, bool])
def test_inputs_of_any_real_dtype_give_the_float64_answer(dtype):
    X = (4 * rows()).astype(dtype)
    np.testing.assert_allclose(drawn(0).predict(X), formula(drawn(0), X.astype(np.float64)), rtol=1e-12)
    np.testing.assert_array_equal(drawn(0).predict(np.asfortranarray(X)), drawn(0).predict(X))


def test_blocks_cover_every_row_once():
    net = drawn(2)
    X = rows(130_000)
    np.testing.assert_allclose(net.predict(X), formula(net, X), rtol=1e-10, atol=1e-12)


def test_memory_beyond_the_outputs_stays_small():
    net = drawn(3, k=200)
    X = rows(100_000).astype(np.float32)
    tracemalloc.start()
    out = net.predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - out.nbytes < 20e6 < 200 * X.shape[0] * 8


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.zeros(6), "reshape(1, -1)"),
        (np.zeros((2, 5)), "expected 6 columns"),
        (np.full((1, 6), np.nan), "X[0, 0] is nan"),
        (np.zeros((0, 6)), "no rows"),
    ],
)
def test_bad_inputs_are_refused(X, words):
    with pytest.raises(ValueError) as caught:
        drawn(0).predict(X)
    assert words in str(caught.value)


def test_a_bad_row_in_a_later_block_is_named_by_its_own_number():
    X = rows(100_001)
    X[100_000, 2] = np.inf
    with pytest.raises(ValueError, match=r"X\[100000, 2\] is inf"):
        drawn(0, k=50).predict(X)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros(3), [1.0]), "W: expected shape (any, any)"),
        ((np.eye(3), np.zeros((2, 4))), "A: expected shape (any, 3), got (2, 4)"),
        ((np.eye(3), np.zeros(4)), "A: expected shape (any, 3)"),
        ((np.eye(3), np.zeros((0, 3))), "A: expected inputs and outputs"),
        ((np.zeros((3, 0)), np.zeros(3)), "W: expected inputs and outputs"),
        ((np.eye(3), np.ones(3), np.zeros(2)), "hidden_bias: expected shape (3)"),
        ((np.eye(3), np.ones(3), None, np.zeros(3)), "output_bias: expected shape (1)"),
        ((np.eye(3), np.ones(3), None, None, np.zeros(3)), "linear: expected shape (1, 3)"),
        ((np.full((1, 2), np.nan), [1.0]), "W: has entries that are NaN"),
        ((np.eye(3), [1.0, np.inf, 0.0]), "A: has entries that are NaN or infinite"),
        ((np.eye(3), np.ones(3), None, None, None, "rleu"), "activation: "),
    ],
)
def test_what_is_no_network_is_refused_by_name(arguments, words):
    with pytest.raises(ValueError) as caught:
        TwoLayerNetwork(*arguments)
    assert words in str(caught.value)


def test_complex_weights_are_refused():
    with pytest.raises(TypeError, match=r"^W: is complex"):
        TwoLayerNetwork([[1j]], [1.0])


def test_weights_are_copies_and_read_only():
    W = np.asfortranarray(np.eye(3, dtype=np.float32))
    net = TwoLayerNetwork(W, [1, 2, 3])
    W[:] = 7
    assert net.W.tolist() == np.eye(3).tolist() and net.W.dtype == np.float64 and net.W.flags.c_contiguous
    for array in (net.W, net.A):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_absent_parts_stay_absent():
    net = TwoLayerNetwork(np.eye(3), np.ones(3))
    assert net.hidden_bias is None and net.output_bias is None and net.linear is None
    assert (net.n_inputs, net.n_hidden, net.n_outputs) == (3, 3, 1)


def test_no_neurons_leave_the_linear_part():
    net = TwoLayerNetwork(np.zeros((0, 6)), np.zeros((3, 0)), linear=LINEAR)
    np.testing.assert_allclose(net.predict(rows()), rows() @ LINEAR.T, rtol=1e-12)
    assert net.canonical() == net


def test_repr_says_the_class_of_the_model():
    W, A = np.zeros((8, 53)), np.zeros((10, 8))
    shape = "53 -> 8 -> 10"
    assert repr(TwoLayerNetwork(W, A)) == f"TwoLayerNetwork({shape}, relu)"
    full = TwoLayerNetwork(W, A, np.zeros(8), np.zeros(10))
    assert repr(full) == f"TwoLayerNetwork({shape}, relu, hidden and output bias)"
    bent = TwoLayerNetwork(W, A, None, np.zeros(10), np.zeros((10, 53)), leaky_relu(0.1))
    assert repr(bent) == f"TwoLayerNetwork({shape}, leaky_relu(0.1), output bias, linear part)"


def messy(net, rng):
    """The same function with neurons scaled, split, exchanged, and dead and cancelling ones added."""
    k = net.n_hidden
    scale = np.exp(rng.uniform(-8, 8, k))
    W, A, b = net.W * scale[:, None], net.A / scale, net.hidden_bias * scale
    pair = rng.standard_normal((1, net.n_inputs))
    column = rng.standard_normal((net.n_outputs, 1))
    W = np.vstack([W, 3 * W[:1], rng.standard_normal((1, net.n_inputs)), 0 * pair, pair, 2 * pair])
    A = np.hstack([A, A[:, :1] / 6, np.zeros((net.n_outputs, 1)), column, column, -column / 2])
    A[:, 0] /= 2
    b = np.concatenate([b, 3 * b[:1], [0.5], [-1.0], [0.25], [0.5]])
    order = rng.permutation(len(b))
    return TwoLayerNetwork(W[order], A[:, order], b[order], net.output_bias, net.linear, net.activation)


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from(["relu", "leaky_relu(0.2)"]))
def test_the_standard_form_is_the_same_function_and_the_same_for_all_forms_of_it(seed, activation):
    rng = np.random.default_rng(seed)
    net = drawn(seed, activation=activation)
    other = messy(net, rng)
    standard, other_standard = net.canonical(), other.canonical()
    np.testing.assert_allclose(other.canonical().predict(rows()), other.predict(rows()), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(standard.W, axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(standard.W, other_standard.W, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(standard.A, other_standard.A, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(standard.hidden_bias, other_standard.hidden_bias, rtol=1e-10, atol=1e-12)
    again = other_standard.canonical()
    np.testing.assert_allclose(again.W, other_standard.W, rtol=1e-14, atol=1e-15)


def test_the_standard_form_is_ordered_by_output_weights_then_weights():
    net = TwoLayerNetwork([[0, 1.0], [1, 0], [1, 1], [0, -1]], [1.0, -1, 3, 1]).canonical()
    np.testing.assert_allclose(net.W, [[0.5**0.5, 0.5**0.5], [0, -1], [0, 1], [1, 0]], rtol=1e-15)


def test_constant_neurons_join_the_output_bias():
    net = TwoLayerNetwork([[0.0, 0], [0, 0], [1, 0]], [[2.0, 1, 1]], [3.0, -1, 0]).canonical()
    assert net.n_hidden == 1 and net.output_bias.tolist() == [6.0]
    bent = TwoLayerNetwork([[0.0, 0]], [2.0], [-3.0], activation="leaky_relu(0.5)").canonical()
    assert bent.n_hidden == 0 and bent.output_bias.tolist() == [-3.0]
    silent = TwoLayerNetwork([[0.0, 0], [1, 0]], [2.0, 1]).canonical()
    assert silent.n_hidden == 1 and silent.output_bias is None and silent.hidden_bias is None


def test_opposite_neurons_and_other_biases_are_not_merged():
    net = TwoLayerNetwork([[1.0, 0], [-1, 0], [1, 0]], [1.0, 1, 1], [0.0, 0, 1e-9]).canonical()
    assert net.n_hidden == 3


def test_tiny_weights_are_still_a_neuron():
    net = TwoLayerNetwork([[1e-200, 0.0]], [1e200])
    np.testing.assert_allclose(net.canonical().A, [[1.0]], rtol=1e-12)
    faint = TwoLayerNetwork([[1.0, 0.0]], [1e-200]).canonical()
    assert faint.A.tolist() == [[1e-200]]


def test_many_neurons_merge_quickly_whatever_their_weights():
    W = np.vstack([np.eye(300), np.eye(300)])
    net = TwoLayerNetwork(W, np.ones(600)).canonical()
    assert net.n_hidden == 300 and (net.A == 2).all()


@given(parts)
@settings(max_examples=25)
def test_a_file_holds_the_same_bits(tmp_path_factory, drawing):
    path = tmp_path_factory.mktemp("nets") / "net"
    net = drawn(*drawing, activation=leaky_relu(0.1))
    net.save(path)
    assert load(path) == net and load(str(path)).activation == net.activation


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.npz"
    random_teacher(5, 3, 2, bias=True, rng=0).save(path)
    return path


def test_every_truncated_model_file_is_refused(saved):
    whole = saved.read_bytes()
    for length in range(0, len(whole), 7):
        saved.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"net\.npz: "):
            load(saved)


def test_every_flipped_model_file_is_refused_or_the_same(saved):
    whole, net = saved.read_bytes(), load(saved)
    for position in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        saved.write_bytes(damaged)
        try:
            found = load(saved)
        except ValueError as error:
            assert "net.npz: " in str(error)
        else:
            assert found == net


@pytest.mark.parametrize(
    ("arrays", "header"),
    [
        ({"W": np.eye(2)}, {"activation": "relu"}),
        ({"W": np.eye(2), "A": np.ones((1, 3))}, {"activation": "relu"}),
        ({"W": np.eye(2), "A": np.ones((1, 2))}, {"activation": "softmax"}),
        ({"W": np.eye(2), "A": np.ones((1, 2))}, {}),
        ({"W": np.eye(2), "A": np.ones((1, 2)), "extra": np.ones(2)}, {"activation": "relu"}),
        ({"W": np.full((2, 2), np.nan), "A": np.ones((1, 2))}, {"activation": "relu"}),
    ],
)
def test_files_that_hold_no_network_are_refused(saved, arrays, header):
    write_npz(saved, arrays, {"kind": "network", "version": 1, **header})
    with pytest.raises(ValueError, match=r"net\.npz: holds no valid network"):
        load(saved)


def test_equality_is_bit_for_bit():
    net = drawn(0)
    same = TwoLayerNetwork(net.W, net.A, net.hidden_bias, net.output_bias, net.linear)
    assert net == same and hash(net) == hash(same)
    assert net != drawn(0, linear=False) and net != drawn(0, activation="leaky_relu") and net != "net"
    zeros = TwoLayerNetwork([[0.0]], [1.0])
    assert zeros != TwoLayerNetwork([[-0.0]], [1.0])


def test_copies_are_equal_and_read_only():
    net = drawn(0)
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), copy.copy(net)):
        assert twin == net and not twin.W.flags.writeable
