"""The `report` command: what the rows of a folder say, as a table, as files for other tools, and as pictures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fastmom.experiments import plot_data, plots, tables
from fastmom.experiments.plot_data import PlotSpec
from fastmom.experiments.spec import parse_spec
from fastmom.experiments.store import read_rows
from fastmom.experiments.tables import RATES, Row


def report(options: argparse.Namespace) -> int:
    """Print the table of a folder and write what is asked for; 0, or 1 if no cell is finished."""
    if options.plots:
        plots.matplotlib()  # before any work
    rows = read_rows(options.folder)
    versions = {row["version"] for row in rows}
    if len(versions) > 1:
        print(
            f"rows of {len(versions)} versions of the code stand together: {', '.join(sorted(versions))}",
            file=sys.stderr,
        )
    wanted = plots_of(options.folder)
    if options.csv:
        tables.write_csv(rows, options.csv)
    if options.parquet:
        tables.write_parquet(rows, options.parquet)
    files = draw(wanted, rows, options.plots) if options.plots else []
    if options.json:
        entries = tables.summarise(rows, measure_of(wanted))
        print(json.dumps({"groups": entries, "plots": [os.fspath(path) for path in files]}, allow_nan=False))
    else:
        show(wanted, rows, files)
    return 0 if any(row["state"] == "done" for row in rows) else 1


def plots_of(folder: str | os.PathLike[str]) -> dict[str, PlotSpec]:
    """The plots that the spec of a folder asks for; none for a spec that this version cannot read."""
    path = Path(folder, "spec.toml")
    try:
        return parse_spec(path.read_text(encoding="utf-8"), os.fspath(path)).plots
    except (FileNotFoundError, ValueError):
        return {}


def measure_of(wanted: dict[str, PlotSpec]) -> str | None:
    """The number that the plots show; None leaves the choice to the table."""
    for spec in wanted.values():
        if spec.kind not in ("trace", "heatmap") and spec.y not in RATES:
            return spec.y
    return None


def draw(wanted: dict[str, PlotSpec], rows: Sequence[Row], folder: str | os.PathLike[str]) -> list[Path]:
    """Draw the plots that are wanted, or those that suit any sweep."""
    return plots.save_plots(wanted or plot_data.automatic(rows), rows, folder)


def show(wanted: dict[str, PlotSpec], rows: Sequence[Row], files: Sequence[Path]) -> None:
    """Print the table, what failed, and the files that were written."""
    print(tables.format_table(tables.summarise(rows, measure_of(wanted))))
    messages = [str(row["message"]) for row in rows if row["state"] != "done"]
    for message in dict.fromkeys(messages):
        print(f"{messages.count(message)} failed: {message}", file=sys.stderr)
    for path in files:
        print(path)
