"""Reports of runs on networks: figures, columns and words that differ from those of certified runs."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.charts import style
from expunge.core import text
from expunge.core.columns import Column, Plot
from expunge.core.errors import RunFolderError
from expunge.core.spreadsheets import as_csv
from expunge.record.columns import as_json, of_run
from expunge.report import find_runs, read_run
from expunge.report.figures import requests as network_figures
from expunge.report.figures.draw import draw_all, draw_plots, write_run_figures
from expunge.report.figures.drawing import Keyed
from expunge.report.figures.requests import running_mean
from expunge.report.page import page as html
from expunge.report.read import names
from expunge.report.read.methods import Method
from expunge.report.tables import table
from expunge.report.tables.contents import Contents
from expunge.report.tables.table_rows import Row, ordered, rows
from tests.charts.sound import sound
from tests.report.printing import printed
from tests.report.test_report import end_as, make_run

SELECTORS = ("lfoci", "random", "all")
STRENGTH = {"lfoci": 1.0, "random": 0.45, "all": 1.5}
NEVER = ("residual_bound", "residual_measured", "budget", "epsilon_spent")
LASTING = (
    *("units", "weights", "step_norm", "validation_accuracy", "retain_loss", "retain_gradient_norm"),
    *("retrain_weight_distance", "retrain_disagreement", "retrain_test_accuracy"),
    *("retrain_forget_accuracy", "retrain_retain_accuracy", "retrain_retain_gradient_norm"),
)
SAMPLE = ("sample_loss_before", "sample_loss_after", "sample_gradient_before", "sample_gradient_after")

PRESENT = {
    *("requests", "test_accuracy_before", "test_accuracy_after", "removals_supported", "budget_exhausted"),
    *("removed", "retrained", "refused", "residual_measured", "residual_bound", "budget", "epsilon_spent"),
    *("epsilon", "seconds_removal_median", "seconds_removal_p95", "seconds_retrain", "retrain_from"),
    *("speed_up", "empirical", "forget_accuracy", "retain_accuracy", *SAMPLE, *LASTING[3:]),
    *("membership_auc", "retrain_membership_auc", "retrain_js_test", "completeness", "relearn_steps"),
    *("identity_train_accuracy", "retrain_rest_test_kept", "verification_auc", "reid_map", "reid_skipped"),
    *("activation_kept_identity", "extractor_mode", "extractor_epsilon", "extractor_delta"),
    *("extractor_test_accuracy", "linear_probe_accuracy", "epsilon_total", "delta_total", "not_covered"),
}
"""What a table.csv has had since the first version."""


def _scrubbed(i: int, requests: int, strength: float, draws: np.random.Generator) -> dict:
    """Return what a scrub leaves in the ledger: it fits the removed row less, others a bit less."""
    before = float(10 ** draws.normal(-1.6, 0.9))
    after = before * float(10 ** draws.normal(0.9 * strength, 0.2))
    refused = draws.random() < 0.03 * strength
    far = strength * i / requests
    record = {
        "outcome": "refused" if refused else "removed",
        "reason": "validation accuracy fell by more than val_gap" if refused else "",
        "seconds": 0.11 * (0.4 + strength) * float(draws.uniform(0.9, 1.2)),
        "units": 3 + i % 4,
        "weights": 2355 + 785 * (i % 4),
        "step_norm": 0.02 * after,
        "validation_accuracy": 0.951 - 0.02 * far - 0.06 * refused + float(draws.normal(0, 0.001)),
        "sample_loss_before": before / 3,
        "sample_loss_after": (before if refused else after) / 3,
        "sample_gradient_before": before,
        "sample_gradient_after": before if refused else after,
    }
    if i % 10 == 0 or i == requests:
        record |= {
            "test_accuracy": 0.949 - 0.018 * far + float(draws.normal(0, 0.0008)),
            "forget_accuracy": 0.985 - 0.05 * far + float(draws.normal(0, 0.004)),
            "retain_accuracy": 0.984 - 0.015 * far,
            "retain_loss": 0.062 * (1 + 1.4 * far),
            "retain_gradient_norm": 0.004 * 10 ** (1.9 * far),
        }
    if i == requests:
        record |= {
            "retrain_weight_distance": 0.31 + 0.08 * strength,
            "retrain_disagreement": 0.021 + 0.011 * strength,
            "retrain_test_accuracy": 0.9483,
            "retrain_forget_accuracy": 0.9467,
            "retrain_retain_accuracy": 0.9841,
            "retrain_retain_gradient_norm": 0.0038,
        }
    return record


def make_network(
    folder: Path, unlearner: str = "lcodec", requests: int = 60, settings: dict | None = None, **summary
) -> Path:
    """Write the folder of a run on a network, as the runner leaves it."""
    settings = {
        **{"name": unlearner, "selector": "lfoci", "curvature": "fd", "mode": "sekhari", "l2": 0.01},
        **(settings or {}),
    }
    draws = np.random.default_rng(7)
    records = []
    for i in range(1, requests + 1):
        record = _scrubbed(i, requests, STRENGTH.get(str(settings["selector"]), 1.0), draws)
        if unlearner == "none":
            record |= {"outcome": "refused", "reason": "no-op baseline: nothing is removed"}
        if unlearner == "retrain":
            record |= {"outcome": "retrained", "seconds": 6.4}
        empty = dict.fromkeys(
            (*NEVER, *LASTING, *SAMPLE, "test_accuracy", "forget_accuracy", "retain_accuracy")
        )
        records.append({**empty, "request": i, "rows": [(i * 7919) % 60000], **record})
    end_as(records, summary)
    outcomes = [r["outcome"] for r in records]
    served = next((k for k, o in enumerate(outcomes) if o != "removed"), requests)
    last = {key: next((r[key] for r in reversed(records) if r[key] is not None), None) for key in LASTING}
    times = [r["seconds"] for r in records]
    written = {
        **{"dataset": "mnist", "extractor": "none", "model": "mlp", "unlearner": unlearner, "seed": 0},
        **{"n_train": 60000, "n_test": 10000, "requests": requests},
        **{o: outcomes.count(o) for o in ("removed", "retrained", "refused")},
        **{"removals_supported": served, "budget_exhausted": served < requests},
        **{"test_accuracy_before": 0.9512, "test_accuracy_after": 0.9512 - 0.018 * bool(requests)},
        **dict.fromkeys(("residual_bound", "residual_measured", "budget", "epsilon", "delta")),
        **{"seconds_fit": 6.2, "peak_memory_mb": 901.5, "versions": {"python": "3.12.1"}},
        "seconds_removal_median": float(np.median(times)) if times else None,
        "seconds_removal_p95": float(np.percentile(times, 95)) if times else None,
        **last,
        **{key: float(np.mean([r[key] for r in records])) if records else None for key in SAMPLE},
        **summary,
    }
    config = {
        **{"seed": 0, "device": "cpu", "dataset": {"name": "mnist"}, "extractor": {"name": "none"}},
        **{"model": {"name": "mlp", "hidden": 10}, "training": {"epochs": 20, "lr": 0.1}},
        **{"unlearner": settings, "removal": {"count": requests}},
    }
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    (folder / "summary.json").write_text(json.dumps(written))
    (folder / "removals.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def make_networks(folder: Path, requests: int = 60) -> Path:
    """Write a sweep over the selectors."""
    for place, selector in enumerate(SELECTORS):
        make_network(folder / str(place), requests=requests, settings={"selector": selector})
    return folder


def edit(folder: Path, *, summary: dict | None = None, record=None, config=None) -> Path:
    """Change the files of a run: keys of the summary, each record, the configuration."""
    path = folder / "summary.json"
    written = json.loads(path.read_text())
    ledger = folder / "removals.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    lines = [{**r, **(record(r) if record else {})} for r in lines]
    ledger.write_text("".join(json.dumps(r) + "\n" for r in lines))
    counts = {name: sum(r["outcome"] == name for r in lines) for name in ("removed", "retrained", "refused")}
    path.write_text(json.dumps({**written, **counts, **(summary or {})}))
    path = folder / ".hydra" / "config.yaml"
    settings = json.loads(path.read_text())
    if config:
        config(settings)
    path.write_text(json.dumps(settings))
    return folder


def draw_networks(runs) -> list[style.Drawn]:
    return [drawn for drawn in draw_plots(runs) if drawn.name in ("sample", "retained", "distance")]


def _drawn(*folders: Path, draw=draw_networks) -> dict[str, style.Drawn]:
    return {d.name: d for d in draw(ordered(find_runs(folders).runs)) if d}


def data_of(drawn: style.Drawn) -> list[dict]:
    """Return all that a chart shows, in the order in which its panels have it."""
    return [row for rows in tables(drawn.chart) for row in rows]


def tables(spec: Any) -> Iterator[list[dict]]:
    """Yield the data of every part of a specification."""
    parts = spec.items() if isinstance(spec, dict) else enumerate(spec)
    for key, part in parts:
        if key == "data":
            yield list(part["values"])
        elif isinstance(part, dict | list):
            yield from tables(part)


def _table(*folders: Path) -> list[Row]:
    return rows(ordered(find_runs(folders).runs))


def _page(*folders: Path) -> str:
    return " ".join(html.page(Contents.of(find_runs(folders))).split())


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Path:
    return make_networks(tmp_path_factory.mktemp("base") / "networks", requests=120)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    folder = make_networks(tmp_path_factory.mktemp("base") / "mixed", requests=40)
    make_network(folder / "3", "retrain", 40)
    make_network(folder / "4", "none", 40)
    make_network(folder / "5", "gradient_ascent", 2, {"curvature": None})
    make_run(folder / "6", "newton_corrected", 40)
    return folder


@given(
    st.lists(st.floats(0, 1e6), max_size=30),
    st.integers(0, 8).map(lambda half: 2 * half + 1),
)
def test_running_mean_against_its_definition(values, window):
    half = window // 2
    expected = [np.mean(values[max(i - half, 0) : i + half + 1]) for i in range(len(values))]
    np.testing.assert_allclose(running_mean(values, window), expected, rtol=1e-9, atol=1e-4)


@pytest.mark.parametrize("requests", [0, 1, 19, 29, 41, 100, 300, 1000])
def test_the_window_is_odd_and_about_a_twentieth(requests):
    window = network_figures._window(requests)
    assert window % 2 == 1
    assert window == 1 or abs(window - requests / 20) <= 1


@pytest.mark.parametrize(
    ("values", "wide"), [([], False), ([0.0], False), ([1, 29], False), ([0, 1, 31], True)]
)
def test_a_log_axis_only_for_wide_ranges(values, wide):
    assert network_figures._wide(values) is wide


def test_figures_of_a_run_folder(networks, tmp_path):
    first, second = (write_run_figures(read_run(networks / "0"), tmp_path / name) for name in "ab")
    drawn = ("accuracy", "retained", "sample", "distance")
    assert [path.name for path in first] == [f"{name}.{kind}" for name in drawn for kind in ("png", "svg")]
    # The same run gives the same bytes.
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_figures_side_by_side(networks):
    drawn = _drawn(networks, draw=draw_all)
    assert list(drawn) == ["accuracy", "retained", "sample", "distance", "cost"]
    assert "running means over 5 requests (about 5%)" in drawn["sample"].caption
    legend = "after its removal, mean of 5", "before it, mean of 5", "after its removal, one request"
    sound(drawn["sample"].svg, *legend)
    for name in drawn:
        for selector in SELECTORS:
            assert f"selector {selector}" in " ".join(re.sub("<.*?>", " ", drawn[name].svg).split())
    assert ">refused<" in drawn["retained"].svg


def test_certified_runs_get_none_of_them(tmp_path):
    make_run(tmp_path / "a", "newton", 20)
    edit(tmp_path / "a", record=lambda r: {"retain_accuracy": 0.95})
    assert _drawn(tmp_path) == {}


def test_each_figure_has_the_runs_with_its_values(mixed):
    drawn = _drawn(mixed, draw=draw_all)
    assert list(drawn) == ["residual", "accuracy", "retained", "sample", "distance", "cost"]
    assert "lcodec" in drawn["residual"].caption
    assert "lcodec" not in drawn["residual"].svg
    for name in ("sample", "retained", "distance"):
        assert "newton" not in drawn[name].svg
        assert "gradient_ascent" in drawn[name].svg
    # With the accuracy on the retained rows measured, the certified run joins that panel.
    certified = edit(mixed / "6", record=lambda r: {"retain_accuracy": 0.95})
    assert "newton" in _drawn(mixed)["retained"].svg
    edit(certified, record=lambda r: {"retain_accuracy": None})


def _without(*keys: str):
    return lambda record: dict.fromkeys(keys)


def test_a_figure_without_values_is_not_drawn(tmp_path):
    gone = [k for k in LASTING if k.startswith("retrain_")]
    folder = make_network(tmp_path / "a", requests=20)
    edit(folder, record=_without(*gone), summary=dict.fromkeys(gone))
    assert "distance" not in _drawn(folder)
    edit(folder, record=_without("sample_gradient_after"))
    assert "sample" not in _drawn(folder)
    edit(folder, record=_without("retain_loss", "retain_gradient_norm"))
    panels = re.findall(r">([^<>]*(?:rows|accuracy))</text>", _drawn(folder)["retained"].svg)
    assert panels == ["Validation accuracy", "Accuracy, retained rows"]
    edit(folder, record=_without("validation_accuracy"))
    assert _drawn(folder) == {}


BAD = (None, 0.0, -0.0)


@pytest.mark.parametrize("requests", [1, 2, 33])
def test_null_and_zero_are_never_drawn(tmp_path, requests):
    folder = make_network(tmp_path / "a", requests=requests)

    def spoil(record: dict) -> dict:
        keys = [k for k in (*SAMPLE, *LASTING) if k != "units"]
        return {key: BAD[(record["request"] + place) % 3] for place, key in enumerate(keys[:-1])}

    bad = edit(make_network(tmp_path / "b", requests=requests), record=spoil)
    edit(bad, summary={"retrain_weight_distance": None, "retrain_disagreement": None})
    make_network(tmp_path / "c", requests=requests)
    edit(tmp_path / "c", record=_without(*SAMPLE, *LASTING), summary=dict.fromkeys((*SAMPLE, *LASTING)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for folders in ((bad,), (folder, bad, tmp_path / "c")):
            for drawn in _drawn(*folders).values():
                assert not re.search(r"[ML\s\"](nan|-?inf)\b", drawn.svg), drawn.name
                assert "nan" not in "".join(re.findall(r">([^<]*)</text>", drawn.svg))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_no_json(tmp_path, value):
    folder = make_network(tmp_path / "a", requests=1)
    edit(folder, summary={"retrain_weight_distance": value})
    with pytest.raises(RunFolderError, match=r"summary\.json:\d+: not JSON that can be read"):
        _drawn(folder)


def test_only_zeros_are_no_reason_to_fail(tmp_path):
    folder = make_network(tmp_path / "a", requests=30)
    zeros = dict.fromkeys((*SAMPLE, "retain_loss", "retain_gradient_norm"), 0.0)
    edit(folder, record=lambda r: zeros)
    assert {"sample", "retained"} <= set(_drawn(folder))


def test_few_requests_are_ticked_once_each(tmp_path):
    make_network(tmp_path / "a", requests=1)
    drawn = _drawn(tmp_path, draw=draw_all)
    for name, panels in {"accuracy": 2, "sample": 1, "retained": 4}.items():
        ticks = re.findall(r">(\d+)</text>", drawn[name].svg)
        assert ticks.count("1") == panels, name


def test_refused_requests_are_marked_on_the_line(tmp_path):
    outcomes = {5: "refused", 15: "refused", 25: "refused"}
    folder = make_network(tmp_path / "a", requests=20)
    edit(
        folder,
        record=lambda r: {
            "outcome": outcomes.get(r["request"], "removed"),
            "retain_loss": {10: 1.0, 20: 4.0}.get(r["request"]),
        },
    )
    run = read_run(folder)

    def marks(run, key, update=False):
        keyed = Keyed(key, Column(key, over_run="served" if update else "last"), Plot("f"))
        panel = network_figures._line_panel([Method("", [run], 0, "", "")], keyed, True)
        return {row["x"]: row["y"] for row in panel.rows if "outcome" in row}

    # The line begins at request 10; 15 lies half-way between two evaluations.
    assert marks(run, "retain_loss") == {15: 2.5}
    # Validation accuracy was measured at the update that was taken back: marked there, and not in the line.
    own = dict(zip(*run.series("validation_accuracy"), strict=True))
    at = marks(run, "validation_accuracy", update=True)
    assert at == {5: pytest.approx(own[5], rel=1e-5), 15: pytest.approx(own[15], rel=1e-5)}
    assert not {5, 15} & set(run.series("validation_accuracy", refused=False)[0])
    idle = read_run(make_network(tmp_path / "b", "none", 20))
    assert marks(idle, "retain_loss") == {}
    # On a log axis the way between two evaluations is straight there.
    edit(folder, record=lambda r: {"retain_loss": {10: 1.0, 20: 100.0}.get(r["request"])})
    assert marks(read_run(folder), "retain_loss") == {15: pytest.approx(10.0)}


def test_distance_leaves_out_runs_that_were_not_compared(networks, tmp_path):
    gone = [k for k in LASTING if k.startswith("retrain_")]
    lone = make_network(tmp_path / "networks" / "x", "finetune", 120)
    edit(lone, record=_without(*gone), summary=dict.fromkeys(gone))
    drawn = _drawn(networks, lone)
    assert "finetune" in drawn["sample"].svg
    assert "finetune" not in drawn["distance"].svg
    assert "3.2%" in drawn["distance"].svg


def test_distance_without_a_retrained_accuracy_has_no_pairs(tmp_path):
    folder = make_network(tmp_path / "a", requests=5)
    pairs = [f"retrain_{part}_accuracy" for part in ("test", "forget", "retain")]
    edit(folder, record=_without(*pairs), summary=dict.fromkeys(pairs))
    svg = _drawn(folder)["distance"].svg
    assert "Weights apart" in svg
    assert "Removed rows" not in svg


def test_more_methods_than_colours_have_facets(tmp_path):
    for i in range(9):
        make_network(tmp_path / str(i), requests=5, settings={"l2": 10.0**-i})
    drawn = _drawn(tmp_path)
    names = {f"lcodec (unlearner.l2 {text.setting(10.0**-i)})" for i in range(9)}
    assert {row["method"] for row in data_of(drawn["sample"])} == names
    assert {row["panel"] for row in data_of(drawn["retained"])} == {
        "methods 1 to 8 of 9",
        "methods 9 to 9 of 9",
    }
    assert {row["row"] for row in data_of(drawn["distance"])} == names


CERTIFICATE = {"supported", "residual", "budget used", "ε spent"}
OF_NETWORKS = {"forget accuracy", "retain accuracy", "sample gradient", "from retrained"}


def test_columns_of_networks(networks):
    lines = _table(networks)
    shown = {c.head: c.cell(lines[0]) for c in table.columns(lines)}
    assert not CERTIFICATE & set(shown)
    assert set(shown) >= OF_NETWORKS
    assert shown["test accuracy"] == "0.9512 → 0.9332"
    assert shown["from retrained"] == "0.39, 3.2%"
    assert re.fullmatch(r"0\.9\d{3}", shown["forget accuracy"])
    summary = json.loads((networks / "0" / "summary.json").read_text())
    before, after = (summary[f"sample_gradient_{when}"] for when in ("before", "after"))
    assert shown["sample gradient"] == f"{text.number(before)} → {text.number(after)}"
    contents = Contents.of(find_runs([networks]))
    for written in (printed(lines), contents.as_markdown()):
        assert "from retrained" in written
        assert "residual" not in written
        assert "budget" not in written


def test_columns_of_certified_and_of_mixed_runs(mixed):
    certified, every = _table(mixed / "6"), _table(mixed)
    assert not OF_NETWORKS & {c.head for c in table.columns(certified)}
    assert {c.head for c in table.columns(every)} == {
        *(
            "unlearner",
            "test accuracy",
            "retrained",
            "refused",
            "time / removal",
            "retraining time",
            "speed-up",
            "break-even",
        ),
        *(CERTIFICATE | OF_NETWORKS),
    }
    by_name = {row.unlearner.split()[0]: row for row in every}
    supported = next(c for c in table.columns(every) if c.head == "supported")
    assert {name for name, row in by_name.items() if supported.cell(row) != text.NONE} == {"newton_corrected"}
    assert "forget accuracy" not in printed(certified)


def test_csv_keeps_its_names_and_says_nothing_of_a_budget_there_is_not(networks):
    read = list(csv.DictReader(io.StringIO(as_csv(row.values for row in _table(networks)))))
    assert list(read[0])[:6] == ["unlearner", "run", "dataset", "extractor", "model", "seed"]
    assert set(read[0]) >= PRESENT
    assert {row["budget_exhausted"] for row in read} == {""}
    assert {row["budget"] for row in read} == {""}
    for row, folder in zip(read, sorted(networks.iterdir()), strict=True):
        summary = json.loads((folder / "summary.json").read_text())
        for key in (*SAMPLE, *LASTING[3:], "removed", "refused"):
            assert float(row[key]) == summary[key], key


def test_values_missing_from_the_summary_come_from_the_records(tmp_path):
    folder = make_network(tmp_path / "a", requests=20)
    edit(folder, summary=dict.fromkeys((*SAMPLE, *LASTING)))
    (row,), records = _table(folder), read_run(folder).records
    assert row.sample_gradient_after == pytest.approx(np.mean([r["sample_gradient_after"] for r in records]))
    assert row.retain_loss == records[-1]["retain_loss"]
    assert row.retrain_disagreement == records[-1]["retrain_disagreement"]


def test_refused_requests_do_not_count_as_removals_in_the_time(tmp_path):
    folder = make_network(tmp_path / "a", requests=10)
    edit(
        folder,
        record=lambda r: (
            {"outcome": "refused", "seconds": 50.0}
            if r["request"] > 4
            else {"outcome": "removed", "seconds": 2.0}
        ),
        summary={"seconds_removal_median": 50.0, "seconds_removal_p95": 50.0, "seconds_fit": 8.0},
    )
    (row,) = _table(folder)
    assert (row.seconds_removal_median, row.seconds_removal_p95, row.speed_up) == (2.0, 2.0, None)


def test_what_the_linear_model_passes_on_does_not_hinder_the_pairing(tmp_path):
    for name, unlearner in {"a": "newton", "b": "retrain"}.items():
        folder = make_run(tmp_path / name, unlearner, 5, model="logistic")
        edit(folder, config=lambda c: c.update(model={"name": "logistic", "lam": 0.1, "std": 1.0}))
    edit(tmp_path / "b", config=lambda c: c["model"].update(lam=0.5, std=0.0))
    assert _table(tmp_path)[0].retrain_from.endswith("b")


def test_a_scrub_of_the_linear_model_stands_beside_the_certified_runs(tmp_path):
    make_run(tmp_path / "a", "newton", 20, model="logistic")
    make_run(tmp_path / "b", "retrain", 20, model="logistic")
    folder = make_network(tmp_path / "c", requests=20, model="logistic", dataset="mnist_3v8")
    gone = [*SAMPLE, *(k for k in LASTING if k.startswith("ret"))]
    edit(
        folder,
        record=lambda r: {**dict.fromkeys(gone), "residual_measured": 0.02},
        summary=dict.fromkeys(gone),
    )
    certified, scrub, retrained = _table(tmp_path)
    assert (certified.empirical, scrub.empirical, retrained.empirical) == (False, True, False)
    cells = {c.head: c.cell(scrub) for c in table.columns([certified, scrub, retrained])}
    assert cells["residual"] == "0.02"
    assert {cells[k] for k in ("supported", "budget used", "ε spent")} == {text.NONE}
    page = _page(tmp_path)
    assert LIMITS in page
    assert f"{SCRUB}</h2> <p>This is about lcodec.</p>" in page


def test_retraining_is_timed_on_the_same_network(tmp_path):
    make_network(tmp_path / "scrub", requests=5)
    other = make_network(tmp_path / "wider", "retrain", 5)
    edit(other, config=lambda c: c["model"].update(hidden=100))
    assert _table(tmp_path)[0].speed_up is None
    short = edit(
        make_network(tmp_path / "a_short", "retrain", 5), config=lambda c: c["training"].update(epochs=1)
    )
    assert _table(tmp_path)[0].speed_up is None, f"{short.name} trains for another time"
    make_network(tmp_path / "same", "retrain", 5)
    row = _table(tmp_path)[0]
    assert row.retrain_from.endswith("same")
    assert row.seconds_retrain == 6.4


@pytest.mark.parametrize("key", ["selector", "curvature", "mode"])
def test_labels_name_the_part_that_differs(tmp_path, key):
    make_network(tmp_path / "a", requests=2, settings={key: "one"})
    make_network(tmp_path / "b", requests=2, settings={key: "other"})
    make_network(tmp_path / "c", "kfac", 2)
    assert names.labels(find_runs([tmp_path]).runs) == [
        f"lcodec ({key} one)",
        f"lcodec ({key} other)",
        "kfac",
    ]


def test_labels_of_models_parts_and_grids(tmp_path):
    make_network(tmp_path / "models" / "a", requests=2)
    make_network(tmp_path / "models" / "b", requests=2, model="resnet18")
    assert names.labels(find_runs([tmp_path / "models"]).runs) == ["lcodec (mlp)", "lcodec (resnet18)"]
    for place, part in enumerate(({"_target_": "a.b.Foci", "k": 1}, {"name": "random", "k": 1})):
        make_network(tmp_path / "parts" / str(place), requests=2, settings={"selector": part})
    labels = names.labels(find_runs([tmp_path / "parts"]).runs)
    assert labels == ["lcodec (selector Foci)", "lcodec (selector random)"]
    for i in range(4):
        make_network(tmp_path / "grid" / str(i), requests=2, settings={"l2": [0.1, 1.0][i // 2], "lr": i % 2})
    labels = names.labels(find_runs([tmp_path / "grid"]).runs)
    assert labels[1] == "lcodec (unlearner.l2 0.1, unlearner.lr 1)"
    assert len(set(labels)) == 4


LIMITS, SCRUB = "What this certificate does not say", "What removal without a certificate does not promise"


def test_page_of_networks_claims_no_certificate(networks, tmp_path):
    page = _page(networks)
    assert LIMITS not in page
    assert "No run here carries a certificate" in page
    assert SCRUB in page
    assert "is a heuristic</strong>. It guesses" in page
    assert "It has no error bound" in page
    assert "one model trained from scratch without all requested rows." in page
    assert "ε spent" not in page
    assert "refused" in page


def test_page_of_a_single_network_run(tmp_path):
    folder = make_network(
        tmp_path / "a", "finetune", 10, {"curvature": None}, epsilon_total=1.0, delta_total=0.1
    )
    gone = [k for k in LASTING if k.startswith("retrain_")]
    edit(folder, record=_without(*gone), summary=dict.fromkeys(gone))
    page = _page(folder)
    assert "finetune; it carries no certificate" in page
    assert "is a heuristic" not in page
    assert "None of these runs was compared with a model trained again" in page
    assert "total with the extractor" not in page


def test_page_of_mixed_runs_has_both_sections(mixed, tmp_path):
    page = _page(mixed)
    assert page.index(LIMITS) < page.index(SCRUB)
    assert "The certified method that served most" in page
    about = re.search(r"This is about (.*?)\.</p>", page)[1]
    assert "gradient_ascent" in about
    assert not re.search("newton|retrain|none", about.replace("extractor none", ""))
    assert "is a heuristic</strong> (only lcodec" in page


def test_retraining_and_doing_nothing_need_no_section(tmp_path):
    make_network(tmp_path / "a", "retrain", 5)
    make_network(tmp_path / "b", "none", 5)
    page = _page(tmp_path)
    assert LIMITS not in page
    assert SCRUB not in page


def test_plain_ascent_uses_no_curvature(tmp_path):
    folder = make_network(tmp_path / "a", requests=5, settings={"mode": "ascent"})
    assert "is a heuristic" not in _page(folder)


def test_headline_is_not_a_wreck(tmp_path):
    make_network(tmp_path / "wreck", "gradient_ascent", 60, test_accuracy_after=0.1, removed=60, refused=0)
    make_network(tmp_path / "sound", "lcodec", 60, test_accuracy_after=0.94, removed=57, refused=3)
    make_network(tmp_path / "idle", "none", 60, test_accuracy_after=0.95)
    page = _page(tmp_path)
    assert "the most accurate: <strong>lcodec</strong>" in page
    assert '<span class="value">57</span> <span class="of">of 60; 3 refused</span>' in page


def test_headline_is_who_is_best_by_what_removing_is_about(tmp_path):
    tow = Column("ToW", "↑", "tug of war", "accuracy", main=True)
    columns = as_json({**of_run({}), "tow": tow})
    for name, accuracy, war in (("kfac", 0.92, 0.97), ("idle", 0.95, 0.05)):
        make_network(
            tmp_path / name, name, 60, columns=columns, tow=war, test_accuracy_after=accuracy, removed=60
        )
    assert "Of those that removed most, the best by ToW: <strong>kfac</strong>" in _page(tmp_path)
    make_network(tmp_path / "no_number", "lcodec", 60, test_accuracy_after=0.96, removed=60)
    assert "the most accurate: <strong>lcodec</strong>" in _page(tmp_path)


def test_a_column_that_is_not_a_number_is_named(tmp_path):
    folder = make_network(tmp_path / "a", requests=3)
    edit(folder, record=lambda r: {"retain_loss": "low"})
    with pytest.raises(RunFolderError, match=r"removals\.jsonl:1: 'retain_loss' must be a number or null"):
        read_run(folder)


def test_a_run_without_requests_still_has_a_report(tmp_path):
    make_network(tmp_path / "a", requests=0)
    assert SCRUB in _page(tmp_path / "a")


def test_names_are_escaped_in_the_sections(tmp_path):
    for place in range(2):
        make_network(tmp_path / str(place), requests=5, settings={"selector": f"<i>{place}</i>"})
    page = _page(tmp_path)
    assert "<i>" not in page
    assert "&lt;i&gt;1&lt;/i&gt;" in page
