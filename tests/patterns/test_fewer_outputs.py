"""What a certificate of few outputs lists: every way in which another network fits the same rows."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import relu
from fastmom.patterns import fewer_outputs, redundancy
from fastmom.patterns.fewer_outputs import certify_few_outputs
from fastmom.patterns.model import Model, ModelClass, label_scale, verify
from fastmom.runtime.passes import Rows


def certificate(X, W, a, bias=False):
    """Of the true network, from its own labels."""
    kind = ModelClass(relu(), bias, bias, None)
    rows = Rows(X, (np.maximum((np.column_stack([X, np.ones(len(X))]) if bias else X) @ W.T, 0) @ a)[:, None], bias)
    model = Model(W, np.append(a, 0.0)[:, None], len(W), kind)
    return certify_few_outputs(rows, model, verify(rows, model, label_scale(rows)), np.random.default_rng(0))


def reasons(found, neuron):
    return " ".join(record.reason for record in found.unidentified if record.neuron == neuron)


def inputs(n=400, d=4):
    return np.random.default_rng(0).standard_normal((n, d))


def test_a_generic_network_leaves_nothing_open():
    W = np.random.default_rng(1).standard_normal((3, 4))
    found = certificate(inputs(), W, np.array([1.0, -2.0, 0.5]))
    assert found.certified and found.unidentified == ()


def test_an_idle_neuron_is_named():
    W = np.random.default_rng(1).standard_normal((3, 4))
    found = certificate(inputs(), W, np.array([1.0, -2.0, 1e-14]))
    assert "no effect" in reasons(found, 2)


def test_two_neurons_that_share_all_rows_are_any_linear_function_and_all_may_turn():
    W = np.random.default_rng(1).standard_normal((3, 4))
    W[1] = -W[0] + 0.05 * W[1]
    X = inputs()
    X = X[(X @ W[0] > 0) != (X @ W[1] > 0)]
    found = certificate(X, W, np.array([1.0, -2.0, 0.5]))
    assert all("other way" in reasons(found, i) for i in range(3))


def test_a_neuron_whose_boundary_touches_one_row_is_active_on_all():
    W = np.random.default_rng(1).standard_normal((3, 5))
    W[0, 4] = 0.0
    X = inputs()
    W[0, 4] = -(X @ W[0, :4]).min()  # zero on one row
    assert "active on every row" in reasons(certificate(X, W, np.array([1.0, -2.0, 0.5]), bias=True), 0)


def test_what_is_not_looked_for_in_wide_networks_is_said(monkeypatch):
    W = np.random.default_rng(1).standard_normal((3, 4))
    for module in (fewer_outputs, redundancy):
        monkeypatch.setattr(module, "MAX_UNKNOWNS", 11)
    found = certificate(inputs(), W, np.array([1.0, -2.0, 0.5]))
    assert "not looked for, beyond 11 weights" in reasons(found, None)


def test_a_pair_that_few_rows_tell_apart_is_named():
    W = np.random.default_rng(1).standard_normal((3, 4))
    W[1] = W[0] + 0.1 * W[1]
    X = inputs(4000)
    between = (X @ W[0] > 0) != (X @ W[1] > 0)
    for count, listed in ((4, True), (30, False)):
        found = certificate(np.vstack([X[~between], X[between][:count]]), W, np.array([1.0, -2.0, 0.5]))
        assert [bool(reasons(found, i)) for i in range(3)] == [listed, listed, False]


@pytest.mark.parametrize("bias", [False, True])
def test_rows_of_more_neurons_are_not_simply_called_corrupt(bias):
    """Their number unknown: two nearly equal neurons, or one more that few rows see, explain what one does not."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        W = rng.standard_normal((3, 5))
        W[1] = W[0] + 0.1 * rng.standard_normal(5)
        b = np.array([0.3, -0.2, -3.0]) if bias else None
        X, y = fm.make_samples(fm.TwoLayerNetwork(W, rng.standard_normal((1, 3)), hidden_bias=b), 120, rng=seed)
        result = fm.learn(X, y, bias=bias, rng=seed)
        certified = result.success and result.certificate.certified and not result.certificate.unidentified
        assert not (certified and result.certificate.n_corrupt), result.message
