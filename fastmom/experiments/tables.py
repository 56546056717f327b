"""What the rows of a sweep say: groups of cells, their quantiles, tables, CSV and Parquet."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastmom.experiments.optional import optional

Row = dict[str, Any]

UNVARIED = ("seed",)  # what a group gathers
RATES = ("success", "exact")  # what the method says of itself, and what the truth says
MEASURES = ("error", "function_error", "residual", "loss")  # the first that rows have is the one a table shows


@dataclass(frozen=True)
class Group:
    """Cells that differ in their seed only.

    Attributes
    ----------
    axes : dict
        What the cells of this group have in common and other groups have not.
    rows : list of dict
        Those that ended with a result.
    failed : list of dict
        Those that ended with an error instead.
    """

    axes: dict[str, Any]
    rows: list[Row]
    failed: list[Row]

    def values(self, name: str) -> list[float]:
        """One number a cell; a measure that a learner could not give is infinite."""
        return [as_measure(value_of(row, name)) for row in self.rows]

    def counts(self, name: str) -> tuple[int, int]:
        """Cells of which something is true, and cells that say whether it is; it is not where a cell ended in error."""
        told = [bool(row["values"][name]) for row in self.rows if row["values"].get(name) is not None]
        return sum(told), len(told) + len(self.failed)


def value_of(row: Row, name: str) -> Any:
    """A value, time or entry of the cell by its name: "error", "seconds", "seconds.moments", "n_samples"."""
    if name == "seconds":
        return row["seconds"].get("total")
    if name.startswith("seconds."):
        return row["seconds"].get(name.removeprefix("seconds."))
    return row["values"][name] if name in row["values"] else row["cell"].get(name)


def as_measure(value: Any) -> float:
    """The number, with what is missing infinite: JSON has no infinity, and no answer is the worst answer."""
    number = math.inf if value is None else float(value)
    return math.inf if math.isnan(number) else number


def varying_axes(rows: Iterable[Row]) -> list[str]:
    """Entries of the cells that differ between them, the method first; not the seed, nor options a method fixes."""
    seen: dict[str, set[str]] = {}
    by_method: dict[str, dict[str, set[str]]] = {}
    for cell in (row["cell"] for row in rows):
        own = by_method.setdefault(str(cell.get("method")), {})
        for name, value in cell.items():
            written = json.dumps(value, sort_keys=True)
            seen.setdefault(name, set()).add(written)
            own.setdefault(name, set()).add(written)
    names = [name for name, found in seen.items() if len(found) > 1 and name not in UNVARIED]
    told_by_method = [name for name in names if name.startswith("options.")]
    told_by_method = [name for name in told_by_method if all(len(own.get(name, ())) < 2 for own in by_method.values())]
    return sorted((name for name in names if name not in told_by_method), key=lambda name: name != "method")


def grouped(rows: Iterable[Row], axes: Sequence[str] | None = None) -> list[Group]:
    """Gather rows by the given axes, or by all that vary, in the order of their values."""
    rows = list(rows)
    axes = varying_axes(rows) if axes is None else axes
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(_hashable(row["cell"].get(name)) for name in axes), []).append(row)
    groups = []
    for key in sorted(found, key=lambda key: [order(value) for value in key]):
        members = sorted(found[key], key=lambda row: (order(row["cell"].get("seed")), str(row.get("key"))))
        done = [row for row in members if row["state"] == "done"]
        failed = [row for row in members if row["state"] != "done"]
        groups.append(Group(dict(zip(axes, key, strict=True)), done, failed))
    return groups


def _hashable(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def order(value: Any) -> tuple[int, float, str]:
    """A key that sorts what cells hold: nothing, numbers by size, then words."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile, interpolated between neighbours unless one of them is infinite; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    if low == high or math.isinf(high):
        return high if place > math.floor(place) else low
    return low + (place - math.floor(place)) * (high - low)


def measure_of(rows: Iterable[Row]) -> str | None:
    """The measure of error that these rows have, or the first number among their values."""
    values = [row["values"] for row in rows if row["state"] == "done"]
    for name in MEASURES:
        if any(isinstance(found.get(name), int | float) for found in values):
            return name
    numbers = (name for found in values for name, value in found.items() if _is_number(value))
    return next(numbers, None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def summarise(rows: Iterable[Row], measure: str | None = None) -> list[dict[str, Any]]:
    """One entry a group: axes, cells, failed, counts of `RATES`, quartiles of the measure, median seconds.

    Parameters
    ----------
    rows : iterable of dict
        Rows of a store.
    measure : str, optional
        The value to take quartiles of; `measure_of` the rows unless given.

    Returns
    -------
    list of dict
        JSON-ready; infinite and missing quartiles are None.

    Examples
    --------
    >>> from fastmom.experiments.tables import summarise
    >>> row = {"cell": {"method": "snap", "seed": 0}, "state": "done", "seconds": {"total": 0.1}}
    >>> summarise([row | {"values": {"success": True, "error": 1e-15}}])[0]["median"]
    1e-15
    """
    rows = list(rows)
    measure = measure_of(rows) if measure is None else measure
    entries = []
    for group in grouped(rows):
        values = group.values(measure) if measure else []
        low, middle, high = (quantile(values, share) for share in (0.25, 0.5, 0.75))
        entry = {"axes": group.axes, "cells": len(group.rows), "failed": len(group.failed)}
        entry |= {name: dict(zip(("count", "of"), group.counts(name), strict=True)) for name in RATES}
        entry["measure"] = measure
        entry |= {"lower_quartile": _finite(low), "median": _finite(middle), "upper_quartile": _finite(high)}
        entries.append(entry | {"seconds": _finite(quantile(group.values("seconds"), 0.5))})
    return entries


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def format_table(entries: Sequence[dict[str, Any]]) -> str:
    """Lay the entries of `summarise` out in columns; axes that all share are left out by `summarise` already."""
    if not entries:
        return "no finished cells"
    axes = list(entries[0]["axes"])
    measure = entries[0]["measure"]
    failed = any(entry["failed"] for entry in entries)
    rates = [name for name in RATES if any(entry[name]["of"] > entry["failed"] for entry in entries)]
    header = [*axes, "cells", *["failed"] * failed, *rates]
    header += [f"median {measure}", "quartiles"] if measure else []
    lines = [[*header, "seconds"]]
    for entry in entries:
        line = [format_value(entry["axes"][name]) for name in axes] + [str(entry["cells"])]
        line += [str(entry["failed"])] * failed
        line += [_rate(**entry[name]) for name in rates]
        if measure:
            quartiles = f"{_number(entry['lower_quartile'])} .. {_number(entry['upper_quartile'])}"
            line += [_number(entry["median"]), quartiles] if entry["cells"] else ["-", "-"]
        lines.append([*line, _number(entry["seconds"], "-")])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(_aligned(line, widths, len(axes)) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int], n_left: int) -> str:
    words = [
        text.ljust(w) if i < n_left else text.rjust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(words)


def format_value(value: Any) -> str:
    """Write an entry of a cell as a table, a legend or a tick shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _rate(count: int, of: int) -> str:
    return f"{count}/{of} {count / of:4.0%}" if of else "-"


def _number(value: float | None, missing: str = "inf") -> str:
    return missing if value is None else f"{value:.2g}"


def flattened(rows: Iterable[Row]) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and flat records: entries of the cell by their names, values and seconds with a prefix."""
    records = []
    for row in rows:
        record = {"key": row.get("key"), "state": row["state"], **row["cell"]}
        record |= {f"values.{name}": _plain(value) for name, value in row["values"].items()}
        record |= {f"seconds.{name}": value for name, value in row["seconds"].items()}
        records.append(record | {"message": row.get("message"), "version": row.get("version")})
    columns = list(dict.fromkeys(name for record in records for name in record))
    return columns, records


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def write_csv(rows: Iterable[Row], path: str | Path) -> None:
    """Write one line a cell; lists as JSON."""
    columns, records = flattened(rows)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def write_parquet(rows: Iterable[Row], path: str | Path) -> None:
    """Write one record a cell, columns typed.

    Raises
    ------
    ValueError
        Without pyarrow.
    """
    pyarrow, parquet = (optional(name, "Parquet files", "pyarrow") for name in ("pyarrow", "pyarrow.parquet"))
    columns, records = flattened(rows)
    arrays = {}
    for name in columns:
        column = [record.get(name) for record in records]
        kinds = {type(value) for value in column if value is not None}
        mixed = len(kinds) > 1 and not kinds <= {int, float}
        arrays[name] = [None if value is None else str(value) for value in column] if mixed else column
        if kinds == {int, float}:
            arrays[name] = [None if value is None else float(value) for value in column]
    parquet.write_table(pyarrow.table(arrays), path)
