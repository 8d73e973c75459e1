"""Weights & Biases, offline: no key, no network, one finished run per job, the values of the run's files."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import cli
from tests.cli import SMALL

wandb = pytest.importorskip("wandb")

_BLOCK = 32 * 1024
_WHOLE, _LAST = 1, 4  # types of fragments that end a record


def stored(file: Path) -> Iterator[Any]:
    """The records of a ``.wandb`` file: LevelDB's log format behind seven bytes, a protobuf in each."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, part = file.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while position < len(content):
        left = _BLOCK - position % _BLOCK
        if left < 7:  # no room for a header: the block ends in zeros
            position += left
            continue
        size, kind = struct.unpack_from("<HB", content, position + 4)
        part += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (_WHOLE, _LAST):
            record = Record()
            record.ParseFromString(part)
            yield record
            part = b""


def items(entries: Any) -> dict[str, Any]:
    """Key -> value of history items or summary updates."""
    return {entry.key or "/".join(entry.nested_key): json.loads(entry.value_json) for entry in entries}


def offline(home: Path) -> dict[str, str]:
    """An environment without a key and without a network."""
    names = ("HOME", "USERPROFILE", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR")
    proxies = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    return {**dict.fromkeys(names, str(home)), **proxies, "NETRC": str(home / "netrc"), "WANDB_API_KEY": ""}


@pytest.fixture(scope="module")
def keyless(tmp_path_factory):
    return offline(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, keyless):
    """Two jobs of a sweep, in one process, one after the other."""
    folder = tmp_path_factory.mktemp("tracked") / "two_seeds"
    program = [*SMALL, "tracker=wandb", "removal.count=3", "unlearner=newton_corrected", "seed=0,1"]
    ended = cli.wait(cli.start("-m", *program, f"hydra.sweep.dir={folder}", cwd=folder.parent, **keyless))
    if ended.code not in (0, 2) and "wandb" in ended.err:
        pytest.skip(f"wandb cannot start here: {ended.err.splitlines()[-1]}")
    assert (ended.code, ended.err) == (0, "")
    return folder


@pytest.fixture(scope="module")
def tracked(sweep):
    """Run folder -> the records of its wandb run."""
    found = {}
    for cell in json.loads((sweep / "sweep.json").read_text())["cells"]:
        (file,) = (sweep / cell["run"]).glob("wandb/offline-run-*/run-*.wandb")
        found[sweep / cell["run"]] = list(stored(file))
    return found


def of_kind(records: list[Any], kind: str) -> list[Any]:
    return [getattr(record, kind) for record in records if record.WhichOneof("record_type") == kind]


def test_each_job_has_a_finished_run_of_its_own(sweep, tracked):
    runs = [of_kind(records, "run")[0] for records in tracked.values()]
    assert len({run.run_id for run in runs}) == 2
    for run in runs:
        assert (run.project, run.run_group) == ("expunge", sweep.name)
    for records in tracked.values():
        (end,) = of_kind(records, "exit")  # what finish() leaves, once, at the very end
        assert end.exit_code == 0
        assert records[-1].WhichOneof("record_type") == "exit"


def test_configuration_is_the_run_s_own(tracked):
    for seed, records in enumerate(tracked.values()):
        config = {
            entry.key: json.loads(entry.value_json) for entry in of_kind(records, "run")[0].config.update
        }
        assert config["seed"] == seed
        assert config["unlearner"]["name"] == "newton_corrected"


def test_values_are_those_of_the_ledger(tracked):
    for folder, records in tracked.items():
        history = [(entry.step.num, items(entry.item)) for entry in of_kind(records, "history")]
        assert [step for step, _ in history] == [1, 2, 3]
        for (_, logged), record in zip(history, cli.records(folder), strict=True):
            expected = {key: value for key, value in record.items() if key != "rows" and value is not None}
            assert {key: logged.get(key) for key in expected} == expected


def test_numbers_are_defined_along_the_requests_by_what_the_run_says_of_them(tracked):
    for folder, records in tracked.items():
        said = cli.summary(folder)["columns"]
        metrics = of_kind(records, "metric")
        defined = {metric.name: metric for metric in metrics if metric.name in said}
        assert set(defined) == set(said) >= {"test_accuracy", "residual_measured"}
        assert {metric.step_metric for metric in defined.values()} == {"request"}
        assert all(metric.summary.last for metric in defined.values())


def test_summary_is_that_of_the_run(tracked):
    for folder, records in tracked.items():
        sent = {}
        for update in of_kind(records, "summary"):
            sent |= items(update.update)
        summary = cli.summary(folder)
        for key in ("dataset", "unlearner", "requests", "removed", "residual_bound", "test_accuracy_after"):
            assert sent[key] == summary[key]


def test_run_folder_is_the_same_with_and_without(tracked, tmp_path):
    plain = cli.completed(*SMALL, "removal.count=3", "unlearner=newton_corrected", folder=tmp_path / "plain")
    folder = next(iter(tracked))
    assert cli.ledger(folder) == cli.ledger(plain)
    files = {name for name in cli.contents(folder) if not name.startswith("wandb/")}
    assert files == {*cli.contents(plain), "DONE"}


def test_online_without_a_key_is_refused_before_anything_is_written(tmp_path, keyless):
    values = (*SMALL, "tracker=wandb", "tracker.mode=online", "removal.count=2", "hydra.run.dir=run")
    ended = cli.wait(cli.start(*values, cwd=tmp_path, **keyless))
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert "tracker.mode: got 'online'" in line
    assert not (tmp_path / "run").exists()
