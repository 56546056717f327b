"""A sweep runs what its folder lacks: the same rows by every engine, whatever was stopped, killed or damaged before."""

import collections
import json
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from fastmom.experiments import clusters, processes, sweep, trials
from fastmom.experiments.engines import Work
from fastmom.experiments.spec import parse_spec
from fastmom.experiments.store import locked, read_rows, read_store
from fastmom.experiments.sweep import run_sweep, stored_already

SPEC = """
[grid]
n_samples = [50, 100]
seed = { start = 0, count = COUNT }
[fixed]
method = "rectified"
n_inputs = 5
n_hidden = 2
n_outputs = 3
"""
SLOW = """
[fixed]
method = "adam_student"
options.steps = STEPS
n_inputs = 5
n_hidden = 2
n_samples = 50
"""


def tiny(count=3):
    return parse_spec(SPEC.replace("COUNT", str(count)), "tiny.toml")


def slow(steps):
    return parse_spec(SLOW.replace("STEPS", str(steps)), "slow.toml")


def bare(rows):
    """Rows by key, without what may differ: when, where and how fast."""
    return {row["key"]: {k: v for k, v in row.items() if k not in ("seconds", "worker", "finished")} for row in rows}


def written(folder):
    """How often each cell was stored."""
    lines = [line for path in folder.glob("rows-*") for line in path.read_bytes().splitlines()]
    return collections.Counter(json.loads(line)["key"] for line in lines)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    run_sweep(tiny(), folder, jobs=1)
    return bare(read_rows(folder))


@pytest.fixture
def workers(monkeypatch):
    """The worker processes that are started, as they are."""
    started = []
    popen = processes.subprocess.Popen

    def record(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(processes.subprocess, "Popen", record)
    return started


def test_every_cell_has_its_row_and_the_spec_is_kept(tmp_path, reference):
    summary = run_sweep(tiny(), tmp_path / "new" / "folder", jobs=1)
    assert (summary.n_cells, summary.n_run, summary.n_done, summary.n_failed, summary.n_left) == (6, 6, 6, 0, 0)
    assert not summary.interrupted
    assert (tmp_path / "new" / "folder" / "spec.toml").read_text() == tiny().source
    assert bare(read_rows(tmp_path / "new" / "folder")) == reference


def test_processes_give_the_same_rows(tmp_path, reference):
    assert run_sweep(tiny(), tmp_path, jobs=2).n_done == 6
    assert bare(read_rows(tmp_path)) == reference
    assert {row["worker"] for row in read_rows(tmp_path)} <= {"0", "1"}
    with locked(tmp_path):  # which workers held too
        pass


def test_dask_gives_the_same_rows(tmp_path, reference):
    pytest.importorskip("distributed")
    assert run_sweep(tiny(), tmp_path, jobs=1, engine="dask").n_done == 6
    assert bare(read_rows(tmp_path)) == reference


def test_a_cluster_without_workers_is_an_error_not_a_wait_for_ever(tmp_path, monkeypatch):
    class Empty:
        def nthreads(self):
            return {}

        def submit(self, *arguments, **options):
            return SimpleNamespace(key="0", add_done_callback=lambda call: None)

    monkeypatch.setattr(clusters, "PATIENCE_SECONDS", 0.0)
    work = Work(list(tiny().cells), "1", tmp_path, 0, lambda: False)
    with pytest.raises(ChildProcessError, match="the cluster has had no workers for 0 s"):
        list(clusters._Cluster(work, Empty()).rows())


def test_only_what_is_missing_runs(tmp_path):
    assert run_sweep(tiny(2), tmp_path, jobs=1).n_run == 4
    assert stored_already(tiny(3), tmp_path) == 4
    assert run_sweep(tiny(3), tmp_path, jobs=1).n_run == 2
    assert run_sweep(tiny(3), tmp_path, jobs=1).n_run == 0
    assert run_sweep(tiny(3), tmp_path, jobs=2).n_run == 0
    assert set(written(tmp_path).values()) == {1} and len(written(tmp_path)) == 6


def test_another_version_of_the_code_runs_all_again(tmp_path, monkeypatch):
    run_sweep(tiny(1), tmp_path, jobs=1)
    monkeypatch.setattr(sweep, "code_version", lambda: "another")
    assert run_sweep(tiny(1), tmp_path, jobs=1).n_run == 2
    assert {row["version"] for row in read_rows(tmp_path)} == {"another"}


def test_damaged_lines_are_reported_and_their_cells_run_again(tmp_path, reference):
    run_sweep(tiny(), tmp_path, jobs=1)
    path = tmp_path / "rows-0.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:5], lines[5][:40]]))
    summary = run_sweep(tiny(), tmp_path, jobs=1)
    assert (summary.n_run, summary.n_done, len(summary.damaged)) == (2, 6, 2)
    assert bare(read_store(tmp_path).rows) == reference


def test_failed_cells_are_kept_and_run_again_when_asked(tmp_path, monkeypatch):
    def failing(cell, data, method):
        if cell["seed"] == 1:
            raise ArithmeticError("no luck")
        return {"seed": cell["seed"]}

    works = trials.TRIALS["recovery"]
    monkeypatch.setitem(trials.TRIALS, "recovery", trials.Trial(failing, works.keys))
    summary = run_sweep(tiny(), tmp_path, jobs=1)
    assert (summary.n_done, summary.n_failed, summary.failures) == (4, 2, ("ArithmeticError: no luck",))
    assert run_sweep(tiny(), tmp_path, jobs=1).n_run == 0
    monkeypatch.setitem(trials.TRIALS, "recovery", works)
    assert run_sweep(tiny(), tmp_path, jobs=1).n_failed == 2
    summary = run_sweep(tiny(), tmp_path, jobs=1, retry_failed=True)
    assert (summary.n_run, summary.n_done, summary.n_failed) == (2, 6, 0)
    assert run_sweep(tiny(), tmp_path, jobs=1, retry_failed=True).n_run == 0


def test_a_worker_that_is_killed_costs_nothing(tmp_path, workers):
    killer = threading.Thread(target=kill_when_busy, args=(workers, 1))
    killer.start()
    summary = run_sweep(slow(8_000), tmp_path, jobs=2)
    killer.join()
    assert (summary.n_done, summary.n_failed, len(workers)) == (1, 0, 2)
    assert list(written(tmp_path).values()) == [1]


def test_a_cell_that_kills_its_workers_fails(tmp_path, workers):
    killer = threading.Thread(target=kill_when_busy, args=(workers, 2))
    killer.start()
    summary = run_sweep(slow(100_000_000), tmp_path, jobs=2)
    killer.join()
    assert (summary.n_done, summary.failures) == (0, ("its worker was killed by SIGKILL, twice",))


def kill_when_busy(workers, times):
    """Kill the newest worker so many times, each time in the middle of a cell."""
    for n in range(times):
        wait_for(lambda n=n: len(workers) > n and has_opened_its_file(workers[n].pid))
        began = cpu_seconds(workers[n].pid)
        wait_for(lambda n=n, began=began: cpu_seconds(workers[n].pid) > began + 0.2)
        workers[n].kill()


def has_opened_its_file(pid):
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}").endswith(".jsonl") for fd in os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return False


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_workers_that_do_not_start_are_an_error_not_a_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(processes.sys, "executable", "/bin/false")
    with pytest.raises(ChildProcessError, match=r"workers do not start: the last of 3 ended with exit code 1"):
        run_sweep(tiny(1), tmp_path, jobs=2)


def test_workers_refuse_sources_that_have_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "code_version", lambda: "of yesterday")
    with pytest.raises(OSError, match="the sources of fastmom have changed since the sweep began"):
        run_sweep(slow(1), tmp_path, jobs=2)


def test_an_interrupt_finishes_the_running_cell(tmp_path, monkeypatch, capsys):
    works = trials.TRIALS["recovery"]

    def interrupting(cell, data, method):
        if cell["seed"] == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return {"seed": cell["seed"]}

    monkeypatch.setitem(trials.TRIALS, "recovery", trials.Trial(interrupting, works.keys))
    before = signal.getsignal(signal.SIGINT)
    summary = run_sweep(tiny(), tmp_path, jobs=1)
    assert (summary.n_run, summary.n_done, summary.n_left, summary.interrupted) == (3, 3, 3, True)
    assert "finishing the running cells; once more to abandon them" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.setitem(trials.TRIALS, "recovery", works)
    assert run_sweep(tiny(), tmp_path, jobs=1).n_run == 3


def test_a_second_interrupt_abandons_the_running_cell(tmp_path, monkeypatch):
    def interrupting(cell, data, method):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setitem(trials.TRIALS, "recovery", trials.Trial(interrupting, trials.TRIALS["recovery"].keys))
    with pytest.raises(KeyboardInterrupt):
        run_sweep(tiny(), tmp_path, jobs=1)
    assert read_rows(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"engine": "dsak"}, ValueError, "did you mean 'dask'"),
        ({"jobs": 0}, ValueError, "jobs: expected at least 1"),
        ({"jobs": 1.5}, TypeError, "jobs: expected an integer"),
        ({"address": "tcp://x:1"}, ValueError, "address: only engine='dask' has one"),
    ],
)
def test_a_mistake_is_named(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        run_sweep(tiny(1), tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot make this folder: File exists.*file"):
        run_sweep(tiny(1), tmp_path / "file")


def test_without_dask_its_engine_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastmom\[dask\]'"):
        run_sweep(tiny(1), tmp_path, engine="dask")
