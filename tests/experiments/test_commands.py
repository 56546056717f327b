"""`fastmom sweep`: what it prints, and the exit codes that scripts rely on."""

import json

import pytest

from fastmom.cli import main
from fastmom.experiments.trials import TRIALS, Trial

SPEC = """
[grid]
n_samples = [50, 100]
seed = [0, 1]
[fixed]
method = "rectified"
n_inputs = 5
n_hidden = 2
n_outputs = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(SPEC)
    (tmp_path / "wrong.toml").write_text(SPEC.replace("n_inputs", "n_input"))
    (tmp_path / "no_suffix").write_text(SPEC)
    return tmp_path


def run(capsys, *arguments):
    """Exit code, stdout, stderr."""
    code = main(["sweep", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_sweep_is_run_once_and_says_where_its_rows_are(capsys, folder):
    code, out, err = run(capsys, "tiny.toml", "--jobs", "1")
    assert code == 0 and err == ""
    assert out.startswith("tiny: 4 of 4 cells done; 4 ran now in ") and out.endswith("results in tiny\n")
    assert "0 ran now" in run(capsys, "tiny.toml", "--jobs", "1")[1]


def test_a_dry_run_counts_and_runs_nothing(capsys, folder):
    code, out, _ = run(capsys, "tiny.toml", "--dry-run")
    assert code == 0 and out.startswith("tiny: 4 cells, 2 seed x 2 n_samples; 0 of them are in tiny\n")
    assert "n_samples = 50" in out and not (folder / "tiny").exists()
    run(capsys, "tiny.toml", "--jobs", "1", "--out", "here")
    code, out, _ = run(capsys, "tiny.toml", "--dry-run", "--out", "here", "--json")
    assert code == 0 and json.loads(out)["n_stored"] == json.loads(out)["n_cells"] == 4


def test_json_is_one_object(capsys):
    code, out, err = run(capsys, "tiny.toml", "--jobs", "1", "--json")
    summary = json.loads(out)
    assert code == 0 and err == "" and out.count("\n") == 1
    assert (summary["n_done"], summary["n_left"], summary["folder"]) == (4, 0, "tiny")


def test_failed_cells_are_told_with_their_message_and_exit_1(capsys, monkeypatch):
    def failing(cell, data, method):
        raise ArithmeticError("no luck")

    monkeypatch.setitem(TRIALS, "recovery", Trial(failing, TRIALS["recovery"].keys))
    code, out, _ = run(capsys, "tiny.toml", "--jobs", "1")
    assert code == 1 and "0 of 4 cells done, 4 failed" in out
    assert out.count("ArithmeticError: no luck") == 1 and "--retry-failed" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "arguments are required"),
        ("missing.toml", "missing.toml: No such file"),
        ("wrong.toml", "wrong.toml:7: [fixed] n_input: no such entry; did you mean 'n_inputs'?"),
        ("no_suffix", "--out: expected a folder"),
        ("tiny.toml --jobs 0", "jobs: expected at least 1"),
        ("tiny.toml --job 1", "did you mean --jobs?"),
        ("tiny.toml --engine dsk", "did you mean 'dask'?"),
        ("tiny.toml --address tcp://x:1", "only engine='dask' has one"),
        ("tiny.toml --out wrong.toml", "wrong.toml: cannot make this folder"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(capsys, line, message):
    try:
        code = main(["sweep", *line.split()])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2 and captured.out == ""
    assert captured.err.startswith("fastmom: error: ") and captured.err.count("\n") == 1
    assert message in captured.err
