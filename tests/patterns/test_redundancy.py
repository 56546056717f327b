"""Systems of as many equations as unknowns are no evidence: a certificate names the neurons that rest on one."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import relu
from fastmom.patterns.model import Model, ModelClass
from fastmom.patterns.redundancy import MAX_UNKNOWNS, notice, unchecked
from fastmom.runtime.passes import Rows

RELU = ModelClass(relu(), False, False, None)
W = np.array([[1.0, 0.0, 0.0, 0.0], [1.0, 0.3, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])


def pair(between, outputs=1, apart=400):
    """Rows, of which `between` see one of the first two neurons active and the other not."""
    X = np.random.default_rng(0).standard_normal((20_000, 4))
    wedge = (X @ W[0] > 0) != (X @ W[1] > 0)
    X = np.vstack([X[wedge][:between], X[~wedge][:apart]])
    A = np.array([[1.0, -1.0, 2.0], [1.0, 1.0, 0.5]])[:outputs]
    rows = Rows(X, np.maximum(X @ W.T, 0) @ A.T)
    return rows, Model(W, np.vstack([A.T, np.zeros(outputs)]), 3, RELU)


@pytest.mark.parametrize("between", [4, 5])
def test_a_pair_that_few_rows_tell_apart_rests_on_them(between):
    found, _ = unchecked(*pair(between), spare=0.3)
    assert set(found) == {0, 1} and 4 <= min(found.values()) <= max(found.values()) <= between


@pytest.mark.parametrize("between", [12, 100])
def test_a_pair_that_many_rows_tell_apart_is_checked(between):
    assert unchecked(*pair(between), spare=0.3)[0] == {}


@pytest.mark.parametrize("between", [0, 4])
def test_rows_that_notice_what_the_others_do_not_are_found(between):
    few, model = pair(between)
    change = unchecked(few, model, spare=0.3)[1]
    rows, _ = pair(50)
    assert set(np.argsort(notice(rows, model, change))[-50:]) == set(range(50))


def test_labels_of_such_rows_are_reproduced_whatever_they_are():
    rows, _ = pair(4)
    X, Y = rows.take(np.arange(rows.n_rows))
    Y[:4] += [[3.0], [-1.0], [0.5], [2.0]]
    gated = ((X @ W.T > 0)[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    moved = np.linalg.lstsq(gated, Y, rcond=None)[0]
    np.testing.assert_allclose(gated @ moved, Y, atol=1e-12)


def test_outputs_that_tell_the_pair_apart_check_it():
    assert unchecked(*pair(4, outputs=2), spare=0.3)[0] == {}


def test_size_of_rows_does_not_matter():
    rows, model = pair(12)
    X, Y = rows.take(np.arange(rows.n_rows))
    scale = np.random.default_rng(1).uniform(0.1, 10, (len(X), 1)) ** 4
    assert unchecked(Rows(scale * X, scale * Y), model, spare=0.3)[0] == {}


def test_wide_networks_are_not_examined():
    k = MAX_UNKNOWNS // 4 + 1
    model = Model(np.ones((k, 4)), np.ones((k + 1, 1)), k, RELU)
    assert unchecked(pair(4)[0], model, spare=0.3)[0] == {}


def test_another_network_that_fits_all_rows_is_not_ruled_out():
    """Ten rows between its pair of neurons, ten inputs: reproducing the labels there is no evidence."""
    teacher = fm.random_teacher(10, 3, kind="opposite", angle=0.1, rng=501)
    X, y = fm.make_samples(teacher, 450, rng=601)
    result = fm.learn_narrow(X, y, 3, rng=1)
    F = np.random.default_rng(0).standard_normal((1000, 10))
    difference = np.abs(result.network.predict(F) - teacher.predict(F)).max()
    assert result.status == "recovered" and difference > 1e-4
    assert [record.neuron for record in result.certificate.unidentified] == [1, 2]
    assert "10 equations" in result.certificate.unidentified[0].reason


def test_no_small_network_is_certified_wrongly():
    clean = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        d, k, kind = int(rng.integers(3, 9)), int(rng.integers(2, 4)), ["opposite", "same", "clump"][seed % 3]
        teacher = fm.random_teacher(d, k, kind=kind, angle=float(rng.choice([0.03, 0.1, 0.3])), rng=seed)
        X, y = fm.make_samples(teacher, int(d * (k + 1) * rng.choice([3, 5, 8])), rng=seed + 1)
        result = fm.learn_rectified(X, y, k, rng=seed)
        if result.success:
            assert result.status == "recovered"
            F = rng.standard_normal((1000, d))
            true = np.abs(result.network.predict(F) - teacher.predict(F)).max() < 1e-8
            assert true or result.certificate.unidentified, seed
            clean += not result.certificate.unidentified
    assert clean > 10
