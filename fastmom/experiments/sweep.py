"""Run the cells of a spec that a folder has no rows of yet."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastmom.experiments.cells import cell_key, code_version
from fastmom.experiments.clusters import run_on_cluster
from fastmom.experiments.engines import Work, run_here
from fastmom.experiments.processes import run_in_processes
from fastmom.experiments.spec import Spec
from fastmom.experiments.store import DONE, FAILED, Row, locked, read_store
from fastmom.runtime.files import replacing
from fastmom.runtime.progress import counting
from fastmom.runtime.validation import as_choice, as_count

ENGINES = ("local", "dask")


@dataclass(frozen=True)
class Summary:
    """What a sweep did, and what its folder holds now.

    Attributes
    ----------
    n_cells : int
        Cells of the spec.
    n_run : int
        Those that ran now; the others were in the folder, or are left.
    n_done, n_failed : int
        Done and failed ones in the folder.
    interrupted : bool
        Whether it was stopped before the last cell.
    failures : tuple of str
        The messages of failed cells, each once.
    damaged : tuple of str
        Lines of the folder that are no rows, which does not matter: their cells ran again.
    """

    n_cells: int
    n_run: int
    n_done: int
    n_failed: int
    interrupted: bool
    failures: tuple[str, ...]
    damaged: tuple[str, ...]

    @property
    def n_left(self) -> int:
        """Cells that have neither been done nor failed."""
        return self.n_cells - self.n_done - self.n_failed


def run_sweep(
    spec: Spec,
    folder: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    engine: str = "local",
    address: str | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Run the cells of a spec that a folder has no rows of yet, and store their rows there.

    Ctrl-C, or SIGTERM, lets the running cells finish; a second one abandons them. A kill at any moment loses no stored
    row: the same call goes on with what is missing. Rows that another version of the code made stay, and do not count.

    Parameters
    ----------
    spec : Spec
        See `fastmom.experiments.spec.read_spec`.
    folder : path
        Made if it is not there.
    jobs : int, optional
        Processes, one thread each, as many as there are processors unless given; with 1, cells run in this one.
    engine : {"local", "dask"}
        Processes of this machine, or dask workers; the rows are the same.
    address : str, optional
        Of a dask scheduler that runs; workers are started on this machine unless given.
    retry_failed : bool
        Run failed cells again.

    Returns
    -------
    Summary

    Raises
    ------
    OSError
        If the folder cannot be written, or another sweep is running in it.
    ValueError, TypeError
        For engines that do not exist, and numbers of jobs that are none.

    Examples
    --------
    >>> import tempfile
    >>> from fastmom.experiments.spec import parse_spec
    >>> from fastmom.experiments.sweep import run_sweep
    >>> spec = parse_spec('''
    ... [grid]
    ... n_samples = [50, 100]
    ... [fixed]
    ... n_inputs = 5
    ... n_hidden = 2
    ... n_outputs = 2
    ... ''')
    >>> folder = tempfile.mkdtemp()
    >>> run_sweep(spec, folder, jobs=1).n_done
    2
    >>> run_sweep(spec, folder, jobs=1).n_run
    0
    """
    as_choice(engine, "engine", ENGINES)
    if address is not None and engine != "dask":
        raise ValueError("address: only engine='dask' has one")
    count = len(os.sched_getaffinity(0)) if jobs is None else as_count(jobs, "jobs")
    home, code = _made(folder), code_version()
    with locked(home) as lock, _stop_on_interrupt() as stopped:
        keys = {cell_key(cell, code): cell for cell in spec.cells}
        stored = read_store(home)
        known = {row["key"]: row for row in stored.rows if row["key"] in keys}
        if retry_failed:
            known = {key: row for key, row in known.items() if row["state"] == DONE}
        with replacing(home / "spec.toml") as file:
            file.write(spec.source.encode())
        work = Work([cell for key, cell in keys.items() if key not in known], code, home, lock, stopped)
        n_known = len(known)
        failed = {key for key, row in known.items() if row["state"] == FAILED}
        with (
            contextlib.closing(_engine(work, count, engine, address)) as rows,
            counting(spec.name, len(keys), n_known, len(failed)) as counter,
        ):
            for row in rows:
                known[row["key"]] = row
                counter.count(row["state"] == FAILED)
        return _summary(len(keys), n_known, list(known.values()), stored.damaged)


def stored_already(spec: Spec, folder: str | os.PathLike[str]) -> int:
    """Cells of a spec that a folder has rows of, whether done or failed."""
    if not Path(folder).is_dir():
        return 0
    code = code_version()
    return len({row["key"] for row in read_store(folder).rows} & {cell_key(cell, code) for cell in spec.cells})


def _made(folder: str | os.PathLike[str]) -> Path:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"cannot make this folder: {error.strerror}", os.fsdecode(folder)) from error
    return Path(folder)


def _engine(work: Work, jobs: int, engine: str, address: str | None) -> Generator[Row, None, None]:
    if not work.cells:
        return
    if engine == "dask":
        yield from run_on_cluster(work, jobs, address)
    else:
        yield from run_here(work) if jobs == 1 else run_in_processes(work, jobs)


def _summary(n_cells: int, n_known: int, rows: list[Row], damaged: list[str]) -> Summary:
    failed = [row["message"] for row in rows if row["state"] == FAILED]
    messages = tuple(dict.fromkeys(failed))
    n_run = len(rows) - n_known
    return Summary(n_cells, n_run, len(rows) - len(failed), len(failed), len(rows) < n_cells, messages, tuple(damaged))


@contextlib.contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM asked to stop; the second time it is a KeyboardInterrupt at once."""
    asked = threading.Event()

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        print("\nfinishing the running cells; once more to abandon them", file=sys.stderr, flush=True)

    if threading.current_thread() is not threading.main_thread():  # signals are not ours to handle
        yield asked.is_set
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
