"""Samples, inputs and labels in the plain NumPy files that other programs read and write."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.runtime.files import Path, decoding, opened, refusal, replacing, require_plain, write_archive

Array = npt.NDArray[Any]


def write_samples(path: Path, X: npt.ArrayLike, Y: npt.ArrayLike) -> None:
    """Write samples as a plain `.npz` with arrays X and Y, whole or not at all.

    Nothing is appended to the name; an existing file is replaced.

    Raises
    ------
    ValueError
        For object arrays.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastmom.runtime.samples import read_samples, write_samples
    >>> path = os.path.join(tempfile.mkdtemp(), "samples.npz")
    >>> write_samples(path, [[1.0, 2.0]], [[3.0]])
    >>> X, Y = read_samples(path)
    """
    write_archive(path, {"X": np.asarray(X), "Y": np.asarray(Y)})


def read_samples(path: Path) -> tuple[Array, Array]:
    """Read the arrays X and Y of an `.npz` file, whatever else it holds.

    Returns
    -------
    X, Y : ndarray
        As stored.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, not an `.npz`, lacks X or Y, or holds pickled objects there.

    Examples
    --------
    >>> from fastmom.runtime.samples import read_samples
    >>> read_samples("no_such_file.npz")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no_such_file.npz'
    """
    X, Y = _read_entries(path, ("X", "Y"))
    return X, Y


def read_inputs(path: Path) -> Array:
    """Read inputs: the array X of an `.npz` file, or a whole `.npy` file, mapped into memory.

    Returns
    -------
    ndarray
        As stored.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, of another format, lacks X, or holds pickled objects there.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastmom.runtime.samples import read_inputs, write_array
    >>> path = os.path.join(tempfile.mkdtemp(), "inputs.npy")
    >>> write_array(path, [[1.0, 2.0]])
    >>> read_inputs(path).shape
    (1, 2)
    """
    with open(path, "rb") as stream:
        archive = stream.read(2) == b"PK"
    return _read_entries(path, ("X",))[0] if archive else read_array(path)


def _read_entries(path: Path, names: tuple[str, ...]) -> list[Array]:
    """Read the named arrays of an `.npz` file."""
    with opened(path, b"PK", "an .npz archive") as stream:
        with decoding(path), np.load(stream, allow_pickle=False) as entries:
            found = list(entries.files)
            if set(names) <= set(found):
                return [entries[name] for name in names]
    missing = " and ".join(name for name in names if name not in found)
    held = ", ".join(found) or "nothing"
    wanted = ", ".join(f"{name}={'inputs' if name == 'X' else 'labels'}" for name in names)
    raise refusal(path, f"has no {missing}, only {held}; save it with numpy.savez(path, {wanted})")


def write_array(path: Path, array: npt.ArrayLike) -> None:
    """Write one array as a `.npy` file, whole or not at all.

    Nothing is appended to the name; an existing file is replaced.

    Raises
    ------
    ValueError
        For object arrays.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastmom.runtime.samples import read_array, write_array
    >>> path = os.path.join(tempfile.mkdtemp(), "labels.npy")
    >>> write_array(path, [[1.0], [2.0]])
    >>> read_array(path).shape
    (2, 1)
    """
    values = np.asarray(array)
    require_plain("array", values)
    with replacing(path) as stream:
        np.lib.format.write_array(stream, values, allow_pickle=False)


def read_array(path: Path) -> Array:
    """Map a `.npy` file into memory, read-only.

    Returns
    -------
    ndarray
        Rows are read from the disk when they are used.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, not a `.npy`, or holds pickled objects.

    Examples
    --------
    >>> from fastmom.runtime.samples import read_array
    >>> read_array("no_such_file.npy")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no_such_file.npy'
    """
    with opened(path, b"\x93NUMPY", "a .npy array"):
        pass
    with decoding(path):
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
