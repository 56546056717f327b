"""TOML with line numbers: `tomllib` says where its grammar is broken, but not where a key stands."""

from __future__ import annotations

import tomllib
from typing import Any


def read_toml(text: str) -> dict[str, Any]:
    r"""Parse, or raise ValueError with the line.

    Examples
    --------
    >>> from fastmom.experiments.toml_text import read_toml
    >>> read_toml("[grid]\nseed = [0, 1")
    Traceback (most recent call last):
    ValueError: line 2: Unclosed array; it is not valid TOML
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).rpartition(" (at ")
        place = where.rstrip(")").partition(",")[0]
        line = place if place.startswith("line ") else f"line {len(text.rstrip().splitlines())}"
        raise ValueError(f"{line}: {what or error}; it is not valid TOML") from None


def line_of(text: str, *path: str) -> int | None:
    r"""Number of the line, from 1, where the value at a path begins; None if the text has no such value.

    Parameters
    ----------
    text : str
        Valid TOML.
    *path : str
        Names of the tables, then the key.

    Examples
    --------
    >>> from fastmom.experiments.toml_text import line_of
    >>> line_of("[grid]\n# how often\nseed = [\n 1]\noptions.variant = ['snap']", "grid", "options", "variant")
    5
    """
    lines = text.splitlines()
    begin = 0
    for end in range(1, len(lines) + 1):
        # The shortest valid beginning of the text that has the key ends with it, the one before ends above it.
        try:
            content: Any = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        for name in path:
            content = content.get(name) if isinstance(content, dict) else None
        if content is not None:
            return begin + 1
        begin = end
    return None
