"""Pictures of a sweep, by matplotlib: an optional extra, imported when a picture is drawn, without global state."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastmom.experiments import plot_data
from fastmom.experiments.optional import optional
from fastmom.experiments.plot_data import Panel, PlotSpec
from fastmom.experiments.tables import RATES, Row, as_measure, format_value, value_of

Axes = Any  # matplotlib's, which is there with the extra only
Figure = Any

# Okabe and Ito: told apart by colour-blind readers; yellow, too pale on white, is left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = "os^Dv<>"
ROUND_OFF = 1e-16  # smaller errors are drawn here: an exact zero has no place on a logarithmic axis
STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.hashsalt": "fastmom",  # the same rows give the same file
}
NO_ANSWER = "no answer"  # in the legend, beside a cross
LETTERS = 14  # of a legend that fit in an inch
WORDS = 60  # letters that fit below an axis
PER_ROW = 4  # panels side by side


def save_plots(plots: dict[str, PlotSpec], rows: Sequence[Row], folder: str | os.PathLike[str]) -> list[Path]:
    """Draw each plot and save it as PNG and SVG.

    Parameters
    ----------
    plots : dict of PlotSpec
        By the name of the file.
    rows : sequence of dict
        Rows of a store.
    folder : path
        Made unless it exists.

    Returns
    -------
    list of Path
        The files, in order.

    Raises
    ------
    ValueError
        Without matplotlib, or for a plot that these rows cannot fill.
    """
    style = matplotlib().rc_context
    Path(folder).mkdir(parents=True, exist_ok=True)
    files = []
    for name, spec in plots.items():
        with style(STYLE):
            figure = draw(spec, rows)
            for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
                files.append(Path(folder) / f"{name}.{ending}")
                figure.savefig(files[-1], dpi=110, metadata=metadata)
    return files


def save_small(picture: Path, target: Path) -> None:
    """Copy a PNG with few colours, which is what a page needs."""
    image = optional("PIL.Image", "plots", "'fastmom[plots]'")  # comes with matplotlib
    with image.open(picture) as opened:
        opened.convert("RGB").quantize(96).save(target, optimize=True)


def matplotlib(module: str = "") -> Any:
    """The package or one of its modules, or an error that says how to get it."""
    return optional(f"matplotlib{module}", "plots", "'fastmom[plots]'")


def draw(spec: PlotSpec, rows: Sequence[Row]) -> Figure:
    """Draw one plot; the caller chooses the style."""
    panels = plot_data.split_panels(spec, rows)
    if not panels:
        raise ValueError(f"plot {spec.title!r}: there are no finished cells to show")
    columns = len(panels) if len(panels) <= PER_ROW else min(PER_ROW, math.ceil(len(panels) / 2))
    n_rows = math.ceil(len(panels) / columns)
    width = 6.4 if columns == 1 else min(3.3 * columns + 0.6, 11.5)
    figure = matplotlib(".figure").Figure(figsize=(width, 0.75 + 3.2 * n_rows), layout="constrained")
    frames = figure.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False)
    labels = list(plot_data.split_series(spec, rows)) if spec.kind != "heatmap" else []
    looks = {label: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(labels)}
    for i, frame in enumerate(frames.flat):
        if i >= len(panels):
            frame.set_visible(False)
            continue
        _scales(frame, spec)
        _DRAW[spec.kind](frame, spec, panels[i], looks)
        frame.set_title(panels[i].title)
        last = i + columns >= len(panels)
        frame.set_xlabel(spec.label("x") if last else "")
        frame.set_ylabel(spec.label("y") if i % columns == 0 else "")
        frame.tick_params(labelbottom=last)
    _limits(spec, panels, frames.flat[0])
    _legend(figure, frames)
    figure.suptitle(spec.title, fontsize=11, fontweight="bold")
    return figure


def _legend(figure: Figure, frames: Any) -> None:
    handles: dict[str, Any] = {}
    for frame in frames.flat:
        found, names = frame.get_legend_handles_labels()
        handles |= dict(zip(names, found, strict=True))
    if NO_ANSWER in handles:
        handles[NO_ANSWER] = handles.pop(NO_ANSWER)  # last, and of no series' colour
    if len(handles) > 1:
        letters = 6 + max(map(len, handles))  # of an entry, its line included
        columns = max(1, min(len(handles), int(LETTERS * figure.get_figwidth() / letters)))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def _scales(frame: Axes, spec: PlotSpec) -> None:
    if "x" in spec.log and spec.kind != "heatmap":
        frame.set_xscale("log")
    if "y" in spec.log and spec.kind != "heatmap":
        frame.set_yscale("log")
    if spec.kind != "heatmap" and spec.y in RATES:
        frame.set_ylim(-0.04, 1.04)
    if spec.reference:
        label = spec.reference.get("label")
        frame.axhline(spec.reference["value"], color="#555555", linewidth=1, linestyle=(0, (5, 3)), label=label)


def _limits(spec: PlotSpec, panels: Sequence[Panel], frame: Axes) -> None:
    """Limits of y that hold what is finite: bands without an upper end leave the frame."""
    if spec.kind not in ("curve", "dots") or spec.y in RATES:
        return
    found = [line for panel in panels for line in plot_data.lines(spec, panel.rows)]
    ends = [value for line in found for value in _seen([*line.low, *line.middle, *line.high], spec)]
    ends = [value for value in [*ends, spec.reference.get("value", math.nan)] if math.isfinite(value)]
    if ends and "y" in spec.log:
        frame.set_ylim(min(ends) / 2, max(ends) * 2)
    elif ends:
        margin = 0.06 * (max(ends) - min(ends) or 1.0)
        frame.set_ylim(min(ends) - margin, max(ends) + margin)


def _curve(frame: Axes, spec: PlotSpec, panel: Panel, looks: dict[str, tuple[str, str]]) -> None:
    for line in plot_data.lines(spec, panel.rows):
        colour, marker = looks[line.label]
        low, middle, high = (_seen(values, spec) for values in (line.low, line.middle, line.high))
        frame.plot(line.x, middle, color=colour, marker=marker, label=line.label)
        if spec.y in RATES:  # intervals of few trials are wide: as bands they would hide each other
            frame.vlines(line.x, low, high, color=colour, alpha=0.35, linewidth=2.5)
        else:
            frame.fill_between(line.x, low, _capped(high, spec), color=colour, alpha=0.16, linewidth=0)
        _no_answer(frame, line.x, line.middle, colour)
    if "x" in spec.log:
        _plain_ticks(frame, sorted({x for line in plot_data.lines(spec, panel.rows) for x in line.x}))


def _plain_ticks(frame: Axes, places: list[float]) -> None:
    """Ticks where the points are, if these are few: a reader wants 310, not 10^2.5."""
    ticker = matplotlib(".ticker")
    if len(places) <= 7:
        frame.xaxis.set_major_locator(ticker.FixedLocator(places))
        frame.xaxis.set_major_formatter(ticker.FixedFormatter([_compact(place) for place in places]))
        frame.xaxis.set_minor_locator(ticker.NullLocator())


def _compact(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e4 else f"{value:g}"


def _dots(frame: Axes, spec: PlotSpec, panel: Panel, looks: dict[str, tuple[str, str]]) -> None:
    lines = plot_data.lines(spec, panel.rows)
    places = list(dict.fromkeys(x for line in lines for x in line.x))
    words = [format_value(x) for x in places]
    wanted = list(spec.names)
    places = [p for _, p in sorted(zip(words, places, strict=True), key=lambda w: _rank(w[0], wanted))]
    beside = len(lines) if spec.series != (spec.x,) else 1
    for i, line in enumerate(lines):
        colour, marker = looks[line.label]
        x = [places.index(place) + 0.6 * ((i % beside + 0.5) / beside - 0.5) for place in line.x]
        middle = _seen(line.middle, spec)
        ends = [_seen(line.low, spec), _capped(_seen(line.high, spec), spec)]
        frame.vlines(x, *ends, color=colour, linewidth=1.4, alpha=0.6)
        frame.plot(x, middle, color=colour, marker=marker, linestyle="none", label=line.label)
        _no_answer(frame, x, line.middle, colour)
    names = [spec.names.get(format_value(place), format_value(place)) for place in places]
    rotated = (
        {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 60 / len(names) else {}
    )
    frame.set_xticks(range(len(places)), names, **rotated)
    frame.set_xlim(-0.5, len(places) - 0.5)
    frame.grid(axis="x", visible=False)


def _rank(word: str, wanted: list[str]) -> tuple[int, str]:
    return (wanted.index(word), "") if word in wanted else (len(wanted), "")


def _heatmap(frame: Axes, spec: PlotSpec, panel: Panel, looks: dict[str, tuple[str, str]]) -> None:
    xs, ys, counts = plot_data.success_grid(spec, panel.rows)
    rates = [[math.nan] * len(xs) for _ in ys]
    for (row, column), (succeeded, n) in counts.items():
        rates[row][column] = succeeded / n
    frame.imshow(rates, cmap="viridis", vmin=0, vmax=1, origin="lower", aspect="auto")
    for (row, column), (succeeded, n) in counts.items():
        ink = "black" if succeeded > 0.6 * n else "white"
        frame.text(column, row, f"{succeeded}/{n}", ha="center", va="center", color=ink, fontsize=8)
    frame.set_xticks(range(len(xs)), [format_value(x) for x in xs])
    frame.set_yticks(range(len(ys)), [format_value(y) for y in ys])
    frame.grid(visible=False)


def _race(frame: Axes, spec: PlotSpec, panel: Panel, looks: dict[str, tuple[str, str]]) -> None:
    for label, rows in plot_data.split_series(spec, panel.rows).items():
        colour, marker = looks[label]
        done = [row for row in rows if row["state"] == "done"]
        x = [as_measure(value_of(row, spec.x)) for row in done]
        y = _seen([as_measure(value_of(row, spec.y)) for row in done], spec)
        frame.plot(x, y, color=colour, marker=marker, linestyle="none", alpha=0.55, markeredgewidth=0, label=label)
        _no_answer(frame, x, [as_measure(value_of(row, spec.y)) for row in done], colour)


def _trace(frame: Axes, spec: PlotSpec, panel: Panel, looks: dict[str, tuple[str, str]]) -> None:
    for label, rows in plot_data.split_series(spec, panel.rows).items():
        for i, row in enumerate(row for row in rows if row["state"] == "done"):
            x, y = row["values"][spec.x], _seen([as_measure(value) for value in row["values"][spec.y]], spec)
            look = {"color": looks[label][0], "linewidth": 1.1, "marker": looks[label][1] if len(x) == 1 else None}
            frame.plot(x, y, alpha=0.75, label=label if i == 0 else None, **look)


def _no_answer(frame: Axes, x: Sequence[float], values: Sequence[float], colour: str) -> None:
    """Crosses at the upper edge where there is nothing to measure."""
    missing = [place for place, value in zip(x, values, strict=True) if math.isinf(value)]
    if missing:
        edge = frame.get_xaxis_transform()
        style = {"color": colour, "marker": "x", "linestyle": "none", "transform": edge, "clip_on": False}
        frame.plot(missing, [1.0] * len(missing), label=NO_ANSWER, **style)


def _seen(values: Sequence[float], spec: PlotSpec) -> list[float]:
    """What an axis can show: no infinities, on a logarithmic axis nothing below round-off."""
    floor = ROUND_OFF if "y" in spec.log else -math.inf
    return [max(value, floor) if math.isfinite(value) else math.nan for value in values]


def _capped(values: Sequence[float], spec: PlotSpec) -> list[float]:
    """Upper ends of bands: one that is infinite leaves the frame at the top."""
    top = 1e30
    return [top if math.isnan(value) else value for value in values]


_DRAW: dict[str, Callable[[Axes, PlotSpec, Panel, dict[str, tuple[str, str]]], None]] = {
    "curve": _curve,
    "dots": _dots,
    "heatmap": _heatmap,
    "race": _race,
    "trace": _trace,
}
