"""A worker process of a sweep: cells come in by stdin, rows go to its file, then to stdout.

It ends when stdin does: when nothing is left to do, or with the process that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from typing import Any

READY, DROPPED = {"ready": True}, {"dropped": True}


def main(folder: str, name: str, code: str) -> int:
    """Run cells until stdin ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    todo: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(todo,), daemon=True).start()
    from fastmom.experiments.cells import code_version
    from fastmom.experiments.engines import run_cell
    from fastmom.experiments.store import Writer

    try:
        if code_version() != code:
            raise OSError("the sources of fastmom have changed since the sweep began; run the same command again")
        _answer(answers, READY)
        with Writer(folder, name) as writer:
            while True:
                cell = todo.get()
                if cell is None:
                    _answer(answers, DROPPED)
                    continue
                row = run_cell(cell, code, name)
                writer.append(row)
                _answer(answers, row)
    except OSError as error:
        told = (str(error),) if error.filename is None else (error.errno, error.strerror, error.filename)
        _answer(answers, {"refused": told})
        return 1


def _listen(todo: queue.SimpleQueue[Any]) -> None:
    """Take cells, and end the process with its stdin, even in the middle of a cell that nobody waits for."""
    for line in sys.stdin.buffer:
        cell = json.loads(line)
        if cell is None:  # forget what has not begun
            with contextlib.suppress(queue.Empty):
                while True:
                    todo.get_nowait()
        todo.put(cell)
    os._exit(0)


def _answer(file: int, content: Any) -> None:
    text = json.dumps(content).encode() + b"\n"
    while text:
        text = text[os.write(file, text) :]
