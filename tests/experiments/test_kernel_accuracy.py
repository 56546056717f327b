"""The accuracy study: its protocol, its errors where they cost little, and what it refuses."""

import json
import sys
from dataclasses import replace

import pytest

from fastmom.experiments import kernel_accuracy as study
from fastmom.experiments.kernel_accuracy import kernel_accuracy


@pytest.mark.parametrize("task", ["erf-1", "erf-2", "erf-3"])
def test_networks_within_the_theory_are_learned_to_the_noise(task):
    """The noise alone is 0.0995."""
    found = kernel_accuracy(task, rival=False)
    assert 0.095 < found["error"] <= 0.115
    assert found["rival_error"] is None and json.dumps(found)


def test_where_weights_are_large_a_trained_network_predicts_better(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(study, "RIVALS", (((128,), 1.0),))
    found = kernel_accuracy("erf-2-large")
    assert 0.095 < found["rival_error"] < 0.8 * found["error"]


def test_diabetes():
    pytest.importorskip("sklearn")
    assert kernel_accuracy("diabetes", rival=False)["error"] <= 0.72


@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_rectangles_and_the_rival_is_told_the_same(loss, monkeypatch):
    pytest.importorskip("sklearn")
    task = replace(study.TASKS["rectangles"], n_train=400, n_test=400, splits=1)
    monkeypatch.setitem(study.TASKS, "rectangles", task)
    monkeypatch.setattr(study, "RIVALS", (((32,), 1e-2),))
    found = kernel_accuracy("rectangles", loss=loss, rng=0)
    assert found["error"] < 0.15 and 0 < found["rival_error"] < 0.3
    depth, chosen = found["chosen"][0]
    assert depth in study.DEPTHS and chosen in (study.PENALTIES if loss == "squared" else study.RADII)
    assert kernel_accuracy("rectangles", loss=loss, rival=False, rng=0)["errors"] == found["errors"]


def test_what_cannot_be_asked():
    with pytest.raises(ValueError, match=r"name: 'digit' is not one of .* did you mean 'digits'"):
        kernel_accuracy("digit")
    with pytest.raises(ValueError, match="loss: 'hinge' is for classes"):
        kernel_accuracy("diabetes", loss="hinge")


def test_without_scikit_learn_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"the digits data needs scikit-learn; .*fastmom\[sklearn\]"):
        kernel_accuracy("digits")
