"""BLAS runs on one thread inside, on as many as before afterwards: nested, concurrent, after errors, after forks."""

import threading

import numpy as np
import pytest

from fastmom.runtime.threads import _controls, single_blas_thread

FORK_WHILE_THE_LOCK_IS_HELD = """
import os, signal, threading
from fastmom.runtime import threads
with threads.single_blas_thread():
    pass
held, free = threading.Event(), threading.Event()
def hold():
    with threads._lock:
        held.set()
        free.wait(1)
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    with threads.single_blas_thread():
        os._exit(7)
free.set()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def counts():
    return [get() for get, _ in _controls()]


@pytest.fixture(autouse=True)
def two_blas_threads():
    before = counts()
    for _, put in _controls():
        put(2)
    yield
    for (_, put), count in zip(_controls(), before, strict=True):
        put(count)


def test_every_openblas_in_the_process_is_found():
    name = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    assert len(_controls()) == 2 or "openblas" not in name


def test_one_thread_inside_and_the_previous_number_afterwards():
    before = counts()
    with single_blas_thread():
        assert set(counts()) <= {1}
    assert counts() == before


def test_nested_uses_restore_at_the_outermost():
    before = counts()
    with single_blas_thread():
        with single_blas_thread():
            pass
        assert set(counts()) <= {1}
    assert counts() == before


def test_an_exception_restores():
    before = counts()
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), single_blas_thread(), single_blas_thread():
            raise error
        assert counts() == before


def test_the_last_of_concurrent_uses_restores():
    before = counts()
    inside, leave = threading.Event(), threading.Event()

    def first():
        with single_blas_thread():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(60)
    with single_blas_thread():
        leave.set()
        thread.join()
        assert set(counts()) <= {1}
    assert counts() == before


def test_many_threads_leave_the_number_as_it_was():
    before = counts()
    seen = []

    def use():
        for _ in range(200):
            with single_blas_thread():
                seen.extend(counts())

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= {1} and counts() == before


def test_a_child_does_not_wait_for_a_thread_of_its_parent(run_python):
    process = run_python("-c", FORK_WHILE_THE_LOCK_IS_HELD)
    assert process.stdout.split() == ["7"], process.stderr
