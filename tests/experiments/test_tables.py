import csv
import json
import math

import pytest

from fastmom.experiments import tables
from tests.experiments.rows import row, sweep


def test_a_group_gathers_cells_that_differ_in_their_seed_only():
    groups = tables.grouped(sweep())
    assert len(groups) == 12 and all(len(group.rows) == 4 for group in groups)
    assert list(groups[0].axes) == ["method", "n_samples", "noise"]
    assert [group.axes["n_samples"] for group in groups[:6]] == [100, 100, 200, 200, 300, 300]


def test_options_that_a_method_fixes_are_no_axis_but_varied_ones_are():
    fixed = [row(method="a", **{"options.starts": 5}), row(method="b")]
    assert tables.varying_axes(fixed) == ["method"]
    varied = [*fixed, row(method="a", **{"options.starts": 6})]
    assert tables.varying_axes(varied) == ["method", "options.starts"]


def test_a_missing_measure_is_the_worst_one_and_a_failed_cell_no_success():
    rows = [row(None), row(1.0, seed=1), row(2.0, seed=2, success=False), row(state="failed", seed=3)]
    (entry,) = tables.summarise(rows)
    assert (entry["median"], entry["upper_quartile"]) == (2.0, None)
    assert (entry["success"], entry["cells"], entry["failed"]) == ({"count": 2, "of": 4}, 3, 1)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0], 0.25, 1.25),
        ([1.0, math.inf], 0.5, math.inf),
        ([1.0, math.inf], 0, 1.0),
    ],
)
def test_quantiles_interpolate_between_finite_neighbours(values, share, expected):
    assert tables.quantile(values, share) == expected


def test_the_table_says_counts_and_quartiles():
    text = tables.format_table(tables.summarise(sweep()))
    header, first = text.splitlines()[:2]
    assert header.split() == "method n_samples noise cells success exact median error quartiles seconds".split()
    assert first.split() == "lbfgs_student 100 0 4 0/4 0% 0/4 0% 0.1 0.1 .. 0.1 0.1".split()
    assert tables.format_table([]) == "no finished cells"


def test_csv_has_a_line_for_each_cell(tmp_path):
    tables.write_csv([*sweep(), row(state="failed", values={}), row(values={"trace": [1, 2]})], tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 50
    assert float(lines[0]["values.error"]) == 0.1 and lines[0]["n_samples"] == "100"
    assert lines[48]["state"] == "failed" and lines[48]["message"] == "ValueError: no"
    assert json.loads(lines[49]["values.trace"]) == [1, 2]


def test_parquet_has_typed_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [*sweep(), row(1, success=None, noise="odd", n_samples=1.5)]
    tables.write_parquet(rows, tmp_path / "rows.parquet")
    table = parquet.read_table(tmp_path / "rows.parquet")
    assert table.num_rows == 49
    types = {name: str(table.schema.field(name).type) for name in ("values.error", "n_samples", "noise", "seed")}
    assert types == {"values.error": "double", "n_samples": "double", "noise": "string", "seed": "int64"}


def test_without_pyarrow_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ValueError, match="Parquet files: need pyarrow, which is not installed: pip install pyarrow"):
        tables.write_parquet(sweep(), tmp_path / "rows.parquet")
