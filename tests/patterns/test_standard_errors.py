"""Standard errors are the Cramer-Rao bound, infinite where the rows say nothing, and hold what they promise."""

import numpy as np
import pytest
import scipy.linalg

import fastmom as fm
from fastmom.activations import resolve
from fastmom.patterns import noisy, standard_errors
from fastmom.patterns.gauss_newton import descend, evaluate
from fastmom.patterns.model import Model, ModelClass
from fastmom.runtime.passes import Rows


def errors_of(*arguments, **options):
    return standard_errors.standard_errors(*arguments, **options)


def network(n=400, d=5, k=4, m=3, slope=0.0, hidden_bias=False, output_bias=False, seed=0):
    """Rows and some network on them, its weights not of unit norm."""
    rng = np.random.default_rng(seed)
    rows = Rows(rng.standard_normal((n, d)), rng.standard_normal((n, m)), ones=hidden_bias)
    kind = ModelClass(resolve(f"leaky_relu({slope})" if slope else "relu"), hidden_bias, output_bias, None)
    W = rng.standard_normal((k, rows.n_inputs)) * np.where(np.arange(rows.n_inputs) < d, 1.0, 0.3)
    return rows, evaluate(rows, kind, W).model


def dense_errors(rows, model, noise_std):
    """Standard errors of hidden and of output weights from the whole Jacobian, gauge by an explicit null space."""
    X, _ = rows.take(np.arange(rows.n_rows))
    net = model.network()
    V = net.W if net.hidden_bias is None else np.column_stack([net.W, net.hidden_bias])
    (k, d), (n, m) = V.shape, (len(X), net.n_outputs)
    gates = np.where(X @ V.T > 0, 1.0, model.kind.slope)
    F = gates * (X @ V.T)
    if net.output_bias is not None:
        F = np.column_stack([F, np.ones(n)])
    hidden = np.einsum("oi,ni,na->noia", net.A, gates, X).reshape(n * m, -1)
    J = np.hstack([hidden, np.kron(F, np.eye(m))]) / np.tile(np.broadcast_to(noise_std, m), n)[:, np.newaxis]
    gauge = np.zeros((k, J.shape[1]))
    for i in range(k):
        gauge[i, i * d : i * d + net.n_inputs] = net.W[i]
    free = scipy.linalg.null_space(gauge)
    errors = np.sqrt(np.diag(free @ np.linalg.inv(free.T @ J.T @ J @ free) @ free.T))
    return errors[: k * d].reshape(k, d), errors[k * d :].reshape(-1, m)


def stacked(errors):
    """Hidden weights with biases (k, d), output weights with biases (q, m)."""
    hidden = errors.W if errors.hidden_bias is None else np.column_stack([errors.W, errors.hidden_bias])
    outer = errors.A.T if errors.output_bias is None else np.vstack([errors.A.T, errors.output_bias])
    return hidden, outer


@pytest.mark.parametrize("biases", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(5, 4, 3), (3, 2, 1), (4, 5, 2), (1, 1, 2)])
@pytest.mark.parametrize("equal", [True, False])
def test_they_are_the_inverse_information_on_the_tangent_space_of_the_gauge(biases, slope, shape, equal):
    d, k, m = shape
    rows, model = network(400, d, k, m, slope, *biases)
    noise_std = 0.7 if equal else np.random.default_rng(1).uniform(0.3, 3.0, m)
    errors = errors_of(rows, model, noise_std)
    for found, expected in zip(stacked(errors), dense_errors(rows, model, noise_std), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    net = model.network()
    assert errors.W.shape == net.W.shape and errors.A.shape == net.A.shape and errors.linear is None
    assert (errors.hidden_bias is None) == (net.hidden_bias is None)
    assert (errors.output_bias is None) == (net.output_bias is None)


@pytest.mark.parametrize("unit", [1e-4, 3.0, 1e4])
def test_the_unit_of_an_input_changes_angles_as_it_must(unit):
    rows, model = network(d=2, k=3, output_bias=True)
    X, Y = rows.take(np.arange(rows.n_rows))
    scaled = Model(model.hidden / [1.0, unit], model.outer, model.n_neurons, model.kind)
    before, after = errors_of(rows, model, 0.1), errors_of(Rows(X * [1.0, unit], Y), scaled, 0.1)
    (c0, s0), (c1, s1) = model.network().W.T, scaled.network().W.T
    angle = before.W[:, 0] / np.abs(s0)
    np.testing.assert_allclose(before.W[:, 1], np.abs(c0) * angle, rtol=1e-9)
    angle *= c1**2 / c0**2 / unit  # tan(new) = tan(old) / unit
    np.testing.assert_allclose(after.W[:, 0], np.abs(s1) * angle, rtol=1e-6)
    np.testing.assert_allclose(after.W[:, 1], np.abs(c1) * angle, rtol=1e-6)
    np.testing.assert_allclose(after.output_bias, before.output_bias, rtol=1e-6)


def test_a_sample_of_the_rows_stands_for_all():
    rows, model = network(20_000)
    X, Y = rows.take(np.arange(4000))
    whole, sampled = (errors_of(rows, model, 0.5, metric) for metric in (None, Rows(X, Y)))
    np.testing.assert_allclose(sampled.W, whole.W, rtol=0.1)
    np.testing.assert_allclose(sampled.A, whole.A, rtol=0.1)


def test_without_noise_they_are_zero():
    rows, model = network()
    errors = errors_of(rows, model, 0.0)
    assert not errors.W.any() and not errors.A.any()


def test_a_network_too_large_for_a_covariance_has_none(monkeypatch):
    rows, model = network()
    monkeypatch.setattr(standard_errors, "MAX_UNKNOWNS", model.W.size - 1)
    assert errors_of(rows, model, 0.1) is None


class TestWhatTheRowsDoNotDetermine:
    """Errors are infinite there, and only there; the rest is what a fit without those parameters has."""

    def changed(self, rows, model, hidden=None, outer=None, X=None):
        _, Y = rows.take(np.arange(rows.n_rows))
        changed = Model(
            model.hidden if hidden is None else hidden,
            model.outer if outer is None else outer,
            model.n_neurons,
            model.kind,
        )
        rows = rows if X is None else Rows(X, Y)
        return rows, changed, errors_of(rows, changed, 0.3)

    def test_an_input_that_is_always_zero_and_has_no_weight(self):
        rows, model = network()
        X, _ = rows.take(np.arange(rows.n_rows))
        X[:, 2], hidden = 0.0, model.hidden.copy()
        hidden[:, 2] = 0.0
        _, _, errors = self.changed(rows, model, hidden, X=X)
        assert np.isinf(errors.W[:, 2]).all()
        kept = np.array([0, 1, 3, 4])
        _, _, without = self.changed(rows, model, hidden[:, kept], X=X[:, kept])
        np.testing.assert_allclose(errors.W[:, kept], without.W, rtol=1e-9)
        np.testing.assert_allclose(errors.A, without.A, rtol=1e-9)

    def test_two_inputs_that_are_the_same_on_all_rows(self):
        rows, model = network()
        X, _ = rows.take(np.arange(rows.n_rows))
        X[:, 4] = X[:, 3]
        _, _, errors = self.changed(rows, model, X=X)
        assert np.isinf(errors.W[:, 3:]).all()

    def test_a_neuron_without_output_weight(self):
        rows, model = network()
        outer = model.outer.copy()
        outer[1] = 0.0
        _, _, errors = self.changed(rows, model, outer=outer)
        others = np.array([0, 2, 3])
        assert np.isinf(errors.W[1]).all() and np.isfinite(errors.W[others]).all()
        assert np.isfinite(errors.A).all()  # a small output weight would be seen, whatever the direction

    def test_a_neuron_that_is_never_active(self):
        rows, model = network()
        X, _ = rows.take(np.arange(rows.n_rows))
        X[:, 0] = np.abs(X[:, 0])
        hidden = model.hidden.copy()
        hidden[1] = [-1.0, 0.0, 0.0, 0.0, 0.0]
        _, _, errors = self.changed(rows, model, hidden, X=X)
        others = np.array([0, 2, 3])
        assert np.isinf(errors.W[1, 1:]).all() and np.isinf(errors.A[:, 1]).all()
        _, _, without = self.without_neuron(rows, model, hidden, X, others)
        np.testing.assert_allclose(errors.W[others], without.W, rtol=1e-9)
        np.testing.assert_allclose(errors.A[:, others], without.A, rtol=1e-9)

    def without_neuron(self, rows, model, hidden, X, others):
        fewer = Model(hidden[others], model.outer[np.append(others, -1)], len(others), model.kind)
        _, Y = rows.take(np.arange(rows.n_rows))
        return rows, fewer, errors_of(Rows(X, Y), fewer, 0.3)

    def test_neurons_of_the_same_direction_share_their_output_weights(self):
        rows, model = network()
        hidden = model.hidden.copy()
        hidden[3] = 2.0 * hidden[0]
        _, _, errors = self.changed(rows, model, hidden)
        assert np.isinf(errors.A[:, [0, 3]]).all()
        assert np.isfinite(errors.A[:, [1, 2]]).all() and np.isfinite(errors.W).all()

    def test_a_neuron_active_on_fewer_rows_than_inputs(self):
        rows, model = network(hidden_bias=True)
        X, _ = rows.take(np.arange(rows.n_rows))
        hidden = model.hidden.copy()
        hidden[2, -1] -= np.sort(X @ hidden[2])[-4] + 1e-9  # three rows remain
        _, _, errors = self.changed(rows, model, hidden, X=X)
        others = np.array([0, 1, 3])
        assert np.isinf(errors.W[2]).all()
        assert np.isfinite(errors.W[others]).all() and np.isfinite(errors.A[:, others]).all()


def scores(seed, noise):
    """Deviations of a least-squares network from its teacher in units of its standard errors, by kind of weight."""
    d, k, m, bias = [(20, 8, 10, False), (10, 4, 5, True), (6, 5, 6, True)][seed % 3]
    teacher = fm.random_teacher(d, k, m, bias=bias, rng=seed)
    X, Y = fm.make_samples(teacher, 2000, noise=noise, rng=seed + 1000)
    rows, kind = Rows(X, Y, ones=bias), ModelClass(resolve("relu"), bias, bias, k)
    start = np.column_stack([teacher.W, teacher.hidden_bias]) if bias else teacher.W
    point = descend(rows, kind, start).point
    variance = point.loss / (Y.size - noisy.n_parameters(rows, kind, k))
    errors, student = errors_of(rows, point.model, np.sqrt(variance)), point.model.network()
    names = ("W", "A", "hidden_bias", "output_bias") if bias else ("W", "A")
    return {name: (getattr(student, name) - getattr(teacher, name)) / getattr(errors, name) for name in names}


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_intervals_hold_in_95_percent_of_the_weights(noise):
    drawn = [scores(seed, noise) for seed in range(30)]
    names = ("W", "A", "hidden_bias", "output_bias")
    held = {name: np.concatenate([np.abs(s[name]).ravel() < 1.96 for s in drawn if name in s]) for name in names}
    assert sum(map(len, held.values())) > 3000
    assert 0.93 < np.mean(np.concatenate(list(held.values()))) < 0.97
    assert all(0.9 < np.mean(part) < 0.99 for part in held.values())
