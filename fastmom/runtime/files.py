"""Files of arrays, whole or not at all: NumPy formats with a header and a checksum, never a pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]

_FORMAT = "fastmom"
_HEADER = "header"
_CHECKSUM = "sha256"


def write_npz(path: Path, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write arrays and a header to an `.npz` file, whole or not at all.

    The file is written beside its final place and renamed, so a crash leaves the old file or the new one.
    Nothing is appended to the name. The same content gives the same bytes.

    Parameters
    ----------
    path : path
        Where to write; an existing file is replaced.
    arrays : mapping of str to ndarray
        Any shapes and dtypes but object; the name "header" is taken.
    header : mapping
        JSON-ready, with "kind" (str) and "version" (int); "format" and a checksum are added.

    Raises
    ------
    ValueError
        For object arrays, the array name "header", and an unfit header.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastmom.runtime.files import read_npz, write_npz
    >>> path = os.path.join(tempfile.mkdtemp(), "grid.npz")
    >>> write_npz(path, {"knots": np.arange(3)}, {"kind": "grid", "version": 1})
    >>> header, arrays = read_npz(path, kind="grid")
    >>> arrays["knots"]
    array([0, 1, 2])
    """
    if _HEADER in arrays:
        raise ValueError(f"arrays: the name {_HEADER!r} is taken; choose another")
    plain = {name: np.asarray(array) for name, array in arrays.items()}
    if not {"kind", "version"} <= header.keys():
        raise ValueError("header: must hold 'kind' and 'version'")
    full = json.loads(_json({**header, "format": _FORMAT}))
    full[_CHECKSUM] = _checksum(plain, full)
    write_archive(path, {_HEADER: np.frombuffer(_json(full), dtype=np.uint8), **plain})


def read_npz(path: Path, *, kind: str, version: int = 1) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read a file that `write_npz` wrote.

    Parameters
    ----------
    path : path
        The file.
    kind : str
        The kind it must have.
    version : int
        The newest version of that kind the caller can read.

    Returns
    -------
    header : dict
        As written, with "format" and "sha256".
    arrays : dict of str to ndarray
        As written, bit for bit.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, of another format or kind, from a newer version, or holds pickled objects.

    Examples
    --------
    >>> from fastmom.runtime.files import read_npz
    >>> read_npz("no_such_file.npz", kind="network")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no_such_file.npz'
    """
    with opened(path, b"PK", "an .npz archive") as stream, decoding(path), zipfile.ZipFile(stream) as archive:
        if archive.testzip() is not None:
            raise zipfile.BadZipFile("a stored checksum does not match")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as entries:
            arrays = dict(entries)
    header = _checked_header(path, arrays.pop(_HEADER, np.empty(0)), kind, version)
    if header.get(_CHECKSUM) != _checksum(arrays, header):
        raise refusal(path, "does not match its checksum; the file is damaged, restore or save it again")
    return header, arrays


@contextlib.contextmanager
def opened(path: Path, magic: bytes, expected: str) -> Iterator[BinaryIO]:
    """Open a file whose first bytes say that it is of the expected format."""
    with open(file_name(path), "rb") as stream:
        start = stream.read(len(magic))
        if start != magic:
            found = f"starts with {start!r}" if start else "is empty"
            raise refusal(path, f"{found}, so it is not {expected}; pass {expected}")
        stream.seek(0)
        yield stream


@contextlib.contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder makes of damaged bytes, a dozen different exceptions, into one sentence."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            problem = "holds pickled Python objects, which are never loaded; save plain numeric arrays"
        else:
            detail = " ".join(str(error).split()) or type(error).__name__
            problem = f"cannot be read ({detail}); it is damaged or incomplete, restore or save it again"
        raise refusal(path, problem) from error


def _checked_header(path: Path, text: Array, kind: str, version: int) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(text.tobytes())
        ours = header["format"] == _FORMAT
    except (ValueError, TypeError, LookupError, RecursionError):
        ours = False
    if not ours:
        raise refusal(path, f"is an .npz archive but not one of {_FORMAT}; pass a file that {_FORMAT} saved")
    if header.get("kind") != kind:
        raise refusal(path, f"holds a {header.get('kind')!r}, not a {kind!r}; pass a file with a {kind!r}")
    found = header.get("version")
    if type(found) is not int or found < 1:
        raise refusal(path, f"has no valid format version, got {found!r}; save it again")
    if found > version:
        raise refusal(path, f"is of version {found}, newer than the known {version}; upgrade {_FORMAT}")
    return header


def file_name(path: Path) -> str:
    """Return the path as text; a number would open, and close, a file descriptor."""
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise TypeError(f"path: expected the name of a file, got {type(path).__name__}") from None
    if "\0" in name:
        raise ValueError(f"path: {name!r} holds a zero byte, which no file name can; pass another")
    return name


def refusal(path: Path, problem: str) -> ValueError:
    """Return the error that names the file and what to do."""
    return ValueError(f"{os.fsdecode(path)}: {problem}")


def _checksum(arrays: Mapping[str, Array], header: Mapping[str, Any]) -> str:
    """SHA-256 of the header and of each array's name, dtype, shape and bytes."""
    digest = hashlib.sha256(_json({key: value for key, value in header.items() if key != _CHECKSUM}))
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(_json([name, str(array.dtype.descr), array.shape]))
        digest.update(array.tobytes())
    return digest.hexdigest()


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"header: cannot be written as JSON ({error})") from None


def write_archive(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays to an `.npz`; unlike `numpy.savez`, the same arrays give the same bytes."""
    for name, array in arrays.items():
        require_plain(name, array)
    with replacing(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def require_plain(name: str, array: Array) -> None:
    """Refuse an array that only a pickle could hold."""
    if array.dtype.hasobject:
        raise ValueError(f"{name}: holds Python objects, which are never saved; convert it to numbers")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary file in the same folder, which takes the path's place once it is on the disk."""
    target = os.path.realpath(file_name(path))
    temporary = os.path.join(os.path.dirname(target), f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise OSError(error.errno, f"cannot write: {error.strerror}", os.fsdecode(path)) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
