"""What starting costs: an import compiles nothing, and `--help` does not even load NumPy."""

import json
from pathlib import Path

import fastmom

CPU_SECONDS = 0.6

IMPORT_EACH_MODULE = """
import importlib, json, sys
failures = {}
for name in json.loads(sys.argv[1]):
    for loaded in [module for module in sys.modules if module.split(".")[0] == "fastmom"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        failures[name] = repr(error)
print(json.dumps(failures))
"""


def module_names():
    package = Path(fastmom.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.name != "__main__.py":
            parts = ("fastmom", *path.relative_to(package).with_suffix("").parts)
            yield ".".join(parts).removesuffix(".__init__")


def loaded_by(run_python, code):
    process = run_python("-c", f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})")
    assert process.returncode == 0, process.stderr
    return set(process.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_neither_numba_nor_scipy(run_python):
    loaded = loaded_by(run_python, "import fastmom")
    assert "fastmom" in loaded
    assert not {"numba", "scipy"} & loaded


def test_importing_the_package_is_cheap(run_python):
    code = "import time; start = time.process_time(); import fastmom; print(time.process_time() - start)"
    cost = min(float(run_python("-c", code).stdout) for _ in range(5))
    assert cost <= CPU_SECONDS


def test_help_loads_no_array_library(run_python):
    code = """
from fastmom.cli import main
for words in (["--help"], ["fit", "--help"], ["sweep", "--help"]):
    try:
        main(words)
    except SystemExit as stop:
        assert stop.code == 0
"""
    assert not {"numpy", "numba", "scipy"} & loaded_by(run_python, code)


def test_help_is_instant(run_python):
    code = (
        "import os, sys; sys.argv = ['fastmom', '--help']\n"
        "from fastmom.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sum(os.times()[:2]))"
    )
    cost = min(float(run_python("-c", code).stdout.splitlines()[-1]) for _ in range(5))
    assert cost <= 0.15


def test_every_module_imports_first(run_python):
    process = run_python("-W", "error", "-c", IMPORT_EACH_MODULE, json.dumps(list(module_names())))
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == {}


def test_importing_everything_compiles_nothing(run_python):
    code = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "from fastmom.kernels._compile import compiled_kernels\n"
        "print(json.dumps(compiled_kernels()))"
    )
    process = run_python("-c", code, json.dumps(list(module_names())))
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == []
