"""A line on a terminal while work lasts, wiped when it ends; elsewhere nothing, or a line of JSON a minute."""

import json
import os
import pty
from types import SimpleNamespace

import pytest

from fastmom.runtime import progress
from fastmom.runtime.progress import counting, on_terminal, report

WIPE = "\r\x1b[2K"


class Clock:
    """Time that passes when told."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress, "time", self)

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def terminal(monkeypatch):
    """Stderr as a pseudo-terminal; calling it returns what was shown since."""
    outer, inner = pty.openpty()
    with os.fdopen(inner, "w") as stream:

        def shown():
            print("\0", end="", file=stream, flush=True)  # the kernel takes its time: read up to here
            text = b""
            while not text.endswith(b"\0"):
                text += os.read(outer, 10_000)
            return text[:-1].decode()

        monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
        yield shown
    os.close(outer)


def test_a_line_appears_when_work_lasts_and_is_wiped_at_the_end(clock, terminal):
    with on_terminal():
        clock.now += 2
        report("verifying", 30, 100)
        assert terminal() == f"{WIPE}verifying 30%  2 s"
        clock.now += 1
        report("searching")
        assert terminal() == f"{WIPE}searching  3 s"
    assert terminal() == WIPE


def test_short_work_shows_nothing(clock, terminal):
    with on_terminal():
        clock.now += 0.9
        report("verifying", 1, 2)
    assert terminal() == ""


def test_the_line_is_redrawn_a_few_times_a_second_at_most(clock, terminal):
    with on_terminal():
        clock.now += 2
        for done in range(1000):
            clock.now += 0.001
            report("verifying", done, 1000)
        assert terminal().count(WIPE) == 5


def test_an_error_wipes_the_line(clock, terminal):
    with pytest.raises(KeyboardInterrupt), on_terminal():
        clock.now += 2
        report("verifying", 1, 2)
        raise KeyboardInterrupt
    assert terminal().endswith(WIPE)


def test_without_a_terminal_nothing_is_shown(clock, capsys):
    with on_terminal():
        clock.now += 100
        report("verifying", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_library_call_shows_nothing_on_a_terminal(clock, terminal):
    clock.now += 100
    report("verifying", 1, 2)
    assert terminal() == ""


def test_after_the_work_reports_show_nothing(clock, terminal):
    with on_terminal():
        pass
    clock.now += 100
    report("verifying", 1, 2)
    assert terminal() == ""


def test_counted_work_shows_what_is_done_failed_and_left(clock, terminal):
    with counting("threshold", 2000, done=1000, failed=1) as counter:
        for i in range(40):
            clock.now += 0.25
            counter.count(failed=i == 3)
        assert terminal().endswith(f"{WIPE}threshold  1,040 of 2,000, 2 failed, 4.0 a second, 4 min 0 s left")
    assert terminal() == WIPE


def test_slow_work_is_counted_by_the_minute(clock, terminal):
    with counting("slow", 1000) as counter:
        clock.now += 30
        counter.count(failed=False)
        assert terminal() == f"{WIPE}slow  1 of 1,000, 0 failed, 2.0 a minute, 8 h 19 min left"


def test_a_log_gets_a_line_of_json_a_minute(clock, capsys):
    with counting("threshold", 1000) as counter:
        for _ in range(240):
            clock.now += 0.5
            counter.count(failed=False)
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in err.splitlines()]
    assert out == "" and [line["done"] for line in lines] == [120, 240]
    assert lines[1] == {
        "name": "threshold",
        "done": 240,
        "total": 1000,
        "failed": 0,
        "per_second": 2.0,
        "seconds_left": 380,
    }


def test_short_counted_work_leaves_no_trace(clock, capsys):
    with counting("quick", 3) as counter:
        for _ in range(3):
            counter.count(failed=False)
    assert capsys.readouterr() == ("", "")
