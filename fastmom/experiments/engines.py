"""How cells become rows: one after another here; `processes` and `clusters` do the same elsewhere.

An engine is a generator of rows, each yielded when the disk has it. A row depends on its cell alone: timings and the
worker's name apart, all engines give the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fastmom.experiments.all_trials import TRIALS
from fastmom.experiments.cells import Cell, cell_key, plain, streams
from fastmom.experiments.store import DONE, FAILED, Row, Writer
from fastmom.runtime.threads import single_blas_thread

BATCH_SECONDS = 0.3  # work that a worker is given ahead, so that it never waits, nor holds what others could do
_LARGEST_BATCH = 64
_MEMORY = 0.8


@dataclass(frozen=True)
class Work:
    """What every engine is told.

    Attributes
    ----------
    cells : list of dict
        What to run.
    code : str
        Version of the code that the rows name.
    folder : Path
        Where the rows go.
    lock : int
        Descriptor that keeps others out of the folder while any process holds it.
    stopped : callable
        Whether to begin no further cell.
    """

    cells: list[Cell]
    code: str
    folder: Path
    lock: int
    stopped: Callable[[], bool]


def run_here(work: Work) -> Iterator[Row]:
    """Run cell after cell in this process."""
    with Writer(work.folder, "0") as writer:
        for cell in work.cells:
            if work.stopped():
                return
            row = run_cell(cell, work.code, "0")
            writer.append(row)
            yield row


def run_cell(cell: Cell, code: str, worker: str) -> Row:
    """Run one cell; an error becomes a failed row with its message."""
    began = time.perf_counter()
    row, values = failed_row(cell, code, worker, ""), {}
    try:
        with single_blas_thread():  # whose number of threads changes the last bits
            values = TRIALS[cell["trial"]].run(cell, *streams(cell))
        row["state"] = DONE
    except Exception as error:
        row["message"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    elapsed = time.perf_counter() - began
    row["seconds"] = {"cell": elapsed, "total": elapsed, **plain(values.pop("seconds", {}))}
    return row | {"values": plain(values), "finished": round(time.time(), 3)}


def failed_row(cell: Cell, code: str, worker: str, message: str) -> Row:
    """The row of a cell that has no values."""
    row: Row = {"key": cell_key(cell, code), "cell": cell, "state": FAILED, "message": message, "values": {}}
    return row | {"seconds": {}, "version": code, "worker": worker, "finished": round(time.time(), 3)}


@dataclass
class Pace:
    """How long cells take of late, and so how many to hand over at once."""

    seconds: float = BATCH_SECONDS

    def saw(self, row: Row) -> None:
        """Take a row into account; a long cell is remembered for a while, as cells of a grid take turns."""
        self.seconds = max(row["seconds"].get("cell", 0.0), _MEMORY * self.seconds)

    @property
    def batch(self) -> int:
        """Cells that make up `BATCH_SECONDS`."""
        return max(1, min(_LARGEST_BATCH, int(BATCH_SECONDS / max(self.seconds, 1e-9))))
