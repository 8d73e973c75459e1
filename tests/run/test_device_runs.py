"""Runs whose rows are on a device: the records of rows in memory, but for last digits; resumed anywhere."""

import json
from unittest.mock import patch

import numpy as np
import pytest
import torch

from expunge.linear import placed as places
from expunge.linear.device_rows import DeviceRows
from expunge.verify.verdict import verify
from tests import cli

_RUN = (*cli.SMALL, "seed=3", "device=cuda", "checkpoint_every=2")


@pytest.fixture
def _device():
    """A device of torch that every machine has, in the place of a GPU."""
    with patch.object(places, "_on_gpu", lambda rows, device: DeviceRows.of(rows, torch.device("cpu"))):
        yield


def records(folder):
    found = [json.loads(line) for line in (folder / "removals.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in one.items() if key not in ("seconds", "memory_mb", "gpu_memory_mb")}
        for one in found
    ]


@pytest.mark.usefixtures("_device")
def test_a_run_on_a_device_is_that_in_memory_and_checked_by_the_other_code(tmp_path):
    for name, more in (("device", ()), ("again", ()), ("memory", ("device=cpu",))):
        ended = cli.expunge(*_RUN, "removal.count=5", *more, f"hydra.run.dir={name}", cwd=tmp_path)
        assert ended.code == 0, ended.err
    there, again, memory = (records(tmp_path / name) for name in ("device", "again", "memory"))
    assert there == again
    for ours, theirs in zip(there, memory, strict=True):
        assert ours["outcome"] == theirs["outcome"] == "removed"
        np.testing.assert_allclose(ours["residual_bound"], theirs["residual_bound"], rtol=1e-6)
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("device", "memory")]
    assert [summary.get("rows_on") for summary in summaries] == ["cpu", None]
    assert summaries[0]["test_accuracy_after"] == summaries[1]["test_accuracy_after"]
    assert verify(tmp_path / "device").first is None


@pytest.mark.usefixtures("_device")
def test_a_run_goes_on_in_memory_where_there_is_no_device_any_more(tmp_path):
    rows = tmp_path / "rows.txt"
    rows.write_text("3\n7\n")
    asked = (*_RUN, "device=auto", "removal=rows", f"removal.rows={rows}", "hydra.run.dir=run")
    with patch.object(places, "_WORTH_IT", 1):
        assert cli.expunge(*asked, cwd=tmp_path).code == 0
    assert "rows_on" in json.loads((tmp_path / "run" / "summary.json").read_text())
    first = records(tmp_path / "run")
    rows.write_text("3\n7\n20\n")
    ended = cli.expunge(*asked, "resume=true", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert records(tmp_path / "run")[:2] == first
    assert len(records(tmp_path / "run")) == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_run_ends_in_a_line(tmp_path):
    ended = cli.expunge(*_RUN, cwd=tmp_path)
    assert ended.code == 2
    assert (
        ended.err.strip()
        .splitlines()[-1]
        .endswith("device: got 'cuda', allowed: auto or cpu: torch finds no GPU here")
    )
