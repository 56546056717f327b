"""A sweep that is killed, interrupted, or finds the disk full loses nothing that it stored, and repeats nothing."""

import collections
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import fastmom
from fastmom.cli import main
from fastmom.experiments.spec import parse_spec
from fastmom.experiments.sweep import run_sweep

SPEC = """
[grid]
n_samples = [50, 100]
seed = { start = 0, count = 100 }
[fixed]
method = "adam_student"      # which has no kernels to load
options.steps = 50
n_inputs = 5
n_hidden = 2
n_outputs = 3
"""


@pytest.fixture
def start(tmp_path):
    """Start the sweep as a process of its own; it is gone when the test ends."""
    (tmp_path / "many.toml").write_text(SPEC)
    environment = {**os.environ, "PYTHONPATH": str(Path(fastmom.__file__).parents[1])}
    started = []

    def sweep(jobs, *more, **options):
        command = [sys.executable, "-m", "fastmom", "sweep", "many.toml", "--out", "out", "--jobs", str(jobs), *more]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        started.append(process)
        return process

    yield sweep
    for process in started:
        with process:
            process.kill()


def stored(folder):
    """Every line of every file, parsed: a torn one fails the test."""
    lines = [line for path in sorted(folder.glob("rows-*.jsonl")) for line in path.read_bytes().splitlines()]
    return [json.loads(line) for line in lines]


def wait_for_rows(process, folder, count):
    end = time.monotonic() + 120
    while process.poll() is None and sum(path.read_bytes().count(b"\n") for path in folder.glob("rows-*")) < count:
        assert time.monotonic() < end
        time.sleep(0.002)


def values(rows):
    return {row["key"]: (row["cell"], row["state"], row["values"]) for row in rows}


def test_kills_at_random_moments_lose_and_repeat_nothing(tmp_path, start):
    rng = random.Random(0)
    folder, seen = tmp_path / "out", {}
    here = partial(forked, parse_spec(SPEC), folder)
    for begin in [*8 * [here], partial(start, 2)]:
        process = begin()
        wait_for_rows(process, folder, len(seen) + rng.randrange(1, 15))
        time.sleep(0.01 * rng.random())
        process.kill()
        process.wait()
        rows = values(stored(folder))
        assert seen.items() <= rows.items()
        seen = rows
    assert here().wait() == 0
    rows = stored(folder)
    counts = collections.Counter(row["key"] for row in rows)
    assert len(counts) == 200 and set(counts.values()) == {1}
    assert seen.items() <= values(rows).items()
    assert {row["state"] for row in rows} == {"done"}


def forked(spec, folder):
    """A sweep in a process that needs no time to start, with the methods of `subprocess.Popen`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fastmom.experiments.sweep"])
    process = context.Process(target=run_sweep, args=(spec, folder), kwargs={"jobs": 1})
    process.start()

    def wait():
        process.join(120)
        return process.exitcode

    return SimpleNamespace(poll=lambda: process.exitcode, kill=process.kill, wait=wait)


@pytest.mark.parametrize(("engine", "jobs"), [("local", 2), ("dask", 1)])
def test_ctrl_c_finishes_the_running_cells_and_says_how_to_go_on(tmp_path, start, engine, jobs):
    if engine == "dask":
        pytest.importorskip("distributed")
    process = start(jobs, "--engine", engine, start_new_session=True)
    wait_for_rows(process, tmp_path / "out", 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    rows = stored(tmp_path / "out")
    n_left = 200 - len(rows)
    assert 0 < n_left < 200 and all(row["state"] == "done" for row in rows)
    assert f"stopped with {n_left} cells left; to go on: fastmom sweep many.toml --out out --jobs {jobs}" in err
    assert "finishing the running cells" in err and f"{200 - n_left} of 200 cells done" in out


def test_a_full_disk_stops_the_sweep_and_loses_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("many.toml").write_text(SPEC)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # which the workers inherit
    try:
        code = main(["sweep", "many.toml", "--out", "out", "--jobs", "2"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "rows-" in err and ".jsonl: cannot store results: " in err
    assert "what is stored is safe, run the same command again" in err
    assert len(stored(tmp_path / "out")) > 20
