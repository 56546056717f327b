"""Same seed, same bits: whatever the threads, their layer, BLAS, the memory layout, the process or the thread."""

import inspect
import json
import os
import random
import threading
import warnings

import numba
import numpy as np
import pytest

import fastmom as fm
from fastmom.kernels import forward, pattern
from fastmom.runtime import threads

# name: (rows, inputs, neurons, outputs, noise). "tall" and "noisy" are large enough for threads in the passes,
# "wide" and "noisy" in the ascents.
PROBLEMS = {
    "small": (200, 10, 4, 5, 0.0),
    "tall": (30_000, 10, 5, 6, 0.0),
    "wide": (3000, 100, 24, 24, 0.0),
    "noisy": (12_000, 20, 6, 6, 0.1),
}
FORMS = {
    "F": np.asfortranarray,
    "strided": lambda array: np.repeat(array, 2, axis=1)[:, ::2],
    "reversed": lambda array: array[::-1].copy()[::-1],
    "read-only": lambda array: np.frombuffer(array.tobytes()).reshape(array.shape),
    "big-endian": lambda array: array.astype(">f8"),
    "longdouble": lambda array: array.astype(np.longdouble),
}


def digest(X, Y):
    """All bits that a run returns."""
    import hashlib

    import fastmom as fm

    result = fm.learn_rectified(X, Y, bias=True, rng=7)
    network, certificate = result.network, result.certificate
    found = [network.W, network.A, network.hidden_bias, network.output_bias]
    found += [certificate.activity, certificate.correlation, np.float64(certificate.residual)]
    found += [record.directions for record in certificate.unidentified if record.directions is not None]
    content = hashlib.sha256(f"{result.status} {result.diagnostics}".encode())
    for array in found:
        content.update(array.tobytes())
    return f"{result.status} {content.hexdigest()}"


PREAMBLE = f"""
import json, os, sys, threading
import numpy as np

{inspect.getsource(digest)}

def digests():
    found = {{}}
    for name in {list(PROBLEMS)}:
        with np.load(f"{{name}}.npz") as data:
            found[name] = digest(data["X"], data["Y"])
    return found
"""
FORK = """
before = digests()
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, json.dumps(digests()).encode())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(json.dumps([before, json.loads(os.read(read, 10_000)), digests()]))
"""
THREADS = """
found, barrier = [], threading.Barrier(5)
def work():
    barrier.wait()
    found.append(digests())
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
work()
for thread in threads:
    thread.join()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The problems as files: BLAS may round products of a teacher differently from run to run, so draw them once."""
    path = tmp_path_factory.mktemp("problems")
    for name, (n, d, k, m, noise) in PROBLEMS.items():
        teacher = fm.random_teacher(d, k, m, bias=True, rng=0)
        X, Y = fm.make_samples(teacher, n, noise=noise, rng=1)
        np.savez(path / f"{name}.npz", X=X, Y=Y)
    return path


@pytest.fixture(scope="module")
def problems(folder):
    return {name: tuple(np.load(folder / f"{name}.npz").values()) for name in PROBLEMS}


@pytest.fixture(scope="module")
def expected(problems):
    return {name: digest(X, Y) for name, (X, Y) in problems.items()}


def printed(run_python, folder, body, **env):
    process = run_python("-c", PREAMBLE + body, env=env, cwd=folder)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_the_problems_are_learned_and_large_enough_for_threads(expected):
    assert all(expected[name].startswith("recovered") for name in ("small", "tall", "wide"))
    assert not expected["noisy"].startswith("recovered")
    if forward.residual_pass.lanes(10**6) > 1:
        passes = forward.residual_pass, forward.gradient_pass, forward.label_moments_pass
        assert all(kernel.parallel.signatures for kernel in (*passes, pattern.snap_ascents))


def test_a_second_run_gives_the_same_bits(problems, expected):
    assert {name: digest(X, Y) for name, (X, Y) in problems.items()} == expected


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
@pytest.mark.parametrize(("threads", "blas"), [(1, 1), (1, 2), (2, 1), (2, 2), (4, 2)])
def test_threads_and_their_layers_give_the_same_bits(run_python, folder, expected, threads, blas, layer):
    settings = {
        "NUMBA_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(blas),
        "NUMBA_THREADING_LAYER": layer,
    }
    assert printed(run_python, folder, "print(json.dumps(digests()))", **settings) == expected


@pytest.mark.parametrize("form", [*FORMS, "memory map"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_memory_layouts_give_the_same_bits(problems, expected, tmp_path, name, form):
    X, Y = problems[name]
    if form == "memory map":
        for i, array in enumerate((X, Y)):
            np.save(tmp_path / f"{i}.npy", array)
        X, Y = (np.load(tmp_path / f"{i}.npy", mmap_mode="r") for i in range(2))
    else:
        X, Y = FORMS[form](X), FORMS[form](Y)
    assert digest(X, Y) == expected[name]


def test_another_thread_gives_the_same_bits(problems, expected):
    found = {}

    def work():
        found.update({name: digest(X, Y) for name, (X, Y) in problems.items()})

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == expected


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_concurrent_threads_give_the_same_bits(run_python, folder, expected, layer):
    assert printed(run_python, folder, THREADS, NUMBA_THREADING_LAYER=layer) == [expected] * 5


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_fork_gives_the_same_bits(run_python, folder, expected, layer):
    assert printed(run_python, folder, FORK, NUMBA_THREADING_LAYER=layer) == [expected] * 3


def test_other_work_in_between_does_not_change_the_bits(problems, expected):
    rng = np.random.default_rng(5)
    for scale in (1e-3, 1e3):
        fm.learn_rectified(scale * rng.standard_normal((500, 7)), rng.standard_normal((500, 3)), rng=0)
        np.full(10**6, np.nan)
        assert digest(*problems["small"]) == expected["small"]


def test_a_seed_is_a_generator_of_that_seed(problems):
    X, Y = problems["small"]
    one, other = (fm.learn_rectified(X, Y, bias=True, rng=rng) for rng in (3, np.random.default_rng(3)))
    assert one.network == other.network and (one.seed, other.seed) == (3, None)


def test_the_recorded_seed_repeats_a_run_without_one(problems):
    X, Y = problems["small"]
    first = fm.learn_rectified(X, Y, bias=True)
    assert fm.learn_rectified(X, Y, bias=True, rng=first.seed).network == first.network


def test_an_interpreted_run_gives_the_same_network(run_python, tmp_path):
    teacher = fm.random_teacher(4, 2, 2, bias=True, rng=0)
    X, Y = fm.make_samples(teacher, 60, rng=1)
    np.savez(tmp_path / "data.npz", X=X, Y=Y)
    code = (
        "import numpy as np, fastmom as fm\n"
        "data = np.load('data.npz')\n"
        "result = fm.learn(data['X'], data['Y'], bias=True, rng=2)\n"
        "assert result.certificate.certified\n"
        "result.network.save('net.npz')"
    )
    process = run_python("-W", "error", "-c", code, env={"NUMBA_DISABLE_JIT": "1"}, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    compiled = fm.learn(X, Y, bias=True, rng=2)
    assert fm.compare(fm.load(tmp_path / "net.npz"), compiled.network).max_error < 1e-11


def test_learning_leaves_the_settings_of_the_process_alone(problems):
    def state():
        drawn = str(np.random.get_state()), random.getstate()  # noqa: NPY002, the global state is the point
        counts = numba.get_num_threads(), [get() for get, _ in threads._controls()]
        return drawn, counts, dict(os.environ), [str(rule) for rule in warnings.filters]

    before = state()
    for X, Y in problems.values():
        fm.learn_rectified(X, Y, bias=True, rng=0)
        assert state() == before


def test_a_process_that_compiles_and_one_that_loads_the_cache_give_the_same_bits(run_python, tmp_path):
    """Blocks that were not inlined ran in two versions, one optimised by itself, one within its driver."""
    program = """if True:
        import numpy as np, fastmom as fm
        rng = np.random.default_rng(0)
        X, w, V = rng.standard_normal((2000, 20)), rng.standard_normal(2000), rng.standard_normal((20, 6))
        for array in (fm.small_tensor(X, w, V, 3), fm.contract(X, w, V, 3), fm.contract(X, w, V[:, 0], 3)):
            print(array.tobytes().hex())
    """
    runs = [run_python("-c", program, env={"NUMBA_CACHE_DIR": str(tmp_path)}) for _ in range(2)]
    assert all(run.returncode == 0 and run.stdout for run in runs), runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
