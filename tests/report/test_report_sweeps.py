"""Reports of sweeps: grids, trade-off curves, seeds, failed cells, links, and folders that are not whole."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import math
import re
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.charts import style
from expunge.core import text
from expunge.core.errors import RunFolderError
from expunge.core.homes import link
from expunge.core.intervals import interval
from expunge.core.spreadsheets import as_csv
from expunge.metrics.forgetting import Forgetting
from expunge.record.folders.sweeps import without_folders
from expunge.report import app, find_runs, write_report
from expunge.report.figures.grid import draw_grid, draw_heat_maps, write_grid
from expunge.report.figures.sweeps import draw_tradeoff, pareto
from expunge.report.page.page import page as render
from expunge.report.read.names import differing
from expunge.report.tables import table
from expunge.report.tables.contents import Contents
from expunge.report.tables.grids import axes, swept
from expunge.report.tables.notes import warnings
from expunge.report.tables.over_seeds import SeedGroup, by_method
from expunge.report.tables.table_rows import ordered, rows
from tests.report.printing import printed
from tests.report.test_report import make_run
from tests.report.test_report_networks import data_of

LAMS, STDS = (1e-4, 1e-3, 0.1), (1.0, 10.0)
MAIN = "test_accuracy_after"
ATTACKED = {"membership_auc": 0.62, "retrain_membership_auc": 0.51, "completeness": 0.975}


def accuracy(lam: float, std: float, seed: int = 0) -> float:
    """Return the accuracy that ``make_grid`` gives a run."""
    return 0.9 + 0.01 * math.log10(lam) - 0.02 * math.log10(std) + 0.001 * seed


def make_cell(
    folder: Path, lam: float, std: float, seed: int = 0, unlearner: str = "newton", served: int = 3, **more
) -> Path:
    """Write one cell of a grid, with 6 requests."""
    values = {"test_accuracy_after": accuracy(lam, std, seed), "removals_supported": served}
    values |= {"budget_exhausted": served < 6, "seed": seed}
    return make_run(folder, unlearner, 6, {"lam": lam, "std": std}, **{**values, **more})


def make_grid(folder: Path, seeds: int = 1, unlearners: tuple[str, ...] = ("newton",)) -> Path:
    """Write a whole grid; the largest lam serves everything."""
    cells = [(u, lam, std, seed) for u in unlearners for lam in LAMS for std in STDS for seed in range(seeds)]
    for place, (unlearner, lam, std, seed) in enumerate(cells):
        make_cell(folder / str(place), lam, std, seed, unlearner, 6 if lam == LAMS[-1] else 3 + seed)
    return folder


def over_seeds(runs: list) -> list[SeedGroup]:
    """Return the methods of which there are several seeds."""
    return [group for group in by_method(runs) if len(group.rows) > 1]


def note(folder: Path, **cells: dict) -> None:
    """Write a ``sweep.json`` with a cell for each folder in it, changed by ``cells``."""
    names = sorted((p.name for p in folder.iterdir() if p.name.isdecimal()), key=int)
    whole = {"status": "done", "error": None, "overrides": ["seed=0", "x=1"], "settings": {}, "summary": None}
    content = [{"run": name, **whole, **cells.get(f"c{name}", {})} for name in names]
    content += [{"run": None, **whole, **cell} for key, cell in cells.items() if key[1:] not in names]
    (folder / "sweep.json").write_text(json.dumps({"sweep": folder.name, "cells": content, "over_seeds": []}))


def runs_of(folder: Path) -> list:
    return ordered(find_runs([folder]).runs)


def colours(spec) -> dict[str, str]:
    """Return the colours of the methods of a chart, which every part of it agrees on."""
    found: dict[str, str] = {}
    for key, value in spec.items() if isinstance(spec, dict) else enumerate(spec):
        if key == "color" and "field" in value:
            own = dict(zip(value["scale"]["domain"], value["scale"]["range"], strict=True))
        else:
            own = colours(value) if isinstance(value, dict | list) and key != "data" else {}
        assert all(found.get(name, colour) == colour for name, colour in own.items())
        found |= own
    return found


@pytest.fixture(scope="module")
def seeded(tmp_path_factory) -> Path:
    """Three methods under three seeds; requests differ between seeds and are the same within one."""
    folder = tmp_path_factory.mktemp("seeded") / "a sweep #1"
    for place, (unlearner, seed) in enumerate(
        (u, s) for u in ("newton", "retrain", "none") for s in range(3)
    ):
        after = {"newton": 0.9 + 0.01 * seed, "retrain": 0.91 + 0.02 * seed, "none": 0.95}[unlearner]
        run = make_run(folder / str(place), unlearner, 6, None, seed=seed, test_accuracy_after=after)
        ledger = run / "removals.jsonl"
        records = [json.loads(line) for line in ledger.read_text().splitlines()]
        moved = [{**r, "rows": [r["rows"][0] + seed]} for r in records]
        ledger.write_text("".join(json.dumps(r) + "\n" for r in moved))
    return folder


@pytest.fixture(scope="module")
def page(seeded) -> Path:
    return write_report([seeded])


# --- Grids


def test_cells_are_means_over_seeds_of_the_right_runs(tmp_path):
    make_grid(tmp_path, seeds=2, unlearners=("newton", "newton_corrected"))
    make_run(tmp_path / "retrain", "retrain", 6)
    runs = runs_of(tmp_path)
    assert axes(runs) == ("unlearner.lam", "unlearner.std")
    found = swept(runs, *axes(runs))
    assert [method.of.label for method in found] == ["newton", "newton_corrected"]
    for method in found:
        assert set(method.cells) == {(lam, std) for lam in LAMS for std in STDS}
        for (lam, std), cell in method.cells.items():
            assert cell.main.mean == pytest.approx(mean(accuracy(lam, std, seed) for seed in (0, 1)))
            assert (cell.main.low, cell.main.high) == (accuracy(lam, std, 0), accuracy(lam, std, 1))
            assert (cell.seeds, cell.requests) == (2, 6)
            assert (cell.supported.mean, cell.served_all) == ((6, 2) if lam == LAMS[-1] else (3.5, 0))


def test_a_missing_a_failed_and_a_valueless_cell_are_blank_and_not_an_average(tmp_path):
    make_grid(tmp_path)
    make_cell(tmp_path / "twice", LAMS[0], STDS[0], test_accuracy_after=0.1)  # the same run made twice
    no_value = json.loads((tmp_path / "1" / "summary.json").read_text()) | {"test_accuracy_after": None}
    (tmp_path / "1" / "summary.json").write_text(json.dumps(no_value))
    make_cell(tmp_path / "6", LAMS[0], STDS[1], seed=1)
    (tmp_path / "2" / "summary.json").unlink()
    (tmp_path / "twice").rename(tmp_path / "7")
    note(tmp_path, c3={"status": "failed", "error": "out of luck"})
    (method,) = swept(runs_of(tmp_path), "unlearner.lam", "unlearner.std")
    cells = method.cells
    assert (LAMS[1], STDS[0]) not in cells  # cut short
    assert (LAMS[1], STDS[1]) not in cells  # failed, though it left a summary
    assert cells[LAMS[0], STDS[1]].main is None  # one seed of two has no value
    assert cells[LAMS[0], STDS[0]].main.mean == accuracy(LAMS[0], STDS[0])
    grid = draw_grid(runs_of(tmp_path))[0]
    written = re.findall(r"0\.\d{3}(?=</text>)", grid.svg)
    assert sorted(written) == sorted(
        f"{accuracy(lam, std):.3f}" for lam, std in ((LAMS[0], 1.0), (LAMS[2], 1.0), (LAMS[2], 10.0))
    )
    blank = [row for row in data_of(grid) if row["words"] == text.NONE]
    assert [row["number"] for row in blank].count("Test accuracy") == 1
    assert "all 6" in grid.svg
    assert ">undefined<" not in grid.svg
    assert grid.svg.count('fill="#eef1f4"') == len(blank)


@pytest.mark.parametrize("gone", [{2}, {0, 2}])
def test_a_setting_of_which_every_run_failed_keeps_its_cells(tmp_path, gone):
    """A 3 x 3 grid loses no cell, though no finished run has the setting, or those that have are a line."""
    notes = {}
    for place, (lam, std) in enumerate(product(range(3), range(3))):
        asked = [f"unlearner.lam={LAMS[lam]}", f"unlearner.std={10.0**std}"]
        if lam in gone:
            failed = {"status": "failed", "error": "no luck", "overrides": asked}
            notes[f"c{place}"] = {"run": str(place), **failed}
        else:
            make_cell(tmp_path / str(place), LAMS[lam], 10.0**std)
            notes[f"c{place}"] = {"overrides": asked}
    note(tmp_path, **notes)
    found = find_runs([tmp_path])
    (drawn,) = [d for d in draw_grid(ordered(found.runs), found.left_out) if d.name == "grid"]
    cells = [row for row in data_of(drawn) if row["number"] == "Test accuracy"]
    assert len(cells) == 9
    failed = {row["at"] for row in cells if row["words"] == "failed"}
    expected = product((LAMS[i] for i in gone), (1, 10, 100))
    assert failed == {f"lam {text.setting(lam)}, std {std}" for lam, std in expected}
    assert drawn.svg.count(">failed</text>") == 2 * 3 * len(gone)
    contents = write_report([tmp_path]).parent
    assert (contents / "grid.svg").read_text(encoding="utf-8") == drawn.svg


def test_a_failed_cell_is_of_the_method_that_it_was_asked_of(tmp_path):
    make_grid(tmp_path, unlearners=("newton", "newton_corrected"))
    (tmp_path / "11" / "summary.json").unlink()
    asked = ["unlearner=newton_corrected", f"unlearner.lam={LAMS[-1]}", f"unlearner.std={STDS[-1]}"]
    note(tmp_path, c11={"status": "failed", "error": "no luck", "overrides": asked})
    found = find_runs([tmp_path])
    drawn = draw_heat_maps(ordered(found.runs), found.left_out)
    assert {row["method"] for row in data_of(drawn) if row["words"] == "failed"} == {"newton_corrected"}


def test_a_cell_with_fewer_seeds_says_so(tmp_path):
    make_grid(tmp_path, seeds=2)
    (tmp_path / "1" / "summary.json").unlink()
    grid = draw_grid(runs_of(tmp_path))[0]
    assert grid.svg.count(">1 of 2 seeds</text>") == 2  # both panels
    assert "the mean over up to 2 seeds" in grid.caption


def test_figures_of_a_sweep_are_written_and_are_part_of_the_report(tmp_path):
    make_grid(tmp_path / "sweep")
    written = write_grid(find_runs([tmp_path / "sweep"]).runs, tmp_path / "figures")
    assert [path.name for path in written] == ["grid.png", "grid.svg", "tradeoff.png", "tradeoff.svg"]
    out = write_report([tmp_path / "sweep"]).parent
    assert (out / "grid.svg").read_bytes() == (tmp_path / "figures" / "grid.svg").read_bytes()
    assert "Test accuracy against removals supported" in (out / "report.html").read_text(encoding="utf-8")


def test_other_settings_make_a_grid_and_references_to_them_are_no_difference(tmp_path):
    for place, (anchor, every) in enumerate((a, b) for a in (0, 5) for b in (1, 2, 3)):
        make_run(tmp_path / str(place), "newton", 4, {"anchor": anchor, "every": every, "same": every})
    runs = runs_of(tmp_path)
    pair = axes(runs)
    assert pair == ("unlearner.anchor", "unlearner.every")
    (method,) = swept(runs, *pair)
    assert (method.of.label, len(method.cells)) == ("newton", 6)
    assert [drawn.name for drawn in draw_grid(runs)] == ["grid"]  # no curve: lam and std are the same
    assert "unlearner.anchor" not in draw_grid(runs)[0].title


def test_a_line_of_runs_and_unlike_runs_are_no_grid(tmp_path):
    for place, (lam, std) in enumerate(((1e-3, 1.0), (1e-2, 10.0), (1e-1, 100.0))):
        make_cell(tmp_path / str(place), lam, std)
    assert axes(runs_of(tmp_path)) is None
    assert [drawn.name for drawn in draw_grid(runs_of(tmp_path))] == ["tradeoff"]
    assert draw_grid(runs_of(tmp_path)[:2]) == draw_grid([]) == []


ODD = 'a "method" [x].y {z} of a \\ name that is absurdly long and goes on and on, and has <b>all</b> signs'
NAMES = ("newton", "newton_corrected", ODD, "third", "last")


def make_ragged(folder: Path, methods: int, seeds: int, constant: float | None) -> dict[tuple, list[tuple]]:
    """Write a 3 x 3 grid without every eleventh run; return accuracy and served by method and place."""
    known: dict[tuple, list[tuple]] = {}
    every = product(NAMES[:methods], LAMS, (*STDS, 100.0), range(seeds))
    for place, (name, lam, std, seed) in enumerate(every):
        value = accuracy(lam, std, seed) - 0.001 * len(name) if constant is None else constant
        if place % 11 == 7:
            continue
        served = 5 * place % 7
        run = make_cell(folder / str(place), lam, std, seed, served=served, test_accuracy_after=value)
        for file in (run / "summary.json", run / ".hydra" / "config.yaml"):
            content = json.loads(file.read_text())
            settings = content["unlearner"]
            content["unlearner"] = name if isinstance(settings, str) else {**settings, "name": name}
            file.write_text(json.dumps(content))
        known.setdefault((name, f"lam {text.setting(lam)}, std {text.setting(std)}"), []).append(
            (value, served)
        )
    return known


@pytest.mark.parametrize(
    ("methods", "seeds", "constant"), [(1, 2, -2.5), (2, 3, 0.5), (3, 1, 0.0), (5, 2, None)]
)
def test_figures_of_a_sweep_hold_every_cell_and_method_in_one_colour(tmp_path, methods, seeds, constant):
    known = make_ragged(tmp_path, methods, seeds, constant)
    drawn = {d.name: d for d in draw_grid(runs_of(tmp_path))}
    heat = [row for row in data_of(drawn["grid"]) if row["number"] == "Test accuracy"]
    assert len(heat) == 9 * methods
    for row in heat:
        found = known.get((row["method"], row["at"]), [])
        assert row["words"] == (f"{mean(v for v, _ in found):.3f}" if found else text.NONE)
        assert row["seeds"] == len(found)
        assert row.get("share") == (pytest.approx(mean(v for v, _ in found)) if found else None)
    points = data_of(drawn["tradeoff"])
    assert len(points) == len(known)
    for row in points:
        means = tuple(map(mean, zip(*known[row["said"], row["at"]], strict=True)))
        assert (row["y"], row["x"]) == pytest.approx(means)
        assert row["low"] <= row["y"] <= row["high"]
        assert row["left"] <= row["x"] <= row["right"]
    hues = colours(drawn["std"].chart)
    assert colours(drawn["tradeoff"].chart) == hues
    assert list(hues) == list(NAMES[:methods])
    assert len(set(hues.values())) == methods
    assert hues["newton"] == style.SERIES[0]
    assert draw_heat_maps(runs_of(tmp_path)) == drawn["grid"], "the same runs, the same bytes"


@given(st.lists(st.tuples(*[st.integers(0, 6).map(float)] * 2), max_size=30))
def test_pareto_is_its_definition(points):
    def beaten(i: int) -> bool:
        a, b = points[i]
        return any(x >= a and y >= b and (x, y) != (a, b) for x, y in points)

    found = pareto(points)
    assert sorted(found) == [i for i in range(len(points)) if not beaten(i)]
    along = [points[i] for i in found]
    assert [a for a, _ in along] == sorted(a for a, _ in along)
    assert [b for _, b in along] == sorted((b for _, b in along), reverse=True)


def test_tradeoff_has_a_curve_a_method_and_epsilon_and_marks_what_may_be_more(tmp_path):
    for i, epsilon in enumerate((0.5, 1.0)):
        for j, std in enumerate((1.0, 10.0, 100.0)):
            served = 6 if std > 50 else j  # none at all at the least
            folder = make_cell(tmp_path / f"{i}{j}", 1e-3, std, served=served)
            path = folder / ".hydra" / "config.yaml"
            config = json.loads(path.read_text())
            config["unlearner"]["epsilon"] = epsilon
            path.write_text(json.dumps(config))
    make_run(tmp_path / "none", "none", 6)
    curves = draw_tradeoff(runs_of(tmp_path))
    assert colours(curves.chart) == {"newton": style.SERIES[0]}
    for words in (">epsilon 0.5<", ">epsilon 1<", "all requests served: at least"):
        assert words in curves.svg
    assert {row["outcome"] for row in data_of(curves) if row["x"] < 6} == {"on the Pareto front"}
    assert "At an arrow" in curves.caption
    assert "newton (epsilon 1, " not in curves.svg


# --- Seeds


def test_interval_of_few_and_of_equal_values():
    assert interval([0.5]) == (0.5, 0.5, 0.5)
    assert interval([2.0, 4.0]) == (3.0, 2.0, 4.0)
    assert interval([0.7] * 5) == (0.7, 0.7, 0.7)
    # BCa has no answer where its cubes overflow; the percentile method has.
    assert all(map(math.isfinite, interval([1e200, 0.0, 3e200])))


@given(st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), min_size=3, max_size=6))
def test_interval_holds_the_mean_and_repeats(values):
    middle, low, high = interval(values)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert min(values) - slack <= low <= high <= max(values) + slack
    assert middle == pytest.approx(np.mean(values), abs=slack)
    assert interval(list(values)) == (middle, low, high)


def test_interval_comes_close_to_the_normal_one_on_many_normal_values():
    values = np.random.default_rng(3).normal(5.0, 2.0, 200).tolist()
    middle, low, high = interval(values)
    half = 1.96 * stdev(values) / math.sqrt(len(values))
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=0.1 * half)


def test_groups_have_means_and_differences_paired_by_seed(seeded):
    newton, retrain, none = over_seeds(runs_of(seeded))
    assert [group.label for group in (newton, retrain, none)] == ["newton", "retrain", "none"]
    assert newton.seeds == ["0", "1", "2"]
    assert newton.values[MAIN].mean == pytest.approx(0.91)
    assert newton.paired[MAIN] == pytest.approx([-0.01, -0.02, -0.03])
    assert none.paired[MAIN] == pytest.approx([0.04, 0.02, 0.0])
    assert retrain.paired[MAIN] == []
    written = printed([row for group in (newton, retrain, none) for row in group.rows])
    assert "Means over 3 seeds" in written
    assert "-0.0200 " in written
    assert re.search(r"\[-0\.0\d{3}, -0\.01\d{2}\]", written)
    (read,) = csv.DictReader(io.StringIO(table.methods_as_csv([newton])))
    assert (read["unlearner"], read["seeds"], read["runs"]) == ("newton", "0 1 2", "3")
    assert float(read["against_retrain"]) == pytest.approx(-0.02)
    low, high = (float(read[f"against_retrain_{end}"]) for end in ("low", "high"))
    assert -0.0301 < low < -0.02 < high < -0.0099


def test_only_the_same_requests_make_a_pair(seeded):
    runs = runs_of(seeded)
    next(r for r in runs if (r.unlearner, r.summary["seed"]) == ("retrain", 1)).records[2]["rows"] = [5]
    newton = over_seeds(runs)[0]
    assert newton.paired[MAIN] == pytest.approx([-0.01, -0.03])
    assert "(2 of 3 pairs)" in printed(rows(runs))


def test_no_mean_of_what_not_every_run_has_and_none_of_a_count_is_cut(tmp_path):
    for seed, (retrained, value) in enumerate(((1, 0.4), (2, None), (2, 0.6))):
        more = {"removed": 6 - retrained, "retrained": retrained, "retrain_weight_distance": value}
        make_cell(tmp_path / str(seed), 1e-3, 10.0, seed, served=(3, 6, 5)[seed], **more)
    (group,) = over_seeds(runs_of(tmp_path))
    assert "retrain_weight_distance" not in group.values
    cells = {c.key: table.cell(group, c).line for c in table.heads([group])}
    assert "retrain_weight_distance" not in cells
    assert cells["retrained"].startswith("1.67 [")
    assert cells["removals_supported"].startswith("≥ 4.67 [")
    average = group.average
    assert average.retrain_weight_distance is None
    assert (average.removals_supported, average.budget_exhausted) == (5, True)


def test_one_seed_is_no_group_and_other_settings_are_other_groups(tmp_path):
    make_grid(tmp_path, seeds=2)
    groups = over_seeds(runs_of(tmp_path))
    assert len(groups) == 6
    assert groups[0].label == "newton (lam 1e-4, std 1)"
    assert over_seeds([run for run in runs_of(tmp_path) if run.summary["seed"] == 0]) == []


def test_requests_are_compared_within_a_seed(seeded):
    runs = runs_of(seeded)
    assert warnings(runs) == []
    runs[0].records[0]["rows"] = [3]
    assert "their rows differ" in warnings(runs)[0]


def test_headline_is_a_mean_and_not_the_best_seed(page):
    content = page.read_text(encoding="utf-8")
    card = content[content.index("test accuracy after the last request") :]
    assert re.search(r'class="value">([^<]+)', card)[1] == "0.9100"
    assert "newton · mean over 3 seeds" in content
    assert "<title>newton, retrain and none × 3 seeds on mnist_3v8</title>" in content
    first, single = (page.parent / "table.md").read_text(encoding="utf-8").split("## Single runs")
    assert [line.split(" ")[1] for line in first.splitlines() if " · 3 seeds |" in line] == [
        *("newton", "retrain", "none"),
    ]
    assert single.count("(seed ") == 9


# --- Columns


def test_forgetting_is_shown_where_it_was_measured(tmp_path):
    make_run(tmp_path / "0", "newton", 4, **ATTACKED, retrain_js_test=0.002, retrain_js_forget=None)
    make_run(tmp_path / "1", "none", 4)
    measured, not_measured = rows(runs_of(tmp_path))
    shown = {c.head: c for c in table.columns([measured, not_measured])}
    assert shown["membership AUC"].cell(measured) == "0.62 / 0.51"
    assert shown["membership AUC"].cell(not_measured) == text.NONE
    assert shown["divergence from retrained"].cell(measured) == "0.002 / –"
    assert shown["completeness"].cell(measured) == "98%"
    assert {"relearn steps", "membership TPR"}.isdisjoint(shown)
    assert set(Forgetting.COLUMNS).isdisjoint(c.key for c in table.columns([not_measured]))
    (first, _) = csv.DictReader(io.StringIO(as_csv([measured.values, not_measured.values])))
    assert {key: first[key] for key in ATTACKED} == {key: str(value) for key, value in ATTACKED.items()}


def test_settings_that_differ(tmp_path):
    make_cell(tmp_path / "0", 1e-3, 10.0)
    make_cell(tmp_path / "1", 1e-2, 10.0, seed=1)
    make_run(tmp_path / "2", "none", 6)
    found = differing(find_runs([tmp_path]).runs)
    assert found["unlearner"] == ["newton", "newton", "none"]
    assert found["seed"] == ["0", "1", "0"]
    assert found["unlearner.lam"] == ["1e-3", "0.01", "1e-3"]
    assert found["unlearner.std"] == ["10", "10", text.NONE]
    assert {"unlearner.name", "dataset", "removal.count"}.isdisjoint(found)
    assert differing(find_runs([tmp_path / "0"]).runs) == {}


def test_references_by_oc_select_are_followed_with_their_defaults(tmp_path):
    folder = make_run(
        tmp_path,
        "retrain",
        2,
        {"lam": "${oc.select:model.lam,null}", "tol": "${oc.select:training.tol,1e-8}"},
    )
    path = folder / ".hydra" / "config.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": {"lam": 0.25}}))
    (run,) = find_runs([folder]).runs
    assert (run.setting("unlearner.lam"), run.setting("unlearner.tol")) == (0.25, 1e-8)


# --- The page


def test_links_lead_to_the_run_folders(page):
    hrefs = [html.unescape(h) for h in re.findall(r'href="([^"#]+)"', page.read_text(encoding="utf-8"))]
    assert len(set(hrefs)) == 9
    assert all((page.parent / unquote(href) / "summary.json").is_file() for href in hrefs)
    assert not any(href.startswith("/") or ":" in href or "#" in href or " " in href for href in hrefs)


def test_there_is_no_link_where_it_would_tell_the_machine_s_folders():
    assert link(Path("/srv/runs/0"), Path("/srv/report")) == "../runs/0/"
    assert link(Path("/home/somebody/runs/0"), Path("/srv/report")) is None


def test_the_policy_names_the_script_and_nothing_else(page):
    content = page.read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", content, re.DOTALL)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', content)
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    named = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert f"script-src {named};" in policy
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    rest = re.sub(r"<script.*?</script>", "", content, flags=re.DOTALL)
    assert not re.search(r"https?:|url\((?!#)|\son\w+=", rest)


def test_raw_values_are_there_to_sort_by_and_blanks_have_none(page, seeded):
    content = page.read_text(encoding="utf-8")
    first = content[content.index('aria-label="Table by method"') :].partition("</table>")[0]
    values = re.findall(r"<td(?: data-value=\"([^\"]+)\")?>([^<]*)</td>", first)
    assert {shown for value, shown in values if not value} <= {text.NONE, "none", ""}
    assert ("0.92", "0.9521 → 0.9200") in values
    assert (
        first.count('data-key="methods.') == len(table.columns(rows(runs_of(seeded)))) + 1
    )  # the paired one
    assert first.count('<tr class="run" hidden>') == 9


def test_a_page_of_many_runs_folds_and_scrolls_its_lists(tmp_path):
    for place in range(26):
        make_run(tmp_path / str(place), "newton", 2, {"lam": 1e-3 * (place + 1)})
    content = render(Contents.of(find_runs([tmp_path])))
    assert re.findall(r"<summary>(\w[^<]*) 26 runs<", content) == ["Of", "Of all", "Of each of the", "All"]
    assert content.count('class="scroll tall"') == 3
    assert "<title>26 methods on mnist_3v8</title>" in content


# --- What came to nothing


@pytest.fixture
def broken_off(tmp_path) -> Path:
    """Four runs: one done, one failed though it has a summary, one cut short, and one never begun."""
    sweep = tmp_path / "sweep"
    for place in range(3):
        make_cell(sweep / str(place), 1e-3, 10.0**place)
    (sweep / "2" / "summary.json").unlink()
    ledger = sweep / "2" / "removals.jsonl"
    ledger.write_text(ledger.read_text()[:-40])
    failed = {
        "status": "failed",
        "error": "no file /home/somebody/data/x.npz\n<b>",
        "overrides": ["a=1", "x=1"],
    }
    note(sweep, c1=failed, c2={"status": "unfinished"}, c9={"status": "unfinished", "overrides": []})
    (sweep / ".jobs" / "3" / ".hydra").mkdir(parents=True)
    (sweep / ".jobs" / "3" / ".hydra" / "config.yaml").write_text("{}")
    return sweep


def test_failed_and_unfinished_cells_are_named_and_do_not_count(broken_off, capsys):
    assert app.main([str(broken_off)]) == 0
    said = capsys.readouterr()
    sweep = str(broken_off)
    assert said.err.splitlines() == [
        f"failed, left out: {sweep}/1 (a=1): no file …/x.npz <b>",
        f"unfinished, left out: {sweep}/2 (seed=0)",
        f"unfinished, left out: {sweep}, cell 4",
    ]
    found = find_runs([broken_off])
    assert [run.folder.name for run in found.runs] == ["0"]
    out = broken_off / "report"
    page, markdown = ((out / name).read_text(encoding="utf-8") for name in ("report.html", "table.md"))
    for written in (page, markdown):
        assert "…/x.npz &lt;b" in written
        assert "somebody" not in written
    assert "Failed: 1 run, in no average, table or figure" in page
    assert "Unfinished: 2 runs, in no average<" in page
    for shown in (page, markdown):
        assert "sweep/2" in shown
        assert "5 requests" in shown, "the sixth line is only half there"
    assert len(list(csv.DictReader(io.StringIO((out / "table.csv").read_text())))) == 1


def test_a_sweep_in_which_everything_failed_is_one_line(broken_off, capsys):
    note(broken_off, **{f"c{i}": {"status": "failed", "error": "std: bad", "run": str(i)} for i in range(3)})
    assert app.main([str(broken_off)]) == 2
    line = capsys.readouterr().err
    assert re.search(r"no finished run in .*sweep \(3 failed\): .*; sweep/0: std: bad\n$", line)
    assert line.count("\n") == 1


@pytest.mark.parametrize("content", ["[1]", '{"cells"', '{"cells": 3}', '{"cells": [1]}', "{}"])
def test_a_broken_sweep_file_is_one_line(broken_off, content):
    (broken_off / "sweep.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"sweep\.json:\d+: ") as caught:
        find_runs([broken_off])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("run", ["../..", "/etc", "..", "", 3, None, "a/b"])
def test_a_cell_without_a_folder_of_the_sweep_is_named_by_its_number(broken_off, run):
    note(broken_off, c1={"status": "failed", "error": None, "run": run})
    (failed,) = (one for one in find_runs([broken_off]).left_out if one.failed)
    assert (failed.folder, failed.cell) == (broken_off, ", cell 2")
    assert failed.error == "no reason given"


def test_cells_come_in_the_order_of_the_sweep(broken_off):
    make_cell(broken_off / "7", 1e-3, 5.0)
    note(broken_off)
    content = json.loads((broken_off / "sweep.json").read_text())
    content["cells"].reverse()
    (broken_off / "sweep.json").write_text(json.dumps(content))
    assert [run.folder.name for run in find_runs([broken_off]).runs] == ["7", "1", "0"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("no such file: '/home/x/data/a.npz'", "no such file: '…/a.npz'"),
        (r"C:\Users\x\data.npz is bad", "…/data.npz is bad"),
        ("~/cache/features.bin,/tmp/y/z", "…/features.bin,…/z"),
        ("conf/unlearner/newton.yaml and/or 3 / 4 a", "conf/unlearner/newton.yaml and/or 3 / 4 a"),
    ],
)
def test_folders_of_a_machine_are_left_out_of_a_line(line, expected):
    assert without_folders(line) == expected


def test_an_empty_folder_and_one_of_unfinished_runs_are_one_line(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert app.main([str(tmp_path)]) == 2
    (tmp_path / "run" / "removals.jsonl").write_text('{"cut')
    assert app.main([str(tmp_path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("none has a summary.json")
    assert "(1 unfinished)" in second


def test_runs_of_every_kind_stand_side_by_side(tmp_path, capsys):
    make_grid(tmp_path / "grid")
    make_run(tmp_path / "attacked", "newton_corrected", 6, None, **ATTACKED)
    make_run(tmp_path / "retrain", "retrain", 3)
    make_run(tmp_path / "bare", "none", 0, versions=None, test_accuracy_after=None, seed=None)
    study = tmp_path / "study"
    (study / ".hydra").mkdir(parents=True)
    (study / ".hydra" / "config.yaml").write_text("study: {name: toy}")
    (study / "summary.json").write_text(
        json.dumps({"study": "toy", "seed": 0, "table": [{"x": 1, "y": None}]})
    )
    assert app.main([str(tmp_path)]) == 0
    assert "toy" in capsys.readouterr().out
    read = list(csv.DictReader(io.StringIO((tmp_path / "report" / "table.csv").read_text())))
    by_name = {Path(row["run"]).name: row for row in read}
    assert len(read) == 9
    assert by_name["attacked"]["membership_auc"] == "0.62"
    assert by_name["retrain"]["membership_auc"] == by_name["bare"]["test_accuracy_after"] == ""
