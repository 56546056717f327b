"""Every benchmark runs, so that the suite never rots; what it measures is asv's business."""

import importlib
import inspect
import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest

import benchmarks
from benchmarks import problems

KINDS = ("time_", "track_", "peakmem_", "mem_")


def suites():
    """Every class with benchmarks, by name."""
    for path in sorted(Path(benchmarks.__file__).parent.glob("*.py")):
        module = importlib.import_module(f"benchmarks.{path.stem}" if path.stem != "__init__" else "benchmarks")
        for name, suite in inspect.getmembers(module, inspect.isclass):
            if suite.__module__ == module.__name__ and methods(suite):
                yield f"{path.stem}.{name}", suite


def methods(suite):
    return [name for name, _ in inspect.getmembers(suite, inspect.isfunction) if name.startswith(KINDS)]


def combinations(suite):
    """Parameters as asv combines them: one list, or a list of lists."""
    params = getattr(suite, "params", [])
    lists = params if params and isinstance(params[0], list | tuple) else [params] if params else []
    return list(itertools.product(*lists))


@pytest.fixture
def small(monkeypatch):
    """One draw of each problem, the large ones made small: enough to see that a benchmark runs."""
    for group in (problems.EXACT, problems.NOISY, problems.FEW_OUTPUTS):
        for name, problem in group.items():
            monkeypatch.setitem(group, name, replace(problem, seeds=1))
    for name, problem in problems.LARGE.items():
        monkeypatch.setitem(problems.LARGE, name, replace(problem, n_inputs=20, n_hidden=10, n_outputs=10))
    for name, problem in problems.WIDE.items():
        monkeypatch.setitem(problems.WIDE, name, replace(problem, n_hidden=20, n_rows=5000))
    rivals = importlib.import_module("benchmarks.rivals")
    for name in rivals.DRAWS:
        monkeypatch.setitem(rivals.DRAWS, name, 1)
    experiments = importlib.import_module("benchmarks.experiments")
    monkeypatch.setitem(experiments.CELLS, "tiny", 20)
    narrow = importlib.import_module("benchmarks.narrow")
    for name in narrow.DRAWS:
        monkeypatch.setitem(narrow.DRAWS, name, 1)
    for name, (kind, angle, d, k, n) in narrow.NETS.items():
        monkeypatch.setitem(narrow.NETS, name, (kind, angle, min(d, 8), k, min(n, 2000)))
    for d in narrow.ROWS:
        monkeypatch.setitem(narrow.ROWS, d, 1000)
    published = importlib.import_module("benchmarks.narrow_paper")
    for name in published.DRAWS:
        monkeypatch.setitem(published.DRAWS, name, 1)
    for name, (kind, _, k, _) in published.NETS.items():
        monkeypatch.setitem(published.NETS, name, (kind, 4, k, 500))
    for name in published.MANY:
        monkeypatch.setitem(published.MANY, name, (4, 5, 2000))
    monkeypatch.setattr(narrow, "RIVAL_ITERATIONS", 20)
    monkeypatch.setattr(narrow, "NUMBERS", {"d": 5, "n": 1000})
    kernel = importlib.import_module("benchmarks.l1_kernel")
    for name, rows in kernel.ROWS.items():
        monkeypatch.setitem(kernel.ROWS, name, min(rows, 300))
    monkeypatch.setattr(importlib.import_module("benchmarks.contractions"), "BYTES", 4_000_000)
    for name in ("SEEDS", "STARTS"):
        monkeypatch.setattr(importlib.import_module("benchmarks.symmetric"), name, 2)
    monkeypatch.setattr(importlib.import_module("benchmarks.kernels"), "VERIFIED_ROWS", 5000)
    auto = importlib.import_module("benchmarks.auto")
    monkeypatch.setattr(auto, "SWEEP", auto.SWEEP[::8])
    shrink_l1(monkeypatch)


def shrink_l1(monkeypatch):
    """Few rows for the balls of the recursive kernel."""
    losses = importlib.import_module("benchmarks.l1_losses")
    monkeypatch.setattr(losses, "SIZES", losses.Sizes(rows=400, features=20, images=60, test_images=40))
    theorem = importlib.import_module("benchmarks.l1_theorem")
    monkeypatch.setattr(theorem, "DRAWS", dict.fromkeys(theorem.DRAWS, 1))
    monkeypatch.setattr(theorem, "ROWS", {name: 60 for name in theorem.ROWS})
    study = importlib.import_module("fastmom.experiments.kernel_accuracy")
    for name, task in study.TASKS.items():
        monkeypatch.setitem(study.TASKS, name, replace(task, n_train=60, n_test=40, splits=1))
    monkeypatch.setattr(study, "RIVALS", (((8,), 1e-2),))


@pytest.mark.parametrize("name", sorted(dict(suites())))
def test_every_benchmark_runs(name, small):
    suite = dict(suites())[name]
    cached = suite().setup_cache() if hasattr(suite, "setup_cache") else None
    cache = () if cached is None else (cached,)
    for parameters in combinations(suite):
        for method in methods(suite):
            bench = suite()
            if hasattr(bench, "setup"):
                bench.setup(*cache, *parameters)
            measured = getattr(bench, method)(*cache, *parameters)
            if hasattr(bench, "teardown"):
                bench.teardown(*cache, *parameters)
            assert not method.startswith("track_") or math.isfinite(measured), (method, parameters)
