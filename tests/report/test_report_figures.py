"""Figures that run folders ask for themselves: plug-in numbers, and many runs under several seeds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from expunge.core.columns import KINDS, Column, Plot
from expunge.record.columns import as_json
from expunge.report import find_runs, read_run
from expunge.report.figures import style
from expunge.report.figures.draw import draw_all, draw_plots, write_run_figures
from tests.report.test_report import make_run
from tests.report.test_report_networks import _drawn, make_network

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
    assert ">Leak<" in drawn["grid"].svg
    assert ">leak after the last request<" in drawn["tradeoff"].svg


def test_every_method_of_a_comparison_over_seeds_is_drawn(tmp_path):
    methods = ("lcodec", "finetune", "gradient_ascent", "kfac", "retrain")
    for i, method in enumerate(methods):
        for seed in range(3):
            make_network(tmp_path / f"{i}{seed}", method, 12, seed=seed, seconds_fit=6.0 + seed)
    drawn = _drawn(tmp_path, draw=draw_all)
    assert list(drawn) == ["accuracy", "retained", "sample", "distance", "cost"]
    for figure in drawn.values():
        words = " ".join(re.findall(r">([^<>]*)</text>", figure.svg))
        assert all(method in words for method in methods), figure.name
        assert "differ only in their seed" in figure.caption
        assert "15 runs; the table has each" in figure.caption


def test_a_run_without_a_bound_leaves_the_axes_their_room(tmp_path, monkeypatch):
    """The mark of a bound that it does not have, outside of the axes, once took half of the figure."""
    make_run(tmp_path / "with", "newton", 5)
    without = make_run(tmp_path / "without", "newton", 5, role="heuristic")
    ledger = without / "removals.jsonl"
    records = [json.loads(line) | {"residual_bound": None} for line in ledger.read_text().splitlines()]
    ledger.write_text("".join(json.dumps(record) + "\n" for record in records))
    heights = {}

    def render(figure, name, *words):
        figure.canvas.draw()
        heights[name] = figure.axes[0].get_position().height

    monkeypatch.setattr(style, "render", render)
    draw_plots(find_runs([tmp_path]).runs)
    assert heights["residual"] > 0.75  # with the mark: 0.68
