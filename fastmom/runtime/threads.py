"""One BLAS thread while our own threads run: no oversubscription, and the same bits whatever the BLAS settings."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator

_SPELLINGS = (
    "scipy_openblas_{}_num_threads64_",
    "scipy_openblas_{}_num_threads",
    "openblas_{}_num_threads64_",
    "openblas_{}_num_threads",
)


@functools.cache
def _controls() -> list[tuple[Callable[[], int], Callable[[int], None]]]:
    """Thread count getters and setters of the OpenBLAS copies that NumPy and SciPy loaded.

    A symbol is looked up through the extension module that links to the library, so no path is guessed.
    """
    import numpy.linalg._umath_linalg as numpy_lapack
    import scipy.linalg.cython_blas as scipy_blas

    found = []
    for module in (numpy_lapack, scipy_blas):
        library = ctypes.CDLL(module.__file__)
        for spelling in _SPELLINGS:
            get = getattr(library, spelling.format("get"), None)
            put = getattr(library, spelling.format("set"), None)
            if get is not None and put is not None:
                get.restype, put.argtypes = ctypes.c_int, [ctypes.c_int]
                found.append((get, put))
                break
    return found


_lock = threading.Lock()
_depth = 0
_previous: list[int] = []

if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread held
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@contextlib.contextmanager
def single_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread; nested and concurrent uses share one limit, the last to leave restores.

    Has no effect on BLAS libraries other than OpenBLAS.
    """
    global _depth, _previous
    with _lock:
        _depth += 1
        if _depth == 1:
            _previous = [get() for get, _ in _controls()]
            for _, put in _controls():
                put(1)
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                for (_, put), count in zip(_controls(), _previous, strict=True):
                    put(count)
