"""What the report says of removed persons and everybody else: one run, several identities and seeds."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from expunge.core.spreadsheets import as_csv
from expunge.metrics.activation import Activation
from expunge.metrics.identity import KEPT, Identity, IdentityReference
from expunge.metrics.reid import Reid
from expunge.metrics.verification import Verification
from expunge.record.columns import merged
from expunge.record.folders.runs import find_runs
from expunge.report.page.page import page
from expunge.report.tables import table
from expunge.report.tables.contents import Contents
from expunge.report.tables.over_seeds import by_method
from expunge.report.tables.table_rows import rows
from tests.report.test_report_networks import edit, make_network

METRICS = (Identity, IdentityReference, Verification, Reid, Activation)
PERSONS = {key for metric in METRICS for key in metric.COLUMNS}
MEASURED = {
    **{"identity_test_accuracy": 0.25, "rest_test_accuracy": 0.9, "rest_test_kept": 0.97},
    **{"retrain_identity_test_accuracy": 0.0, "retrain_rest_test_accuracy": 0.93},
}


def person(folder: Path, who: str, seed: int, **measured: float) -> Path:
    """Write the run of a person's removal."""
    make_network(folder, requests=2, seed=seed, **{**MEASURED, **measured})
    own = {"removal": {"identity": who, "batch_size": None}, "seed": seed}
    return edit(folder, config=lambda settings: settings.update(own))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    """Two persons, three seeds."""
    root = tmp_path_factory.mktemp("persons")
    for who in ("s1", "s2"):
        for seed in range(3):
            share = 0.9 + seed / 100
            person(root / f"{who}-{seed}", who, seed, rest_test_accuracy=share)
    return root


def test_every_number_of_the_metrics_has_a_column():
    said = merged(metric.COLUMNS for metric in METRICS)
    shown = {key: column for key, column in said.items() if column.shown}
    covered = {key for key, column in shown.items() for key in (key, column.beside) if key}
    assert covered == set(said)
    assert all(column.beside == f"retrain_{key}" for key, column in shown.items() if key != "reid_skipped")


def test_a_column_is_shown_where_a_run_has_it(tmp_path):
    runs = find_runs([person(tmp_path / "one", "s1", 0), make_network(tmp_path / "other", requests=2)]).runs
    lines = rows(runs)
    heads = {column.head: column for column in table.columns(lines)}
    own = {column.head for column in heads.values() if column.key in PERSONS}
    assert own == {"person, test", "rest, test", "rest kept, test"}
    assert [heads["person, test"].cell(line) for line in lines] == ["0.25 / 0", "–"]
    assert heads["rest kept, test"].cell(lines[0]) == "0.97 / –"
    assert not {column.head for column in table.columns(lines[1:])} & own
    written = list(csv.DictReader(io.StringIO(as_csv(line.values for line in lines))))
    assert [line["retrain_rest_test_accuracy"] for line in written] == ["0.93", ""]


def test_rows_are_told_by_person_and_seed(several):
    labels = [row.unlearner for row in rows(find_runs([several]).runs)]
    assert len(set(labels)) == 6
    for label, who, seed in zip(labels, ("s1",) * 3 + ("s2",) * 3, (0, 1, 2) * 2, strict=True):
        assert label == f"lcodec (seed {seed}, removal.identity {who})"


def test_means_over_seeds_are_next_to_the_retrained_ones(several):
    groups = by_method(find_runs([several]).runs)
    assert [group.label for group in groups] == [f"lcodec (removal.identity {who})" for who in ("s1", "s2")]
    heads = {column.head: column for column in table.heads(groups)}
    assert table.cell(groups[0], heads["rest, test"]).line.startswith("0.91 [0.9")
    assert table.cell(groups[0], heads["rest, test"]).line.endswith("] / 0.93")
    assert table.cell(groups[0], heads["person, test"]).line == "0.25 / 0"
    assert table.cell(groups[0], heads["rest kept, test"]).line == "0.97 / –"
    assert heads["rest, test"].column.sub == "unlearned / retrained"
    _, second = csv.DictReader(io.StringIO(table.methods_as_csv(groups)))
    assert second["unlearner"] == groups[1].label
    ends = [second[f"retrain_rest_test_accuracy{end}"] for end in ("", "_low", "_high")]
    assert list(map(float, ends)) == [0.93] * 3


def test_the_page_says_what_the_columns_mean(several):
    shown = page(Contents.of(find_runs([several])))
    terms = shown[
        shown.index("What the columns mean") : shown.index("</dl>", shown.index("What the columns"))
    ]
    assert f"<dd>{_sentence(KEPT['rest_test_kept'].definition)}</dd>" in terms
    assert "verification" not in terms
