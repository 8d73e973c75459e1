"""Figures that run folders ask for themselves: plug-in numbers, and many runs under several seeds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import altair as alt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.charts import chart, style
from expunge.core.columns import KINDS, Column, Plot
from expunge.core.intervals import interval
from expunge.record.columns import as_json
from expunge.record.folders.runs import Run
from expunge.report import find_runs, read_run
from expunge.report.figures.cost import draw_cost
from expunge.report.figures.draw import draw_all, draw_plots, write_run_figures
from expunge.report.read.methods import methods
from expunge.report.tables.table_rows import ordered
from tests import cli
from tests.charts.sound import sound
from tests.report.test_report import make_run
from tests.report.test_report_networks import data_of, edit, make_network

pytestmark = pytest.mark.filterwarnings("error")

_TOY = {"leak": [0.5, 0.25, 0.125], "leak_before": [0.9, 0.8, 0.7], "leak_bound": [1.0, 1.0, 1.0]}


def make_toy(folder: Path, plot: Plot, **column) -> Path:
    """Write a run whose one number is a plug-in's."""
    make_run(folder, "newton", 3)
    summary = json.loads((folder / "summary.json").read_text())
    said = Column("leak", "↓", "what leaks", **column, plot=plot)
    summary |= {"columns": as_json({"leak": said}), "role": "certified", "leak": 0.125}
    (folder / "summary.json").write_text(json.dumps(summary))
    path = folder / "removals.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records = [r | {key: values[i] for key, values in _TOY.items()} for i, r in enumerate(records)]
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


_AGAINST = {"smoothed": "leak_before", "pair": "leak_before", "bounded": "leak_bound"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("rest", "features")])
def test_a_plug_in_number_is_drawn_as_it_asks(tmp_path, kind):
    plot = Plot(
        "leaks", kind, "How much leaks", "bits a row", _AGAINST.get(kind, ""), caption="Bits that leak"
    )
    (drawn,) = draw_plots([read_run(make_toy(tmp_path / "a", plot))])
    assert drawn.name == "leaks"
    assert drawn.caption.startswith("Bits that leak")
    for words in ("How much leaks", *(["bits a row"] if kind != "bounded" else [])):
        assert f">{words}<" in drawn.svg


def test_numbers_of_one_figure_that_are_drawn_in_different_ways_get_a_figure_each(tmp_path):
    folder = make_toy(tmp_path / "a", Plot("leaks"))
    summary = json.loads((folder / "summary.json").read_text())
    for key, kind in {"leak_before": "stem", "leak_bound": "line"}.items():
        summary["columns"][key] = Column(key, plot=Plot("leaks", kind)).as_json()
    (folder / "summary.json").write_text(json.dumps(summary))
    one, other = draw_plots([read_run(folder)])
    assert (one.name, other.name) == ("leaks", "leaks_2")
    assert ">leak_bound<" in one.svg
    assert ">leak_before<" in other.svg


def test_a_number_that_joins_has_no_figure_alone_and_a_name_is_no_path(tmp_path):
    assert draw_plots([read_run(make_toy(tmp_path / "a", Plot("leaks", joins=True)))]) == []
    run = read_run(make_toy(tmp_path / "b", Plot("../../leaks")))
    written = write_run_figures(run, tmp_path / "figures")
    assert [path.parent for path in written] == [tmp_path / "figures"] * 2


def test_a_plug_in_number_that_runs_are_compared_by_is_in_grid_and_curves(tmp_path):
    for place, (lam, std) in enumerate((a, b) for a in (0.1, 1.0) for b in (1.0, 10.0)):
        folder = make_toy(tmp_path / str(place), Plot("leaks"), main=True)
        config = json.loads((folder / ".hydra" / "config.yaml").read_text())
        config["unlearner"] |= {"lam": lam, "std": std}
        (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    drawn = {d.name: d for d in draw_all(find_runs([tmp_path]).runs)}
    assert "Leak" in drawn["grid"].svg
    assert ">leak after the last request<" in drawn["tradeoff"].svg


# -- by method ------------------------------------------------------------------------------------------

FIVE = ("lcodec", "finetune", "gradient_ascent", "kfac", "retrain")


def wobble(folder: Path, seed: int) -> Path:
    """Let a run differ from that of another seed by some per cent."""

    def own(record: dict) -> dict:
        some = {
            key: value for key, value in record.items() if isinstance(value, float) and "residual" not in key
        }
        return {
            key: value * (1 + 0.01 * ((seed * 7 + record["request"] * (3 + place)) % 11 - 5) / 5)
            for place, (key, value) in enumerate(some.items())
        }

    last = {"retrain_weight_distance": 0.3 + seed / 50, "retrain_disagreement": 0.02 + seed / 1000}
    return edit(folder, record=own, summary=last)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Run]:
    """Five methods of five seeds."""
    root = tmp_path_factory.mktemp("five")
    for method in FIVE:
        for seed in range(5):
            wobble(make_network(root / f"{method}{seed}", method, 30, seed=seed), seed)
    return ordered(find_runs([root]).runs)


@pytest.fixture(scope="module")
def figures(runs) -> dict[str, style.Drawn]:
    return {drawn.name: drawn for drawn in (*draw_plots(runs), draw_cost(runs))}


def walk(node: Any) -> Iterator[dict]:
    """Yield every object of a specification, but for its data."""
    if isinstance(node, dict):
        yield node
        for key, value in node.items():
            yield from walk(value) if key != "data" else ()
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def colours(drawn: style.Drawn) -> dict[str, set[str]]:
    """Return the colours of each name in a chart."""
    found = defaultdict(set)
    for node in walk(drawn.chart):
        if isinstance(colour := node.get("color"), dict) and "scale" in colour:
            for name, hue in zip(colour["scale"]["domain"], colour["scale"]["range"], strict=True):
                found[name].add(hue)
    return found


def test_every_method_is_in_every_figure_in_one_colour(figures):
    assert list(figures) == ["accuracy", "retained", "sample", "distance", "cost"]
    hues = {"lcodec": 0, "kfac": 2, "retrain": 3, "gradient_ascent": 4, "finetune": 5}
    expected = {method: {style.SERIES[i]} for method, i in hues.items()}
    for drawn in figures.values():
        assert {row.get("method", row.get("row")) for row in data_of(drawn)} == set(FIVE), drawn.name
        assert colours(drawn) == expected, drawn.name
        assert "drawn" not in drawn.caption
        assert all(f">{method}<" in drawn.svg for method in FIVE)


@pytest.mark.parametrize("key", ["test_accuracy", "forget_accuracy"])
def test_means_and_intervals_are_those_over_the_seeds(runs, figures, key):
    known = defaultdict(list)
    for run in runs:
        for record in run.records:
            if record[key] is not None:
                known[run.unlearner, record["request"]].append(record[key])
    found = {(row["method"], row["x"]): row for row in dataset(figures["accuracy"], key == "forget_accuracy")}
    assert found.keys() == known.keys()
    for place, values in known.items():
        row = found[place]
        assert row["y"] == pytest.approx(mean(values), rel=1e-5)
        assert (row["low"], row["high"]) == pytest.approx(interval(values)[1:], rel=1e-5)
        assert row["low"] < row["y"] < row["high"]
        assert row["seeds"] == "0, 1, 2, 3, 4"


def dataset(drawn: style.Drawn, place: int) -> list[dict]:
    """Return the data of the lines of a panel."""
    return drawn.chart["concat"][place]["data"]["values"]


def test_last_values_and_times_have_their_intervals(runs, figures):
    of = defaultdict(list)
    for run in runs:
        of[run.unlearner].append(run.summary["retrain_weight_distance"])
    own = [row for row in data_of(figures["distance"]) if row.get("said", "").startswith("0.")]
    for method, values in of.items():
        assert any(
            (row["x"], row["low"], row["high"]) == pytest.approx(tuple(interval(values)), rel=1e-5)
            for row in own
            if row["row"] == method
        )
    medians = {row["row"]: row["x"] for row in data_of(figures["cost"]) if row["what"] == "median"}
    again = {row["row"]: row["x"] for row in data_of(figures["cost"]) if row["what"] == "retraining instead"}
    assert medians.keys() == set(FIVE)
    assert again.keys() == set(FIVE[:4])
    assert again["kfac"] == pytest.approx(6.4, rel=0.02)


def test_charts_are_valid_and_pick_from_the_legend(figures):
    for drawn in figures.values():
        sound(drawn.svg, *(FIVE if drawn.name != "distance" else ("the run",)))
        spec = {key: value for key, value in drawn.chart.items() if key not in ("params", "config")}
        alt.Chart.from_dict(json.loads(json.dumps(spec)))  # which says what is wrong
        if drawn.name not in ("distance", "cost"):  # whose rows say which method is which
            (pick,) = drawn.chart["params"]
            assert pick["bind"] == "legend"
            assert sorted(pick["views"]) == sorted(
                node["name"] for node in walk(drawn.chart) if str(node.get("name")).startswith("panel_")
            )
            assert "tooltip" in str(drawn.chart)


def test_the_same_runs_give_the_same_bytes(runs, figures):
    for drawn in draw_plots(runs):
        first = figures[drawn.name]
        assert (drawn.svg, drawn.png, drawn.chart) == (first.svg, first.png, first.chart)


def test_what_only_carries_a_tooltip_is_in_no_file(figures):
    assert any(chart.HOVER in str(node.get("mark")) for node in walk(figures["retained"].chart))
    assert 'opacity="0"' not in figures["retained"].svg


def test_thirty_runs_of_twelve_methods_lose_none(tmp_path):
    unlearners = ("newton", "newton_corrected", "retrain", "none")
    for i in range(12):
        for seed in range(3 if i < 6 else 2):
            std = {"std": float(i // 4 + 1), "lam": 0.1}
            make_run(tmp_path / f"{i}-{seed}", unlearners[i % 4], 20, std, seed=seed)
    runs = ordered(find_runs([tmp_path]).runs)
    assert len(runs) == 30
    every = methods(runs)
    drawn = {d.name: d for d in (*draw_plots(runs), draw_cost(runs))}
    places = {(method.panel, method.name) for method in every}
    assert len(places) == len(every) == 12
    assert {(row["panel"], row["method"]) for row in data_of(drawn["accuracy"])} == places
    bounded_ones = {(m.panel, m.name) for m in every if "newton" in m.label}
    assert {
        (row["panel"], row["method"]) for row in data_of(drawn["residual"]) if "method" in row
    } == bounded_ones
    assert {row["row"] for row in data_of(drawn["cost"])} == {m.label for m in every if m.name != "none"}
    for method in every:
        if method.name in ("retrain", "none"):
            assert method.label in drawn["residual"].caption
    found = colours(drawn["accuracy"])
    assert {m.name: {style.SERIES[m.colour]} for m in every} == found


def test_forty_five_groups_are_all_drawn(tmp_path):
    for i in range(45):
        make_run(tmp_path / f"{i:02}", "newton_corrected", 2, {"lam": 10.0 ** -(i % 9), "std": float(i // 9)})
    runs = find_runs([tmp_path]).runs
    drawn = {d.name: d for d in (*draw_plots(runs), draw_cost(runs))}
    labels = {method.label for method in methods(runs)}
    assert len(labels) == 45
    assert {row["row"] for row in data_of(drawn["cost"])} == labels
    shown = {(row["panel"], row["method"]) for row in data_of(drawn["residual"]) if "method" in row}
    assert shown == {(method.panel, method.name) for method in methods(runs)}
    assert len({panel for panel, _ in shown}) == 9


PARTS = st.tuples(
    st.sampled_from(["a", "b (odd", 'c"]', "d.e", "f"]),
    st.integers(0, 4),
    st.integers(0, 3),
    st.integers(0, 2),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=60, unique=True))
def test_methods_are_told_apart_whatever_differs(parts):
    runs = [
        Run(
            Path(str(place)),
            {"unlearner": name, "dataset": "x", "requests": 0, "seed": seed},
            [],
            {"seed": seed, "unlearner": {"name": name, "lam": lam, "other": other}},
            str(place),
        )
        for place, (name, lam, other, seed) in enumerate(parts)
    ]
    every = methods(runs)
    assert sorted(id(run) for method in every for run in method.runs) == sorted(map(id, runs))
    assert len(every) == len({part[:3] for part in parts})
    for method in every:
        assert (
            len(
                {
                    (r.unlearner, r.config["unlearner"]["lam"], r.config["unlearner"]["other"])
                    for r in method.runs
                }
            )
            == 1
        )
    assert len({method.label for method in every}) == len(every)
    assert len({(method.panel, method.name) for method in every}) == len(every)
    facets = defaultdict(list)
    for method in every:
        facets[method.panel].append(method)
    for own in facets.values():
        assert len(own) <= style.COLOURS
        assert len({method.colour for method in own}) == len(own)
    assert len({(method.name, method.colour) for method in every}) == len({method.name for method in every})
    assert (len(facets) == 1) >= (len(every) <= style.COLOURS)


# -- lines ----------------------------------------------------------------------------------------------


def test_lines_under_another_and_few_places_are_said_and_seen(tmp_path):
    for name in ("newton", "newton_corrected", "retrain"):
        folder = make_run(tmp_path / name, name, 20)
        edit(folder, record=lambda r, n=name: {"test_accuracy": 0.9 - (n == "retrain") * r["request"] / 50})
    (drawn,) = (d for d in draw_plots(find_runs([tmp_path]).runs) if d.name == "accuracy")
    assert "Lines that lie under another: newton under newton_corrected (Test accuracy)" in drawn.caption
    rows = dataset(drawn, 0)
    assert len(rows) == 60
    assert all(row["mark"] == "full" for row in rows)


def heights(svg: str, *titles: str) -> set[float]:
    """Return how high titles of panels stand, to a pixel."""
    places = re.findall(r"translate\(([-\d.]+),([-\d.]+)\)|>([^<]+)</text>|(</?g)", svg)
    found, depth, stack = set(), 0.0, []
    for _, y, words, tag in places:
        if tag == "<g":
            stack.append(0.0)
        elif tag == "</g":
            depth -= stack.pop()
        elif y and stack:
            stack[-1] += float(y)
            depth += float(y)
        elif words in titles:
            found.add(round(depth))
    return found


def test_titles_of_panels_stand_at_one_height_and_labels_are_written_alike(tmp_path):
    edit(make_run(tmp_path, "newton", 30), record=lambda r: {"forget_accuracy": 1 - r["request"] / 400})
    drawn = draw_plots([read_run(tmp_path)])[-1]
    assert len(heights(drawn.svg, "Test accuracy", "Accuracy on the removed rows")) == 1
    small = chart.axis("y", "", (1e-7, 2.0), "log")["axis"]["labelExpr"]
    assert "abs(datum.value) < 1.0" in small
    assert chart.axis("y", "", (0.9, 1.0))["axis"]["labelExpr"] == "datum.label"  # 0.90, 0.95, 1.00


def test_the_colour_of_an_unlearner_does_not_depend_on_the_others(tmp_path):
    def run(name: str, **more: Any) -> Run:
        config = {"seed": 0, "unlearner": {"name": name, **more}}
        return Run(
            Path(name), {"unlearner": name, "dataset": "x", "requests": 0, "seed": 0}, [], config, name
        )

    names = ("newton", "newton_third_order", "newton_corrected", "newton_rowless", "retrain", "none")
    every = {method.label: method.colour for method in methods([run(name) for name in names])}
    assert len(set(every.values())) == 6
    for name in names:
        assert [method.colour for method in methods([run(name)])] == [every[name]]
    two = methods([run("newton_corrected", lam=lam) for lam in (0.1, 1.0)] + [run("mine"), run("retrain")])
    assert [two[0].colour, two[3].colour] == [every["newton_corrected"], every["retrain"]]
    assert len({method.colour for method in two}) == 4
    both = (
        "newton",
        "newton_corrected",
        "lcodec",
        "lcodec_published",
        "retrain",
        "none",
    )  # two want one
    found = {method.label: method.colour for method in methods([run(name) for name in both])}
    assert {name: found[name] for name in names if name in found} == {n: every[n] for n in names if n in both}
    assert found["lcodec_published"] == every["newton_third_order"]
    assert len(set(found.values())) == 6


def test_a_run_made_twice_is_one_run(tmp_path):
    for place, seed in enumerate((0, 0, 1)):
        make_run(tmp_path / str(place), "newton", 20, seed=seed)
    (drawn,) = (d for d in draw_plots(find_runs([tmp_path]).runs) if d.name == "accuracy")
    assert {row["seeds"] for row in data_of(drawn)} == {"0, 1"}


def test_seeds_without_a_common_place_are_a_line_each(tmp_path):
    for seed in range(2):
        folder = make_run(tmp_path / str(seed), "newton", 20, seed=seed)
        edit(folder, record=lambda r, s=seed: {"test_accuracy": 0.9 if r["request"] % 2 == s else None})
    (drawn,) = (d for d in draw_plots(find_runs([tmp_path]).runs) if d.name == "accuracy")
    rows = dataset(drawn, 0)
    assert {(row["line"], row["seeds"]) for row in rows} == {("0", "0"), ("1", "1")}
    assert len(rows) == 20


# -- a few that once broke the layout ---------------------------------------------------------------------


def size(drawn: style.Drawn) -> tuple[float, ...]:
    head = drawn.svg[: drawn.svg.index(">")]
    return tuple(float(head.split(f'{side}="')[1].split('"')[0]) for side in ("width", "height"))


def test_a_run_without_a_bound_leaves_the_axes_their_room(tmp_path):
    """The mark of a bound that it does not have, outside of the axes, once took half of the figure."""
    make_run(tmp_path / "with", "newton", 5)
    without = make_run(tmp_path / "without", "newton_corrected", 5, role="heuristic")
    edit(without, record=lambda r: {"residual_bound": None, "residual_measured": 0.02})
    drawn = draw_plots(find_runs([tmp_path]).runs)[0]
    alone = draw_plots(find_runs([tmp_path / "with"]).runs)[0]
    assert "measured alone, without any bound: newton_corrected" in drawn.caption
    assert size(drawn)[1] < size(alone)[1] + 40
    edit(without, record=lambda r: {"residual_measured": None if r["request"] < 5 else 0.0})
    drawn = draw_plots(find_runs([tmp_path]).runs)[0]
    assert size(drawn)[1] < size(alone)[1] + 40
    assert "Gaps are values of zero" in drawn.caption
    assert "Gaps" not in alone.caption


def test_one_request_is_a_mark_and_all_refused_is_no_removal(tmp_path):
    for seed in range(2):
        make_run(tmp_path / "one" / str(seed), "newton_corrected", 1, seed=seed)
    residual = draw_plots(find_runs([tmp_path / "one"]).runs)[0]
    assert {row["mark"] for row in data_of(residual) if "mark" in row} >= {"full"}
    lines = [row for row in data_of(residual) if "line" in row]
    assert all(row["alone"] for row in lines if not row["stroke"].startswith("budget"))
    assert {row["x"] for row in lines if row["stroke"].startswith("budget")} == {0, 2}
    make_run(tmp_path / "none", "none", 20)
    refused = find_runs([tmp_path / "none"]).runs
    assert draw_cost(refused) is None
    assert [d.name for d in draw_plots(refused)] == ["accuracy"]


@pytest.mark.parametrize(
    "name", ["a 'quoted' \"x\"", "b[0].c", "d\\\\e", "datum.x + 'y'", "{{f}}", "w " * 300]
)
def test_a_label_is_data_and_no_expression(tmp_path, name):
    for place in range(2):
        folder = make_run(tmp_path / str(place), "newton_corrected", 3, {"update": f"{name}{place}"})
        edit(folder, summary={"unlearner": name})
    runs = find_runs([tmp_path]).runs
    labels = [method.label for method in methods(runs)]
    for drawn in (*draw_plots(runs), draw_cost(runs)):
        assert {row.get("method", row.get("row")) for row in data_of(drawn)} - {None} == set(labels)
        for node in walk(drawn.chart):
            for key in ("field", "shorthand", "filter", "calculate", "labelExpr", "expr", "as"):
                assert name not in str(node.get(key)), key
        assert size(drawn)[0] < 1100


def test_what_is_not_finite_is_a_gap():
    (row,) = chart.inline([{"x": float("nan"), "y": float("inf"), "z": "nan"}])["values"]
    assert row == {"x": None, "y": None, "z": "nan"}


@pytest.mark.parametrize("value", [1e300, 1e-300, 0.0, -5.0])
def test_numbers_of_any_size_are_drawn(tmp_path, value):
    folder = make_toy(tmp_path / "a", Plot("leaks"))
    edit(
        folder,
        record=lambda r: {"leak": value * r["request"], "test_accuracy": None, "forget_accuracy": None},
    )
    drawn = next(d for d in draw_plots([read_run(folder)]) if d.name == "leaks")
    assert "NaN" not in drawn.svg
    assert "Infinity" not in drawn.svg


def test_a_retrained_request_is_no_removal_and_no_time_stands_for_retraining(tmp_path):
    make_run(tmp_path / "a", "newton", 240)
    cost = draw_cost(find_runs([tmp_path]).runs)
    times = [row["x"] for row in data_of(cost) if row["what"] == "one removal"]
    assert max(times) < 0.1  # the one that trained again took 0.48
    assert not any(row["what"] == "retraining instead" for row in data_of(cost))
    assert "etraining" not in cost.caption
    make_run(tmp_path / "b", "retrain", 5)
    cost = draw_cost(find_runs([tmp_path]).runs)
    (again,) = (row for row in data_of(cost) if row["what"] == "retraining instead")
    assert again["row"] == "newton"
    assert "measured by a run of a reference method" in cost.caption


def test_a_method_that_was_to_be_measured_and_was_not_is_named(tmp_path):
    make_network(tmp_path / "a", "lcodec", 10)
    edit(make_network(tmp_path / "b", "kfac", 10), record=lambda r: {"sample_gradient_after": None})
    drawn = {d.name: d for d in draw_plots(find_runs([tmp_path]).runs)}
    assert "Not measured, and so not drawn: kfac." in drawn["sample"].caption
    assert {row["method"] for row in data_of(drawn["sample"])} == {"lcodec"}


def test_figures_of_a_run_do_without_matplotlib(tmp_path):
    folder = make_run(tmp_path / "a", "newton", 20)
    code = "import sys; from expunge.report import read_run; from expunge.report.figures.draw import *\n"
    code += "write_run_figures(read_run(sys.argv[1]), sys.argv[2]); assert 'matplotlib' not in sys.modules"
    command = [sys.executable, "-W", "error", "-c", code, str(folder), str(tmp_path / "figures")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "figures").iterdir())) == 4


def test_too_few_addresses_for_the_engine_are_said_and_the_figures_made_up_for(tmp_path):
    """It reserves more than there is memory, and would end the process without a word of ours."""
    run = ("dataset=digits_3v8", "removal.count=2", "threads=1", "hydra.run.dir=run", "resume=auto")
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (30 << 30, 30 << 30))
sys.argv = ["expunge", *{run!r}]
from expunge.core.door import expunge
expunge()
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert "30720 MiB of addresses, at least 98304 are needed for charts" in ended.stderr
    assert (tmp_path / "run" / "summary.json").exists()
    assert not (tmp_path / "run" / "figures").exists()
    assert cli.expunge(*run, cwd=tmp_path).code == 0
    assert {path.suffix for path in (tmp_path / "run" / "figures").iterdir()} == {".png", ".svg"}


def test_facets_of_an_unlearner_where_many_settings_are_the_same(tmp_path):
    def run(unlearner: str, identity: str) -> Run:
        config = {"seed": 0, "unlearner": {"name": unlearner}, "removal": {"identity": identity}}
        summary = {"unlearner": unlearner, "dataset": "x", "requests": 0, "seed": 0}
        return Run(Path(f"{unlearner}_{identity}"), summary, [], config, unlearner)

    people = [f"s{i}" for i in range(5)]
    every = methods([run(unlearner, person) for unlearner in ("lcodec", "kfac") for person in people])
    assert [(one.panel, one.name) for one in every] == [
        (unlearner, f"removal.identity {person}") for unlearner in ("lcodec", "kfac") for person in people
    ]
    assert [one.colour for one in every[:5]] == [one.colour for one in every[5:]]
    assert len({one.colour for one in every}) == 5
