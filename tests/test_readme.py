"""Every command and every example in the README works as printed."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from fastmom.cli import main

ROOT = Path(__file__).parents[1]
SHELL_BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def test_the_python_example_prints_what_it_says():
    failed, attempted = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert attempted > 0 and failed == 0


def test_the_shell_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [shlex.split(line, comments=True) for line in SHELL_BLOCKS[1].splitlines()]
    assert [words[1] for words in lines] == ["sample", "fit", "compare", "predict"]
    for program, *arguments in lines:
        assert program == "fastmom" and main(arguments) == 0, capsys.readouterr().err


@pytest.mark.parametrize("ending", re.findall(r"^readme '(.*)'$", (ROOT / ".ci/run").read_text(), flags=re.MULTILINE))
def test_the_set_up_commands_are_those_that_are_checked_on_a_fresh_machine(ending):
    assert sum(line.endswith(ending) for line in SHELL_BLOCKS[0].splitlines()) == 1
