"""Samples are read from plain NumPy files, whatever wrote them, or refused in one sentence."""

import io
import pickle

import numpy as np
import pytest

from fastmom.runtime.samples import read_array, read_inputs, read_samples, write_array, write_samples

X = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
Y = np.arange(50)
READERS = [read_samples, read_inputs, read_array]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a file with späces"


def same(found, expected):
    return (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


def test_samples_are_read_back_bit_for_bit_under_the_name_given(path):
    write_samples(path, X, Y)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    found_X, found_Y = read_samples(path)
    assert same(found_X, X) and same(found_Y, Y) and same(read_inputs(path), X)


def test_other_arrays_in_the_file_are_ignored(path):
    with open(path, "wb") as stream:
        np.savez_compressed(stream, X=X, Y=Y, names=np.array([{}], dtype=object))
    assert same(read_samples(path)[0], X) and same(read_samples(path)[1], Y)


def test_one_array_is_mapped_and_read_only(path):
    write_array(path, X)
    for found in (read_array(path), read_inputs(path)):
        assert isinstance(found, np.memmap) and not found.flags.writeable and same(found, X)


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_is_named(reader, path):
    with pytest.raises(FileNotFoundError, match="späces"):
        reader(path)


def test_samples_without_labels_are_refused_with_the_names_found(path):
    with open(path, "wb") as stream:
        np.savez(stream, X=X, labels=Y)
    with pytest.raises(ValueError, match=r"has no Y, only X, labels; save it with numpy\.savez"):
        read_samples(path)
    assert same(read_inputs(path), X)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [b"", b"hello world", pickle.dumps([1]), b"PK\x03\x04 but no archive"])
def test_foreign_bytes_are_refused(reader, content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="späces: "):
        reader(path)


class Bomb:
    """Unpickling this would be noticed."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_no_pickle_is_ever_loaded(path):
    bomb = np.array([Bomb()], dtype=object)
    with open(path, "wb") as stream:
        np.savez(stream, X=bomb, Y=bomb)
    for reader in (read_samples, read_inputs):
        with pytest.raises(ValueError, match="pickled"):
            reader(path)
    with open(path, "wb") as stream:
        np.save(stream, bomb, allow_pickle=True)
    for reader in (read_array, read_inputs):
        with pytest.raises(ValueError, match="pickled"):
            reader(path)


def test_objects_are_never_written(path):
    with pytest.raises(ValueError, match=r"^Y: "):
        write_samples(path, [[1.0]], [None])
    with pytest.raises(ValueError, match=r"^array: "):
        write_array(path, [None])
    assert not path.exists()


def test_every_truncation_of_an_archive_is_refused(path):
    write_samples(path, X, Y)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="späces: "):
            read_samples(path)


def test_every_truncation_of_an_array_is_refused(path):
    buffer = io.BytesIO()
    np.save(buffer, X)
    for length in range(0, len(buffer.getvalue()), 7):
        path.write_bytes(buffer.getvalue()[:length])
        with pytest.raises(ValueError, match="späces: "):
            read_array(path)
