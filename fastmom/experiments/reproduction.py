"""The `reproduce` command: the papers' experiments as named runs.

Each stands in ``reproduce/NAME.toml``, a spec that `fastmom sweep` runs as it is; its table ``quick`` holds what the
small form replaces. They follow the design of the papers' experiments with our own settings, which the files publish;
none claims to be a certain figure of a paper.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import textwrap
from importlib import resources
from pathlib import Path
from typing import Any

from fastmom.experiments import plots, tables
from fastmom.experiments.cells import cell_key, code_version
from fastmom.experiments.report import draw, measure_of, show
from fastmom.experiments.spec import Spec, parse_spec
from fastmom.experiments.store import read_rows
from fastmom.experiments.sweep import run_sweep
from fastmom.experiments.toml_text import read_toml

INTERRUPTED = 130
GALLERY = (
    "symmetric-samples",
    "landscape-squared-loss",
    "landscape-designed-objective",
    "rectified-threshold",
    "rectified-corruption",
    "rectified-noise",
    "narrow-rivals",
    "l1-norms",
)
"""Experiments whose pictures the documentation shows."""


def names() -> list[str]:
    """Names of all experiments."""
    return sorted(file.name.removesuffix(".toml") for file in _folder().iterdir() if file.name.endswith(".toml"))


def _folder() -> Any:
    return resources.files("fastmom.experiments") / "reproduce"


def source(name: str) -> str:
    """The TOML of an experiment.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest one.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
        advice = f"did you mean {near[0]!r}?" if near else "fastmom reproduce --list shows them"
        raise ValueError(f"name: there is no experiment {name!r}; {advice}")
    text: str = (_folder() / f"{name}.toml").read_text(encoding="utf-8")
    return text


def experiment(name: str, *, quick: bool = False) -> Spec:
    """An experiment as the spec of a sweep.

    Parameters
    ----------
    name : str
        One of `names`.
    quick : bool
        Its small form, of half a minute or so.

    Returns
    -------
    Spec

    Examples
    --------
    >>> from fastmom.experiments.reproduction import experiment
    >>> spec = experiment("rectified-threshold", quick=True)
    >>> len(spec.cells) < len(experiment("rectified-threshold").cells)
    True
    """
    text = source(name)
    return parse_spec(small(text) if quick else text, f"{name}.toml")


def small(text: str) -> str:
    """The TOML of the small form: entries of ``quick`` in the place of those of the tables of the same name."""
    content = read_toml(text)
    for table, entries in content.pop("quick", {}).items():
        content[table] = {**content.get(table, {}), **entries}
    return to_toml(content)


def to_toml(content: dict[str, Any]) -> str:
    """Write texts, numbers, lists and tables as TOML."""
    top = [f"{name} = {_inline(value)}" for name, value in content.items() if not isinstance(value, dict)]
    for table, entries in content.items():
        if isinstance(entries, dict):
            top += [f"\n[{table}]", *(f"{_key(name)} = {_inline(value)}" for name, value in entries.items())]
    return "\n".join(top) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_inline(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)  # texts, numbers and truths are the same in both


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else json.dumps(name, ensure_ascii=False)


def reproduce(options: argparse.Namespace) -> int:
    """List experiments, or run one or all of them: rows, table, text and pictures; 0, or 1 if a cell failed."""
    if options.list:
        return _list(options.json)
    everything = options.all or options.gallery is not None
    if everything == (options.name is not None):
        raise ValueError("name: expected the name of an experiment, or --all; fastmom reproduce --list shows them")
    wanted = names() if options.all else list(GALLERY) if options.gallery is not None else [options.name]
    specs = [experiment(name, quick=options.quick) for name in wanted]  # errors come before the work
    if options.gallery is not None:
        plots.matplotlib()
    reports = []
    for spec in specs:
        reports.append(_run(spec, options))
        if reports[-1]["left"]:
            print("interrupted; run the same command again to go on", file=sys.stderr)
            return INTERRUPTED
    if options.json:
        print(json.dumps(reports, allow_nan=False))
    return int(any(entry["failed"] for entry in reports))


def _list(as_json: bool) -> int:
    titles = {name: experiment(name).title for name in names()}
    if as_json:
        print(json.dumps(titles))
    else:
        width = max(map(len, titles))
        print("\n".join(f"{name.ljust(width)}  {title}" for name, title in titles.items()))
    return 0


def _run(spec: Spec, options: argparse.Namespace) -> dict[str, Any]:
    """Run one experiment, or what is left of it, and report it."""
    folder = Path(options.out, f"{spec.name}-quick" if options.quick else spec.name)
    say = None if options.json else print
    if say:
        say(f"{spec.title}\n\n{textwrap.fill(' '.join(spec.text.split()), 100)}\n", flush=True)
    summary = run_sweep(spec, folder, jobs=options.jobs)
    keys = {cell_key(cell, code_version()) for cell in spec.cells}
    rows = [row for row in read_rows(folder) if row["key"] in keys]
    whole = not summary.n_left and any(row["state"] == "done" for row in rows)
    files = _pictures(spec, rows, folder, options.gallery) if whole else []
    if say:
        show(spec.plots, rows, files)
        say(f"rows in {folder}\n", flush=True)
    told = {"name": spec.name, "folder": os.fspath(folder), "cells": len(rows), "failed": summary.n_failed}
    told["left"] = summary.n_left
    return {**told, "groups": tables.summarise(rows, measure_of(spec.plots)), "plots": [os.fspath(p) for p in files]}


def _pictures(spec: Spec, rows: list[tables.Row], folder: Path, gallery: str | None) -> list[Path]:
    """Pictures in the folder of the rows, if matplotlib is there, and copies for the gallery."""
    try:
        plots.matplotlib()
    except ValueError as error:
        print(f"fastmom: {error}", file=sys.stderr)
        return []
    files = draw(spec.plots, rows, folder)
    if gallery is not None and spec.name in GALLERY:
        Path(gallery).mkdir(parents=True, exist_ok=True)
        for path in files:
            if path.suffix == ".png":
                plots.save_small(path, Path(gallery, path.name))
    return files
