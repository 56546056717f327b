"""How kernels are compiled, cached and run: the two decorators and what surrounds them.

``@block`` compiles a serial function over one block of rows: all arithmetic lives there.
``@driver`` compiles a ``prange`` loop over blocks (or over independent starts) twice, with threads and
without, and calls the form that is safe and worthwhile. Both forms visit the same blocks, so they give the same bits.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
import types
from pathlib import Path

import numba
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

# Keeps nan and inf (no nnan, ninf): bad values must not be optimised away.
FASTMATH = {"reassoc", "contract", "nsz"}
SERIAL_BELOW = 100_000  # elements of the first argument; starting threads costs more than they save below


@functools.cache
def _sources_digest() -> str:
    """Digest of every kernel source: Numba tracks only the file of the function itself, not of its callees."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class KernelCache(FunctionCache):
    """Numba's on-disk cache, except that a damaged or unwritable one is rebuilt or ignored instead of fatal."""

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), _sources_digest())

    def load_overload(self, sig, target_context):
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a truncated pickle can raise anything
            self._forget()
            return None
        if found is not None and tuple(found.signature.args) != tuple(sig):
            return None  # two processes filled an empty cache at once, and one took the other's file name
        return found

    def save_overload(self, sig, data):
        for _ in range(2):
            try:
                super().save_overload(sig, data)
                return
            except Exception:  # damaged index: start a new one; still failing: go on without cache
                self._forget()

    def _forget(self):
        try:
            self.flush()
        except OSError:
            self.disable()


def _compiled(function, **options):
    dispatcher = numba.njit(nogil=True, fastmath=FASTMATH, **options)(function)
    if isinstance(dispatcher, Dispatcher):  # a plain function under NUMBA_DISABLE_JIT
        try:
            dispatcher._cache = KernelCache(function)
        except RuntimeError:  # no writable directory for a cache: compile in every process
            pass
    return dispatcher


def block(function):
    """Compile a serial function over one block of rows; callable from other kernels, releases the GIL.

    It is always inlined: a process that compiles would otherwise call the copy that was optimised by itself, one that
    loads its driver from the cache the copy optimised within the driver, and their last bits can differ.
    """
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)


def _twin(function):
    """The same function under another name: Numba names its cache files after it."""
    twin = types.FunctionType(function.__code__, function.__globals__, function.__name__ + "_serial")
    twin.__qualname__ = function.__qualname__ + "_serial"
    twin.__module__ = function.__module__
    twin.__doc__ = function.__doc__
    return twin


class Driver:
    """A kernel that is called from Python: a loop over blocks, compiled with and without threads.

    Attributes
    ----------
    parallel, serial : callable
        The two compiled forms; same arguments, same bits.
    """

    def __init__(self, function):
        self.parallel = _compiled(function, parallel=True)
        self.serial = _compiled(_twin(function))
        functools.update_wrapper(self, function)

    def __call__(self, *arguments):
        if self.lanes(arguments[0].size) == 1:
            return self.serial(*arguments)
        return self.parallel(*arguments)

    @staticmethod
    def lanes(elements: int) -> int:
        """How many threads a call on this many elements may use: one lane of scratch for each."""
        if elements < SERIAL_BELOW or not threads_are_safe():
            return 1
        return numba.get_num_threads()


def driver(function) -> Driver:
    """Compile a loop over blocks into its threaded form and its serial twin."""
    return Driver(function)


_threads_lost_in_fork = False


def _threads_running() -> bool:
    try:
        numba.threading_layer()
    except ValueError:
        return False
    return True


def _after_fork_in_child():
    # The child inherits the record that a threading layer was started, but not its threads.
    global _threads_lost_in_fork
    _threads_lost_in_fork = _threads_lost_in_fork or _threads_running()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def threads_are_safe() -> bool:
    """Whether a threaded kernel may run here.

    After a fork the OpenMP layer kills the child, and the workqueue layer aborts the process when two Python
    threads enter it: in a forked child, and outside the main thread under workqueue, the answer is no.
    """
    if _threads_lost_in_fork:
        return False
    if threading.current_thread() is threading.main_thread():
        return True
    numba.get_num_threads()  # starts the threading layer, whose name is unknown before
    return numba.threading_layer() != "workqueue"


def compiled_kernels() -> list[str]:
    """Names of the kernels compiled or loaded in this process (an import must leave this empty)."""
    names = []
    for module_name, module in list(sys.modules.items()):
        if not module_name.startswith(__package__ + "."):
            continue
        for name, value in vars(module).items():
            forms = (value.parallel, value.serial) if isinstance(value, Driver) else (value,)
            if any(isinstance(form, Dispatcher) and form.signatures for form in forms):
                names.append(f"{module_name}.{name}")
    return names
