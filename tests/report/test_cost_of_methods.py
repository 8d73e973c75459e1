"""What a method costs beside training again: break-even, memory and stored bytes, from made-up runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.record.columns import MEMORY, SIZES
from expunge.record.folders.runs import Run
from expunge.record.tally import Tally
from expunge.report.read.measured import break_even, lasting, retrain_seconds
from expunge.report.tables.table_rows import rows


def run(role, times, fit=4.0, memory=(), seed=0, **summary):
    outcome = "retrained" if role == "reference" else "removed"
    records = [
        {"request": k, "rows": [k], "outcome": outcome, "seconds": seconds, MEMORY: mb}
        for k, (seconds, mb) in enumerate(zip(times, memory or [None] * len(times), strict=True), start=1)
    ]
    told = {"dataset": "toy", "extractor": "none", "model": "mlp", "unlearner": role, "n_train": 10}
    counts = {"requests": len(records), "removed": len(records), "retrained": 0, "refused": 0}
    return Run(
        Path(role), {**told, **counts, "role": role, "seed": seed, "seconds_fit": fit, **summary}, records
    )


@pytest.mark.parametrize(
    ("times", "fit", "expected"),
    [
        ([9.0, 2.0, 2.0], 4.0, 10),  # the first may have compiled: 20 s at 2 s each
        ([9.0, 1.0, 3.0], 4.0, 10),  # the mean, not the median: so long k of them take
        ([2.0], 9.0, 7),  # 5 s longer to set up leave 15 s
        ([2.0], 1.0, 10),  # a shorter fit gives nothing
        ([6.0], 4.0, 3),  # 3.33
        ([21.0], 4.0, 0),  # longer than training again
        ([2.0], 30.0, 0),  # set up for longer than training takes
    ],
)
def test_break_even_is_how_many_requests_training_again_once_pays_for(times, fit, expected):
    mine, again = run("heuristic", times, fit), run("reference", [50.0, 20.0, 20.0])
    assert break_even(mine, retrain_seconds(mine, [mine, again])) == expected
    (row, other) = rows([mine, again])
    assert (row.break_even, other.break_even) == (expected, None)


def test_without_a_retraining_or_a_removal_there_is_no_break_even():
    mine, nothing, again = run("heuristic", [2.0]), run("baseline", []), run("reference", [20.0])
    assert break_even(mine, retrain_seconds(mine, [mine])) is None
    assert break_even(nothing, retrain_seconds(nothing, [nothing, again])) is None


def test_the_memory_of_a_run_is_that_of_its_largest_request():
    mine = run("heuristic", [1.0, 1.0, 1.0, 1.0], memory=[3.0, 70.5, None, 0.0])
    tally = Tally({key: column.over_run for key, column in SIZES.items()}, "heuristic")
    for record in mine.records:
        tally.add(record)
    assert tally.own()[MEMORY] == 70.5
    assert lasting(mine, MEMORY, "most") == 70.5
    nowhere = Tally({MEMORY: "most"}, "heuristic")
    nowhere.add(mine.records[2])
    assert nowhere.own()[MEMORY] is None
