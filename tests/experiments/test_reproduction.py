import json
import sys
from pathlib import Path

import pytest

import fastmom
from fastmom.cli import main
from fastmom.experiments import reproduction
from fastmom.experiments.plot_data import split_series
from fastmom.experiments.spec import parse_spec
from fastmom.experiments.toml_text import read_toml
from tests.experiments.rows import row

TINY = {
    "rectified-threshold": {"n_inputs": [6], "samples_per_input": [4.0, 20.0], "seed": [0]},
    "landscape-squared-loss": {"size": [4], "seed": [0]},
}


@pytest.fixture
def tiny(monkeypatch):
    """Quick forms made smaller still."""
    small = reproduction.small

    def smaller(text):
        content = read_toml(small(text))
        name = next(iter(content["plots"]))
        content["grid"] |= TINY[name]
        content.get("fixed", {}).update({"steps": 200} if "steps" in content.get("fixed", {}) else {})
        return reproduction.to_toml(content)

    monkeypatch.setattr(reproduction, "small", smaller)


@pytest.mark.parametrize("name", reproduction.names())
def test_every_experiment_is_a_spec_in_both_forms_with_a_plot_and_a_text(name):
    full, quick = (reproduction.experiment(name, quick=quick) for quick in (False, True))
    assert 0 < len(quick.cells) < len(full.cells)
    assert full.title and len(full.text) > 200 and full.kind == quick.kind
    assert quick.plots == full.plots and next(iter(full.plots)) == name
    shown = next(iter(full.plots.values()))
    for spec in (full, quick):
        labels = list(split_series(shown, [row(**cell) for cell in spec.cells[:500]]))
        assert all(label in shown.names.values() or " = " in label for label in labels), labels


def test_the_full_form_is_the_file_itself_and_the_quick_one_its_replacements():
    text = reproduction.source("rectified-threshold")
    assert parse_spec(text).grid["n_inputs"] == [10, 20, 30, 50]
    assert parse_spec(reproduction.small(text)).grid["n_inputs"] == [10, 20, 30]


def test_what_is_written_as_toml_reads_back():
    content = read_toml(reproduction.source("rectified-noise"))
    content["grid"]["options.odd name"] = ['quo"te', "é", True, 1e-300]
    assert read_toml(reproduction.to_toml(content)) == content


@pytest.mark.parametrize("name", sorted(TINY))
def test_an_experiment_runs_from_the_command_line_to_its_pictures(name, tiny, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    arguments = ["reproduce", name, "--quick", "--jobs", "1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert reproduction.experiment(name).title in shown and "exact" in shown
    folder = tmp_path / f"{name}-quick"
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG") and (folder / f"{name}.svg").exists()
    assert main([*arguments, "--json"]) == 0  # nothing is left to run
    (told,) = json.loads(capsys.readouterr().out)
    learner = [group for group in told["groups"] if group["axes"]["method"] in ("rectified", "landscape")]
    assert all(group["exact"] == {"count": 1, "of": 1} for group in learner)


def test_a_report_of_a_folder_has_table_files_and_its_own_plots(tiny, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    main(["reproduce", "rectified-threshold", "--quick", "--jobs", "1", "--out", str(tmp_path)])
    capsys.readouterr()
    folder, target = tmp_path / "rectified-threshold-quick", tmp_path / "report"
    csv = tmp_path / "rows.csv"
    assert main(["report", str(folder), "--csv", str(csv), "--plots", str(target)]) == 0
    assert "lbfgs_student" in capsys.readouterr().out and len(csv.read_text().splitlines()) == 5
    assert sorted(path.name for path in target.iterdir()) == ["rectified-threshold.png", "rectified-threshold.svg"]
    assert main(["report", str(folder), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["groups"]) == 4


def test_the_gallery_is_a_folder_of_small_pictures(tiny, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(reproduction, "GALLERY", ("rectified-threshold",))
    out, gallery = str(tmp_path / "runs"), tmp_path / "gallery"
    assert main(["reproduce", "--gallery", str(gallery), "--quick", "--jobs", "1", "--out", out]) == 0
    (picture,) = gallery.iterdir()
    assert picture.name == "rectified-threshold.png" and picture.stat().st_size < 60_000


def test_without_matplotlib_the_rows_and_the_table_remain(tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = ["reproduce", "rectified-threshold", "--quick", "--jobs", "1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert "lbfgs_student" in told.out and "png" not in told.out and "need matplotlib" in told.err


def test_the_list_names_every_experiment(capsys):
    assert main(["reproduce", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == reproduction.names()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "rectified-treshold"], "did you mean 'rectified-threshold'?"),
        (["reproduce"], "expected the name of an experiment, or --all"),
        (["reproduce", "rectified-noise", "--all"], "expected the name of an experiment, or --all"),
        (["report", "nowhere"], "nowhere: there is no such folder of a sweep"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_gallery_of_the_documentation_is_complete_and_small():
    folder = Path(fastmom.__file__).parent / "experiments" / "gallery"
    pictures = {path.stem: path.stat().st_size for path in folder.glob("*.png")}
    assert sorted(pictures) == sorted(reproduction.GALLERY) and len(pictures) <= 8
    assert max(pictures.values()) <= 60_000
