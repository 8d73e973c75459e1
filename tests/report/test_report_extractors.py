"""Reports of runs that differ in their extractor: total guarantee, labels, warnings, words and a figure."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from pathlib import Path

import pytest

from expunge.certificate.composition import group
from expunge.core import text
from expunge.core.errors import RunFolderError
from expunge.core.spreadsheets import as_csv
from expunge.report import find_runs, read_run, write_report
from expunge.report.figures.draw import draw_all
from expunge.report.figures.extractors import compared, draw_extractors
from expunge.report.read import names
from expunge.report.tables import table
from expunge.report.tables.table_rows import Row, ordered, rows
from tests.cli import SMALL, expunge
from tests.report.printing import printed, promises
from tests.report.test_report import make_run

RAW = "the head learns from raw gradients, which carry a row into every other row's gradient"
NOT_COVERED = {
    "private": f"extractor mode=private is as published and no guarantee: {RAW}",
    "none": "the extractor was trained on the rows to be removed without differential privacy",
}
SCALED = "features were scaled by statistics of the training set"
UNCERTIFIED = "the unlearner gives no certificate"
OWN_HEAD = {"full_private": 0.9612, "private": 0.9785, "none": 0.9901}
COLUMNS = {"own head", "linear probe", "ε total"}


def make(folder: Path, unlearner: str, settings: dict | None = None, **summary) -> Path:
    """Write the folder of a run on this extractor, with what its summary says of it."""
    make_run(folder, unlearner, 20, **{"model": "logistic", **summary})
    path = folder / ".hydra" / "config.yaml"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "extractor": settings or {"scaling": "row"}}))
    return folder


def pixels(folder: Path, unlearner: str = "newton_corrected", **summary) -> Path:
    """Write a run without an extractor."""
    own = total(unlearner, 0.0, 0.0, None)
    return make(folder, unlearner, None, **{**own, "linear_probe_accuracy": 0.9688, **summary})


def dp(
    folder: Path, mode: str = "full_private", noise: float = 6.0, unlearner: str = "newton_corrected", **more
) -> Path:
    """Write a run on the features of ``extractor=dp``."""
    settings = {"_target_": "expunge.extractors.dp.Dp", "mode": mode, "noise_multiplier": noise, "seed": 0}
    epsilon = 0.708 / noise if mode == "full_private" else None
    said = {
        "extractor_mode": mode,
        "extractor_epsilon": epsilon,
        "extractor_delta": epsilon and 1e-5,
        "extractor_test_accuracy": OWN_HEAD[mode],
        "extractor_features": 512,
        "linear_probe_accuracy": OWN_HEAD[mode] + 0.003,
    }
    promise = total(unlearner, epsilon, 1e-5, NOT_COVERED.get(mode))
    return make(folder, unlearner, settings, **{"extractor": "dp", **promise, **said, **more})


def total(unlearner: str, epsilon: float | None, delta: float, reason: str | None) -> dict:
    """Return what the runner makes of extractor and unlearner."""
    if reason is None and "newton" not in unlearner:
        reason = UNCERTIFIED
    if reason is not None or epsilon is None:
        return {"epsilon_total": None, "delta_total": None, "not_covered": reason}
    return {"epsilon_total": epsilon + 1.0, "delta_total": delta + 1e-4, "not_covered": None}


def every(folder: Path) -> Path:
    """Write a run of every kind."""
    pixels(folder / "0")
    dp(folder / "1")
    dp(folder / "2", noise=2.0)
    dp(folder / "3", "private")
    dp(folder / "4", "none")
    dp(folder / "5", unlearner="retrain")
    dp(folder / "6", "none", unlearner="retrain")
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    return every(tmp_path_factory.mktemp("extractors") / "sweep")


@pytest.fixture(scope="module")
def page(sweep, tmp_path_factory) -> Path:
    return write_report([sweep], tmp_path_factory.mktemp("out"))


def lines_of(*folders: Path) -> list[Row]:
    return rows(ordered(find_runs(folders).runs))


def heads(lines: list[Row]) -> set[str]:
    return {column.head for column in table.columns(lines)}


def cells(lines: list[Row], head: str) -> list[str]:
    column = next(c for c in table.columns(lines) if c.head == head)
    return [column.cell(row) for row in lines]


def flowing(page: Path) -> str:
    """Return the page's words without tags and line breaks."""
    content = re.sub(r"</?sub>", "", page.read_text(encoding="utf-8"))
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", content)).split())


def test_columns_of_extractors(sweep):
    lines = lines_of(sweep)
    totals = ["1, 1e-4", "1.12, 1.1e-4", "1.35, 1.1e-4", "none", "none", text.NONE, "none"]
    assert cells(lines, "ε total") == totals
    own = ["–", "0.9612", "0.9612", "0.9785", "0.9901", "0.9612", "0.9901"]
    assert cells(lines, "own head") == own
    assert cells(lines, "linear probe")[:2] == ["0.9688", "0.9642"]
    legend = {column.title for column in table.columns(lines)}
    assert {"own head ↑", "linear probe ↑", "ε total ↓"} <= legend
    written = printed(lines, legend=True)
    words = "Guarantee of extractor and model together, for each removed row taken alone"
    assert words in " ".join(written.split())


def test_a_total_that_is_the_models_own_gets_no_column(tmp_path):
    pixels(tmp_path / "0", linear_probe_accuracy=None)
    pixels(tmp_path / "1", "retrain", linear_probe_accuracy=None)
    lines = lines_of(tmp_path)
    assert lines[0].epsilon_total == lines[0].epsilon == 1.0
    assert not COLUMNS & heads(lines)
    assert "Warning" not in printed(lines)
    page = write_report([tmp_path])
    assert "extractor and model together" not in flowing(page)
    assert not page.with_name("extractors.png").exists()


def test_summaries_of_older_runs_are_read(tmp_path):
    make_run(tmp_path / "old", "newton_corrected", 20)
    dp(tmp_path / "new")
    lines = lines_of(tmp_path)
    by_extractor = {row.extractor: row for row in lines}
    assert by_extractor["none"].epsilon_total is None
    assert cells([by_extractor["none"], by_extractor["dp"]], "ε total") == [text.NONE, "1.12, 1.1e-4"]
    old = next(csv.DictReader(io.StringIO(as_csv([by_extractor["none"].values]))))
    assert {
        old[key] for key in ("epsilon_total", "not_covered", "extractor_mode", "linear_probe_accuracy")
    } == {""}
    assert not COLUMNS & heads(lines_of(tmp_path / "old"))


def test_csv_has_the_unrounded_values(page):
    read = list(csv.DictReader(io.StringIO(page.with_name("table.csv").read_text(encoding="utf-8"))))
    assert [row["extractor_mode"] for row in read] == [
        *("", "full_private", "full_private", "private", "none", "full_private", "none"),
    ]
    assert float(read[1]["epsilon_total"]) == 0.708 / 6 + 1
    assert read[3]["epsilon_total"] == ""
    assert read[3]["not_covered"] == NOT_COVERED["private"]
    assert read[5]["not_covered"] == ""  # that retraining has no certificate says nothing of the extractor


def test_labels_tell_extractors_apart(sweep):
    assert names.labels(find_runs([sweep]).runs) == [
        "newton_corrected (pixels)",
        "newton_corrected (dp, mode full_private, noise_multiplier 6)",
        "newton_corrected (dp, mode full_private, noise_multiplier 2)",
        "newton_corrected (dp, mode private)",
        "newton_corrected (dp, mode none)",
        "retrain (dp, mode full_private, noise_multiplier 6)",
        "retrain (dp, mode none)",
    ]


def test_labels_leave_out_what_does_not_differ(tmp_path):
    dp(tmp_path / "0")
    dp(tmp_path / "1", unlearner="newton")
    assert names.labels(find_runs([tmp_path]).runs) == ["newton_corrected", "newton"]


def test_labels_do_not_take_a_setting_that_is_new_for_a_difference(tmp_path):
    pixels(tmp_path / "0")
    make(tmp_path / "1", "retrain", {"_target_": "expunge.extractors.pixels.Pixels"})
    assert names.labels(find_runs([tmp_path]).runs) == ["newton_corrected", "retrain"]
    make(tmp_path / "2", "newton", {"scaling": "dataset"})
    runs = [read_run(tmp_path / name) for name in ("0", "2")]
    assert names.labels(runs) == [
        "newton_corrected (pixels, scaling row)",
        "newton (pixels, scaling dataset)",
    ]


def test_a_label_shows_no_place_of_the_machine(tmp_path):
    for name in ("a", "b"):
        settings = {"architecture": "resnet18", "weights": f"/home/somebody/{name}.safetensors"}
        make(tmp_path / name, "newton", settings, extractor="pretrained")
    labels = names.labels(find_runs([tmp_path]).runs)
    assert labels == [f"newton (pretrained, weights …/{name}.safetensors)" for name in ("a", "b")]


def test_a_seed_is_told_as_that_of_the_run(tmp_path):
    for seed in (0, 1):
        dp(tmp_path / str(seed), seed=seed)
        path = tmp_path / str(seed) / ".hydra" / "config.yaml"
        config = json.loads(path.read_text())
        path.write_text(json.dumps({**config, "extractor": {**config["extractor"], "seed": seed}}))
    runs = find_runs([tmp_path]).runs
    assert names.labels(runs) == ["newton_corrected (seed 0)", "newton_corrected (seed 1)"]
    assert compared(runs) == []


def test_warnings_name_reason_and_runs(sweep, page):
    expected = [
        f"Warning: as published: {NOT_COVERED['private']} (newton_corrected (dp, mode private)).",
        f"Warning: no guarantee for extractor and model together: {NOT_COVERED['none']} "
        "(newton_corrected (dp, mode none), retrain (dp, mode none)).",
    ]
    lines = lines_of(sweep)
    found = [line for line in printed(lines).splitlines() if line.startswith("Warning")]
    assert found == expected
    markdown = page.with_name("table.md").read_text(encoding="utf-8")
    shown = re.findall(r'<p class="warning">(.*?)</p>', page.read_text(encoding="utf-8"), re.S)
    assert [html.unescape(warning) for warning in shown] == expected
    assert all(warning in markdown for warning in expected)


@pytest.mark.parametrize("unlearner", ["newton_corrected", "retrain", "none"])
def test_a_run_as_published_is_warned_of_whatever_its_method(tmp_path, unlearner):
    lines = lines_of(dp(tmp_path / "a", "private", unlearner=unlearner))
    assert f"Warning: as published: {NOT_COVERED['private']}.\n" in printed(lines)


def test_features_scaled_by_the_training_set_are_warned_of(tmp_path):
    promise = total("newton", None, 0.0, SCALED)
    make(tmp_path / "a", "newton", {"scaling": "dataset"}, **promise)
    lines = lines_of(tmp_path)
    assert cells(lines, "ε total") == ["none"]
    assert f"Warning: no guarantee for extractor and model together: {SCALED}.\n" in printed(lines)
    # Without a certificate there was nothing to lose.
    make(tmp_path / "b", "retrain", {"scaling": "dataset"}, **promise)
    assert "Warning" not in printed(lines_of(tmp_path / "b"))


def test_promises_say_that_the_total_is_for_one_row(sweep, page):
    words = flowing(page)
    assert "This total is for each removed row taken alone" in words
    assert "the extractor's part is m εDP" in words
    (epsilon, delta), ten = (0.708 / 6, 1e-5), group(0.708 / 6, 1e-5, 10)
    assert ten[0] == pytest.approx(10 * epsilon)
    assert ten[1] > 10 * delta
    one, many = (f"({text.number(e)}, {text.number(d)})" for e, d in ((epsilon, delta), ten))
    assert f"an extractor's {one} for one row is {many} for 10 rows" in words
    assert "(only newton_corrected (dp, mode full_private, noise_multiplier 6), newton_" in words


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (pixels, False),
        (lambda folder: dp(folder, "private"), False),
        (lambda folder: dp(folder, "none"), False),
        (dp, True),
    ],
)
def test_promises_of_a_private_extractor_only_where_there_is_one(tmp_path, write, said):
    (promise,) = promises(write(tmp_path / "a"))
    assert ("each removed row taken alone" in promise) == said
    assert "{" not in promise
    assert "(only" not in promise


def test_headline_prefers_a_run_with_a_guarantee(tmp_path):
    dp(tmp_path / "0", "none", test_accuracy_after=0.99)
    words = flowing(write_report([tmp_path], tmp_path / "out0"))
    assert f"guarantee of extractor and model together none {NOT_COVERED['none']}" in words
    dp(tmp_path / "1", test_accuracy_after=0.95)
    words = flowing(write_report([tmp_path], tmp_path / "out1"))
    assert "guarantee of extractor and model together ε 1.12 δ 1.1e-4" in words
    assert (
        "of those with a guarantee of extractor and model together: newton_corrected (dp, mode full_private)"
        in words
    )


def test_settings_of_the_page_hold_what_the_extractor_says(page):
    words = flowing(page)
    assert "extractor_epsilon 0.118" in words
    assert "extractor_features 512" in words


def test_retrain_time_is_that_of_the_same_features(tmp_path):
    dp(tmp_path / "0")
    dp(tmp_path / "1", unlearner="retrain", extractor_features=64)
    certified, _ = lines_of(tmp_path)
    assert (certified.seconds_retrain, certified.retrain_from, certified.speed_up) == (None, "", None)
    dp(tmp_path / "2", "none", unlearner="retrain")
    dp(tmp_path / "3", unlearner="retrain")
    assert lines_of(tmp_path)[0].retrain_from.endswith("/3")  # that of the same settings comes first


def test_a_probe_that_is_no_number_is_named(tmp_path):
    folder = pixels(tmp_path / "a")
    path = folder / "removals.jsonl"
    path.write_text(path.read_text().replace('"reason"', '"linear_probe_accuracy": "high", "reason"', 1))
    with pytest.raises(RunFolderError, match=r"removals.jsonl:1: 'linear_probe_accuracy' must be a number"):
        read_run(folder)


def test_what_the_figure_compares(sweep):
    found = {one.name: one for one in compared(find_runs([sweep]).runs)}
    assert {name: one.promise for name, one in found.items()} == {
        "pixels": "total ε 1",
        "dp, mode full_private, noise_multiplier 6": "total ε 1.12",
        "dp, mode full_private, noise_multiplier 2": "total ε 1.35",
        "dp, mode private": "no guarantee",
        "dp, mode none": "no guarantee",
    }
    assert list(found["pixels"].accuracies.values()) == [[0.9516], [0.9688]]
    assert list(found["dp, mode none"].accuracies.values()) == [[0.9516], [0.9901], [0.9931]]


def test_the_figure_is_drawn_and_written(sweep, page):
    drawn = draw_extractors(ordered(find_runs([sweep]).runs))
    assert drawn.name == "extractors"
    for words in ("0.9612", "own head, end to end", "linear probe"):
        assert f">{words}</text>" in drawn.svg
    written = " ".join(re.sub("<[^>]*>", " ", drawn.svg).split())
    assert "dp, mode full_private, noise_multiplier 6, total ε 1.12" in written
    assert "dp, mode none, no guarantee" in written
    assert drawn.png == page.with_name("extractors.png").read_bytes()
    assert drawn.svg == page.with_name("extractors.svg").read_text(encoding="utf-8")
    assert drawn.png.startswith(b"\x89PNG")
    assert 'aria-label="Accuracy by extractor"' in page.read_text(encoding="utf-8")


def test_several_runs_on_one_extractor_are_one_line_of_the_figure(tmp_path):
    pixels(tmp_path / "0", test_accuracy_after=0.95, epsilon_total=1.0)
    pixels(tmp_path / "1", "newton", test_accuracy_after=0.94, epsilon_total=2.0, epsilon=2.0)
    dp(tmp_path / "2")
    one, other = compared(find_runs([tmp_path]).runs)
    assert one.accuracies["certified model, after the removals"] == [0.94, 0.95]
    assert one.promise == "total ε 1 to 2"
    assert other.name == "dp, mode full_private"
    assert ">0.9400 to 0.9500</text>" in draw_extractors(find_runs([tmp_path]).runs).svg


def test_no_figure_without_two_extractors_on_the_same_rows(tmp_path):
    runs = [read_run(pixels(tmp_path / "0")), read_run(dp(tmp_path / "1", dataset="svhn"))]
    assert draw_extractors(runs) is None
    assert draw_extractors(runs[:1]) is None
    runs += [read_run(dp(tmp_path / "2")), read_run(pixels(tmp_path / "3", dataset="svhn"))]
    names = [one.name for one in compared(runs)]
    assert names == [
        *("mnist_3v8, 11982 rows: pixels", "mnist_3v8, 11982 rows: dp, mode full_private"),
        *("svhn, 11982 rows: dp, mode full_private", "svhn, 11982 rows: pixels"),
    ]
    assert "extractors" in [drawn.name for drawn in draw_all(runs)]


def test_an_extractor_without_accuracies_is_not_compared(tmp_path):
    runs = [read_run(make_run(tmp_path / "0", "retrain", 5)), read_run(dp(tmp_path / "1"))]
    assert compared(runs) == []


def test_names_from_files_are_escaped(tmp_path):
    evil = "<script>x</script>\x1b[31m"
    dp(tmp_path / "0", "private", not_covered=evil)
    pixels(tmp_path / "1", extractor=evil)
    page = write_report([tmp_path])
    written = "".join(path.read_text(encoding="utf-8") for path in page.parent.glob("*.[hsm]*"))
    assert "<script>x" not in written
    own = {"<script>", '<script type="application/json">'}  # the page's own, and its charts
    assert set(re.findall("<script[^>]*>", written)) <= own
    assert "\x1b" not in written + printed(lines_of(tmp_path))


def test_a_real_run_as_published_warns_at_its_end(tmp_path):
    quick = ("filters=[2]", "kernel=3", "epochs=1", "batch_size=100", "mode=private")
    arguments = [*SMALL, "figures=true", "extractor=dp", *(f"extractor.{key}" for key in quick)]
    ended = expunge(*arguments, "removal.count=2", f"cache_dir={tmp_path / 'cache'}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert f"Warning: as published: {NOT_COVERED['private']}." in " ".join(ended.out.split())
    assert "own head ↑" in ended.out
    (line,) = lines_of(tmp_path / "outputs")
    assert line.not_covered.startswith(f"{NOT_COVERED['private']}; ")
    assert line.epsilon_total is None
