"""What was published: every row names experiments that exist and figures that a run leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from expunge.studies.bullseye import Bullseye
from expunge.studies.codec_speed import CodecSpeed

ROOT = Path(__file__).parents[1]
ROWS = {
    f"{path.parent.name}/{name}": row
    for path in sorted(ROOT.glob("experiments/*/expected.yaml"))
    for name, row in yaml.safe_load(path.read_text()).items()
}


def at(summary, key: str):
    """The entry of a summary that a dotted key names."""
    for part in key.split("."):
        summary = summary[int(part) if isinstance(summary, list) else part]
    return summary


@pytest.fixture(scope="module")
def summaries():
    """Summaries of the smallest runs that have every key of the full ones."""
    speed = CodecSpeed(n=60, p=4, attributes=1)
    records = [{**cell, **speed.run_cell(cell, 0)} for cell in speed.cells()]
    found = {"cvpr2022/codec_speed": speed.summary(records)}
    bullseye = Bullseye(n=40, dim=1, replicates=2, methods=["codec", "lcodec"], readings=["grow_shrink"])
    records = [{**cell, **bullseye.run_cell(cell, 0)} for cell in bullseye.cells()]
    rows = bullseye.summary(records)["rows"]
    found["cvpr2022/bullseye"] = {"rows": [*rows, rows[-1]]}  # the optional package's would come last
    return found


def test_there_are_rows():
    assert {"cvpr2022/codec_speed", "cvpr2022/bullseye"} <= set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_row_is_whole(name, summaries):
    row = ROWS[name]
    assert set(row) == {"experiment", "reduced", "what", "source", "checks"}
    assert row["experiment"] == name
    assert row["reduced"] == f"{name}_reduced"
    for key in ("experiment", "reduced"):
        assert (ROOT / "conf" / "experiment" / f"{row[key]}.yaml").exists()
    for check in row["checks"]:
        assert set(check) == {"quantity", "ours", "published", "expect"}
        ((rule, limit),) = check["expect"].items()
        assert rule in {"at_most", "at_least"}
        values = [at(summaries[name], check["ours"]), limit]
        if isinstance(limit, str):
            values[1] = at(summaries[name], limit)
        assert all(isinstance(value, (int, float)) for value in values)


def test_methods_come_in_the_order_that_the_rows_count_on():
    full = yaml.safe_load((ROOT / "conf" / "experiment" / "cvpr2022" / "bullseye.yaml").read_text())["study"]
    assert full["methods"] == ["codec", "lcodec", "cmiknn"]
    assert len(full["readings"]) == 1
