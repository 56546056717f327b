"""Run the cells of a spec that a folder has no rows of yet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fastmom.experiments.cells import cell_key, code_version
from fastmom.experiments.engines import run_cell
from fastmom.experiments.spec import Spec
from fastmom.experiments.store import FAILED, Writer, locked, read_store
from fastmom.runtime.files import replacing


@dataclass(frozen=True)
class Summary:
    """What a sweep did.

    Attributes
    ----------
    n_cells : int
        Cells of the spec.
    n_run : int
        Those that ran now; the others were in the folder.
    n_failed : int
        Failed ones among all.
    interrupted : bool
        Whether it was stopped before the last cell.
    damaged : list of str
        Lines of the folder that are no rows; their cells ran again.
    """

    n_cells: int
    n_run: int
    n_failed: int
    interrupted: bool
    damaged: list[str]


def run_sweep(spec: Spec, folder: str | os.PathLike[str], *, jobs: int = 1, retry_failed: bool = False) -> Summary:
    """Run the cells of a spec that the folder has no rows of; see `Summary`."""
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    code = code_version()
    with locked(home):
        stored = read_store(home)
        with replacing(home / "spec.toml") as file:
            file.write(spec.source.encode())
        states = {row["key"]: row["state"] for row in stored.rows}
        keys = [cell_key(cell, code) for cell in spec.cells]
        ready = {key for key in keys if key in states and not (retry_failed and states[key] == FAILED)}
        writer = Writer(home, "0")
        for cell, key in zip(spec.cells, keys, strict=True):
            if key not in ready:
                row = run_cell(cell, code, "0")
                writer.append(row)
                states[key] = row["state"]
        writer.close()
    failed = sum(states.get(key) == FAILED for key in keys)
    return Summary(len(keys), len(keys) - len(ready), failed, False, stored.damaged)
