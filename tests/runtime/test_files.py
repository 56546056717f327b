"""A file is written whole or not at all, and read back bit for bit or refused in one sentence."""

import json
import os
import pickle
import stat
import zipfile

import numpy as np
import pytest

from fastmom.runtime import files
from fastmom.runtime.files import read_npz, write_npz

ARRAYS = {
    "weights": np.random.default_rng(0).standard_normal((3, 5)),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.zeros((0, 4)),
    "scalar": np.array(-0.0),
    "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
    "big_endian": np.arange(3, dtype=">i4"),
}
HEADER = {"kind": "thing", "version": 1, "note": "naïve", "numbers": (1, 0.1), "1": {"10": 1, "9": 2}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a file with späces"


@pytest.fixture
def saved(path):
    write_npz(path, ARRAYS, HEADER)
    return path


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[key].dtype == expected[key].dtype
        and found[key].shape == expected[key].shape
        and found[key].tobytes() == expected[key].tobytes()
        for key in expected
    )


def refused(path, **options):
    """The one sentence with which a file is refused."""
    with pytest.raises(ValueError) as caught:
        read_npz(path, kind="thing", **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def rewrite(path, change):
    """Change a valid file's header, leaving the rest."""
    with np.load(path) as entries:
        arrays = dict(entries)
    header = change(json.loads(arrays.pop("header").tobytes()))
    np.savez(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    os.replace(f"{path}.npz", path)


def test_what_is_written_is_read_back_bit_for_bit(saved):
    header, arrays = read_npz(saved, kind="thing")
    assert same(arrays, ARRAYS)
    assert header["format"] == "fastmom" and header["note"] == "naïve" and header["numbers"] == [1, 0.1]


def test_nothing_is_appended_to_the_name_and_nothing_is_left_behind(saved):
    assert os.listdir(saved.parent) == [saved.name]


def test_same_content_same_bytes(saved, tmp_path):
    write_npz(tmp_path / "again", ARRAYS, HEADER)
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_plain_numpy_reads_it(saved):
    with np.load(saved, allow_pickle=False) as entries:
        assert set(entries.files) == {*ARRAYS, "header"}


def test_text_paths_work_and_old_versions_are_read(saved):
    assert same(read_npz(str(saved), kind="thing", version=5)[1], ARRAYS)


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match="späces"):
        read_npz(path, kind="thing")


def test_every_truncation_is_refused(saved):
    whole = saved.read_bytes()
    for length in range(0, len(whole), 7):
        saved.write_bytes(whole[:length])
        refused(saved)


def test_every_bit_flip_is_refused_or_harmless(saved):
    whole = saved.read_bytes()
    refusals = 0
    for position in range(0, len(whole), 5):
        for bit in (1, 32, 128):
            damaged = bytearray(whole)
            damaged[position] ^= bit
            saved.write_bytes(damaged)
            try:
                header, arrays = read_npz(saved, kind="thing")
            except ValueError as error:
                assert str(error).startswith(f"{saved}: ")
                refusals += 1
            else:
                assert same(arrays, ARRAYS) and header["note"] == "naïve"
    assert refusals > len(whole) / 5


def test_a_change_that_the_archive_cannot_notice_is_noticed(saved):
    rewrite(saved, lambda header: {**header, "note": "changed"})
    assert "checksum" in refused(saved)


def test_exchanged_arrays_are_noticed(path):
    write_npz(path, {"a": np.zeros(2), "b": np.ones(2)}, HEADER)
    with np.load(path) as entries:
        a, b, header = entries["a"], entries["b"], entries["header"]
    with open(path, "wb") as stream:
        np.savez(stream, a=b, b=a, header=header)
    assert "checksum" in refused(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header: {**header, "version": 2}, "is of version 2"),
        (lambda header: {**header, "version": True}, "no valid format version"),
        (lambda header: {**header, "version": "1"}, "no valid format version"),
        (lambda header: {**header, "kind": "sketch"}, "holds a 'sketch', not a 'thing'"),
        (lambda header: {**header, "format": "other"}, "not one of fastmom"),
        (lambda header: [header], "not one of fastmom"),
        (lambda header: "fastmom", "not one of fastmom"),
    ],
)
def test_foreign_headers_are_refused(saved, change, words):
    rewrite(saved, change)
    assert words in refused(saved)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello world", "so it is not an .npz archive"),
        (pickle.dumps([1]), "so it is not an .npz archive"),
        (b"PK\x03\x04 but no archive", "cannot be read"),
    ],
)
def test_foreign_bytes_are_refused(path, content, words):
    path.write_bytes(content)
    assert words in refused(path)


def test_other_archives_are_refused(path):
    with open(path, "wb") as stream:
        np.savez(stream, X=np.zeros(3))
    assert "not one of fastmom" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(path)
    with zipfile.ZipFile(path, "w"):
        pass
    refused(path)


class Bomb:
    """Unpickling this would be noticed."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_no_pickle_is_ever_loaded(path):
    bomb = np.array([Bomb()], dtype=object)
    with open(path, "wb") as stream:
        np.savez(stream, header=bomb)
    assert "pickled" in refused(path)


def test_objects_are_never_written(path):
    with pytest.raises(ValueError, match=r"^bad: "):
        write_npz(path, {"bad": np.array([{}])}, HEADER)
    assert not path.exists()


@pytest.mark.parametrize(
    "header", [{**HEADER, "x": np.nan}, {**HEADER, "x": {1, 2}}, {"kind": "thing"}, {"version": 1}]
)
def test_unfit_headers_are_refused(path, header):
    with pytest.raises(ValueError, match=r"^header: "):
        write_npz(path, ARRAYS, header)


def test_the_header_name_is_taken(path):
    with pytest.raises(ValueError, match="'header' is taken"):
        write_npz(path, {"header": np.zeros(1)}, HEADER)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_a_failed_write_leaves_the_old_file(saved, monkeypatch, error):
    before = saved.read_bytes()

    def fail(*_):
        raise error

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(type(error)) as caught:
        write_npz(saved, {"other": np.ones(3)}, HEADER)
    assert saved.read_bytes() == before and os.listdir(saved.parent) == [saved.name]
    if isinstance(error, OSError):
        assert str(saved) in str(caught.value) and "No space left" in str(caught.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        write_npz(tmp_path / "absent" / "file", ARRAYS, HEADER)


def test_a_link_stays_a_link_and_the_umask_decides_who_reads(saved, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(saved)
    write_npz(link, ARRAYS, {**HEADER, "note": "new"})
    assert link.is_symlink() and read_npz(saved, kind="thing")[0]["note"] == "new"
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
