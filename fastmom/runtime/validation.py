"""Checks at the door: kernels have no bounds checks, so what passes here is memory safe."""

from __future__ import annotations

import difflib
import math
import operator
import secrets
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SCAN_BYTES = 1 << 20
_LARGEST = 1e150  # beyond it squares overflow


def as_matrix(X: Any, name: str = "X") -> Array:
    """Read a 2-D matrix of real numbers without copying it.

    Arrays and memory maps of any layout, byte order and real dtype are returned as they are: they become
    float64 block by block, later. Everything else goes through `numpy.asarray`.

    Parameters
    ----------
    X : array_like (n, d)
        What the caller passed.
    name : str
        What the caller's argument is called.

    Returns
    -------
    ndarray (n, d)
        Of dtype bool, integer or floating; the same object if X was such an array.

    Raises
    ------
    ValueError
        For a wrong number of dimensions, no rows or columns, rows of unequal length, masked entries.
    TypeError
        For entries that are not real numbers, and for sparse matrices.

    Examples
    --------
    >>> from fastmom.runtime.validation import as_matrix
    >>> as_matrix([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    array = as_real_array(X, name)
    if array.ndim == 1:
        raise ValueError(
            f"{name}: expected 2-D (rows, columns), got 1-D of length {array.shape[0]}; "
            f"use {name}.reshape(-1, 1) for one column or {name}.reshape(1, -1) for one row"
        )
    return _nonempty_matrix(array, name)


def as_labels(Y: Any, n_rows: int, name: str = "Y") -> Array:
    """Read labels, one row for each row of the inputs.

    Parameters
    ----------
    Y : array_like (n, m) or (n,)
        1-D means one output.
    n_rows, name : int, str
        Rows of the inputs; what the caller's argument is called.

    Returns
    -------
    ndarray (n, m)
        Not copied if Y was an array.

    Raises
    ------
    ValueError, TypeError
        As `as_matrix`, and ValueError for a different number of rows than the inputs.

    Examples
    --------
    >>> from fastmom.runtime.validation import as_labels
    >>> as_labels([1.0, 2.0, 3.0], 3).shape
    (3, 1)
    """
    array = as_real_array(Y, name)
    array = _nonempty_matrix(array[:, np.newaxis] if array.ndim == 1 else array, name)
    if array.shape[0] != n_rows:
        raise ValueError(f"{name}: has {array.shape[0]} rows, the inputs {n_rows}; pass one row for each")
    return array


def require_finite(array: Array, name: str, first_row: int = 0) -> None:
    """Refuse NaN, infinities, and magnitudes above 1e150, whose squares overflow.

    The scan makes no temporary copy.

    Parameters
    ----------
    array : ndarray
        Real array, 1-D or 2-D.
    name : str
        What the caller's argument is called.
    first_row : int
        Row number of the array's first row, when the array is a block of more rows.

    Raises
    ------
    ValueError
        Naming the first such entry in row order.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.runtime.validation import require_finite
    >>> require_finite(np.array([[0.0, 1.0], [np.nan, 2.0]]), "X")
    Traceback (most recent call last):
    ValueError: X[1, 0] is nan; drop or fill the rows that hold NaN or infinities first
    """
    if array.dtype.kind != "f" or array.size == 0:
        return
    step = max(1, _SCAN_BYTES // max(1, array.itemsize * math.prod(array.shape[1:])))
    for start in range(0, array.shape[0], step):
        block = array[start : start + step]
        with np.errstate(invalid="ignore"):
            in_range = float(block.min()) >= -_LARGEST and float(block.max()) <= _LARGEST
        if not in_range:
            raise _offending_entry(block, name, first_row + start)


def require_visible(array: Array, name: str) -> None:
    """Refuse a column whose entries are so small that their squares underflow; a column of zeros is fine.

    Parameters
    ----------
    array : ndarray (n, d)
        Finite real numbers.
    name : str
        What the caller's argument is called.

    Raises
    ------
    ValueError
        Naming the column and its largest entry.
    """
    largest = np.zeros(array.shape[1])
    step = max(1, _SCAN_BYTES // max(1, 8 * array.shape[1]))
    for first in range(0, array.shape[0], step):
        block = np.asarray(array[first : first + step], dtype=np.float64)
        np.maximum(largest, np.abs(block).max(axis=0), out=largest)
    tiny = np.flatnonzero((largest > 0) & (largest < 1.0 / _LARGEST))
    if len(tiny):
        column = int(tiny[0])
        raise ValueError(
            f"{name}: no entry of column {column} exceeds {largest[column]:.3g} in size, so squares underflow; "
            "rescale the column, or set it to zero"
        )


def as_count(value: Any, name: str, minimum: int = 1) -> int:
    """Read a whole number of at least `minimum`.

    Raises
    ------
    TypeError
        For anything but an integer (True and 3.0 included).
    ValueError
        Below the minimum.

    Examples
    --------
    >>> from fastmom.runtime.validation import as_count
    >>> as_count(8, "n_hidden")
    8
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r} ({type(value).__name__})") from None
    if count < minimum:
        raise ValueError(f"{name}: expected at least {minimum}, got {count}")
    return count


def as_number(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Read a finite real number in the closed interval [low, high].

    Raises
    ------
    TypeError
        For anything but a real number (True and "1" included).
    ValueError
        For NaN, infinities, and numbers outside the interval.

    Examples
    --------
    >>> from fastmom.runtime.validation import as_number
    >>> as_number(1, "noise", 0.0)
    1.0
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected a number, got {value!r} ({type(value).__name__})")
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{name}: expected a finite number in [{low:g}, {high:g}], got {number:g}")
    return number


def as_choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """Read one of the given words.

    Raises
    ------
    ValueError
        For anything else, with the nearest choice.

    Examples
    --------
    >>> from fastmom.runtime.validation import as_choice
    >>> as_choice("snapp", "variant", ("snap", "moments"))
    Traceback (most recent call last):
    ValueError: variant: 'snapp' is not one of 'snap', 'moments'; did you mean 'snap'?
    """
    words = tuple(choices)
    if isinstance(value, str) and value in words:
        return value
    near = difflib.get_close_matches(value, words, n=1, cutoff=0.5) if isinstance(value, str) else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, words))}{hint}")


def as_rng(rng: Any) -> tuple[np.random.Generator, int | None]:
    """Read a source of randomness.

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        None draws a fresh seed, an integer is a seed, a generator is used as it is.

    Returns
    -------
    generator : numpy.random.Generator
        The stream.
    seed : int or None
        What to pass as `rng` to get the same stream again; None for a generator, whose past is unknown.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For a negative seed.

    Examples
    --------
    >>> from fastmom.runtime.validation import as_rng
    >>> generator, seed = as_rng(None)
    >>> bool(generator.random() == as_rng(seed)[0].random())
    True
    """
    if isinstance(rng, np.random.Generator):
        return rng, None
    if rng is None:
        seed = secrets.randbits(53)  # exact as a float too, so that every JSON reader keeps it
    else:
        try:
            seed = as_count(rng, "rng", minimum=0)
        except TypeError:
            raise TypeError(
                f"rng: expected None, an integer seed or a numpy.random.Generator, got {type(rng).__name__}; "
                "use numpy.random.default_rng(seed)"
            ) from None
    return np.random.default_rng(seed), seed


def as_real_array(value: Any, name: str) -> Array:
    """Read an array of real numbers of any shape, see `as_matrix`."""
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            raise ValueError(f"{name}: has masked entries; drop them, or fill them with {name}.filled(value)")
        value = value.data
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{name}: is a sparse matrix; pass {name}.toarray()")
    array: Array = value if type(value) in (np.ndarray, np.memmap) else _converted(value, name)
    if array.dtype.kind == "O" and array.ndim == 0:
        raise TypeError(f"{name}: expected an array of real numbers, got {type(value).__name__}")
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"{name}: has entries that are not numbers ({error}); make them float") from None
    if array.dtype.kind == "c":
        raise TypeError(f"{name}: is complex; pass the real and imaginary parts as separate columns")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}; convert it to float")
    return array


def _converted(value: Any, name: str) -> Array:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name}: cannot be read as an array ({error}); pass a NumPy array") from None


def _nonempty_matrix(array: Array, name: str) -> Array:
    if array.ndim != 2:
        raise ValueError(f"{name}: expected 2-D (rows, columns), got {array.ndim}-D of shape {array.shape}")
    if 0 in array.shape:
        missing = "rows" if array.shape[0] == 0 else "columns"
        raise ValueError(f"{name}: has no {missing}, shape {array.shape}; pass at least one")
    return array


def _offending_entry(block: Array, name: str, first_row: int) -> ValueError:
    """Describe the first entry, in row order, that is not finite or too large."""
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(block.astype(np.longdouble)) <= _LARGEST)
    row, *columns = np.unravel_index(int(np.argmax(bad)), bad.shape)
    value = float(block[(row, *columns)])
    place = ", ".join(str(int(i)) for i in (row + first_row, *columns))
    cure = "drop or fill the rows that hold NaN or infinities first"
    if math.isfinite(value):
        cure = f"magnitudes above {_LARGEST:g} overflow when squared, rescale {name}"
    return ValueError(f"{name}[{place}] is {value:g}; {cure}")
