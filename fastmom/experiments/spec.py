"""Sweeps as TOML files: which cells to run, checked before the first one does.

::

    name = "threshold"

    [grid]                       # lists, crossed
    method = ["rectified", "symmetric"]
    n_samples = [50, 100, 200]
    seed = { start = 0, count = 100 }

    [fixed]                      # one value each
    n_inputs = 20
    n_hidden = 4
    n_outputs = 4
    options.bias = true          # of the methods of the grid

    [rivals]                     # further methods, learners or rivals, on the same data, with their own options
    lbfgs_student = { starts = 10 }

    [plots.threshold]            # what `fastmom report` draws, see `fastmom.experiments.plot_data.PlotSpec`
    kind = "curve"
    x = "n_samples"
    y = "success"

The top-level ``kind``, "recovery" unless given, names the trial, which says what a cell may have
(`fastmom.experiments.trials`). A table ``quick`` is for `fastmom reproduce`: entries that replace those of
``[grid]``, ``[fixed]`` and ``[rivals]`` in its small form.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from fastmom.experiments.all_trials import TRIALS, Trial
from fastmom.experiments.cells import OPTION, Cell, crossed, is_of_method
from fastmom.experiments.plot_data import PlotSpec
from fastmom.experiments.toml_text import line_of, read_toml
from fastmom.runtime.validation import as_choice, as_count

_TABLES = ("grid", "fixed", "rivals", "plots", "quick")
_TEXTS = ("name", "title", "text", "kind")
_MOST_CELLS = 1_000_000


@dataclass(frozen=True)
class Spec:
    """A sweep.

    Attributes
    ----------
    name, title, text : str
        For people; the name is that of the file unless given.
    kind : str
        Which trial, a key of `TRIALS`.
    cells : tuple of dict
        Every cell once, complete with defaults and with ``trial``, the kind; by seeds first, so that a sweep that is
        stopped has tried everything.
    grid, fixed, rivals : dict
        As written, tables flattened: ``options.variant`` is one name.
    source : str
        The TOML.
    plots : dict
        What `fastmom report` draws of the results, by name.
    """

    name: str
    title: str
    text: str
    kind: str
    cells: tuple[Cell, ...] = field(repr=False)
    grid: dict[str, list[Any]]
    fixed: dict[str, Any]
    rivals: dict[str, dict[str, Any]]
    source: str = field(repr=False)
    plots: dict[str, PlotSpec] = field(repr=False, default_factory=dict)


def read_spec(path: str | os.PathLike[str]) -> Spec:
    """Read and check a spec from a file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        See `parse_spec`; the message begins with the file's name.
    """
    try:
        source = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{os.fsdecode(path)}: is not UTF-8 text; pass a TOML file") from None
    return parse_spec(source, os.fsdecode(path))


def parse_spec(source: str, file: str = "spec.toml") -> Spec:
    r"""Check a spec and list its cells.

    Parameters
    ----------
    source : str
        TOML.
    file : str
        What error messages call it.

    Returns
    -------
    Spec

    Raises
    ------
    ValueError
        For an unknown key, a value that cannot be, or cells that nothing can run: with the file, the line, the key,
        and the nearest valid one.

    Examples
    --------
    >>> from fastmom.experiments.spec import parse_spec
    >>> spec = parse_spec('''
    ... [grid]
    ... n_samples = [50, 100]
    ... seed = { start = 0, count = 10 }
    ... [fixed]
    ... n_inputs = 5
    ... n_hidden = 2
    ... n_outputs = 2
    ... [rivals]
    ... lbfgs_student = { starts = 3 }
    ... ''')
    >>> len(spec.cells)
    40
    >>> parse_spec("[grid]\nn_sample = [50]")
    Traceback (most recent call last):
    ValueError: spec.toml:2: [grid] n_sample: no such entry; did you mean 'n_samples'?
    """
    try:
        content = read_toml(source)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return _Reader(source, file, content).spec()


class _Reader:
    """One spec on its way from TOML to cells, and where in the file its errors are."""

    def __init__(self, source: str, file: str, content: dict[str, Any]) -> None:
        self._source, self._file, self._content = source, file, content

    def spec(self) -> Spec:
        self._check_top()
        texts = {name: self._content.get(name, "") for name in _TEXTS}
        kind = texts["kind"] or "recovery"
        try:
            trial = TRIALS[as_choice(kind, "kind", TRIALS)]
        except ValueError as error:
            self._refuse((), "kind", str(error).partition(": ")[2])
        fixed, grid = self._table("fixed"), self._table("grid")
        self._check_names(trial, grid, fixed)
        self._check_values(grid, fixed)
        if "seed" in grid:
            grid = {"seed": self._seeds(grid.pop("seed")), **grid}  # the slowest to change
        rivals = self._rivals(trial)
        cells = self._cells(trial, kind, grid, fixed, rivals)
        name = texts["name"] or Path(self._file).stem
        return Spec(name, texts["title"], texts["text"], kind, cells, grid, fixed, rivals, self._source, self._plots())

    def _plots(self) -> dict[str, PlotSpec]:
        plots = {}
        for name, table in self._content.get("plots", {}).items():
            try:
                plots[name] = PlotSpec.read(table, name)
            except ValueError as error:
                where, _, what = str(error).partition(": ")
                self._refuse(("plots", name), where.rpartition(".")[2], what)
        return plots

    def _check_top(self) -> None:
        for name, value in self._content.items():
            if name not in (*_TABLES, *_TEXTS):
                self._refuse((), name, _unknown(name, (*_TABLES, *_TEXTS)))
            expected = dict if name in _TABLES else str
            if not isinstance(value, expected):
                self._refuse((), name, "expected a table" if expected is dict else f"expected a text, got {value!r}")

    def _table(self, table: str) -> dict[str, Any]:
        """The entries of a table; tables within it become names with dots, but for the range of seeds."""

        def flat(content: dict[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
            for name, value in content.items():
                if isinstance(value, dict) and prefix + name != "seed":
                    yield from flat(value, f"{prefix}{name}.")
                else:
                    yield prefix + name, value

        return dict(flat(self._content.get(table, {}), ""))

    def _check_names(self, trial: Trial, grid: dict[str, Any], fixed: dict[str, Any]) -> None:
        for table, entries in (("grid", grid), ("fixed", fixed)):
            for name in entries:
                if name not in trial.keys and not (trial.takes_options and name.startswith(OPTION)):
                    self._refuse((table,), name, _unknown(name, tuple(trial.keys)))
        for name in grid:
            if name in fixed:
                self._refuse(("fixed",), name, "stands in [grid] too; keep one of them")

    def _check_values(self, grid: dict[str, Any], fixed: dict[str, Any]) -> None:
        for name, value in fixed.items():
            if isinstance(value, list | dict):
                self._refuse(("fixed",), name, "expected one value; lists, and ranges of seeds, belong in [grid]")
        for name, values in grid.items():
            if isinstance(values, dict):
                continue
            if not isinstance(values, list):
                self._refuse(("grid",), name, f"expected a list; write [{values!r}], or move it to [fixed]")
            if not values:
                self._refuse(("grid",), name, "the list is empty, so there would be no cell; give it a value")
            for i, value in enumerate(values):
                if value in values[:i]:
                    self._refuse(("grid",), name, f"{value!r} stands twice; every cell runs once")

    def _seeds(self, given: Any) -> list[int]:
        """Seeds of a list, or of ``{start = 0, count = 100}``."""
        if not isinstance(given, dict):
            return given
        for name in given:
            if name not in ("start", "count"):
                self._refuse(("grid",), "seed", f"{name}: {_unknown(name, ('start', 'count'))}")
        if "count" not in given:
            self._refuse(("grid",), "seed", "count: is missing; write seed = { start = 0, count = 100 }")
        try:
            start = as_count(given.get("start", 0), "start", minimum=0)
            return list(range(start, start + as_count(given["count"], "count")))
        except (ValueError, TypeError) as error:
            self._refuse(("grid",), "seed", str(error))

    def _rivals(self, trial: Trial) -> dict[str, dict[str, Any]]:
        rivals = self._content.get("rivals", {})
        for name, options in rivals.items():
            if not trial.takes_options:
                self._refuse(("rivals",), name, "this kind of trial compares no methods; remove [rivals]")
            if not isinstance(options, dict):
                self._refuse(("rivals",), name, f"expected a table of options, such as {name} = {{}}")
            for option, value in options.items():
                if isinstance(value, list | dict):
                    self._refuse(("rivals", name), option, "expected one value")
        return rivals

    def _cells(
        self, trial: Trial, kind: str, grid: dict[str, list[Any]], fixed: dict[str, Any], rivals: dict[str, Any]
    ) -> tuple[Cell, ...]:
        """Grid times fixed, then the rivals on each of its problems; each distinct cell is checked for one seed."""
        problem = {name: values for name, values in grid.items() if not is_of_method(name)}
        wanted = math.prod(map(len, grid.values())) + len(rivals) * math.prod(map(len, problem.values()))
        if wanted > _MOST_CELLS:
            raise ValueError(f"{self._file}: {wanted:,} cells, more than {_MOST_CELLS:,}; split the sweep")
        given = [fixed | varied for varied in crossed(grid)]
        for name, options in rivals.items():
            shared = {key: value for key, value in fixed.items() if not is_of_method(key)}
            own = {"method": name} | {OPTION + option: value for option, value in options.items()}
            given += [shared | varied | own for varied in crossed(problem)]
        if rivals and "seed" in grid:
            order = {value: i for i, value in enumerate(grid["seed"])}
            given.sort(key=lambda cell: order[cell["seed"]])
        cells: list[Cell] = []
        checked: set[str] = set()
        for cell in given:
            try:
                complete = trial.complete(cell)
                form = repr({**complete, "seed": None})
                if form not in checked:
                    trial.check(complete)
                    checked.add(form)
            except (ValueError, TypeError) as error:
                self._refuse_cell(cell, str(error), rivals)
            cells.append({"trial": kind, **complete})
        return self._once(cells)

    def _once(self, cells: list[Cell]) -> tuple[Cell, ...]:
        """Refuse the same cell twice: of the grid and a rival."""
        seen: set[str] = set()
        for cell in cells:
            form = repr(sorted(cell.items()))
            if form in seen:
                self._refuse(("rivals",), cell["method"], "the grid has the same cell; remove one of them")
            seen.add(form)
        return tuple(cells)

    def _refuse_cell(self, cell: Cell, error: str, rivals: dict[str, Any]) -> NoReturn:
        """Say where in the file the entry is that an error names."""
        name, _, what = error.partition(": ")
        method = cell.get("method")
        if method in rivals and is_of_method(name):
            option = name.removeprefix(OPTION)
            if option in rivals[method]:
                self._refuse(("rivals", method), option, what)
            self._refuse(("rivals",), str(method), what)
        for table in ("grid", "fixed"):
            if line_of(self._source, table, *name.split(".")) is not None:
                self._refuse((table,), name, what)
        raise ValueError(f"{self._file}: {error}")

    def _refuse(self, tables: tuple[str, ...], name: str, what: str) -> NoReturn:
        line = line_of(self._source, *tables, *(name.split(".") if tables[:1] != ("rivals",) else [name]))
        place = self._file if line is None else f"{self._file}:{line}"
        header = f"[{'.'.join(tables)}] " if tables else ""
        raise ValueError(f"{place}: {header}{name}: {what}")


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"no such entry; did you mean {near[0]!r}?" if near else f"no such entry; there are {', '.join(known)}"
