"""Forget sets of a certified model through the command line: served, checked by the other program, refused.

Those of networks are in `test_experiments` (`compare/forget_sets`).
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from expunge.datasets import digits
from expunge.run.job_cache import JobCache
from expunge.verify import asked
from expunge.verify.verdict import verify
from tests import cli

POISON = "dataset.poison={target: 3, count: 5}"
LINEAR = (*cli.SMALL, "unlearner=newton_corrected")


def unsound(folder):
    """The names of the lines of the independent check that do not hold."""
    return [line.name for line in verify(folder, JobCache()).lines if line.holds is False]


def test_five_poisoned_rows_leave_a_certified_model_and_take_the_backdoor_along(tmp_path):
    own = (POISON, "removal=poisoned", "metrics=[accuracy,residual,attack]")
    folder = cli.completed(*LINEAR, *own, folder=tmp_path / "run")
    summary, (record,) = cli.summary(folder), cli.records(folder)
    assert (summary["removed"], len(record["rows"])) == (1, 5)
    assert record["residual_measured"] <= record["residual_bound"]
    assert record["attack_success_before"] > 0.7
    assert record["attack_success"] == pytest.approx(record["retrain_attack_success"], abs=0.03)
    assert record["attack_success"] < 0.5
    inputs = json.loads((folder / "inputs.json").read_text())["digests"]
    assert "dataset, corruption" in inputs
    assert unsound(folder) == []


@pytest.mark.parametrize(
    "own",
    [
        ("removal=outliers", "removal.count=6", "removal.batch_size=4"),
        ("removal=neighbours", "removal.count=6"),
        ("removal=sample", "removal.count=6"),
        ("removal=neighbours", "removal.row=3", "removal.count=6", "removal.seed=4"),
        ("removal=poisoned", POISON, "removal.share=0.5"),
        ("removal=mislabelled", "dataset.mislabel={share: 0.05}", "removal.batch_size=5"),
        ("removal=mislabelled", "dataset.mislabel={source: 3, target: 8, count: 4}"),
    ],
    ids=lambda own: " ".join(own),
)
def test_the_other_program_finds_the_same_rows(tmp_path, own):
    folder = cli.completed(*LINEAR, *own, folder=tmp_path / "run")
    assert unsound(folder) == []
    ledger = cli.records(folder)
    first = ledger[0]["rows"]
    first[0] = next(row for row in range(286) if row not in first)
    (folder / "removals.jsonl").write_text("".join(json.dumps(record) + "\n" for record in ledger))
    cli.resum(folder / "removals.jsonl")
    assert "requests" in unsound(folder), "another row is seen"


def test_people_who_are_drawn_are_found_by_the_other_program_too(tmp_path):
    own = ("dataset=digits", "removal=people", "removal.people=3", "removal.together=2", "threads=1")
    folder = cli.completed(*own, "unlearner=newton_corrected", "figures=false", folder=tmp_path / "run")
    first, second = (record["rows"] for record in cli.records(folder))
    y = digits.load().y_train
    assert [len(set(y[rows])) for rows in (first, second)] == [2, 1]
    assert unsound(folder) == []


def test_the_other_program_stops_at_no_block_that_the_data_do_not_fit():
    with pytest.raises(
        KeyError
    ):  # which it says in its line of requests, like others of a spoiled configuration
        asked._asked({"_target_": "expunge.record.requests.Poisoned"}, 0, digits.load())


def test_a_digit_is_forgotten_by_a_model_of_even_and_odd(tmp_path):
    own = ("dataset=digits", "dataset.labels=parity", "removal.group=3", "unlearner=newton_corrected")
    folder = cli.completed(*own, "figures=false", "threads=1", folder=tmp_path / "run")
    (record,) = cli.records(folder)
    assert record["rows"] == np.flatnonzero(digits.load().y_train == 3).tolist()
    assert record["residual_measured"] <= record["residual_bound"]
    assert unsound(folder) == []


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            ("removal=poisoned",),
            "removal.poisoned: got 'dataset=digits_3v8 without it', allowed: images with dataset.p",
        ),
        (("removal=mislabelled", POISON), "removal.mislabelled: got 'dataset=digits_3v8 without it'"),
        (
            ("metrics=[attack]",),
            "metrics.attack: got 'dataset=digits_3v8 without it', allowed: images with dataset.po",
        ),
        (("metrics=[mislabelled]", POISON), "metrics.mislabelled: got 'dataset=digits_3v8 without it'"),
        (("dataset.poison={target: 3, share: 0}",), "dataset.poison.share: got 0, allowed: a number above 0"),
        (
            ("dataset.poison={target: 3, count: 1, size: 9}",),
            "dataset.poison.size: got 9, allowed: at most 8",
        ),
        (
            ("dataset.mislabel={source: 3, target: 3, share: 0.1}",),
            "dataset.mislabel.target: got 3, allowed: another",
        ),
        (("removal=outliers", "removal.count=286"), "removal.count: got 286, allowed: at most 285"),
        (
            ("removal=class", "removal.class=3", "removal.count=200"),
            "removal.count: got 200, allowed: at most 14",
        ),
        (
            ("removal.group=3",),
            "removal.group: got 'dataset=digits_3v8', allowed: none: these rows have no groups",
        ),
        (
            ("dataset=sklearn", "dataset.name=wine", "dataset.poison={target: 0, share: 0.1}"),
            "dataset.poison",
        ),
        (
            ("dataset.poison={target: 3, share: 1}", "removal=poisoned"),
            "labels: got one class (1), allowed: two or more",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, own, said):
    ended = cli.expunge(*cli.SMALL, *own, cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert said in ended.err
