"""Packages that only some uses need."""

from __future__ import annotations

import importlib
from typing import Any


def optional(module: str, purpose: str, install: str) -> Any:
    """Import a module, or say what it is for and how to get it.

    Raises
    ------
    ValueError
        Where it is not installed.

    Examples
    --------
    >>> from fastmom.experiments.optional import optional
    >>> optional("nowhere", "plots", "'fastmom[plots]'")
    Traceback (most recent call last):
    ValueError: plots: need nowhere, which is not installed: pip install 'fastmom[plots]'
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise ValueError(f"{purpose}: need {name}, which is not installed: pip install {install}") from None
