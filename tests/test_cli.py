"""The shell: what it prints, what it writes, and the exit codes that scripts rely on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastmom as fm
from fastmom.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a teacher, its samples in both formats, and what is wrong with files."""
    monkeypatch.chdir(tmp_path)
    teacher = fm.random_teacher(6, 3, 4, bias=True, rng=0)
    X, Y = fm.make_samples(teacher, 120, rng=1)
    teacher.save("teacher.npz")
    np.savez("data.npz", X=X, Y=Y)
    np.save("X.npy", X)
    np.save("Y.npy", Y)
    np.save("short.npy", Y[:50])
    np.save("wide.npy", np.ones((3, 9)))
    np.savez("noise.npz", X=X, Y=np.random.default_rng(2).standard_normal(Y.shape))
    np.savez("other.npz", inputs=X)
    X[7, 2] = np.nan
    np.savez("nan.npz", X=X, Y=Y)
    Path("cut.npz").write_bytes(Path("data.npz").read_bytes()[:-100])
    Path("text.npz").write_text("X,Y\n1,2\n")
    np.savez("pickle.npz", X=np.array([{}], dtype=object), Y=Y)
    return tmp_path


def run(capsys, *arguments):
    """Exit code, stdout, stderr."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def strict_json(text):
    """One JSON object, and none of the tokens that only Python reads."""

    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    assert text.count("\n") == 1
    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("command", [[], ["demo"], ["sample"], ["fit"], ["predict"], ["compare"], ["sweep"]])
def test_every_command_explains_itself(capsys, command):
    code, out, err = run(capsys, *command, "--help")
    assert code == 0 and out.startswith("usage: fastmom") and err == ""


def test_a_network_is_sampled_recovered_and_compared(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(
        capsys,
        *("sample", "--random", "6,3,4", "--bias", "-n", "120", "--seed", "5", "-o", "data.npz"),
        *("--teacher-output", "teacher.npz"),
    )
    assert code == 0 and "120 samples" in out
    code, out, _ = run(capsys, "fit", "data.npz", "--bias", "--seed", "1", "-o", "net.npz")
    assert code == 0 and "recovered, certified" in out and "net.npz" in out
    code, out, _ = run(capsys, "compare", "net.npz", "teacher.npz")
    assert code == 0 and "3 of 3" in out
    code, out, _ = run(capsys, "compare", "net.npz", "teacher.npz", "--x", "data.npz", "--json")
    assert code == 0 and strict_json(out)["max_error"] < 1e-12
    code, out, _ = run(capsys, "predict", "net.npz", "data.npz", "-o", "labels.npy")
    assert code == 0
    np.testing.assert_allclose(np.load("labels.npy"), np.load("data.npz")["Y"], atol=1e-12)


def test_the_same_seed_gives_the_same_files(folder, capsys):
    for name in ("a", "b"):
        run(capsys, "sample", "--random", "5,2,2", "-n", "50", "--seed", "3", "-o", f"{name}.npz")
        run(capsys, "fit", f"{name}.npz", "--seed", "4", "-o", f"{name}-net.npz")
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()
    assert Path("a-net.npz").read_bytes() == Path("b-net.npz").read_bytes()


def test_bias_may_stand_alone_before_a_file(folder, capsys):
    assert run(capsys, "fit", "--bias", "data.npz")[0] == 0
    assert run(capsys, "fit", "--bias", "both", "data.npz")[0] == 0


def test_separate_files_are_fitted_like_one(folder, capsys):
    _, together, _ = run(capsys, "fit", "data.npz", "--bias", "--seed", "1", "--json")
    code, apart, _ = run(capsys, "fit", "--x", "X.npy", "--y", "Y.npy", "--bias", "--seed", "1", "--json")
    together, apart = strict_json(together), strict_json(apart)
    assert code == 0 and apart["certificate"] == together["certificate"]


def test_what_is_not_recovered_exits_1_and_saves_nothing(folder, capsys):
    code, out, err = run(capsys, "fit", "noise.npz", "--bias", "-o", "net.npz", "--noise", "none")
    assert code == 1 and "not certified" in out and "not saved" in out and err == ""
    code, out, _ = run(capsys, "fit", "noise.npz", "--bias", "-o", "net.npz", "--noise", "none", "--json")
    report = strict_json(out)
    assert code == 1 and report["success"] is False and report["output"] is None
    assert not os.path.exists("net.npz")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "teacher.npz", "-n", "20", "-o", "new.npz"],
        ["sample", "--random", "4,2,3", "--law", "laplace", "--noise", "0.1", "-o", "new.npz"],
        ["fit", "data.npz", "--bias", "-o", "net.npz"],
        ["predict", "teacher.npz", "X.npy"],
        ["predict", "teacher.npz", "X.npy", "-o", "out.npy"],
        ["compare", "teacher.npz", "teacher.npz"],
        ["demo", "--network", "wine", "--starts", "1"],
    ],
    ids=" ".join,
)
def test_json_is_one_valid_object_and_nothing_else(folder, capsys, arguments):
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0 and err == ""
    assert isinstance(strict_json(out), dict)


def test_a_missing_neuron_is_null_in_json_and_inf_in_text(folder, capsys):
    fm.TwoLayerNetwork(np.eye(6)[:1], np.ones((4, 1))).save("one.npz")
    code, out, _ = run(capsys, "compare", "one.npz", "teacher.npz", "--json")
    assert code == 0 and strict_json(out)["max_error"] is None
    assert "inf" in run(capsys, "compare", "one.npz", "teacher.npz")[1]


MISTAKES = {
    "": "arguments are required",
    "fti data.npz": "invalid choice",
    "fit data.npz --metod auto": "did you mean --method",
    "fit data.npz --n-hid 3": "did you mean --n-hidden",
    "fit data.npz --bias=all": "invalid choice",
    "fit data.npz --n-hidden three": "invalid int",
    "fit data.npz --n-hidden 0": "n_hidden: expected at least 1",
    "fit data.npz --method newton": "method: 'newton' is not one of",
    "fit data.npz --noise gausian": "did you mean 'gaussian'",
    "fit data.npz --activation rleu": "activation",
    "fit data.npz --seed -1": "at least 0",
    "fit": "expected DATA.npz, or both --x and --y",
    "fit data.npz --x X.npy --y Y.npy": "expected DATA.npz, or both --x and --y",
    "fit --x X.npy": "expected DATA.npz, or both --x and --y",
    "fit missing.npz": "missing.npz: No such file",
    "fit .": "Is a directory",
    "fit cut.npz": "cut.npz: cannot be read",
    "fit text.npz": "not an .npz archive",
    "fit pickle.npz": "pickled Python objects, which are never loaded",
    "fit other.npz": "has no X and Y, only inputs",
    "fit nan.npz": "X[7, 2] is nan",
    "fit --x X.npy --y short.npy": "50 rows, the inputs 120",
    "fit data.npz -o nowhere/net.npz": "no folder 'nowhere'",
    "predict data.npz X.npy": "not one of fastmom",
    "predict teacher.npz wide.npy": "expected 6 columns",
    "predict teacher.npz nan.npz": "X[7, 2] is nan",
    "predict teacher.npz missing.npy": "missing.npy: No such file",
    "compare teacher.npz": "arguments are required",
    "compare teacher.npz data.npz": "not one of fastmom",
    "sample -o new.npz": "required",
    "sample teacher.npz": "required: -o",
    "sample teacher.npz --random 3,2,1 -o new.npz": "not allowed with",
    "sample --random 3,2 -o new.npz": "three whole numbers like 20,10,10",
    "sample teacher.npz -n 0 -o new.npz": "at least 1",
    "sample teacher.npz --law gaus -o new.npz": "did you mean 'gaussian'",
    "demo --network digit": "did you mean 'digits'",
    "demo --starts 0": "starts: expected at least 1",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_do(folder, capsys, line):
    code, out, err = run(capsys, *line.split())
    assert code == 2 and out == ""
    assert err.startswith("fastmom: error: ") and err.count("\n") == 1
    assert MISTAKES[line] in err


def test_an_interrupt_is_one_line(folder, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(fm, "learn", interrupted)
    assert run(capsys, "fit", "data.npz") == (130, "", "fastmom: interrupted\n")


def test_a_memory_error_is_one_line(folder, capsys, monkeypatch):
    def too_large(*arguments, **options):
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(fm, "learn", too_large)
    code, _, err = run(capsys, "fit", "data.npz")
    assert code == 2 and "not enough memory (Unable to allocate 1 TiB)" in err and err.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX shells")
def test_a_reader_that_leaves_is_no_error(folder):
    np.save("many.npy", np.zeros((200_000, 6)))
    environment = {**os.environ, "PYTHONPATH": str(Path(fm.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmom", "predict", "teacher.npz", "many.npy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141


def test_the_module_runs_as_the_command(folder, run_python):
    process = run_python("-m", "fastmom", "fit", "missing.npz", cwd=folder)
    assert process.returncode == 2
    assert process.stderr == "fastmom: error: missing.npz: No such file or directory\n"


def test_a_developer_sees_the_traceback(folder, run_python):
    process = run_python("-X", "dev", "-W", "ignore", "-m", "fastmom", "fit", "missing.npz", cwd=folder)
    assert process.returncode == 1 and "Traceback" in process.stderr


def test_wrong_rows_are_counted(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, Y = fm.make_samples(fm.random_teacher(6, 3, 3, rng=0), 200, corruption=0.1, rng=1)
    np.savez("wrong.npz", X=X, Y=Y)
    code, out, _ = run(capsys, "fit", "wrong.npz", "--noise", "gross", "--n-hidden", "3")
    assert code == 0 and "20 are judged corrupt" in out and "180 of 200 rows" in out
    _, out, _ = run(capsys, "fit", "wrong.npz", "--noise", "gross", "--n-hidden", "3", "--json")
    summary = json.loads(out)
    assert summary["certificate"]["n_corrupt"] == 20 == len(summary["diagnostics"]["corrupt_rows"])


def test_the_landscape_learner_is_a_method(folder, capsys):
    import fastmom as fm

    teacher = fm.random_teacher(5, 3, kind="orthonormal", output="positive", rng=0)
    X, y = fm.make_samples(teacher, 1000, rng=1)
    np.savez("positive.npz", X=X, Y=y)
    code, out, _ = run(capsys, "fit", "positive.npz", "--method", "landscape", "--n-hidden", "3", "--seed", "0")
    assert code == 0 and "recovered, certified" in out
    code, _, err = run(capsys, "fit", "positive.npz", "--method", "landscape", "--bias")
    assert code == 2 and "bias" in err


def test_the_narrow_learner_is_a_method(folder, capsys):
    import fastmom as fm

    X, y = fm.make_samples(fm.random_teacher(5, 2, kind="opposite", rng=0), 1000, rng=1)
    np.savez("narrow.npz", X=X, Y=y)
    code, out, _ = run(capsys, "fit", "narrow.npz", "--method", "narrow", "--seed", "0")
    assert code == 0 and "recovered, certified" in out
