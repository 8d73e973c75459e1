"""Runs as data frames: the values of the report's table, and the records."""

from __future__ import annotations

import pandas as pd
import pytest

import expunge
from expunge.core.errors import RunFolderError
from expunge.report import write_report
from tests.report.test_report import make_run, make_sweep


def test_a_frame_has_what_table_csv_has_and_the_other_numbers(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", requests=20)
    frame = expunge.load(sweep)
    file = write_report([sweep], tmp_path / "out").with_name("table.csv")
    written = pd.read_csv(file, float_precision="round_trip")
    assert frame["unlearner"].tolist() == ["newton", "newton_corrected", "retrain", "none"]
    assert list(frame)[: written.shape[1]] == list(written)
    for key in written:
        for ours, theirs in zip(frame[key], written[key], strict=True):
            absent = ours is None or ours == "" or ours != ours
            assert pd.isna(theirs) if absent else ours == theirs, key
    assert frame["n_train"].tolist() == [11982] * 4
    assert frame["seconds_fit"].dtype == frame["budget"].dtype == float
    assert frame["seed"].tolist() == [0] * 4


def test_removals_have_a_row_a_request_and_the_runs_name(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", requests=20)
    frame = expunge.load([sweep / "0", sweep / "2"])
    removals = frame.removals
    assert removals["run"].unique().tolist() == frame["run"].tolist()
    assert len(removals) == 40
    joined = removals.merge(frame[["run", "unlearner"]], on="run")
    assert joined.groupby("unlearner")["removed_total"].max().to_dict() == {"newton": 20, "none": 0}
    assert removals["rows"][0] == [7919 % 11982]


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(RunFolderError, match="no finished run"):
        expunge.load(str(tmp_path))
    make_run(tmp_path / "a", "newton", 0)
    assert expunge.load(str(tmp_path)).removals.empty
