"""A progress line on a terminal, and nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar

_QUIET_SECONDS = 1.0
_REDRAW_SECONDS = 0.2


class ProgressLine:
    """One line on stderr, redrawn in place, that appears only when the work lasts."""

    def __init__(self) -> None:
        self._started = self._drawn = time.monotonic()
        self._visible = False

    def show(self, stage: str, done: int, total: int) -> None:
        """Draw the line unless it is too early or was drawn a moment ago."""
        now = time.monotonic()
        if now - self._started < _QUIET_SECONDS or now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        self._visible = True
        share = f" {100 * done // total}%" if total else ""
        print(f"\r\x1b[2K{stage}{share}  {now - self._started:.0f} s", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Wipe the line."""
        if self._visible:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
            self._visible = False


_current: ContextVar[ProgressLine | None] = ContextVar("fastmom_progress", default=None)


def report(stage: str, done: int = 0, total: int = 0) -> None:
    """Say how far a stage is; costs nothing unless a terminal is watching (`on_terminal`)."""
    line = _current.get()
    if line is not None:
        line.show(stage, done, total)


@contextlib.contextmanager
def on_terminal() -> Iterator[None]:
    """Draw the progress of everything inside, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    line = ProgressLine()
    token = _current.set(line)
    try:
        yield
    finally:
        _current.reset(token)
        line.clear()
