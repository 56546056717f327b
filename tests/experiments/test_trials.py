"""A cell is a problem and a method: the method learns from the problem's samples, and the truth judges."""

import json
import sys

import numpy as np
import pytest

import fastmom as fm
from fastmom.experiments import methods, trials
from fastmom.experiments.adam import adam_student
from fastmom.experiments.cells import plain
from fastmom.experiments.engines import run_cell
from fastmom.experiments.methods import check_method, method_names
from fastmom.experiments.trials import TRIALS
from fastmom.learners import auto

PROBLEM = {"n_inputs": 5, "n_hidden": 2, "n_outputs": 3, "n_samples": 200}


def run(**given):
    cell = TRIALS["recovery"].complete({**PROBLEM, **given})
    return run_cell({"trial": "recovery", **cell}, "1", "0")


def bare(row):
    return {name: row[name] for name in ("key", "cell", "state", "message", "values", "version")}


def test_a_learner_recovers_and_is_judged_by_the_truth():
    row = run(method="rectified", seed=3)
    values = row["values"]
    assert row["state"] == "done" and values["success"] and values["certified"] and values["status"] == "recovered"
    assert max(values[name] for name in ("error", "hidden_error", "output_error", "function_error", "residual")) < 1e-12
    assert values["n_hidden"] == 2 and row["seconds"]["total"] > 0 and "exact" in row["seconds"]
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize("method", method_names())
def test_every_method_runs_and_repeats_its_bits(method):
    given = {"method": method, "n_samples": 1000, "n_outputs": 1, "output": "positive", "kind": "orthonormal"}
    given |= {
        "adam_student": {"options.steps": 1000},
        "l1_kernel": {"options.rescale": 10.0},  # no input is so long
        "sklearn_mlp": {"options.max_iter": 20},
        "symmetric": {"n_outputs": 3},  # needs as many outputs as neurons
    }.get(method, {})
    row = run(**given)
    assert row["state"] == "done" and row["message"] == ""
    assert row["values"]["function_error"] < 1
    assert bare(run(**given)) == bare(row)


def test_noise_and_biases_reach_the_samples_and_the_method():
    exact, noisy = run(method="rectified", bias=True), run(method="rectified", bias=True, noise=0.1)
    assert exact["values"]["certified"] and not noisy["values"]["certified"]
    assert exact["values"]["residual"] < 1e-12 < 0.05 < noisy["values"]["residual"]


def test_a_method_may_be_left_without_the_number_of_neurons(monkeypatch):
    told = []

    def learner(X, Y, n_hidden=None, *, bias=False, rng=None):
        told.append(n_hidden)
        return fm.learn_rectified(X, Y, n_hidden, bias=bias, rng=rng)

    monkeypatch.setitem(auto.LEARNERS, "mine", learner)
    assert run(method="mine")["values"]["n_hidden"] == 2
    assert run(method="mine", **{"options.n_hidden": "unknown"})["values"]["n_hidden"] == 2
    assert run(method="mine", **{"options.n_hidden": 4})["state"] == "done"
    assert told[0] == 2 and told[-1] == 4 and None in told


def test_what_finds_no_network_is_judged_by_its_function(monkeypatch):
    class Mean:
        def predict(self, X):
            return np.zeros((len(X), 3))

    def learner(X, Y, *, rng=None):
        return fm.FitResult(model=Mean(), success=True, status="fitted")

    monkeypatch.setitem(auto.LEARNERS, "mean", learner)
    values = run(method="mean")["values"]
    assert values["error"] is None and values["n_hidden"] is None and values["function_error"] > 0.5


def test_an_error_is_a_failed_row_with_its_message(monkeypatch):
    def learner(X, Y, *, rng=None):
        raise MemoryError("Unable to allocate\n 1 TiB")

    monkeypatch.setitem(auto.LEARNERS, "mine", learner)
    row = run(method="mine")
    assert (row["state"], row["message"], row["values"]) == ("failed", "MemoryError: Unable to allocate 1 TiB", {})
    json.dumps(row, allow_nan=False)


def test_a_learner_that_is_added_has_its_options_checked(monkeypatch):
    def learner(X, y, n_hidden: int | None = None, *, width: float = 1.0, rng=None):
        raise NotImplementedError

    monkeypatch.setitem(auto.LEARNERS, "mine", learner)
    check_method("mine", {"width": 2, "n_hidden": "unknown"})
    with pytest.raises(ValueError, match=r"options\.widht: the method 'mine' has no such option; did you mean 'width'"):
        check_method("mine", {"widht": 2})
    with pytest.raises(ValueError, match=r"options\.width: expected float, got 'wide'"):
        check_method("mine", {"width": "wide"})


def test_a_call_that_loads_something_is_timed_again(monkeypatch):
    calls = []

    def call():
        calls.append(1)
        if len(calls) == 1:
            monkeypatch.setitem(sys.modules, "a_new_module", sys)
        end = trials.time.process_time() + 0.01
        while trials.time.process_time() < end:
            pass
        return len(calls)

    monkeypatch.setattr(trials, "_n_loaded", (len(trials.compiled_kernels()), len(sys.modules)))
    assert trials.timed(call)[0] == 2
    assert trials.timed(call)[0] == 3


def test_without_scikit_learn_its_rival_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    row = run(method="sklearn_mlp")
    assert row["state"] == "failed" and "pip install 'fastmom[sklearn]'" in row["message"]


def test_results_become_plain_values():
    given = {"a": np.float64(np.inf), "b": np.arange(2), 3: (np.bool_(True), None), "c": {1.5: float("nan")}, "d": len}
    assert plain(given) == {"a": None, "b": [0, 1], "3": [True, None], "c": {"1.5": None}, "d": str(len)}


def test_adam_finds_an_easy_network_and_its_best_start_counts():
    teacher = fm.random_teacher(5, 2, 2, bias=True, rng=0)
    X, Y = fm.make_samples(teacher, 300, rng=1)
    fit = adam_student(X, Y, 2, bias=True, starts=3, steps=2000, rng=0)
    assert fit.residual == fit.residuals.min() < 1e-5
    assert fm.compare(fit.network, teacher).max_error < 1e-4
    residual = np.linalg.norm(fit.network.predict(X) - Y) / np.linalg.norm(Y)
    assert residual == pytest.approx(fit.residual, rel=1e-6, abs=1e-12)


def test_adam_on_all_rows_draws_no_batches():
    X, Y = fm.make_samples(fm.random_teacher(4, 2, 2, rng=0), 50, rng=1)
    few = adam_student(X, Y, 2, steps=50, batch=50, rng=0)
    many = adam_student(X, Y, 2, steps=50, batch=10_000, rng=0)
    assert few.residual == many.residual


def test_methods_are_the_learners_and_the_rivals():
    assert set(method_names()) == {"auto", *auto.LEARNERS, *methods.RIVALS}
