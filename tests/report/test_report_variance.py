"""Runs that differ in repeat and evaluation: one row a seed in every mean, and a table of the parts."""

import re
from pathlib import Path

import numpy as np
import pytest

from expunge.core.intervals import interval
from expunge.record.folders.runs import find_runs
from expunge.report.figures.variance import draw_variance
from expunge.report.page.page import page
from expunge.report.tables import table, variance
from expunge.report.tables.contents import Contents
from tests.oracles.variance import balanced
from tests.report.test_report import make_run

SIZES = (3, 2, 2)


def accuracies(seed: int) -> np.ndarray:
    return np.round(0.9 + 0.01 * np.random.default_rng(seed).normal(size=SIZES), 4)


def write(folder: Path, unlearner: str, values: np.ndarray, without: tuple = ()) -> Path:
    for seed, repeat, evaluation in np.ndindex(values.shape):
        at = (seed, repeat, evaluation)
        draws = {"seed": seed, "repeat": repeat + 1, "evaluation": evaluation + 1}
        if at not in without:
            name = folder / f"{unlearner}-{''.join(map(str, at))}"
            make_run(name, unlearner, 5, **draws, test_accuracy_after=float(values[at]))
    return folder


def contents(folder: Path) -> Contents:
    return Contents.of(find_runs([folder]))


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Contents:
    folder = tmp_path_factory.mktemp("both")
    write(folder, "newton", accuracies(1))
    return contents(write(folder, "retrain", accuracies(2)))


def test_every_mean_counts_a_seed_once(both):
    newton, retrain = sorted(both.groups, key=lambda group: group.label)
    ours, theirs = accuracies(1), accuracies(2)
    assert (len(newton.rows), len(newton.draws), newton.again) == (3, 12, [])
    assert newton.values["test_accuracy_after"] == pytest.approx(interval([*ours.mean(axis=(1, 2))]))
    paired = (ours - theirs).mean(axis=(1, 2))
    assert newton.paired["test_accuracy_after"] == pytest.approx(list(paired))
    assert retrain.paired["test_accuracy_after"] == []
    assert newton.title == "newton · 3 seeds, 12 runs"
    (head,) = [c for c in table.heads(both.groups) if c.key == "test_accuracy_after"]
    assert table.cell(newton, head).found.mean == pytest.approx(ours.mean())
    assert newton.average.test_accuracy_after == pytest.approx(ours.mean())


def test_the_second_table_has_the_shares_of_the_textbook(both):
    (newton, _) = sorted(variance.sources(both.groups), key=lambda one: one.method)
    parts = np.maximum(balanced(accuracies(1)), 0.0)
    shares = [0.0 if part is None else part.share for part in newton.found.components]
    assert shares == pytest.approx(list(parts / parts.sum()))
    assert float(newton.spread) == pytest.approx(np.sqrt(parts.sum()), rel=0.05)
    cells = dict(zip(variance.HEADS, newton.cells, strict=True))
    assert (cells["runs"], cells["mean"]) == ("3 × 2 × 2", f"{accuracies(1).mean():.4f}")
    assert cells["95% interval"] == f"[{newton.found.low:.4f}, {newton.found.high:.4f}]"
    markdown = both.as_markdown()
    assert "## Where the variance comes from" in markdown
    assert variance.PARTLY not in markdown


def test_page_and_figure_show_them(both):
    drawn = draw_variance(both.runs)
    html = page(both, [drawn])
    part = html[html.index('id="variance"') :].partition("</table>")[0]
    assert [re.sub("<[^>]*>", "", head) for head in re.findall('<th scope="col".*?</th>', part)] == [
        *variance.HEADS
    ]
    assert "seed 2, repeat 1, evaluation 2" in html
    values = (
        drawn.chart["data"]["values"] if "data" in drawn.chart else drawn.chart["concat"][0]["data"]["values"]
    )
    for method in ("newton", "retrain"):
        bar = [row for row in values if row["method"] == method]
        assert bar[0]["x"] == 0.0
        assert bar[-1]["to"] == pytest.approx(1.0)
        assert [row["x"] for row in bar[1:]] == [row["to"] for row in bar[:-1]]


def test_missing_cells_are_said_and_nothing_is_made_up(tmp_path):
    found = contents(write(tmp_path, "newton", accuracies(3), without=((0, 1, 1), (2, 0, 0))))
    (one,) = variance.sources(found.groups)
    assert one.sizes == "10 of 3 × 2 × 2"
    assert variance.PARTLY in found.as_markdown()


def test_one_original_has_no_interval_and_no_part(tmp_path):
    found = contents(write(tmp_path, "newton", accuracies(3)[:1]))
    (one,) = variance.sources(found.groups)
    cells = dict(zip(variance.HEADS, one.cells, strict=True))
    assert (cells["95% interval"], cells["original"]) == ("–", "–")
    assert cells["unlearning"] != "–"


def test_equal_numbers_have_no_bar(tmp_path):
    found = contents(write(tmp_path, "newton", np.full(SIZES, 0.9)))
    (one,) = variance.sources(found.groups)
    assert one.cells[-3:] == ["–", "–", "–"]
    assert draw_variance(found.runs) is None


def test_seeds_alone_have_no_second_table(tmp_path):
    for seed in range(3):
        make_run(tmp_path / f"{seed}", "newton", 5, seed=seed)
    found = contents(tmp_path)
    assert variance.sources(found.groups) == []
    assert "variance" not in found.as_markdown()
    assert draw_variance(found.runs) is None
