"""The commands of `fastmom` that run experiments: their options, and what they print.

Imports nothing heavy before a command runs, so that `--help` stays instant.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

from fastmom.experiments.arguments import report_arguments, reproduce_arguments, run_report, run_reproduce

DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130
_SHOWN = 3  # messages of failed cells that a person sees

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_experiments(command: Command) -> None:
    """Add the commands by ``command(name, run, text)``, which gives the parser of each."""
    parser = command("sweep", _sweep, "run the experiments of a TOML file, as many as its folder lacks")
    parser.epilog = "The format of the file, with an example: python -m pydoc fastmom.experiments.spec"
    parser.add_argument("spec", metavar="SPEC.toml", help="what to run: [grid], [fixed] and [rivals]")
    parser.add_argument("--out", metavar="DIR", help="folder of the results; run again to go on (default: SPEC)")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one for each processor)")
    parser.add_argument("--engine", default="local", help="local or dask (default: %(default)s)")
    parser.add_argument("--address", help="of a dask scheduler that runs (default: workers on this machine)")
    parser.add_argument("--retry-failed", action="store_true", help="run failed cells again")
    parser.add_argument("--dry-run", action="store_true", help="check the file, count its cells, run nothing")
    report_arguments(command("report", run_report, "say what the results of a sweep are: table, files, plots"))
    reproduce_arguments(command("reproduce", run_reproduce, "run an experiment of the papers, with its table and plot"))


def _sweep(options: argparse.Namespace) -> int:
    from fastmom.experiments.spec import read_spec
    from fastmom.experiments.sweep import run_sweep

    spec = read_spec(options.spec)
    folder = options.out or options.spec.removesuffix(".toml")
    if folder == options.spec:
        raise ValueError(f"--out: expected a folder for the results, as {options.spec} has no .toml to leave out")
    if options.dry_run:
        return _dry_run(spec, folder, options.json)
    began = time.monotonic()
    how = {"jobs": options.jobs, "engine": options.engine, "address": options.address}
    summary = run_sweep(spec, folder, **how, retry_failed=options.retry_failed)
    seconds = time.monotonic() - began
    if options.json:
        counts = ("n_cells", "n_run", "n_done", "n_failed", "n_left", "interrupted", "failures", "damaged")
        print(json.dumps({"folder": folder, **{name: getattr(summary, name) for name in counts}, "seconds": seconds}))
    else:
        _print_summary(summary, spec.name, folder, seconds)
    if summary.interrupted:
        print(f"stopped with {summary.n_left:,} cells left; to go on: {_resume(options, folder)}", file=sys.stderr)
        return INTERRUPTED
    return SOME_FAILED if summary.n_failed else DONE


def _dry_run(spec: Any, folder: str, as_json: bool) -> int:
    from fastmom.experiments.sweep import stored_already

    n_stored = stored_already(spec, folder)
    if as_json:
        print(json.dumps({"name": spec.name, "n_cells": len(spec.cells), "n_stored": n_stored, "first": spec.cells[0]}))
        return DONE
    lists = " x ".join(f"{len(values)} {name}" for name, values in spec.grid.items()) or "1"
    rivals = f"; the rivals {', '.join(spec.rivals)} included" if spec.rivals else ""
    print(f"{spec.name}: {len(spec.cells):,} cells, {lists}{rivals}; {n_stored:,} of them are in {folder}")
    print("first cell  " + ", ".join(f"{name} = {value}" for name, value in spec.cells[0].items() if value is not None))
    return DONE


def _print_summary(summary: Any, name: str, folder: str, seconds: float) -> None:
    failed = f", {summary.n_failed:,} failed" if summary.n_failed else ""
    print(
        f"{name}: {summary.n_done:,} of {summary.n_cells:,} cells done{failed}; {summary.n_run:,} ran now in "
        f"{seconds:.1f} s; results in {folder}"
    )
    for message in summary.failures[:_SHOWN]:
        print(f"  failed      {message}")
    if summary.n_failed:
        print("  --retry-failed runs failed cells again")
    if summary.damaged:
        print(f"  skipped     {len(summary.damaged)} damaged lines, whose cells ran again: {summary.damaged[0]}")


def _resume(options: argparse.Namespace, folder: str) -> str:
    words = ["fastmom", "sweep", options.spec, "--out", folder]
    for name in ("jobs", "engine", "address"):
        value = getattr(options, name)
        if value is not None and value != "local":
            words += [f"--{name}", str(value)]
    return shlex.join(words)
