"""What a plot shows, as data: the specification of a plot, and the lines, cells and points taken from rows."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from fastmom.experiments.tables import (
    MEASURES,
    RATES,
    Row,
    as_measure,
    format_value,
    grouped,
    measure_of,
    order,
    quantile,
    value_of,
    varying_axes,
)

KINDS = ("curve", "dots", "heatmap", "race", "trace")
LABELS = {
    "n_samples": "samples n",
    "n_inputs": "inputs d",
    "n_hidden": "neurons k",
    "n_outputs": "outputs m",
    "noise": "label noise (standard deviation / RMS of the labels)",
    "corruption": "fraction of wrong labels",
    "condition": "condition number of W",
    "angle": "angle between two neurons (radians)",
    "error": "largest relative error of a neuron",
    "function_error": "relative error of the function on fresh rows",
    "residual": "residual relative to the labels",
    "success": "success (share, 95 % interval)",
    "exact": "network found (share, 95 % interval)",
    "seconds": "time of a fit (seconds)",
}


@dataclass(frozen=True)
class PlotSpec:
    """One plot; every name is a value, a time or an entry of the cell, as `tables.value_of` knows them.

    Attributes
    ----------
    kind : str
        "curve": medians of y with quartile bands, or success rates with 95 % intervals, against x. "dots": the same
        for words on x. "heatmap": success rates over x and y. "race": y against the time, a point a cell. "trace": y
        and x are lists, a line a cell.
    x, y : str
    series, panels : tuple of str
        What colours tell apart, what stands side by side.
    title, x_label, y_label : str
    log : tuple of str
        The axes on a logarithmic scale.
    rate : str
        What a heat map counts: "exact", the truth's word, or "success", the method's.
    names : dict
        How values are written: a series or panel value such as "symmetric/paper", or a word on the x axis.
    reference : dict
        "value" (a number of y) and "label" of a dashed line.
    """

    kind: str
    x: str
    y: str = "error"
    series: tuple[str, ...] = ("method",)
    panels: tuple[str, ...] = ()
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    log: tuple[str, ...] = ()
    rate: str = "exact"
    names: Mapping[str, str] = field(default_factory=dict)
    reference: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, table: Any, where: str = "plot") -> PlotSpec:
        """Check a table of a TOML file.

        Raises
        ------
        ValueError
            For unknown or missing keys and values of the wrong kind, with the nearest valid one.
        """
        if not isinstance(table, dict):
            raise ValueError(f"{where}: expected a table, got {table!r}")
        known = {item.name for item in fields(cls)}
        for name in table:
            if name not in known:
                raise ValueError(f"{where}.{name}: no such key; {_nearest(name, known)}")
        for name in ("kind", "x"):
            if name not in table:
                raise ValueError(f"{where}.{name}: missing")
        for name, value in table.items():
            wanted = list if name in ("series", "panels", "log") else dict if name in ("names", "reference") else str
            if not isinstance(value, wanted):
                raise ValueError(f"{where}.{name}: expected a {wanted.__name__}, got {value!r}")
        if table["kind"] not in KINDS:
            raise ValueError(f"{where}.kind: {table['kind']!r} is no plot; {_nearest(table['kind'], KINDS)}")
        if "reference" in table and not _is_number(table["reference"].get("value")):
            raise ValueError(f"{where}.reference: expected a number 'value', got {table['reference']!r}")
        if not all(isinstance(text, str) for text in table.get("names", {}).values()):
            raise ValueError(f"{where}.names: expected texts, got {table['names']!r}")
        if table.get("rate", RATES[0]) not in RATES:
            raise ValueError(f"{where}.rate: {table['rate']!r} is no rate; {_nearest(table['rate'], RATES)}")
        lists = {name: tuple(table[name]) for name in ("series", "panels", "log") if name in table}
        if not set(lists.get("log", ())) <= {"x", "y"}:
            raise ValueError(f'{where}.log: expected "x", "y" or both, got {table["log"]!r}')
        return cls(**{**table, **lists})

    def label(self, axis: str) -> str:
        """The text at an axis, with its unit."""
        given, name = (self.x_label, self.x) if axis == "x" else (self.y_label, self.y)
        return given or LABELS.get(name, name.replace("options.", "").replace("_", " "))

    def named(self, values: Mapping[str, Any], axes: Sequence[str]) -> str:
        """How a series or panel is written; of an option a cell does not have, nothing."""
        parts = [(name, values.get(name)) for name in axes if values.get(name) is not None]
        key = "/".join(format_value(value) for _, value in parts)
        if key in self.names:
            return self.names[key]
        written = [self.names.get(format_value(value), format_value(value)) for _, value in parts]
        words = [
            text if isinstance(value, str) and not name.startswith("options.") else f"{_short(name)} = {text}"
            for (name, value), text in zip(parts, written, strict=True)
        ]
        return ", ".join(words)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(sorted(known))}"


def _short(name: str) -> str:
    letter = LABELS.get(name, "").rpartition(" ")[2]
    return letter if len(letter) == 1 else name.removeprefix("options.").replace("_", " ")


@dataclass(frozen=True)
class Line:
    """A series in a panel: x, the middle and the ends of the band for each x, and how many cells stand behind."""

    label: str
    x: list[Any]
    middle: list[float]
    low: list[float]
    high: list[float]
    counts: list[int]


@dataclass(frozen=True)
class Panel:
    """Rows that stand in one frame."""

    title: str
    rows: list[Row]


def split_panels(spec: PlotSpec, rows: Iterable[Row]) -> list[Panel]:
    """Rows by what stands side by side; a heat map takes the series too."""
    axes = [*spec.panels, *(spec.series if spec.kind == "heatmap" else ())]
    groups: dict[str, list[Row]] = {}
    for group in grouped(rows, axes):
        groups.setdefault(spec.named(group.axes, axes), []).extend(group.rows + group.failed)
    return [Panel(title, groups[title]) for title in _as_named(spec, groups)]


def split_series(spec: PlotSpec, rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by what colours tell apart."""
    found: dict[str, list[Row]] = {}
    for group in grouped(rows, spec.series):
        found.setdefault(spec.named(group.axes, spec.series), []).extend(group.rows + group.failed)
    return {label: found[label] for label in _as_named(spec, found)}


def _as_named(spec: PlotSpec, labels: Iterable[str]) -> list[str]:
    """Labels in the order of the specification's names, then those it does not have."""
    wanted = list(spec.names.values())
    return sorted(labels, key=lambda label: wanted.index(label) if label in wanted else len(wanted))


def lines(spec: PlotSpec, rows: Iterable[Row]) -> list[Line]:
    """Medians and quartiles of y, or rates and their intervals, against x, for each series."""
    found = []
    for label, members in split_series(spec, rows).items():
        points: dict[Any, list[Row]] = {}
        for row in members:
            points.setdefault(_x_of(row, spec.x), []).append(row)
        x = sorted(points, key=order)
        bands = [band(points[place], spec.y) for place in x]
        counts = [len(points[place]) for place in x]
        middle, low, high = ([entry[i] for entry in bands] for i in range(3))
        found.append(Line(label, x, middle, low, high, counts))
    return found


def _x_of(row: Row, name: str) -> Any:
    """The place of a row on the x axis; what learners measure is rounded, so that rows of a cell share it."""
    value = row["cell"].get(name, row["values"].get(name))
    return float(f"{value:.6g}") if isinstance(value, float) else value


def band(rows: Sequence[Row], name: str) -> tuple[float, float, float]:
    """Middle, lower and upper end for the cells of one point; a cell that ended with an error is a failure."""
    if name in RATES:
        return rate(sum(bool(row["state"] == "done" and row["values"].get(name)) for row in rows), len(rows))
    values = [as_measure(value_of(row, name)) if row["state"] == "done" else math.inf for row in rows]
    return quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75)


def rate(succeeded: int, n: int) -> tuple[float, float, float]:
    """A success rate and the 95 % interval of Wilson."""
    if n == 0:
        return math.nan, math.nan, math.nan
    p, z = succeeded / n, 1.96
    centre, width = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return p, max(0.0, (centre - width) / scale), min(1.0, (centre + width) / scale)


def success_grid(spec: PlotSpec, rows: Sequence[Row]) -> tuple[list[Any], list[Any], dict[tuple[int, int], list[int]]]:
    """Places on both axes, and successes and trials for each pair (row, column) that has any."""
    xs = sorted({_x_of(row, spec.x) for row in rows}, key=order)
    ys = sorted({_x_of(row, spec.y) for row in rows}, key=order)
    counts: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        entry = counts.setdefault((ys.index(_x_of(row, spec.y)), xs.index(_x_of(row, spec.x))), [0, 0])
        entry[0] += bool(row["state"] == "done" and row["values"].get(spec.rate))
        entry[1] += 1
    return xs, ys, counts


def automatic(rows: Sequence[Row]) -> dict[str, PlotSpec]:
    """Plots for rows nobody wrote a specification for: error against size, success rates, time against error."""
    axes = varying_axes(rows)
    series = tuple(name for name in axes if name == "method" or name.startswith("options.")) or ("method",)
    others = [name for name in axes if name not in series]
    numeric = [name for name in others if all(_is_number(row["cell"].get(name)) for row in rows)]
    numeric.sort(key=lambda name: name != "n_samples")
    measure = measure_of(rows)
    plots: dict[str, PlotSpec] = {}
    if numeric and measure:
        panels = tuple(name for name in others if name != numeric[0])
        spec = PlotSpec("curve", numeric[0], measure, series, panels, _title(measure, numeric[0]))
        plots["error"] = replace(spec, log=_logarithmic(rows, numeric[0], measure))
    told = _rate_of(rows)
    if len(numeric) > 1 and told:
        panels = tuple(name for name in others if name not in numeric[:2])
        plots[told] = PlotSpec("heatmap", numeric[0], numeric[1], series, panels, LABELS[told], rate=told)
    elif numeric and told:
        panels = tuple(name for name in others if name != numeric[0])
        log = ("x",) if "x" in _logarithmic(rows, numeric[0], measure or "") else ()
        plots[told] = PlotSpec("curve", numeric[0], told, series, panels, LABELS[told], log=log)
    if measure and len({row["cell"].get("method") for row in rows}) > 1:
        plots["race"] = PlotSpec(
            "race", "seconds", measure, series, tuple(others[1:]), "Time against error", log=("x", "y")
        )
    return plots


def _rate_of(rows: Sequence[Row]) -> str | None:
    """What the truth says if all rows have it, else what methods say of themselves, if they do."""
    told = [{name for name in RATES if row["values"].get(name) is not None} for row in rows if row["state"] == "done"]
    if not told:
        return None
    everywhere = set.intersection(*told)
    return "exact" if "exact" in everywhere else "success" if any("success" in names for names in told) else None


def _title(measure: str, x: str) -> str:
    words = [name.replace("_", " ") for name in (measure, LABELS.get(x, x))]
    return f"{words[0].capitalize()} against {words[1].partition(' (')[0]}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _logarithmic(rows: Sequence[Row], x: str, y: str) -> tuple[str, ...]:
    places = [row["cell"][x] for row in rows]
    wide = min(places) > 0 and max(places) >= 8 * min(places)
    return ("x",) * wide + ("y",) * (y in MEASURES)
