"""A run that was killed and continued leaves the same bytes as one that was not."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import RunFolderError
from expunge.core.files import load_state, save_state
from expunge.record.ledger import KEYS, Ledger, read_ledger
from expunge.record.settings import must_match
from expunge.unlearners import rehearsal
from expunge.unlearners.release import Release
from expunge.verify import app as verify
from tests import cli
from tests.cli import CHECKPOINT, SMALL

RUNS = {
    # Request 113 and many of the later ones are retrains: perturbations are drawn before and after the kill.
    "newton": ("unlearner.lam=5e-2", "unlearner.std=30"),
    "newton_corrected": (),
    "newton_rowless": (),
}
VARYING = ("seconds_fit", "seconds_removal_median", "seconds_removal_p95", "peak_memory_mb", "memory_mb")


def arguments(unlearner: str) -> tuple[str, ...]:
    return *SMALL, f"unlearner={unlearner}", *RUNS[unlearner], "removal.count=285", "checkpoint_every=50"


@pytest.fixture(scope="module", params=RUNS)
def unlearner(request):
    return request.param


@pytest.fixture(scope="module")
def unbroken(unlearner, tmp_path_factory):
    return cli.completed(*arguments(unlearner), folder=tmp_path_factory.mktemp("unbroken") / unlearner)


@pytest.fixture(scope="module")
def interrupted(unlearner, tmp_path_factory):
    """Killed after request 120 or later, between two checkpoints."""
    folder = cli.killed(*arguments(unlearner), folder=tmp_path_factory.mktemp("interrupted"), lines=120)
    assert cli.served(folder) >= 100
    return folder


@pytest.fixture
def begun(interrupted, tmp_path):
    """A copy of the interrupted run's folder."""
    return Path(shutil.copytree(interrupted, tmp_path / "begun"))


def resume(unlearner: str, folder: Path) -> cli.Ended:
    return cli.expunge(*arguments(unlearner), "resume=true", f"hydra.run.dir={folder}", cwd=folder.parent)


def resumed(unlearner: str, folder: Path) -> Path:
    ended = resume(unlearner, folder)
    assert (ended.code, ended.err) == (0, "")
    return folder


def lines(folder: Path) -> list[bytes]:
    return (folder / "removals.jsonl").read_bytes().splitlines(keepends=True)


def test_killed_run_ends_like_an_unbroken_one(unlearner, unbroken, begun):
    assert cli.served(begun) < len(lines(begun)) < 285
    if unlearner != "newton":  # as secret on the way as at the end
        assert (begun / CHECKPOINT).stat().st_mode & 0o777 == 0o600
    before = lines(begun)
    resumed(unlearner, begun)
    assert lines(begun)[: len(before)] == before, "records are only ever appended to"
    assert cli.ledger(begun) == cli.ledger(unbroken)
    secret = [] if unlearner == "newton" else ["state.safetensors"]
    for name in ("model.safetensors", *secret):
        assert (begun / name).read_bytes() == (unbroken / name).read_bytes()
    assert {(begun / name).stat().st_mode & 0o777 for name in secret} <= {0o600}
    ours, theirs = cli.summary(begun), cli.summary(unbroken)
    assert ours.keys() == theirs.keys()
    assert {key for key in ours if ours[key] != theirs[key]} <= set(VARYING)
    assert not (begun / CHECKPOINT).exists()
    assert not (unbroken / CHECKPOINT).exists()
    assert cli.contents(begun).keys() == cli.contents(unbroken).keys()
    config = ".hydra/config.yaml"  # that of its beginning
    assert (begun / config).read_bytes() == (unbroken / config).read_bytes()


def test_killed_twice(unlearner, unbroken, begun):
    values = (*arguments(unlearner), "resume=true", f"hydra.run.dir={begun}")
    process, already = cli.start(*values, cwd=begun.parent), len(lines(begun))
    while process.poll() is None and len(lines(begun)) == already:
        time.sleep(0.001)
    process.kill()
    cli.wait(process)
    assert len(lines(begun)) > already
    resumed(unlearner, begun)
    assert cli.ledger(begun) == cli.ledger(unbroken)


def test_other_checkpoints_and_folders_are_no_other_settings(unlearner, unbroken, begun, tmp_path):
    values = (*arguments(unlearner), "checkpoint_every=7", f"data_dir={tmp_path}", "progress=false")
    ended = cli.expunge(*values, "resume=true", f"hydra.run.dir={begun}", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert cli.ledger(begun) == cli.ledger(unbroken)


# The comparison can fail


def test_one_byte_is_a_difference(unlearner, unbroken, begun):
    resumed(unlearner, begun)
    file = begun / "removals.jsonl"
    content, expected = bytearray(file.read_bytes()), cli.ledger(unbroken)
    position = content.index(b'"residual_bound": ', len(content) // 2) + 20
    content[position] = ord("7") if content[position] != ord("7") else ord("8")
    file.write_bytes(content)
    assert cli.ledger(begun) != expected


def test_tampered_weight_is_noticed(unlearner, unbroken, begun):
    following = cli.records(unbroken)[cli.served(begun)]
    assert following["outcome"] == "removed", "a retrain would have forgotten the weight"
    state = load_state(begun / CHECKPOINT)
    state.arrays["weight"] = state.arrays["weight"] * (1 + 1e-12)
    save_state(begun / CHECKPOINT, state)
    ended = resume(unlearner, begun)
    if ended.code == 0:
        assert cli.ledger(begun) != cli.ledger(unbroken)
    else:
        assert ended.code == 2
        assert "the run cannot be continued" in ended.err or "the state is damaged" in ended.err


def test_tampered_record_is_noticed(unlearner, begun):
    """Requests after the checkpoint are served again; their records must be what comes out."""
    file, found = begun / "removals.jsonl", lines(begun)
    last = found[-1]
    position = last.index(b'"residual_bound": ') + 20
    digit = b"7" if last[position : position + 1] != b"7" else b"8"
    file.write_bytes(b"".join(found[:-1]) + last[:position] + digit + last[position + 1 :])
    ended = resume(unlearner, begun)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert f"removals.jsonl:{len(found)}: damaged, it is not that of removals.sha256" in ended.err
    cli.resum(file)
    ended = resume(unlearner, begun)
    assert ended.code == 2
    changed = f"request {len(found)}: residual_bound was"
    impossible = f"removals.jsonl:{len(found)}: residual_"
    assert changed in ended.err or impossible in ended.err
    assert ended.err.count("\n") == 1


# Files cut short


@pytest.mark.parametrize("left", [0, 1, 25, 200, -2, -1], ids="{}-bytes-left".format)
def test_last_line_cut(unlearner, unbroken, begun, left):
    last = lines(begun)[-1]
    with open(begun / "removals.jsonl", "r+b") as file:
        file.truncate(sum(map(len, lines(begun)[:-1])) + left % len(last))
    resumed(unlearner, begun)
    assert cli.ledger(begun) == cli.ledger(unbroken)


@pytest.mark.parametrize("kept", [0, 10])
def test_ledger_shorter_than_the_checkpoint_repeats_from_the_start(unlearner, unbroken, begun, kept):
    (begun / "removals.jsonl").write_bytes(b"".join(lines(begun)[:kept]))
    assert cli.served(begun) > kept
    resumed(unlearner, begun)
    assert cli.ledger(begun) == cli.ledger(unbroken)


def test_without_its_checkpoint_a_run_repeats_from_the_start(unlearner, unbroken, begun):
    (begun / CHECKPOINT).unlink()
    resumed(unlearner, begun)
    assert cli.ledger(begun) == cli.ledger(unbroken)


def test_half_written_checkpoint_is_not_used(unlearner, unbroken, begun):
    """A kill while a checkpoint is being written leaves the one before, and a file beside it."""
    (begun / f"{CHECKPOINT}.part").write_bytes((begun / CHECKPOINT).read_bytes()[:1000])
    resumed(unlearner, begun)
    assert cli.ledger(begun) == cli.ledger(unbroken)
    assert not (begun / f"{CHECKPOINT}.part").exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "model"])
def test_damaged_checkpoint_gives_one_line(begun, unbroken, unlearner, damage):
    file = begun / CHECKPOINT
    content = {
        "empty": b"",
        "cut": file.read_bytes()[:-1],
        "text": b"not a checkpoint",
        "model": (unbroken / "model.safetensors").read_bytes(),
    }[damage]
    file.write_bytes(content)
    before = cli.contents(begun)
    ended = resume(unlearner, begun)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    said = ("not a file written", "damaged or cut short", "not a checkpoint")
    assert any(f"{file}: {reason}" in line for reason in said)
    assert "delete it to repeat the run from its start" in line
    assert cli.contents(begun) == before


# Nothing to resume


def test_complete_run_is_left_alone(unlearner, unbroken):
    before = cli.contents(unbroken)
    resumed(unlearner, unbroken)
    assert cli.contents(unbroken) == before


def test_resume_where_there_is_no_run_begins_none(tmp_path):
    """A mistyped folder, and one of something else; only what a killed beginning leaves is begun."""
    values = (*SMALL, "removal.count=2", "resume=true")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    for name, what in ("mistyped", "there is no such folder"), ("other", "it holds thesis.tex"):
        before = cli.contents(tmp_path)
        ended = cli.expunge(*values, f"hydra.run.dir={tmp_path / name}", cwd=tmp_path)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert (
            f"expunge: resume: {tmp_path / name} holds no run ({what}), allowed: hydra.run.dir" in ended.err
        )
        assert cli.contents(tmp_path) == before
        assert (tmp_path / name).exists() == (name == "other")
    folder = tmp_path / "killed"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "inputs.json").write_text("{}")
    (folder / "removals.sha256").touch()
    assert cli.summary(cli.completed(*values, folder=folder))["requests"] == 2
    folder = cli.completed(*values, "resume=auto", folder=tmp_path / "new")
    assert cli.summary(folder)["requests"] == 2
    before = cli.contents(folder)
    assert cli.contents(cli.completed(*values, "resume=auto", folder=folder)) == before


def test_run_killed_between_its_last_two_files_is_tidied(tmp_path):
    """The summary is there, the checkpoint (with its secrets) still is, the figures are not yet."""
    folder = cli.completed(*SMALL, "removal.count=2", folder=tmp_path / "run")
    (folder / "checkpoint.safetensors").write_bytes(b"left over")
    before = (folder / "summary.json").read_bytes()
    cli.completed(*SMALL, "removal.count=2", "resume=true", "figures=true", folder=folder)
    assert not (folder / "checkpoint.safetensors").exists()
    assert (folder / "figures" / "residual.png").exists()
    assert (folder / "summary.json").read_bytes() == before


# The ledger's reader

LINES = [json.dumps({**dict.fromkeys(KEYS), "request": k}).encode() + b"\n" for k in range(1, 6)]


def read(folder: Path, content: bytes):
    file = folder / "ledger.jsonl"
    file.write_bytes(content)
    return list(read_ledger(file))


@given(cut=st.integers(0, sum(map(len, LINES))))
def test_cut_anywhere_the_complete_lines_remain(tmp_path_factory, cut):
    content = b"".join(LINES)[:cut]
    records = read(tmp_path_factory.getbasetemp(), content)
    assert len(records) == content.count(b"\n")
    assert [record["request"] for record in records] == list(range(1, len(records) + 1))


@pytest.mark.parametrize(
    "bad",
    [b"", b"{", b"3", b"null", b"[1]", b'{"request": 3}', LINES[2][:-2], LINES[3][:-1], b"\xff\xfe"],
)
def test_bad_complete_line_is_named(tmp_path, bad):
    with pytest.raises(RunFolderError, match=r"ledger\.jsonl:3: ") as caught:
        read(tmp_path, b"".join([*LINES[:2], bad + b"\n", *LINES[3:]]))
    assert "\n" not in str(caught.value)


def test_request_twice_is_named(tmp_path):
    with pytest.raises(RunFolderError, match="3: holds request 2, expected 3"):
        read(tmp_path, b"".join([*LINES[:2], LINES[1]]))


def test_state_comes_back_as_it_was(tmp_path, unlearner, interrupted):
    state = load_state(interrupted / CHECKPOINT)
    save_state(tmp_path / "again.safetensors", state)
    again = load_state(tmp_path / "again.safetensors")
    assert again.values == state.values
    assert again.arrays.keys() == state.arrays.keys()
    for name, array in state.arrays.items():
        assert np.array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype == array.dtype


# Noise that nobody can draw again

ANEW = (*SMALL, "unlearner=newton_corrected", "unlearner.noise=lattice", "unlearner.std=0.5", "removal=rows")


def anew(folder: Path, count: int) -> cli.Ended:
    folder.mkdir(exist_ok=True)  # empty at first: what a run that was killed at once leaves
    (folder.parent / "rows.txt").write_text("\n".join(map(str, range(count))))
    return cli.expunge(
        *(*ANEW, "removal.rows=rows.txt", "checkpoint_every=3", "resume=true", f"hydra.run.dir={folder}"),
        cwd=folder.parent,
    )


@pytest.mark.parametrize("recorded", [True, False])
def test_a_release_that_may_have_been_seen_is_not_drawn_again(tmp_path, monkeypatch, recorded):
    """With the same request another model would leave: one more than was counted."""
    append, folder = Ledger.append, tmp_path / "run"

    def interrupted(ledger, record):
        if recorded or record["request"] < 5:
            append(ledger, record)
        if record["request"] == 5:
            raise KeyboardInterrupt
        return record

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", interrupted)
        assert anew(folder, 5).code not in (0, 2)
    assert len(lines(folder)) == (5 if recorded else 4)
    assert cli.served(folder) == 3
    left = load_state(folder / f"{CHECKPOINT}.last")
    assert (folder / f"{CHECKPOINT}.last").stat().st_mode & 0o777 == 0o600
    assert anew(folder, 5).code == 0
    out = load_state(folder / "model.safetensors").arrays["weight"]
    np.testing.assert_array_equal(out, left.arrays["weight"][:, 0])
    assert cli.records(folder)[-1]["test_accuracy"] == cli.summary(folder)["test_accuracy_after"]
    assert not [*folder.glob(f"{CHECKPOINT}*")]


def test_added_requests_draw_no_release_again(tmp_path, monkeypatch):
    """The first model has left, and those of the requests so far: a run that goes on does not train again."""
    folder, draw = tmp_path / "run", Release._drawn
    numbers = []

    def counted(self, engine, columns, number):
        numbers.append(number)
        return draw(self, engine, columns, number)

    monkeypatch.setattr(Release, "_drawn", counted)
    monkeypatch.setattr(rehearsal, "_serve", lambda *_: None)  # which draws too, of a copy
    assert anew(folder, 3).code == 0
    before = cli.summary(folder)
    assert anew(folder, 5).code == 0
    assert numbers == [0, 1, 2, 3, 4, 5]
    assert cli.summary(folder)["test_accuracy_before"] == before["test_accuracy_before"]
    spent = [record["epsilon_spent"] for record in cli.records(folder)]
    assert spent == sorted(spent)
    (folder / "removals.jsonl").write_bytes(b"".join(lines(folder)[:2]))
    (folder / "summary.json").unlink()
    ended = anew(folder, 6)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "releases are out that nobody can draw again, and removals.jsonl has lost lines" in ended.err
    assert numbers == [0, 1, 2, 3, 4, 5]


def test_a_finished_run_serves_what_was_added_as_if_it_had_known(tmp_path):
    """Requests of several rows, twice more; the check by other code holds, and the list can only grow."""
    asked = ("dataset=digits_3v8", "unlearner=newton_corrected", "figures=false", "threads=1", "resume=auto")

    def grown(name: str, rows: list[list[int]]) -> cli.Ended:
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
        given = (f"removal.rows={name}.json", f"hydra.run.dir={name}")
        return cli.expunge(*asked, *given, cwd=tmp_path)

    requests = [[3], [8, 11], [20], [5, 6, 7]]
    assert grown("whole", requests).code == 0
    for count in (1, 3, 4):
        assert grown("grown", requests[:count]).code == 0
    assert cli.ledger(tmp_path / "grown") == cli.ledger(tmp_path / "whole")
    for name in ("model.safetensors", "inputs.json"):
        assert (tmp_path / "grown" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert verify.main([str(tmp_path / "grown")]) == 0
    before = cli.contents(tmp_path / "grown")
    for other in (requests[:3], [[3], [8, 12], *requests[2:], [1]]):
        ended = grown("grown", other)
        assert (ended.code, len(ended.err.splitlines())) == (2, 1)
        assert "removal.rows: " in ended.err
        assert cli.contents(tmp_path / "grown") == before


@pytest.mark.parametrize(
    ("key", "was", "now"), [("rows", [3], [3, 8]), ("ids", ["a"], ["b"]), ("count", 2, 3)]
)
def test_requests_in_the_command_are_settings_and_the_line_says_where_more_go(key, was, now):
    with pytest.raises(RunFolderError, match=rf"^resume: removal.{key} was .* go into a file .*rows.txt"):
        must_match({"removal": {key: was}}, {"removal": {key: now}})
    with pytest.raises(RunFolderError, match=r"the settings it began with$"):
        must_match({"model": {key: was}}, {"model": {key: now}})
