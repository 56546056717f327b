"""One cell of a sweep: a flat dict of plain values, its key in the store, and the random streams it draws from."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

Cell = dict[str, Any]

OPTION = "options."  # what the names of a method's options begin with
_WORDS = 4  # 32-bit words of a digest that seed a stream


def is_of_method(name: str) -> bool:
    """Whether an entry of a cell says how a problem is solved; the others say what the problem is."""
    return name == "method" or name.startswith(OPTION)


def method_options(cell: Cell) -> dict[str, Any]:
    """Options of the cell's method by their own names.

    Examples
    --------
    >>> from fastmom.experiments.cells import method_options
    >>> method_options({"method": "rectified", "options.variant": "snap", "n_inputs": 10})
    {'variant': 'snap'}
    """
    return {name.removeprefix(OPTION): value for name, value in cell.items() if name.startswith(OPTION)}


def cell_key(cell: Cell, code: str) -> str:
    """Key of a cell's row in the store: 24 hexadecimal digits of the cell and the version of the code.

    Examples
    --------
    >>> from fastmom.experiments.cells import cell_key
    >>> cell_key({"seed": 0, "n_inputs": 5}, "1.0") == cell_key({"n_inputs": 5, "seed": 0}, "1.0")
    True
    """
    return _digest({"cell": cell, "version": code})[:24]


def streams(cell: Cell) -> tuple[np.random.Generator, np.random.Generator]:
    """Two independent streams: of the problem, the same for all methods, and of the method.

    A stream depends on the cell alone, so neither order nor engine matter. Entries that are None count as absent,
    so that an entry which a later version adds leaves the streams of old cells as they are.
    """
    told = {name: value for name, value in cell.items() if value is not None}
    problem = {name: value for name, value in told.items() if not is_of_method(name)}
    return _stream({"problem": problem}), _stream({"cell": told})


@functools.cache
def code_version() -> str:
    """Version of the package and a digest of its sources: rows of another version are not taken for this one's."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    try:
        number = version("fastmom")
    except PackageNotFoundError:  # run from its sources
        number = "0"
    return f"{number}+{digest.hexdigest()[:12]}"


def crossed(grid: dict[str, list[Any]]) -> Iterable[Cell]:
    """Yield every combination of the listed values, the last entry changing fastest."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def plain(value: Any) -> Any:
    """Rebuild from what JSON has: NumPy scalars and arrays as numbers and lists, NaN and infinities as None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _stream(content: Any) -> np.random.Generator:
    digest = _digest(content)
    words = [int(digest[8 * i : 8 * i + 8], 16) for i in range(_WORDS)]
    return np.random.default_rng(np.random.SeedSequence(words))
