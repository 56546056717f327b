"""A progress line on a terminal; elsewhere nothing, or for work of hours a line of JSON a minute."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar

_QUIET_SECONDS = 1.0
_REDRAW_SECONDS = 0.2
_JSON_SECONDS = 60.0


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


class Counter:
    """Counts what is done of many independent pieces, and says so on stderr.

    On a terminal one line is redrawn in place; elsewhere one JSON object is printed a minute, for whoever reads logs.
    """

    def __init__(self, name: str, total: int, done: int, failed: int) -> None:
        self._name, self._total, self._done, self._failed = name, total, done, failed
        self._first, self._began = done, time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._said = self._began
        self._visible = False

    def count(self, failed: bool) -> None:
        """One more piece is done, or has failed."""
        self._done += 1
        self._failed += failed
        now = time.monotonic()
        if now - self._said >= (_REDRAW_SECONDS if self._terminal else _JSON_SECONDS):
            self._said = now
            self._say(now - self._began)

    def _say(self, elapsed: float) -> None:
        rate = (self._done - self._first) / elapsed
        left = (self._total - self._done) / rate
        if not self._terminal:
            counts = {"name": self._name, "done": self._done, "total": self._total, "failed": self._failed}
            line = {**counts, "per_second": round(rate, 3), "seconds_left": round(left)}
            print(json.dumps(line), file=sys.stderr, flush=True)
            return
        self._visible = True
        speed = f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"
        text = f"{self._name}  {self._done:,} of {self._total:,}, {self._failed:,} failed, {speed}, {_clock(left)} left"
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Wipe the line."""
        if self._visible:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
            self._visible = False


@contextlib.contextmanager
def counting(name: str, total: int, done: int = 0, failed: int = 0) -> Iterator[Counter]:
    """Count pieces of work, of which some are done already."""
    counter = Counter(name, total, done, failed)
    try:
        yield counter
    finally:
        counter.clear()


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds, as far as they matter."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
