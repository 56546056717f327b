import sys

import pytest

from fastmom.experiments import plot_data, plots
from fastmom.experiments.plot_data import PlotSpec
from tests.experiments.rows import row, sweep

LOG = ("x", "y")


@pytest.fixture
def figure(request):
    pytest.importorskip("matplotlib")
    return plots.draw(*request.param)


def frames(figure):
    return [frame for frame in figure.axes if frame.get_visible()]


CURVE = PlotSpec("curve", "n_samples", "error", panels=("noise",), title="Errors", log=LOG, names={"rectified": "ours"})


@pytest.mark.parametrize("figure", [(CURVE, sweep())], indirect=True)
def test_a_curve_shows_each_series_in_each_panel_with_bands_and_labels(figure):
    assert [frame.get_title() for frame in frames(figure)] == ["noise = 0", "noise = 0.1"]
    for frame in frames(figure):
        assert [line.get_label() for line in frame.lines] == ["ours", "lbfgs_student"]
        assert len(frame.collections) == 2  # the bands
        assert (frame.get_xscale(), frame.get_yscale()) == ("log", "log")
        assert frame.get_xlabel() == "samples n"
    assert list(frames(figure)[0].lines[0].get_ydata()) == [0.1, 0.01, 0.001]
    assert figure.get_suptitle() == "Errors"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "lbfgs_student"]


@pytest.mark.parametrize("figure", [(CURVE, [*sweep(), row(None, n_samples=400), row(n_samples=500)])], indirect=True)
def test_no_answer_is_a_cross_at_the_edge_and_breaks_the_line(figure):
    first = frames(figure)[0]
    assert "no answer" in [text.get_text() for text in figure.legends[0].get_texts()]
    cross = next(line for line in first.lines if line.get_label() == "no answer")
    assert list(cross.get_xdata()) == [400] and list(cross.get_ydata()) == [1.0]
    assert first.get_ylim()[1] < 1  # the limits follow what is finite


@pytest.mark.parametrize("figure", [(PlotSpec("heatmap", "n_samples", "noise", title="Found"), sweep())], indirect=True)
def test_a_heat_map_writes_successes_and_trials_into_each_place(figure):
    assert [frame.get_title() for frame in frames(figure)] == ["lbfgs_student", "rectified"]
    rival = [text.get_text() for text in frames(figure)[0].texts]
    assert sorted(rival) == ["0/4"] * 4 + ["4/4"] * 2
    assert frames(figure)[0].get_xlabel() == "samples n"


TRACES = [
    row(method=method, values={"samples": [10, 100], "loss": [1.0, 0.1 * (seed + 1)]}, seed=seed)
    for method in ("a", "b")
    for seed in range(3)
]


@pytest.mark.parametrize("figure", [(PlotSpec("trace", "samples", "loss", log=LOG), TRACES)], indirect=True)
def test_a_trace_is_a_line_for_each_cell(figure):
    (frame,) = frames(figure)
    assert len(frame.lines) == 6 and len(figure.legends[0].get_texts()) == 2


@pytest.mark.parametrize("figure", [(PlotSpec("race", "seconds", "error", log=LOG), sweep())], indirect=True)
def test_a_race_is_a_point_for_each_cell(figure):
    (frame,) = frames(figure)
    assert [len(line.get_xdata()) for line in frame.lines] == [24, 24]
    assert frame.get_xlabel() == "time of a fit (seconds)"


DOTS = PlotSpec("dots", "law", "error", reference={"value": 0.5, "label": "half"}, names={"b": "bees", "a": "a"})
LAWS = [row(0.1 * (seed + 1), law=law, seed=seed) for law in ("a", "b") for seed in range(3)]


@pytest.mark.parametrize("figure", [(DOTS, LAWS)], indirect=True)
def test_dots_stand_over_words_in_the_order_of_the_names(figure):
    (frame,) = frames(figure)
    assert [text.get_text() for text in frame.get_xticklabels()] == ["bees", "a"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["half", "rectified"]
    assert [line.get_linestyle() for line in frame.lines] == ["--", "None"]


def test_files_are_png_and_svg_and_the_same_for_the_same_rows(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    for folder in ("first", "second"):
        files = plots.save_plots({"error": CURVE}, sweep(), tmp_path / folder)
        assert [path.name for path in files] == ["error.png", "error.svg"]
    for name, begin in (("error.png", b"\x89PNG"), ("error.svg", b"<?xml")):
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("first", "second"))
        assert first == second and first.startswith(begin)
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_any_sweep_has_plots():
    plain = plot_data.automatic(sweep())
    assert {name: spec.kind for name, spec in plain.items()} == {"error": "curve", "exact": "heatmap", "race": "race"}
    assert plain["error"].x == "n_samples" and plain["error"].panels == ("noise",)
    assert plot_data.automatic([row()]) == {}


def test_rates_have_the_interval_of_wilson():
    assert plot_data.rate(0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-4)
    assert plot_data.rate(5, 10) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-4)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "curve"}, r"p\.x: missing"),
        ({"kind": "curv", "x": "noise"}, r"p\.kind: 'curv' is no plot; did you mean 'curve'\?"),
        ({"kind": "curve", "x": "noise", "tilte": ""}, r"p\.tilte: no such key; did you mean 'title'\?"),
        ({"kind": "curve", "x": 3}, r"p\.x: expected a str, got 3"),
        ({"kind": "curve", "x": "noise", "log": ["z"]}, r'p\.log: expected "x", "y" or both'),
        ({"kind": "heatmap", "x": "noise", "rate": "sucess"}, r"p\.rate: .*did you mean 'success'"),
        ({"kind": "curve", "x": "noise", "reference": {"label": "one"}}, r"p\.reference: expected a number 'value'"),
        ({"kind": "curve", "x": "noise", "names": {"a": 1}}, r"p\.names: expected texts"),
        (3, r"p: expected a table, got 3"),
    ],
)
def test_a_wrong_specification_is_refused_with_the_nearest_name(table, message):
    with pytest.raises(ValueError, match=message):
        PlotSpec.read(table, "p")


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        ValueError, match=r"plots: need matplotlib, which is not installed: pip install 'fastmom\[plots\]'"
    ):
        plots.save_plots({"error": CURVE}, sweep(), tmp_path)


def test_nothing_to_show_is_an_error(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="no finished cells"):
        plots.save_plots({"error": CURVE}, [], tmp_path)
