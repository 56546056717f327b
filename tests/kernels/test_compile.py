"""The contract of compiled kernels: caches heal, both forms agree, and no thread, fork or setting breaks a call."""

import hashlib
import importlib.util
import inspect
import itertools
import json
import os
import random
import shutil
import threading
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile

import fastmom
from fastmom.kernels import _compile, forward, gram, pattern
from fastmom.kernels._compile import SERIAL_BELOW, Driver, compiled_kernels, threads_are_safe

TINY = """
from numba import prange
from fastmom.kernels._compile import block, driver

@block
def square(x):
    return x * x

@driver
def squares(values, out):
    for i in prange(out.shape[0]):
        out[i] = square(values[i])
"""


def outputs(n=20_000, d=7, k=5, m=3):
    """Results of every kernel, by default on enough rows for threads."""
    import numpy as np

    from fastmom.kernels import forward, gram, pattern
    from fastmom.runtime.passes import Rows, sum_over_rows
    from fastmom.runtime.threads import single_blas_thread

    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n, d)), rng.standard_normal((n, m))
    hidden, outer, slopes = rng.standard_normal((d, k)), rng.standard_normal((k + 1, m)), np.full(k, 0.1)
    V = rng.standard_normal((4, d))
    order, starts = rng.permutation(n), np.array([0, n // 3, n // 2, n])
    pairs = np.column_stack(np.triu_indices(k))
    passes = (
        (forward.residual_pass, m + k, 2 * k + m),
        (forward.gradient_pass, 1 + k * d, 2 * k + m),
        (forward.label_moments_pass, (k + 1) * (k + 1 + m), 3 * k + 1),
    )
    with single_blas_thread():
        results = [
            sum_over_rows(
                Rows(X, Y),
                kernel,
                (hidden, outer, slopes),
                width=width,
                scratch_width=scratch_width,
                row_flops=100.0,
                stage="",
            )
            for kernel, width, scratch_width in passes
        ]
        by_pair, by_pattern = np.empty((len(pairs), d, d)), np.empty((3, d, d))
        gates = np.ascontiguousarray((X @ hidden > 0).T.astype(np.uint8))
        XZ = np.ascontiguousarray(np.hstack([X, np.linalg.qr(Y)[0]]))
        X.flags.writeable = False
        lanes = gram.pair_grams.lanes(X.size)
        scratch = gram.gram_scratch(lanes, d)
        gram.pair_grams(X, gates, pairs, np.empty((lanes, n), dtype=np.int64), scratch, by_pair)
        gram.pattern_grams(X, order, starts, scratch, by_pattern)
        gated, outcome = np.empty((4, d, d + m)), np.empty((4, 2))
        total = np.ascontiguousarray(XZ[:, :d].T @ XZ)
        scratch, gates = pattern.ascent_scratch(4, n, d, m)
        pattern.gated_grams(XZ, V, gates, scratch, gated)
        pattern.snap_ascents(XZ, m - 1, 0.1, total, V, outcome, gates, scratch)
    return [*results, by_pair, by_pattern, gated, outcome, V]


DIGEST = """
import hashlib, json, os, threading

def digest(_=None):
    return hashlib.sha256(b"".join(array.tobytes() for array in outputs())).hexdigest()
"""
# Prints the digests of the parent, of children by fork, and whether threads ran in each.
FORKS = """
import multiprocessing
from fastmom.kernels import forward
from fastmom.kernels._compile import threads_are_safe

def child(then):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps([digest(), threads_are_safe(), *then()]).encode())
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"child ended with {status}"
    return json.loads(os.read(read, 1000))

found = {"parent": [digest(), threads_are_safe()]}
assert forward.residual_pass.parallel.signatures or os.environ.get("NUMBA_DISABLE_JIT")
found["fork"] = child(list)
found["grandchild"] = child(lambda: child(list))[2:]
results = []
thread = threading.Thread(target=lambda: results.append(child(list)))
thread.start()
thread.join()
found["fork in a thread"] = results[0]
with multiprocessing.get_context("fork").Pool(2) as pool:
    found["pool"] = [*pool.map(digest, range(2)), False]
found["parent again"] = [digest(), threads_are_safe()]
print(json.dumps(found))
"""
# Prints the digests of eight threads and of the main thread, all at once, and what each says of threads.
THREADS = """
from fastmom.kernels._compile import threads_are_safe
barrier, found = threading.Barrier(9), []
def work():
    barrier.wait()
    for _ in range(3):
        found.append(digest())
    return threads_are_safe()
others = [threading.Thread(target=work) for _ in range(8)]
for thread in others:
    thread.start()
work()
for thread in others:
    thread.join()
print(json.dumps([len(found), sorted(set(found))]))
"""


WORKERS = """
import multiprocessing
if __name__ == "__main__":
    found = [digest()]
    with multiprocessing.get_context(METHOD).Pool(2) as pool:
        found += pool.map(digest, range(2))
    print(json.dumps(found))
"""


def script(*parts):
    """A program that can compute `outputs`."""
    return "\n".join([inspect.getsource(outputs), DIGEST, *parts])


def load(path):
    """The kernels of a file as new dispatchers, as in a new process."""
    specification = importlib.util.spec_from_file_location("tiny", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def squared(kernels, dtype=np.float64):
    """Squares of 3 and 0.5 by the serial form of a freshly loaded kernel."""
    out = np.empty(2, dtype)
    kernels.squares.serial(np.array([3.0, 0.5]).astype(dtype), out)
    return out.tolist()


def hits(dispatcher):
    return sum(dispatcher.stats.cache_hits.values())


def files(folder, ending=""):
    return sorted(path for path in Path(folder).rglob(f"*{ending}") if path.is_file())


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A kernel file with a cache of its own."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    return path


@pytest.fixture(scope="module")
def expected():
    """What every kernel gives here."""
    return outputs()


def digest_of(arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


# ---- the cache


def test_a_kernel_is_compiled_once_and_then_loaded(tiny):
    assert squared(load(tiny)) == [9.0, 0.25]
    again = load(tiny)
    assert squared(again) == [9.0, 0.25] and hits(again.squares.serial) == 1


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", ["empty", "1 byte", "half", "most", "garbage", "pickle", "folder", "gone"])
def test_a_damaged_cache_heals_itself(tiny, tmp_path, suffix, damage):
    squared(load(tiny))
    victims = files(tmp_path / "cache", suffix)
    assert len(victims) == 2
    for victim in victims:
        content = victim.read_bytes()
        victim.unlink()
        if damage == "folder":
            victim.mkdir()
        elif damage != "gone":
            kept = {"empty": 0, "1 byte": 1, "half": len(content) // 2, "most": len(content) - 1}
            garbage = {"garbage": random.Random(0).randbytes(len(content)), "pickle": b"\x80\x04]\x94."}
            victim.write_bytes(garbage.get(damage, content[: kept.get(damage)]))
    assert squared(load(tiny)) == [9.0, 0.25]
    again = load(tiny)
    assert squared(again) == [9.0, 0.25]
    assert hits(again.squares.serial) == (damage != "folder")


def test_an_index_cut_at_any_byte_heals_itself(tiny, tmp_path):
    squared(load(tiny))
    for length in (*range(0, 400, 80), -200, -1):
        for index in files(tmp_path / "cache", ".nbi"):
            index.write_bytes(index.read_bytes()[:length])
        assert squared(load(tiny)) == [9.0, 0.25]
        again = load(tiny)
        assert squared(again) == [9.0, 0.25] and hits(again.squares.serial) == 1


def test_the_package_heals_a_cache_that_is_damaged_everywhere(run_python, tmp_path):
    code = (
        "import json, numpy as np\n"
        "from fastmom.kernels import gram\n"
        "X, out = np.arange(12.0).reshape(6, 2), np.empty((1, 2, 2))\n"
        "gram.pattern_grams(X, np.arange(6), np.array([0, 6]), gram.gram_scratch(1, 2), out)\n"
        "print(json.dumps([out.tolist(), sum(gram.pattern_grams.serial.stats.cache_hits.values())]))"
    )
    found = []
    for keep in (None, 0.6):
        for path in files(tmp_path):
            if keep is not None:
                path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
        for _ in range(2):
            process = run_python("-W", "error", "-c", code, env={"NUMBA_CACHE_DIR": str(tmp_path)})
            assert process.returncode == 0, process.stderr
            found.append(json.loads(process.stdout))
    assert [value for value, _ in found] == [[[[220.0, 250.0], [250.0, 286.0]]]] * 4
    assert [loaded for _, loaded in found] == [0, 1] * 2


def test_code_for_other_types_is_not_run(tiny, tmp_path):
    kernels = load(tiny)
    squared(kernels), squared(kernels, np.int64)
    one, other = files(tmp_path / "cache", "squares_serial*.nbc")
    content = one.read_bytes()  # exchanged, as two processes that start at once may leave them
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    for _ in range(2):
        again = load(tiny)
        assert [squared(again), squared(again, np.int64)] == [[9.0, 0.25], [9, 0]]
    assert hits(again.squares.serial) == 2


def test_a_cache_that_cannot_be_written_is_done_without(tiny, tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "_open_for_write", full)
    assert squared(load(tiny)) == [9.0, 0.25]
    assert not files(tmp_path / "cache")


def test_a_cache_folder_that_becomes_a_file_is_done_without(tiny, tmp_path):
    kernels = load(tiny)
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("in the way")
    assert squared(kernels) == [9.0, 0.25]


def test_without_any_place_for_a_cache_every_process_compiles(run_python, tmp_path):
    package = tmp_path / "site" / "fastmom"
    shutil.copytree(Path(fastmom.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    in_the_way = package / "kernels" / "__pycache__"
    in_the_way.write_text("")
    code = (
        "import numpy as np\n"
        "from fastmom.kernels import gram\n"
        "X, out = np.arange(12.0).reshape(6, 2), np.empty((1, 2, 2))\n"
        "gram.pattern_grams(X, np.arange(6), np.array([0, 6]), gram.gram_scratch(1, 2), out)\n"
        "print(gram.__file__, out.tolist())"
    )
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), str(in_the_way / "below"))
    process = run_python("-W", "error", "-c", code, cwd=tmp_path / "site", env={"PYTHONPATH": "", **nowhere})
    assert process.returncode == 0, process.stderr
    assert process.stdout.split(maxsplit=1) == [
        str(package / "kernels" / "gram.py"),
        "[[[220.0, 250.0], [250.0, 286.0]]]\n",
    ]
    assert not files(tmp_path, ".nbi") and not files(tmp_path, ".nbc")


def test_a_change_in_any_kernel_file_changes_the_digest(tmp_path, monkeypatch):
    here = _compile._sources_digest.__wrapped__()
    (tmp_path / "kernels").mkdir()
    for path in Path(_compile.__file__).parent.glob("*.py"):
        shutil.copy(path, tmp_path / "kernels")
    monkeypatch.setattr(_compile, "__file__", str(tmp_path / "kernels" / "_compile.py"))
    digests = [_compile._sources_digest.__wrapped__()]
    assert digests[0] == here
    for path in files(tmp_path / "kernels"):
        path.write_text(path.read_text() + "\n")
        digests.append(_compile._sources_digest.__wrapped__())
    assert len(digests) > 5 and len(set(digests)) == len(digests)


def test_the_digest_is_part_of_the_key(tiny, monkeypatch):
    squared(load(tiny))
    monkeypatch.setattr(_compile, "_sources_digest", lambda: "another")
    edited = load(tiny)
    assert squared(edited) == [9.0, 0.25] and hits(edited.squares.serial) == 0


def test_both_compiled_forms_have_their_own_place_in_the_cache(tiny, tmp_path):
    kernels, values = load(tiny), np.arange(3.0)
    for form in (kernels.squares.parallel, kernels.squares.serial):
        out = np.empty(3)
        form(values, out)
        np.testing.assert_array_equal(out, values**2)
    names = {path.name.split("-")[0] for path in files(tmp_path / "cache", ".nbi")}
    assert names >= {"tiny.squares", "tiny.squares_serial"}
    again = load(tiny)
    again.squares.parallel(values, np.empty(3))
    again.squares.serial(values, np.empty(3))
    assert hits(again.squares.parallel) == hits(again.squares.serial) == 1


def test_compiled_kernels_are_listed(expected):
    names = compiled_kernels()
    assert {"fastmom.kernels.forward.residual_pass", "fastmom.kernels.pattern.snap_ascents"} <= set(names)


# ---- which form runs


def test_small_calls_use_one_thread_and_large_ones_all():
    assert Driver.lanes(SERIAL_BELOW - 1) == 1
    assert Driver.lanes(SERIAL_BELOW) == numba.get_num_threads()


def test_a_call_runs_the_form_that_its_size_deserves(tiny):
    kernels = load(tiny)
    kernels.squares(np.ones(10), np.empty(10))
    assert kernels.squares.serial.signatures and not kernels.squares.parallel.signatures
    if numba.get_num_threads() > 1:
        kernels.squares(np.ones(SERIAL_BELOW), np.empty(SERIAL_BELOW))
        assert kernels.squares.parallel.signatures


def test_a_driver_keeps_the_name_and_the_words_of_its_function():
    for kernel in (pattern.snap_ascents, gram.pair_grams, forward.residual_pass):
        assert kernel.__doc__ and kernel.serial.py_func.__doc__ == kernel.__doc__
        assert kernel.serial.__name__ == kernel.__name__ + "_serial"


def test_every_form_releases_the_interpreter():
    kernels = [value for module in (forward, gram, pattern) for value in vars(module).values()]
    drivers = [kernel for kernel in kernels if isinstance(kernel, Driver)]
    assert len(drivers) >= 7
    for form in itertools.chain.from_iterable((kernel.parallel, kernel.serial) for kernel in drivers):
        assert form.targetoptions["nogil"] and not {"nnan", "ninf"} & form.targetoptions["fastmath"]


def test_interpreted_kernels_give_the_same_numbers(run_python):
    code = script("print(json.dumps([array.tolist() for array in outputs(n=90)]))")
    process = run_python("-W", "error", "-c", code, env={"NUMBA_DISABLE_JIT": "1"})
    assert process.returncode == 0, process.stderr
    interpreted = [np.array(array) for array in json.loads(process.stdout)]
    for one, other in zip(interpreted, outputs(n=90), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12 * np.abs(other).max())


# ---- threads and processes


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_forks_of_a_process_whose_threads_ran_live_and_agree(run_python, tmp_path, layer, expected):
    process = run_python("-c", script(FORKS), env={"NUMBA_THREADING_LAYER": layer})
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    digests = {value for values in found.values() for value in values if isinstance(value, str)}
    assert digests == {digest_of(expected)}
    assert found["parent"][-1] and found["parent again"][-1]
    assert not any(found[kind][-1] for kind in ("fork", "grandchild", "fork in a thread"))


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_eight_threads_at_once_agree(run_python, layer, expected):
    process = run_python("-W", "error", "-c", script(THREADS), env={"NUMBA_THREADING_LAYER": layer})
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == [27, [digest_of(expected)]]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_fresh_workers_agree(run_python, tmp_path, method, expected):
    path = tmp_path / "workers.py"
    path.write_text(script(f"METHOD = {method!r}", WORKERS))
    process = run_python("-W", "error", str(path))
    assert process.returncode == 0, process.stderr
    assert set(json.loads(process.stdout)) == {digest_of(expected)}


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_the_bits_do_not_depend_on_the_number_of_threads(run_python, threads, expected):
    settings = {"NUMBA_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    process = run_python("-c", script("print(digest())"), env=settings)
    assert process.stdout.strip() == digest_of(expected), process.stderr


def test_in_the_main_thread_threads_are_safe():
    assert threads_are_safe()


def test_settings_of_the_process_are_left_alone():
    def state():
        name, keys, *rest = np.random.get_state()  # noqa: NPY002, the global state is the point
        return numba.get_num_threads(), random.getstate(), (name, keys.tobytes(), rest), dict(os.environ)

    before = state()
    outputs(n=300)
    outputs()
    thread = threading.Thread(target=outputs)
    thread.start()
    thread.join()
    assert state() == before
