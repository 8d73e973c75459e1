"""Weights & Biases, offline: no key, no network, one finished run per job, the values of the run's files."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from expunge.core.errors import InvalidValue
from expunge.tracking.wandb import TABLE
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
    for records in tracked.values():
        config = {
            entry.key: json.loads(entry.value_json) for entry in of_kind(records, "run")[0].config.update
        }
        assert config["unlearner"]["name"] == "newton_corrected"
        assert "seed" not in config


def assert_history(folder: Path, records: list[Any], figures: tuple[str, ...] = ()) -> None:
    """Step 0 is the model before any removal, then every record's every value, the table, the figures."""
    history = [(entry.step.num, items(entry.item)) for entry in of_kind(records, "history")]
    if figures:
        drawn = history.pop()[1]
        assert {key for key in drawn if key.endswith("/_type")} == {f"figures/{n}/_type" for n in figures}
    assert history.pop()[1][f"{TABLE}/_type"] == "table-file"
    kept, before = cli.records(folder), cli.before(folder)
    assert [step for step, _ in history] == [0, *(record["request"] for record in kept)]
    for (_, logged), record in zip(history, [before, *kept], strict=True):
        expected = {key: value for key, value in record.items() if key != "rows" and value is not None}
        assert {key: value for key, value in logged.items() if not key.startswith("_")} == expected


def assert_table(folder: Path) -> None:
    """A row is a record, but for its ids."""
    (file,) = folder.glob("wandb/latest-run/files/media/table/removals_*.table.json")
    table = json.loads(file.read_text())
    for row, record in zip(table["data"], cli.records(folder), strict=True):
        told = dict(zip(table["columns"], row, strict=True))
        assert {key: told.get(key) for key in record if key != "rows"} == {
            key: value for key, value in record.items() if key != "rows"
        }
        assert "rows" not in told


def test_values_are_those_of_the_ledger(tracked):
    for folder, records in tracked.items():
        assert_history(folder, records)


def test_numbers_are_defined_along_the_requests_by_what_the_run_says_of_them(tracked):
    for folder, records in tracked.items():
        said = cli.summary(folder)["columns"]
        metrics = of_kind(records, "metric")
        defined = {metric.name: metric for metric in metrics if metric.name in said}
        assert set(defined) == set(said) >= {"test_accuracy", "residual_measured"}
        assert {metric.step_metric for metric in defined.values()} == {"request"}


def test_the_table_of_removals_is_the_ledger_but_for_its_rows(tracked):
    for folder in tracked:
        assert_table(folder)


def test_runs_are_found_by_what_they_are(tracked):
    for records in tracked.values():
        run = of_kind(records, "run")[0]
        assert run.job_type == "cell"
        assert list(run.tags) == ["digits_3v8", "logistic", "newton_corrected"]


def shown(records: list[Any]) -> dict[str, Any]:
    """The summary that wandb comes to, update after update, and the keys that the history left there."""
    found: dict[str, Any] = {}
    for update in of_kind(records, "summary"):
        found |= items(update.update)
    return found


def assert_mirrored(folder: Path, records: list[Any]) -> None:
    """Every number of ``summary.json`` is wandb's too, but for the seed, which stays here."""
    sent, kept = shown(records), cli.summary(folder)
    del kept["columns"], kept["seed"]
    assert {key: sent.get(key) for key in kept} == kept
    assert "seed" not in sent


def test_summary_is_that_of_the_run(tracked):
    for folder, records in tracked.items():
        assert_mirrored(folder, records)


def test_means_over_the_requests_are_not_overwritten_by_the_last_one(tmp_path, keyless):
    """A network's sample losses are means in ``summary.json``; the last request's differ."""
    network = ("dataset=digits", "model=mlp", "unlearner=gradient_ascent", "metrics=[accuracy,network]")
    program = [*network, *SMALL[1:], "tracker=wandb", "removal.count=3", "training.epochs=1"]
    folder, cache = tmp_path / "run", f"cache_dir={tmp_path / 'cache'}"
    ended = cli.wait(cli.start(*program, cache, f"hydra.run.dir={folder}", cwd=tmp_path, **keyless))
    assert (ended.code, ended.err) == (0, "")
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert cli.summary(folder)["sample_loss_after"] != cli.records(folder)[-1]["sample_loss_after"]
    assert_mirrored(folder, list(stored(file)))


def test_run_folder_is_the_same_with_and_without(tracked, tmp_path):
    plain = cli.completed(*SMALL, "removal.count=3", "unlearner=newton_corrected", folder=tmp_path / "plain")
    folder = next(iter(tracked))
    assert cli.ledger(folder) == cli.ledger(plain)
    files = {name for name in cli.contents(folder) if not name.startswith("wandb/")}
    assert files == {*cli.contents(plain), "DONE"}


def test_the_model_that_releases_are_drawn_around_is_in_no_other_file(tracked):
    for folder in tracked:
        inside = load_file(folder / "state.safetensors")["weight"]
        others = {name: content for name, content in cli.contents(folder).items() if "state" not in name}
        assert any(name.startswith("wandb/") for name in others)
        for name, content in others.items():
            assert inside.tobytes() not in content, name
            assert not any(repr(value).encode() in content for value in inside.tolist() if value), name


def test_online_without_a_key_is_refused_before_anything_is_written(tmp_path, keyless):
    values = (*SMALL, "tracker=wandb", "tracker.mode=online", "removal.count=2", "hydra.run.dir=run")
    ended = cli.wait(cli.start(*values, cwd=tmp_path, **keyless))
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert "tracker.mode: got 'online'" in line
    assert not (tmp_path / "run").exists()


def run_in(folder: Path, *more: str, **env: str) -> cli.Ended:
    """A run of two requests with ``tracker=wandb`` in ``folder``, as a process of its own."""
    values = (*SMALL, "tracker=wandb", "removal.count=2", f"hydra.run.dir={folder}", *more)
    return cli.wait(cli.start(*values, cwd=folder.parent, **env))


def run_record(folder: Path) -> Any:
    """What the wandb run in ``folder`` says of itself."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return of_kind(list(stored(file)), "run")[0]


def test_whom_a_request_is_about_is_not_sent(tmp_path, keyless):
    """Ids of a table's own column stay in the run's files."""
    lines = [f"person-{i},{i % 7},{(i * 5) % 11},{'ab'[i % 2]}" for i in range(40)]
    table = tmp_path / "people.csv"
    table.write_text("\n".join(["id,height,weight,label", *lines]))
    data = ("dataset=table", f"dataset.file={table}", "dataset.label=label", "tracker=wandb", "figures=false")
    folder = tmp_path / "run"
    program = (*data, "removal.count=2", f"hydra.run.dir={folder}")
    ended = cli.wait(cli.start(*program, cwd=tmp_path, **keyless))
    assert ended.code == 0, ended.err
    named = [one for record in cli.records(folder) for one in record["ids"]]
    assert len(named) == 2
    for path in (path for path in (folder / "wandb").rglob("*") if path.is_file()):
        assert not any(one.encode() in path.read_bytes() for one in named), path


def models(folder: Path) -> list[Any]:
    """The artifacts of a run that are models: its table is one, too."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return [sent for sent in of_kind(list(stored(file)), "artifact") if sent.type == "model"]


def test_the_model_is_sent_where_it_is_asked_for_and_holds_no_secret(tmp_path, keyless):
    assert run_in(tmp_path / "run", "tracker.model=true", **keyless).code == 0
    (sent,) = models(tmp_path / "run")
    assert [entry.path for entry in sent.manifest.contents] == ["model.safetensors"]
    published = run_in(tmp_path / "secret", "tracker.model=true", "unlearner=newton", **keyless)
    assert published.code == 0
    assert "its own perturbation, which is secret: it is not sent" in published.out + published.err
    assert not models(tmp_path / "secret")


def test_wandb_s_variables_count_where_the_keys_are_silent(tmp_path, keyless):
    named = {"WANDB_PROJECT": "theirs", "WANDB_NAME": "mine", "WANDB_TAGS": "a,b", "WANDB_RUN_GROUP": "g"}
    removal = "{_target_: expunge.record.requests.RandomRows, count: 2, seed: 987654}"
    seeded = ("seed=987654", f"removal={removal}")
    assert run_in(tmp_path / "run", *seeded, WANDB_MODE="dryrun", **named, **keyless).code == 0
    run = run_record(tmp_path / "run")
    assert (run.project, run.display_name, run.run_group) == ("theirs", "mine", "g")
    assert list(run.tags) == ["a", "b"]
    sent = [path for path in (tmp_path / "run" / "wandb").rglob("*") if path.is_file()]
    assert not [path for path in sent if b"987654" in path.read_bytes()]


def test_mode_key_wins_over_the_variables(monkeypatch):
    from expunge.tracking.wandb import WandbTracker

    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert WandbTracker(mode="offline").mode == "offline"
    assert WandbTracker().mode == "disabled"
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    assert WandbTracker().mode == "offline"
    monkeypatch.setenv("WANDB_DISABLED", "true")
    assert WandbTracker().mode == "disabled"


def test_disabled_by_a_variable(tmp_path, keyless):
    assert run_in(tmp_path / "run", WANDB_DISABLED="true", **keyless).code == 0
    assert not (tmp_path / "run" / "wandb").exists()


@pytest.mark.parametrize("mode", ["nonsense", "online"])
def test_variable_that_cannot_be_followed_is_refused_before_anything_is_written(mode, tmp_path, keyless):
    ended = run_in(tmp_path / "run", WANDB_MODE=mode, **keyless)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"expunge: WANDB_MODE: got {mode!r}, allowed: ")
    assert not (tmp_path / "run").exists()


def test_a_project_that_wandb_refuses_is_refused_before_anything_is_written(tmp_path, keyless):
    ended = run_in(tmp_path / "run", WANDB_PROJECT="a/b", **keyless)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("expunge: tracker: wandb refuses its settings (Invalid project name 'a/b'")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("key", "value"), [("project", 3), ("entity", ["a"]), ("tags", 3), ("tags", [1])])
def test_what_is_no_text_is_refused(key, value):
    from expunge.tracking.wandb import WandbTracker

    with pytest.raises(InvalidValue, match=f"^{key}: got"):
        WandbTracker(mode="offline", **{key: value})


def test_dead_network_costs_a_warning_and_the_run_is_recorded_offline(tmp_path, keyless):
    quick = {"WANDB_INIT_TIMEOUT": "1", "WANDB_ERROR_REPORTING": "false"}
    ended = run_in(tmp_path / "run", **{**keyless, **quick, "WANDB_API_KEY": "a" * 40})
    assert ended.code == 0
    (line,) = [line for line in ended.out.splitlines() if "cannot be reached" in line]
    assert "recorded offline" in line
    assert cli.summary(tmp_path / "run")["requests"] == 2
    (file,) = (tmp_path / "run").glob("wandb/offline-run-*/run-*.wandb")
    assert_mirrored(tmp_path / "run", list(stored(file)))
