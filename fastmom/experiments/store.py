"""Results on the disk: one JSON line for each finished cell, which a kill at any moment cannot lose.

A line is appended by one `write` and synced before it is acknowledged. Each worker has a file of its own,
``rows-*.jsonl`` in the folder of the sweep, and ``lock`` keeps a second sweep out. Where lines are damaged the others
still count.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastmom.experiments.cells import cell_key

Row = dict[str, Any]

_TEXTS, _DICTS = ("key", "state", "message", "version", "worker"), ("cell", "values", "seconds")
_PARTS: dict[str, Any] = {**dict.fromkeys(_TEXTS, str), **dict.fromkeys(_DICTS, dict), "finished": int | float}

DONE, FAILED = "done", "failed"
_LOCK_SECONDS = 5.0  # workers of a sweep that was killed need a moment to notice


@dataclass(frozen=True)
class Stored:
    """What a folder holds.

    Attributes
    ----------
    rows : list of dict
        The last row of each key; a cell once done stays done.
    damaged : list of str
        File, line and reason of every line that is no row: cut off, garbage, or of another cell than its key says.
    """

    rows: list[Row]
    damaged: list[str]


def read_rows(folder: str | os.PathLike[str]) -> list[Row]:
    """Rows of a sweep's folder, one of each cell: of the version of the code that ran it last.

    Lines that are damaged are skipped, with one warning.

    Returns
    -------
    list of dict
        Each with "key", "cell", "state" ("done" or "failed"), "message", "values", "seconds", "version", "worker" and
        "finished" (seconds since 1970).

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    stored = read_store(folder)
    if stored.damaged:
        more = f" and {len(stored.damaged) - 1} more lines" if len(stored.damaged) > 1 else ""
        warnings.warn(f"skipped what is no row: {stored.damaged[0]}{more}", RuntimeWarning, stacklevel=2)
    newest: dict[str, Row] = {}
    for row in sorted(stored.rows, key=lambda row: row["finished"]):
        newest[json.dumps(row["cell"], sort_keys=True)] = row
    return list(newest.values())


def read_store(folder: str | os.PathLike[str]) -> Stored:
    """Rows of a sweep's folder, and what in it is damaged.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    home = Path(folder)
    if not home.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder of a sweep", os.fsdecode(folder))
    rows: dict[str, Row] = {}
    damaged: list[str] = []
    for path in sorted(home.glob("rows-*.jsonl")):
        for row in rows_from(path, damaged=damaged):
            before = rows.get(row["key"])
            if before is None or before["state"] == FAILED or row["state"] == DONE:
                rows[row["key"]] = row
    return Stored(list(rows.values()), damaged)


def rows_from(path: Path, begin: int = 0, *, damaged: list[str] | None = None) -> Iterator[Row]:
    """Yield the rows of one file from a byte on, in order; what is no row goes to the list of what is damaged."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(begin)
        for number, line in enumerate(file, 1):
            try:
                if line.strip():
                    yield _row(line)
            except (ValueError, RecursionError) as error:
                if damaged is not None:
                    damaged.append(f"{path.name}:{number}: {error}")


def _row(line: bytes) -> Row:
    """Read a line, or raise ValueError."""
    try:
        row = json.loads(line)
    except ValueError:
        raise ValueError(f"is not JSON, cut off or overwritten ({len(line)} bytes)") from None
    if not isinstance(row, dict) or not all(isinstance(row.get(name), kind) for name, kind in _PARTS.items()):
        raise ValueError("is JSON, but no row of a sweep")
    if row["state"] not in (DONE, FAILED) or row["key"] != cell_key(row["cell"], row["version"]):
        raise ValueError("its key does not belong to its cell")
    return row


class Writer:
    """Appends rows to one file; each is on the disk when `append` returns.

    Raises
    ------
    OSError
        If the folder or the disk does not take it; what was written before is safe.
    """

    def __init__(self, folder: str | os.PathLike[str], worker: str) -> None:
        self._path = os.path.join(os.fsdecode(folder), f"rows-{worker}.jsonl")
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            _sync_folder(folder)
            size = os.fstat(self._file).st_size
            # After a line that was cut off the next one must not continue it.
            self._open_end = size > 0 and os.pread(self._file, 1, size - 1) != b"\n"
        except OSError as error:
            raise _refusal(error, self._path) from error

    def append(self, row: Row) -> None:
        """Write one row and wait until the disk has it."""
        line = json.dumps(row, allow_nan=False).encode() + b"\n"
        if self._open_end:
            line = b"\n" + line
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, before)
            raise _refusal(error, self._path) from error
        self._open_end = False

    def __enter__(self) -> Writer:
        """Give the writer itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the file."""
        os.close(self._file)


def _sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make the name of a new file as safe as its content will be."""
    home = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(home)
    finally:
        os.close(home)


def _refusal(error: OSError, path: str) -> OSError:
    return OSError(
        error.errno, f"cannot store results: {error.strerror}; what is stored is safe, run the same command again", path
    )


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[int]:
    """Keep other sweeps out of a folder; the descriptor holds the lock, for children that inherit it too.

    Raises
    ------
    BlockingIOError
        If another sweep runs there.
    """
    path = os.path.join(os.fsdecode(folder), "lock")
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _refusal(error, path) from error
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    what = "another sweep is running in this folder; wait for it, or choose another folder"
                    raise BlockingIOError(errno.EAGAIN, what, os.fsdecode(folder)) from None
                time.sleep(0.05)
        yield lock
    finally:
        os.close(lock)
