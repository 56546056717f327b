"""The tree of the package: imports run downwards, names are public on purpose, files have one responsibility."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import fastmom

PACKAGE = Path(fastmom.__file__).parent
LEAVES = {"runtime", "network", "activations", "smooth_activations", "result", "comparison", "teachers"}
SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

# What each room may import besides itself; "" is the public face, `import fastmom`.
BELOW = {
    "kernels": set(),
    **{leaf: LEAVES for leaf in LEAVES},
    "patterns": {"kernels", *LEAVES},
    "moments": {"kernels", *LEAVES},
    "rkhs": {"kernels", *LEAVES},
    "learners": {"moments", "patterns", "rkhs", "kernels", *LEAVES},
    "experiments": {"", "learners", "moments", "patterns", "rkhs", "kernels", *LEAVES},
    "cli": {"", "experiments", "learners", *LEAVES},
    "__main__": {"cli"},
    "__init__": {"learners", "moments", "rkhs", *LEAVES},
}

PUBLIC = {
    "Activation",
    "Certificate",
    "Comparison",
    "FitResult",
    "MomentAccumulator",
    "TwoLayerNetwork",
    "Unidentified",
    "compare",
    "contract",
    "contract_matrix",
    "hermite_residual",
    "kernel_matmul",
    "learn",
    "learn_landscape",
    "learn_narrow",
    "learn_rectified",
    "learn_symmetric",
    "load",
    "make_samples",
    "network_norm_bound",
    "random_teacher",
    "recursive_kernel",
    "sample_inputs",
    "small_tensor",
}


def room(path):
    return path.parts[0].removesuffix(".py")


def imported(path):
    """Every module of ours that the file imports, at the top or later."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "fastmom")


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_run_downwards(path):
    allowed = {room(path), *BELOW[room(path)]}
    rooms = {([*name.split(".")[1:], ""])[0] for name in imported(path)}
    assert rooms <= allowed, f"{path} imports {rooms - allowed}"


@pytest.mark.parametrize("path", [path for path in SOURCES if room(path) == "kernels"], ids=str)
def test_kernels_import_nothing_of_ours_but_what_all_of_them_share(path):
    # The reference shares the kernels' constants, because they are part of what it defines.
    allowed = "fastmom.kernels." if path.name == "reference.py" else "fastmom.kernels._"
    assert all(name.startswith(allowed) for name in imported(path))


def test_only_kernels_know_numba():
    knowing = {
        room(path)
        for path in SOURCES
        for node in ast.walk(ast.parse((PACKAGE / path).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "numba" in {name.split(".")[0] for name in [getattr(node, "module", None) or node.names[0].name]}
    }
    assert knowing == {"kernels"}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_file_has_one_responsibility(path):
    assert len((PACKAGE / path).read_text().splitlines()) <= 350


def test_the_public_names_are_those_of_the_architecture():
    assert set(fastmom.__all__) == PUBLIC
    assert set(fastmom.__all__) <= set(dir(fastmom))
    assert all(getattr(fastmom, name) is not None for name in PUBLIC)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'learnn'"):
        _ = fastmom.learnn


def public_functions():
    """Public functions, and the public methods of public classes."""
    for name in sorted(PUBLIC):
        thing = getattr(fastmom, name)
        if inspect.isclass(thing):
            members = inspect.getmembers(thing, inspect.isfunction)
            yield from ((f"{name}.{member}", f) for member, f in members if not member.startswith("_"))
        else:
            yield name, thing


@pytest.mark.parametrize("name", sorted(dict(public_functions())))
def test_public_functions_are_documented(name):
    function = dict(public_functions())[name]
    text = inspect.getdoc(function)
    assert text and text.splitlines()[0].endswith("."), name
    if "." in name:  # a method's summary may say it all
        return
    parameters, returned = function.__annotations__.keys() - {"return"}, function.__annotations__.get("return")
    assert "Parameters\n----------" in text
    documented = text.partition("Parameters\n----------")[2].partition("\n\n")[0]
    assert all(parameter in documented for parameter in parameters), name
    assert returned in (None, "None") or "Returns\n-------" in text, f"{name}: Returns"
    assert ">>> " in text, f"{name}: example"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_classes_show_an_example(name):
    thing = getattr(fastmom, name)
    if inspect.isclass(thing) and thing.__module__ != "fastmom.comparison":
        assert ">>> " in (inspect.getdoc(thing) or ""), name


def test_public_modules_import_by_their_names():
    for path in SOURCES:
        module = ".".join(("fastmom", *path.with_suffix("").parts)).removesuffix(".__init__")
        if path.name != "__main__.py":
            assert importlib.import_module(module).__doc__, f"{module} says nothing about itself"
