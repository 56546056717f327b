"""The `report` command: what the rows of a folder say, as a table, as files for other tools, and as pictures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from fastmom.experiments import plot_data, plots, tables
from fastmom.experiments.plot_data import PlotSpec
from fastmom.experiments.store import read_rows

PLOTS = "plots.json"  # beside the rows: the plots that whoever made them wants


def run_report(options: argparse.Namespace) -> int:
    """Print the table of a folder and write what is asked for; 0, or 1 if no cell is finished."""
    rows = rows_of(options.folder)
    if options.plots:
        plots.matplotlib()
    entries = tables.summarise(rows, measure_in(options.folder))
    if options.csv:
        tables.write_csv(rows, options.csv)
    if options.parquet:
        tables.write_parquet(rows, options.parquet)
    files = [os.fspath(path) for path in draw_all(options.folder, rows, options.plots)] if options.plots else []
    if options.json:
        print(json.dumps({"groups": entries, "plots": files}, allow_nan=False))
    else:
        print(tables.format_table(entries))
        _say_failures(rows)
        for path in files:
            print(path)
    return 0 if rows else 1


def rows_of(folder: str | Path) -> list[tables.Row]:
    """The rows of a folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(2, "there is no such folder of a sweep", os.fspath(folder))
    return read_rows(folder)


def _say_failures(rows: list[tables.Row]) -> None:
    messages = [str(row.get("message")) for row in rows if row["state"] != "done"]
    for message in dict.fromkeys(messages):
        print(f"{messages.count(message)} failed: {message}", file=sys.stderr)


def write_plots(folder: str | Path, specs: dict[str, dict[str, Any]]) -> None:
    """Leave plot specifications beside the rows, where a later report finds them."""
    Path(folder, PLOTS).write_text(json.dumps(specs, indent=1), encoding="utf-8")


def plots_in(folder: str | Path, rows: list[tables.Row]) -> dict[str, PlotSpec]:
    """The plots that stand beside the rows, else those that suit any sweep."""
    path = Path(folder, PLOTS)
    if not path.exists():
        return plot_data.automatic(rows)
    specs = json.loads(path.read_text(encoding="utf-8"))
    return {name: PlotSpec.read(table, f"{path}: {name}") for name, table in specs.items()}


def measure_in(folder: str | Path) -> str | None:
    """The measure that the first plot beside the rows shows, if it is a number."""
    path = Path(folder, PLOTS)
    if not path.exists():
        return None
    first = next(iter(json.loads(path.read_text(encoding="utf-8")).values()))
    return None if first["kind"] in ("trace", "heatmap") or first["y"] == plot_data.SUCCESS else str(first["y"])


def draw_all(folder: str | Path, rows: list[tables.Row], target: str | Path) -> list[Path]:
    """Draw the plots of a folder into another."""
    return plots.save_plots(plots_in(folder, rows), rows, target)
