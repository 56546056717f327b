"""What is acknowledged is on the disk; what is damaged is reported, and harms nothing else."""

import errno
import json
import os
import resource

import pytest

from fastmom.experiments import store
from fastmom.experiments.engines import failed_row
from fastmom.experiments.store import Writer, locked, read_rows, read_store, rows_from


def row(seed, state="done", version="1", finished=0.0, **values):
    cell = {"trial": "recovery", "seed": seed}
    return failed_row(cell, version, "0", "") | {"state": state, "values": values, "finished": finished}


@pytest.fixture
def writer(tmp_path):
    with Writer(tmp_path, "0") as writer:
        yield writer


def test_rows_come_back_as_they_were(tmp_path, writer):
    rows = [row(seed, error=0.1 * seed, name="\n\u2028 é") for seed in range(5)]
    for one in rows:
        writer.append(one)
    assert read_rows(tmp_path) == rows
    assert (tmp_path / "rows-0.jsonl").read_bytes().count(b"\n") == 5


def test_a_line_cut_at_any_byte_loses_only_itself(tmp_path, writer):
    for seed in range(3):
        writer.append(row(seed))
    path = tmp_path / "rows-0.jsonl"
    whole = path.read_bytes()
    begin = whole.rindex(b"\n", 0, -1) + 1
    for end in range(begin, len(whole)):
        path.write_bytes(whole[:end])
        stored = read_store(tmp_path)
        cut = end < len(whole) - 1  # without its line feed the last row is whole
        assert [r["cell"]["seed"] for r in stored.rows] == ([0, 1] if cut else [0, 1, 2])
        assert len(stored.damaged) == (begin < end < len(whole) - 1)


def test_the_next_row_does_not_continue_a_line_that_was_cut(tmp_path, writer):
    writer.append(row(0))
    path = tmp_path / "rows-0.jsonl"
    path.write_bytes(path.read_bytes() + b'{"key": "1234')
    with Writer(tmp_path, "0") as again:
        again.append(row(1))
    stored = read_store(tmp_path)
    assert [r["cell"]["seed"] for r in stored.rows] == [0, 1]
    assert stored.damaged == ["rows-0.jsonl:2: is not JSON, cut off or overwritten (14 bytes)"]


GARBAGE = {
    "zeros": b"\0" * 100,
    "bytes": bytes(range(128, 256)),
    "number": b"3",
    "other": b'{"key": "x"}',
    "deep": b"[" * 100_000,
    "blank": b"   ",
    "another cell": json.dumps(row(9) | {"cell": {"trial": "recovery", "seed": 8}}).encode(),
    "another type": json.dumps(row(9) | {"values": 3}).encode(),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_reported_and_skipped(tmp_path, writer, kind):
    writer.append(row(0))
    with (tmp_path / "rows-0.jsonl").open("ab") as file:
        file.write(GARBAGE[kind] + b"\n")
    writer.append(row(1))
    if kind == "blank":
        assert read_rows(tmp_path) == [row(0), row(1)]
        return
    with pytest.warns(RuntimeWarning, match=r"rows-0\.jsonl:2: "):
        assert read_rows(tmp_path) == [row(0), row(1)]


def test_the_last_state_of_a_key_wins_but_done_stays_done(tmp_path):
    with Writer(tmp_path, "0") as first, Writer(tmp_path, "1") as second:
        first.append(row(0, "done", error=1.0))
        second.append(row(0, "failed"))
        second.append(row(1, "failed", error=1.0))
        second.append(row(1, "failed", error=2.0))
    assert [(r["state"], r["values"]) for r in read_rows(tmp_path)] == [
        ("done", {"error": 1.0}),
        ("failed", {"error": 2.0}),
    ]


def test_a_cell_is_read_once_of_the_code_that_ran_it_last(tmp_path, writer):
    for one in (row(0, version="2", finished=5.0), row(0, version="1", finished=2.0), row(1, version="1")):
        writer.append(one)
    assert [(r["cell"]["seed"], r["version"]) for r in read_rows(tmp_path)] == [(1, "1"), (0, "2")]
    assert len(read_store(tmp_path).rows) == 3


def test_rows_may_be_read_from_a_byte_on(tmp_path, writer):
    writer.append(row(0))
    begin = (tmp_path / "rows-0.jsonl").stat().st_size
    writer.append(row(1))
    assert list(rows_from(tmp_path / "rows-0.jsonl", begin)) == [row(1)]
    assert list(rows_from(tmp_path / "rows-9.jsonl")) == []


def test_a_full_disk_is_a_clear_error_that_loses_nothing(tmp_path, writer):
    writer.append(row(0))
    size = (tmp_path / "rows-0.jsonl").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))  # the next write is cut short, as by a full disk
    try:
        with pytest.raises(OSError, match="cannot store results: No space left on device; what is stored is safe"):
            writer.append(row(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read_store(tmp_path) == store.Stored([row(0)], [])
    writer.append(row(1))
    assert read_store(tmp_path) == store.Stored([row(0), row(1)], [])


def test_a_write_that_fails_names_the_file(tmp_path, writer, monkeypatch):
    def full(*arguments):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot store results: Disk quota exceeded.*rows-0\.jsonl"):
        writer.append(row(0))
    assert read_rows(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch):
    opened = os.open

    def read_only(path, flags, *mode, **more):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *mode, **more)

    monkeypatch.setattr(store.os, "open", read_only)
    with pytest.raises(OSError, match=r"cannot store results: Read-only file system.*rows-0\.jsonl"):
        Writer(tmp_path, "0")
    with pytest.raises(OSError, match=r"cannot store results: Read-only file system.*lock"), locked(tmp_path):
        pass


def test_values_that_json_lacks_are_refused_before_they_are_written(tmp_path, writer):
    with pytest.raises(ValueError, match="JSON"):
        writer.append(row(0, error=float("nan")))
    assert read_rows(tmp_path) == []


def test_one_sweep_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    with locked(tmp_path):
        with pytest.raises(BlockingIOError, match="another sweep is running in this folder"), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder of a sweep"):
        read_rows(tmp_path / "nowhere")
