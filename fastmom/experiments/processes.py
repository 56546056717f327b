"""Cells in worker processes of this machine.

Each worker computes with one thread, writes its own file, and is started afresh if it dies; the cell that it died in
runs once more, then counts as failed. Workers hold the lock of the folder, so that no other sweep begins before the
last of them has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from typing import IO, Any, cast

from fastmom.experiments.cells import Cell, cell_key
from fastmom.experiments.engines import Pace, Work, failed_row
from fastmom.experiments.store import Row, Writer, rows_from

ONE_THREAD = {name: "1" for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
_MAIN = (  # modules are found where this process finds them
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from fastmom.experiments.worker import main; sys.exit(main(*sys.argv[1:]))"
)
_POLL_SECONDS = 0.2
_STARTS = 3  # workers in a row that may die before they are ready
_PATIENCE_SECONDS = 10.0  # for a worker to end whose stdin has


def run_in_processes(work: Work, jobs: int) -> Iterator[Row]:
    """Run cells in so many processes.

    Raises
    ------
    OSError
        If a worker cannot store its rows.
    ChildProcessError
        If workers do not start.
    """
    with _Pool(work, jobs) as pool:
        yield from pool.rows()


class _Worker:
    """One process, and the cells it was given and has not answered; it works on the first of them."""

    def __init__(self, work: Work, name: str) -> None:
        self.name, self.pending, self.ready, self.pace, self.told_to_drop = name, deque[Cell](), False, Pace(), False
        self._path = work.folder / f"rows-{name}.jsonl"
        self._begin = self._path.stat().st_size if self._path.exists() else 0
        self._errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, str(work.folder), name, work.code, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env={**os.environ, **ONE_THREAD},
            pass_fds=(work.lock,),
            start_new_session=True,  # Ctrl-C is for the sweep, which lets workers finish
        )
        self._stdin = cast(IO[bytes], self.process.stdin)
        self.stdout = cast(IO[bytes], self.process.stdout)
        self._unread = b""

    def give(self, cells: list[Cell]) -> None:
        """Hand cells over; a worker that has just died is noticed when it is read."""
        self.pending.extend(cells)
        self._say("".join(json.dumps(cell) + "\n" for cell in cells))

    def drop(self) -> None:
        """Let it forget the cells that it has not begun; it answers when it has."""
        self.told_to_drop = True
        self._say("null\n")

    def _say(self, words: str) -> None:
        text = words.encode()
        with contextlib.suppress(BrokenPipeError):
            while text:
                text = text[self._stdin.write(text) :]

    def answers(self) -> list[Any] | None:
        """What it has said since; None if it has ended."""
        data = self.stdout.read(1 << 16)
        if not data:
            return None
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def stored(self) -> dict[str, Row]:
        """Rows that it stored, by key: it may have died between storing one and saying so."""
        return {row["key"]: row for row in rows_from(self._path, self._begin)}

    def end(self) -> str:
        """Wait for the end, by force if need be, and say how it came."""
        with self.process, self._errors:
            self._stdin.close()
            try:
                code = self.process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                code = self.process.wait()
            self._errors.seek(0)
            words = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return ": ".join([how, *words])


class _Pool:
    """Workers, the cells that wait, and those that have cost a worker its life."""

    def __init__(self, work: Work, jobs: int) -> None:
        self._work = work
        self._waiting = deque(work.cells)
        self._fatal: set[str] = set()
        self._stillborn = 0
        self._workers: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._names = [str(i) for i in range(min(jobs, len(self._waiting)))]

    def __enter__(self) -> _Pool:
        try:
            for name in self._names:
                self._start(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers.values():
            if worker.pending:  # abandoned in the middle of a cell
                worker.process.kill()
        for worker in self._workers.values():
            worker.end()
        self._workers.clear()
        self._selector.close()

    def _start(self, name: str) -> None:
        worker = _Worker(self._work, name)
        file = worker.stdout.fileno()
        self._workers[file] = worker
        self._selector.register(file, selectors.EVENT_READ)

    def rows(self) -> Iterator[Row]:
        """Yield rows as they are stored, until no cell is left or the sweep is stopped and its workers are done."""
        while True:
            for worker in self._workers.values():
                self._feed(worker)
            if not any(worker.pending for worker in self._workers.values()):
                return
            for event, _ in self._selector.select(_POLL_SECONDS):
                worker = self._workers[event.fd]
                answers = worker.answers()
                if answers is None:
                    yield from self._bury(event.fd)
                else:
                    yield from self._heard(worker, answers)

    def _feed(self, worker: _Worker) -> None:
        if self._work.stopped():
            if len(worker.pending) > 1 and not worker.told_to_drop:
                worker.drop()
            return
        room = worker.pace.batch - len(worker.pending)
        if 2 * room > len(worker.pending):  # few large batches rather than many small ones
            share = -(-len(self._waiting) // len(self._workers))  # the last cells are for all
            worker.give([self._waiting.popleft() for _ in range(min(room, share))])

    def _heard(self, worker: _Worker, answers: list[Any]) -> Iterator[Row]:
        for answer in answers:
            if "ready" in answer:
                worker.ready = True
            elif "refused" in answer:
                raise OSError(*answer["refused"])
            elif "dropped" in answer:
                worker.pending.clear()
            else:
                worker.pending.popleft()
                worker.pace.saw(answer)
                yield answer

    def _bury(self, file: int) -> Iterator[Row]:
        """A worker died: give its cells to others, and the one it died in a second and last chance."""
        self._selector.unregister(file)
        worker = self._workers.pop(file)
        how = worker.end()
        self._stillborn = 0 if worker.ready else self._stillborn + 1
        if self._stillborn == _STARTS:
            raise ChildProcessError(f"workers do not start: the last of {_STARTS} {how}; jobs=1 needs none")
        stored = worker.stored()
        while worker.pending and cell_key(worker.pending[0], self._work.code) in stored:
            yield stored[cell_key(worker.pending.popleft(), self._work.code)]
        if worker.pending and worker.ready:
            first = worker.pending.popleft()
            key = cell_key(first, self._work.code)
            if key in self._fatal:
                yield self._failed(first, f"its worker {how}, twice")
            else:
                self._fatal.add(key)
                worker.pending.appendleft(first)
        self._waiting.extendleft(reversed(worker.pending))
        if not self._work.stopped():
            self._start(worker.name)

    def _failed(self, cell: Cell, message: str) -> Row:
        row = failed_row(cell, self._work.code, "sweep", message)
        with Writer(self._work.folder, "sweep") as writer:
            writer.append(row)
        return row
