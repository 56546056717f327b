"""A spec says which cells there are, or on which line it is wrong and what was probably meant."""

import numpy as np
import pytest

from fastmom.experiments.cells import cell_key, streams
from fastmom.experiments.spec import parse_spec, read_spec
from fastmom.experiments.toml_text import line_of, read_toml

SPEC = """
name = "threshold"
text = '''
seed = { start = 9, count = 9 }  # looks like an entry, and is text
'''

[grid]
method = ["rectified", "symmetric"]
n_samples = [
    50,
    100,
]
GRID
seed = { start = 3, count = 4 }

[fixed]
n_inputs = 5
n_hidden = 2
n_outputs = 3
FIXED

[rivals]
lbfgs_student = { starts = 3 }
RIVALS
"""


def spec(grid="", fixed="", rivals=""):
    return parse_spec(SPEC.replace("GRID", grid).replace("FIXED", fixed).replace("RIVALS", rivals))


def test_the_grid_is_crossed_and_rivals_run_on_each_of_its_problems():
    cells = spec().cells
    assert len(cells) == 4 * 2 * 2 + 4 * 2
    assert len({cell_key(cell, "1") for cell in cells}) == len(cells)
    assert {cell["method"] for cell in cells} == {"rectified", "symmetric", "lbfgs_student"}
    assert {cell["seed"] for cell in cells} == {3, 4, 5, 6}


def test_seeds_change_slowest_so_that_a_stopped_sweep_has_tried_everything():
    seeds = [cell["seed"] for cell in spec().cells]
    assert seeds == sorted(seeds)
    assert {cell["method"] for cell in spec().cells[:6]} == {"rectified", "symmetric", "lbfgs_student"}


def test_options_of_the_grid_are_not_those_of_rivals():
    cells = spec(fixed='options.bias = "hidden"').cells
    assert {(cell["method"], cell.get("options.bias"), cell.get("options.starts")) for cell in cells} == {
        ("rectified", "hidden", None),
        ("symmetric", "hidden", None),
        ("lbfgs_student", None, 3),
    }


def test_options_may_be_crossed_too():
    cells = parse_spec(
        "[grid]\noptions.variant = ['snap', 'even_odd']\nseed = [1, 5]\n[fixed]\nn_inputs = 4\nn_hidden = 2\n"
        "n_samples = 40\n"
    ).cells
    assert [(cell["seed"], cell["options.variant"]) for cell in cells] == [
        (1, "snap"),
        (1, "even_odd"),
        (5, "snap"),
        (5, "even_odd"),
    ]


def test_methods_share_the_data_of_a_problem_but_not_their_own_randomness():
    problem = {"trial": "recovery", "n_inputs": 5, "seed": 0}
    one = {**problem, "method": "rectified", "options.variant": "snap"}
    other = {**problem, "method": "lbfgs_student", "options.starts": 3}
    (data, own), (same_data, others) = streams(one), streams(other)
    first = data.random(4)
    np.testing.assert_array_equal(first, same_data.random(4))
    assert own.random() != others.random()
    assert not np.array_equal(first, streams({**one, "seed": 1})[0].random(4))


def test_streams_do_not_depend_on_the_order_of_entries_nor_on_absent_ones():
    cell = {"n_inputs": 5, "seed": 0, "method": "auto"}
    reordered = {"method": "auto", "angle": None, "seed": 0, "n_inputs": 5}
    for a, b in zip(streams(cell), streams(reordered), strict=True):
        assert a.random() == b.random()


def test_streams_are_those_of_every_version():
    data, method = streams({"trial": "recovery", "n_inputs": 5, "seed": 0, "method": "auto"})
    assert (int(data.integers(1 << 32)), int(method.integers(1 << 32))) == (3860152717, 4093030417)


def test_a_key_names_cell_and_code():
    cell = {"n_inputs": 5, "seed": 0}
    assert cell_key(cell, "1") != cell_key(cell, "2") != cell_key({**cell, "seed": 1}, "2")


WRONG = {  # what is added to which table, and what the message must say
    ("grid", "nn_outputs = [1]"): ("[grid] nn_outputs: no such entry; did you mean 'n_outputs'?", 13),
    ("grid", 'law = ["gausian"]'): ("[grid] law: 'gausian' is not one of", 13),
    ("grid", 'law = "gaussian"'): ("expected a list; write ['gaussian'], or move it to [fixed]", 13),
    ("grid", "noise = []"): ("the list is empty", 13),
    ("grid", "noise = [0.1, 0.1]"): ("0.1 stands twice", 13),
    ("grid", "noise = [0.1, -2]"): ("[grid] noise: expected a finite number in [0, inf], got -2", 13),
    ("grid", 'options.variant = ["refned"]'): ("options.variant: ", 13),
    ("fixed", "noise = [0.1]"): ("[fixed] noise: expected one value", 20),
    ("fixed", "n_samples = 3"): ("[fixed] n_samples: stands in [grid] too", 20),
    ("fixed", "bias = 1"): ("[fixed] bias: expected true or false, got 1", 20),
    ("fixed", 'kind = "orthonormal"\nangle = 0.3'): ("[fixed] angle: only correlated", 21),
    ("fixed", 'kind = "clump"\noutput = "positive"'): ("[fixed] output: the output weights of kind='clump' cancel", 21),
    ("fixed", 'activation = "rleu"'): ("did you mean 'relu'", 20),
    ("fixed", 'options = { bias = true, nosie = "none" }'): ("options.nosie: the method 'rectified' has no such", 20),
    ("fixed", "options.bias = 3"): ("options.bias: expected bool or 'hidden' or 'output', got 3", 20),
    ("rivals", "lbfgs = {}"): ("[rivals] lbfgs: 'lbfgs' is not one of", 24),
    ("rivals", "adam_student = 3"): ("expected a table of options, such as adam_student = {}", 24),
    ("rivals", "adam_student = { start = 3 }"): ("start: the method 'adam_student' has no such option; did you", 24),
    ("rivals", "adam_student = { steps = 0.5 }"): ("steps: expected int, got 0.5", 24),
    ("rivals", 'adam_student = { n_hidden = "unknown" }'): ("n_hidden: expected int, got None", 24),
    ("rivals", "adam_student = { steps = [1, 2] }"): ("steps: expected one value", 24),
    ("rivals", "rectified = {}"): ("[rivals] rectified: the grid has the same cell", 24),
}


@pytest.mark.parametrize("place", WRONG, ids="; ".join)
def test_a_mistake_is_named_with_its_line(place):
    table, entry = place
    message, line = WRONG[place]
    with pytest.raises(ValueError) as caught:
        spec(**{table: entry})
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"spec.toml:{line}: ")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('kind = "recovry"', "spec.toml:1: kind: 'recovry' is not one of"),
        ('\nnaem = "x"', "spec.toml:2: naem: no such entry; did you mean 'name'?"),
        ("name = 3", "name: expected a text, got 3"),
        ("grid = 3", "grid: expected a table"),
        ("[grid]\nn_samples = [5]", "n_inputs: is missing"),
        ("[grid]\nseed = { start = 0 }", "count: is missing; write seed = { start = 0, count = 100 }"),
        ("[grid]\nseed = { start = 0, cuont = 3 }", "did you mean 'count'"),
        ("[grid]\nseed = { start = 0, count = 0 }", "count: expected at least 1, got 0"),
        ("[grid]\nseed = { count = 2000000 }\n", "2,000,000 cells, more than 1,000,000"),
        ("[grid]\nx", "spec.toml: line 2: "),
        ("[grid]\nseed = [1", "spec.toml: line 2: "),
        ("[grid]\n[grid]", "spec.toml: line 2: "),
    ],
)
def test_a_broken_file_says_where(source, message):
    with pytest.raises(ValueError, match=r"^spec\.toml:") as caught:
        parse_spec(source)
    assert message in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"x\.toml: is not UTF-8 text"):
        read_spec(tmp_path / "x.toml")


def test_the_name_is_that_of_the_file_unless_given(tmp_path):
    source = "[fixed]\nn_inputs = 3\nn_hidden = 1\nn_samples = 20\n"
    (tmp_path / "tiny.toml").write_text(source)
    assert read_spec(tmp_path / "tiny.toml").name == "tiny"
    (tmp_path / "tiny.toml").write_text(f"name = 'other'\n{source}")
    spec = read_spec(tmp_path / "tiny.toml")
    assert (spec.name, len(spec.cells)) == ("other", 1)


def test_a_line_is_found_whatever_the_spelling():
    text = "a.b = 1\n[t]\n'x' = '''\ny = 1\n'''\ny = [\n 1,\n]\n[[u]]\n[t.v]\nw = 1"
    content = read_toml(text)
    assert content["t"]["v"] == {"w": 1}
    assert [line_of(text, *path) for path in (("a", "b"), ("t", "x"), ("t", "y"), ("t", "v", "w"), ("t", "z"))] == [
        1,
        3,
        6,
        11,
        None,
    ]
