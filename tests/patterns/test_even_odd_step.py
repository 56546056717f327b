"""Steps of the even/odd descent by conjugate gradients are those of the factored normal matrix, at less cost."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.patterns import even_odd_step
from fastmom.patterns.even_odd_descent import ZERO, descend
from fastmom.patterns.even_odd_exchange import without_spare
from fastmom.patterns.even_odd_products import NormalProducts
from fastmom.patterns.even_odd_step import Steps
from fastmom.patterns.even_odd_system import System, read_sample

FORMS = [
    {"linear": True, "constant": False, "slope": 0.0},
    {"linear": True, "constant": True, "slope": 0.3},
    {"linear": False, "constant": True, "slope": 0.3},
    {"linear": False, "constant": False, "slope": 0.0},
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_products_are_those_of_the_normal_matrix(form, dtype, tolerance):
    rng = np.random.default_rng(0)
    system = System(read_sample(rng.standard_normal((300, 4)), rng.standard_normal((300, 2))), **form)
    state = system.evaluate(rng.standard_normal((3, 4)))
    N, scale = system.scaled_normal_matrix(state, np.float64)
    N = np.tril(N) + np.tril(N, -1).T
    products, P = NormalProducts(system, state, dtype), rng.standard_normal((3, 4))
    moved = products(P * scale) * scale
    radial = np.sum(products(P * scale) * state.V, axis=1)  # the matrix holds the scale of every neuron beyond that
    np.testing.assert_allclose(radial, 0.0, atol=tolerance * np.abs(products(P * scale)).max())
    own = (N.reshape(3, 4, 3, 4) / scale[:, :, None, None] / scale).diagonal(axis1=0, axis2=2)
    size = np.sqrt(np.einsum("ia,abi,ib->i", state.V, own, state.V))
    held = size[:, None] * state.V
    moved += held * np.sum(held * P * scale, axis=1, keepdims=True) * scale
    truth = (N @ P.ravel()).reshape(3, 4)
    np.testing.assert_allclose(moved, truth, atol=tolerance * np.abs(truth).max())


@pytest.fixture(scope="module")
def wide():
    """A system of 20 neurons of 10 inputs."""
    teacher = fm.random_teacher(10, 20, 1, rng=0)
    sample = read_sample(*fm.make_samples(teacher, 2400, rng=9))
    return System(sample, linear=True, constant=False, slope=0.0), np.random.default_rng(1).standard_normal((22, 10))


def test_the_factor_of_another_damping_leads_to_the_step_of_this_one(wide, monkeypatch):
    system, V = wide
    state = system.evaluate(V)
    steps = Steps(system)
    steps.take(state, 1.0)
    monkeypatch.setattr(even_odd_step, "_ROUGH", 1e-5)
    monkeypatch.setattr(steps, "_factored", None)  # only products from here on
    iterated, next_damping = steps.take(state, 0.02)
    factored, same_damping = Steps(system).take(state, 0.02)
    assert next_damping == same_damping
    np.testing.assert_allclose(iterated.V, factored.V, atol=1e-4)
    assert iterated.loss == pytest.approx(factored.loss, rel=1e-4)


def test_a_useless_factor_is_replaced(wide, monkeypatch):
    system, V = wide
    steps = Steps(system)
    state, damping = steps.take(system.evaluate(V), 0.1)
    monkeypatch.setattr(even_odd_step, "MAX_PRODUCTS", 1)
    found, _ = steps.take(state, damping)
    factored, _ = Steps(system).take(state, damping)
    np.testing.assert_array_equal(found.V, factored.V)


def test_descents_form_few_normal_matrices(wide, monkeypatch):
    system, _ = wide
    formed = []
    form = System.scaled_normal_matrix
    monkeypatch.setattr(System, "scaled_normal_matrix", lambda *a: formed.append(1) or form(*a))
    steps = [descend(system, V)[1] for V in np.random.default_rng(2).standard_normal((5, 20, 10))]
    assert sum(steps) > 80 and len(formed) < sum(steps) / 4


def test_spare_neurons_are_dropped_when_they_have_done_their_work(wide):
    system, V = wide
    state, _ = descend(system, V, until=1e-4)
    assert ZERO < state.loss <= 1e-4
    found = without_spare(system, state, 2)
    assert found.loss <= ZERO and len(found.V) == 20


def test_neurons_that_are_needed_are_kept(wide):
    system, V = wide
    state, _ = descend(system, V, until=1e-4)
    found = without_spare(system, state, 3)
    assert found.loss <= ZERO and len(found.V) == 22
