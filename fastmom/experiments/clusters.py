"""Cells on a dask cluster: one that is started here, or one that runs already.

Workers send their rows back, and this process stores them: the machines of a cluster need no common file system.
"""

from __future__ import annotations

import contextlib
import importlib
import queue
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any

from fastmom.experiments.cells import Cell, code_version
from fastmom.experiments.engines import Pace, Work, failed_row, run_cell
from fastmom.experiments.processes import ONE_THREAD
from fastmom.experiments.store import Row, Writer

PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.2


def run_on_cluster(work: Work, jobs: int, address: str | None) -> Iterator[Row]:
    """Run cells on so many new local workers, or on those of the scheduler at an address.

    A cell whose worker dies runs once more, then counts as failed.

    Raises
    ------
    ModuleNotFoundError
        Without dask.
    """
    try:
        dask, distributed = importlib.import_module("dask"), importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("engine='dask' needs dask: pip install 'fastmom[dask]'") from error
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        if address is not None:
            with distributed.Client(address, set_as_default=False) as client:
                yield from _Cluster(work, client).rows()
            return
        with _deaf_to_interrupts():
            cluster = distributed.LocalCluster(
                n_workers=jobs, threads_per_worker=1, dashboard_address=None, env=ONE_THREAD
            )
        with cluster, distributed.Client(cluster, set_as_default=False) as client:
            yield from _Cluster(work, client).rows()


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Threads and processes that begin inside, and those that they begin, never see Ctrl-C: it is for the sweep."""
    resource_tracker.ensure_running()  # would hear it again if it began inside
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Cluster:
    """Batches of cells under way; a batch is a future and its cells."""

    def __init__(self, work: Work, client: Any) -> None:
        self._work, self._client = work, client
        self._waiting = deque(work.cells)
        self._alone: deque[Cell] = deque()  # of a batch that cost workers their lives: one of them did it
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._batches: dict[str, tuple[Any, list[Cell]]] = {}
        self._pace = Pace()
        self._alive = time.monotonic()

    def rows(self) -> Iterator[Row]:
        """Yield rows as they are stored."""
        with Writer(self._work.folder, "cluster") as writer:
            while True:
                self._submit()
                if not self._batches:
                    return
                try:
                    future = self._finished.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    self._require_workers()
                    continue
                _, cells = self._batches.pop(future.key)
                for row in self._received(future, cells):
                    writer.append(row)
                    yield row

    def _require_workers(self) -> None:
        """Give a cluster some time without workers, but not for ever."""
        if self._client.nthreads():
            self._alive = time.monotonic()
        elif time.monotonic() - self._alive > PATIENCE_SECONDS:
            raise ChildProcessError(f"the cluster has had no workers for {PATIENCE_SECONDS:.0f} s; start some")

    def _submit(self) -> None:
        if self._work.stopped():
            return
        lanes = max(1, sum(self._client.nthreads().values()))
        ahead = 2 * lanes if self._pace.batch > 1 else lanes
        while (self._waiting or self._alone) and len(self._batches) < ahead:
            if self._alone:
                cells = [self._alone.popleft()]
            else:
                n = min(self._pace.batch, -(-len(self._waiting) // lanes))
                cells = [self._waiting.popleft() for _ in range(n)]
            future = self._client.submit(_run_batch, cells, self._work.code, pure=False)
            self._batches[future.key] = future, cells
            future.add_done_callback(self._finished.put)

    def _received(self, future: Any, cells: list[Cell]) -> list[Row]:
        """Rows of a batch that has ended, however it did."""
        from distributed import KilledWorker

        error = future.exception() if future.status == "error" else None
        if isinstance(error, KilledWorker):
            if len(cells) > 1:
                self._alone.extend(cells)
                return []
            return [failed_row(cells[0], self._work.code, "sweep", "its worker died, twice")]
        rows: list[Row] = future.result()
        for row in rows:
            self._pace.saw(row)
        return rows


def _run_batch(cells: list[Cell], code: str) -> list[Row]:
    """Run cells on a worker of the cluster."""
    if code_version() != code:
        raise RuntimeError(f"workers of the cluster run fastmom {code_version()}, this is {code}; install the same")
    from distributed import get_worker

    name = f"{socket.gethostname()}-{get_worker().name}"
    return [run_cell(cell, code, name) for cell in cells]
