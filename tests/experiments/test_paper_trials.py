import math
from dataclasses import replace

import numpy as np
import pytest

import fastmom as fm
from benchmarks.cramer_rao import bound, squared_error
from fastmom.experiments import trials_l1, trials_rectified, trials_symmetric
from fastmom.experiments.all_trials import TRIALS
from fastmom.experiments.cells import streams


def run(kind, **given):
    cell = TRIALS[kind].complete(given)
    TRIALS[kind].check(cell)
    return TRIALS[kind].run(cell, *streams({"trial": kind, **cell}))


def test_the_bound_inverts_the_information_of_the_explicit_jacobian():
    teacher = fm.random_teacher(6, 3, 4, rng=0)
    X, Y = fm.make_samples(teacher, 300, noise=0.1, rng=1)
    assert trials_rectified.tangent_bound(teacher, X, Y, 0.2) == pytest.approx(bound(teacher, X, 0.2), rel=1e-9)
    student = fm.learn_rectified(X, Y, 3, rng=2).network
    matched = fm.compare(student, teacher).assignment
    assert trials_rectified.tangent_error(student, teacher) == pytest.approx(squared_error(student, teacher, matched))
    assert trials_rectified.tangent_error(None, teacher) == math.inf


def test_noisy_labels_end_near_the_bound():
    values = run("cramer_rao", n_inputs=6, n_hidden=3, n_outputs=4, n_samples=500, noise=0.1)
    assert values["success"] and 0.3 < values["ratio"] < 2.5
    assert values["error"] ** 2 / values["bound"] ** 2 == pytest.approx(values["ratio"])


def test_sizes_in_proportion():
    values = run("scaled_recovery", method="rectified", n_inputs=8, samples_per_input=10.0, hidden_per_input=0.25)
    assert values["exact"] and values["n_hidden"] == 2
    few = run("scaled_recovery", method="rectified", n_inputs=8, samples_per_input=1.5)
    assert not few["exact"]


@pytest.mark.parametrize("method", [*trials_symmetric.VARIANTS, "lbfgs_student"])
def test_square_networks_by_each_method(method):
    values = run("square_network", method=method, size=3, n_samples=2000)
    assert values["error"] == max(values["hidden_error"], values["output_error"])
    assert values["exact"] == (method in ("polished", "lbfgs_student"))
    assert values["error"] < 1
    assert run("square_network", method=method, size=3, n_samples=2000, noise=0.1)["exact"] is None


def test_layers_of_the_given_condition():
    rng = np.random.default_rng(0)
    assert np.linalg.cond(trials_symmetric._square(5, 7.0, rng)) == pytest.approx(7.0)
    assert trials_symmetric.layer_errors(None, fm.random_teacher(2, 2, rng=0)) == (math.inf, math.inf)


def test_the_learner_ends_where_gradient_descent_needs_luck():
    values = run("squared_loss", method="landscape", size=4, n_samples=2000)
    assert values["exact"] and values["trace_residual"][-1] < 1e-12 and values["trace_samples"] == [2000]
    values = run("squared_loss", method="gradient", size=4, steps=400)
    assert len(values["trace_residual"]) == 10 and values["trace_samples"][-1] == 200_000
    assert values["trace_residual"][-1] < values["trace_residual"][0]


def test_control_variates_lead_the_descent_and_raw_labels_do_not():
    with_them = run("designed_objective", method="control_variates", size=8, steps=300)
    without = run("designed_objective", method="raw_labels", size=8, steps=300)
    assert with_them["surrogate_error"] < 0.02 < 0.1 < without["surrogate_error"]
    assert with_them["trace_samples"][0] == 30_000 and without["trace_samples"][0] == 10_000


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("square_network", {"method": "publish", "size": 3, "n_samples": 9}, "method: .*did you mean 'published'"),
        ("square_network", {"method": "moments", "size": 3, "n_samples": 9, "condition": 0.5}, "condition: "),
        ("square_network", {"method": "moments", "size": 3, "n_samples": 9, "law": "gauss"}, "law: "),
        ("cramer_rao", {"n_inputs": 3, "n_hidden": 2, "n_outputs": 2, "n_samples": 9}, "noise: is missing"),
        ("designed_objective", {"method": "raw"}, "method: .*raw_labels"),
    ],
)
def test_impossible_cells_are_refused(kind, given, message):
    with pytest.raises(ValueError, match=message):
        run(kind, **given)


def test_the_bound_on_norms_holds_for_random_networks():
    for depth in (1, 2):
        bound = run("kernel_norm", method="bound", depth=depth)["norm"]
        norms = [run("kernel_norm", method="network", depth=depth, seed=seed)["norm"] for seed in range(5)]
        assert 0 < min(norms) and max(norms) <= bound
    far = run("kernel_norm", method="bound", depth=3, L=2.0)
    assert far["log10_norm"] > 308 and math.isinf(far["norm"])


def test_prediction_takes_the_method_asked_for_and_every_task(monkeypatch):
    study = pytest.importorskip("fastmom.experiments.kernel_accuracy")
    assert {*trials_l1.CLASSES, *trials_l1.NUMBERS} == set(study.TASKS)
    assert all(study.TASKS[name].classes for name in trials_l1.CLASSES)
    small = replace(study.TASKS["erf-1"], n_train=200, n_test=200)
    monkeypatch.setitem(study.TASKS, "erf-1", small)
    values = run("prediction", method="kernel", task="erf-1")
    assert 0.05 < values["error"] < 0.5 and len(values["chosen"]) == 1
    with pytest.raises(ValueError, match="method: 'kernel_hinge' is for classes"):
        run("prediction", method="kernel_hinge", task="diabetes")
