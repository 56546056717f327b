"""How cells become rows: one after another here; `processes` and `clusters` do the same elsewhere."""

from __future__ import annotations

import time
from typing import Any

from fastmom.experiments.all_trials import TRIALS
from fastmom.experiments.cells import Cell, cell_key, plain, streams
from fastmom.experiments.store import DONE, FAILED, Row


def run_cell(cell: Cell, code: str, worker: str) -> Row:
    """Run one cell; an error becomes a failed row with its message."""
    row: Row = {"key": cell_key(cell, code), "cell": cell, "state": DONE, "message": "", "values": {}}
    began = time.perf_counter()
    try:
        values: dict[str, Any] = TRIALS[cell["trial"]].run(cell, *streams(cell))
        seconds = values.pop("seconds", {})
        row["values"] = plain(values)
        row["seconds"] = {"cell": time.perf_counter() - began, "total": time.perf_counter() - began, **plain(seconds)}
    except Exception as error:
        row = failed_row(cell, code, worker, f"{type(error).__name__}: {' '.join(str(error).split())}")
        row["seconds"] = {"cell": time.perf_counter() - began}
    return {**row, "version": code, "worker": worker}


def failed_row(cell: Cell, code: str, worker: str, message: str) -> Row:
    """The row of a cell that has no values."""
    row = {"key": cell_key(cell, code), "cell": cell, "state": FAILED, "message": message, "values": {}}
    return {**row, "seconds": {}, "version": code, "worker": worker}
