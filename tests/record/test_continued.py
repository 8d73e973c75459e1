"""Records that do not come out again (another kind of processor) are replaced where that is asked for."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import expunge
from expunge.certificate import outward
from expunge.core.errors import RunFolderError
from expunge.record.continued import Continued
from expunge.record.folders.runs import read_run
from expunge.record.ledger import Ledger
from expunge.record.resume import RunCheckpoint
from expunge.run.job_cache import JobCache
from expunge.verify.verdict import verify
from tests import cli
from tests.cli import CHECKPOINT, SMALL

LAST = f"{CHECKPOINT}.last"
RUNS = {
    "published": ("unlearner=newton", "unlearner.std=30", "unlearner.lam=5e-2"),
    "seeded": ("unlearner=newton_corrected",),
    "anew": ("unlearner=newton_corrected", "unlearner.noise=lattice", "unlearner.std=0.5"),
}
READ = JobCache()  # data sets that have been read
COUNT, EVERY, ENDED = 9, 3, 5  # requests, between checkpoints, recorded when it ends


class Killed(BaseException):
    """The run ends here."""


def command(kind: str, folder: Path, *more: str, count: int = COUNT) -> cli.Ended:
    (folder.parent / "rows.txt").write_text("\n".join(map(str, range(3, 3 + count))))
    values = (*RUNS[kind], "removal=rows", "removal.rows=rows.txt", f"checkpoint_every={EVERY}", *more)
    return cli.expunge(*SMALL, *values, "progress=false", f"hydra.run.dir={folder}", cwd=folder.parent)


def killed_at(name: str, owner: type, when, kind: str, folder: Path, *more: str) -> None:
    """End a run before it calls a method, the first time that ``when`` says so."""
    call = getattr(owner, name)

    def ended(*given):
        if when(*given):
            raise Killed
        return call(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, ended)
        with pytest.raises(Killed):
            command(kind, folder, *more)


def nudged(folder: Path, number: int) -> None:
    """As if another processor had recorded the request: the last digit of a bound is another."""
    path = folder / "removals.jsonl"
    lines = path.read_text().splitlines()
    record = json.loads(lines[number - 1])
    record["budget"] = math.nextafter(record["budget"], math.inf)
    lines[number - 1] = json.dumps(record)
    path.write_text("".join(f"{line}\n" for line in lines))
    cli.resum(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Kind -> an unbroken run, and one that ended when another processor had recorded its fifth request."""
    found = {}

    def runs(kind: str) -> tuple[Path, Path]:
        if kind not in found:
            place = tmp_path_factory.mktemp(kind)
            assert command(kind, place / "whole").code == 0
            killed_at("append", Ledger, lambda _, r: r["request"] > ENDED, kind, place / "half")
            nudged(place / "half", ENDED)
            found[kind] = place / "whole", place / "half"
        return found[kind]

    return runs


@pytest.fixture(params=RUNS)
def kind(request):
    return request.param


@pytest.fixture
def whole(made, kind):
    return made(kind)[0]


@pytest.fixture
def half(made, kind, tmp_path):
    return Path(shutil.copytree(made(kind)[1], tmp_path / "half"))


def without_count(records):
    """Records but for what they say of releases, of time, and of what they took the place of."""
    left_out = {"seconds", "memory_mb", "epsilon_spent", "continued", "residual_measured"}
    left_out |= {f"{rows}_accuracy" for rows in ("test", "forget", "retain")}
    return [{key: value for key, value in record.items() if key not in left_out} for record in records]


def ended_right(folder: Path, whole: Path, kind: str, replaced: int, released: int) -> None:
    said = str(Continued(EVERY, replaced, released))
    records, summary = cli.records(folder), cli.summary(folder)
    assert [r["request"] for r in records if "continued" in r] == [EVERY + 1]
    assert records[EVERY]["continued"] == said
    entry = {"request": EVERY + 1, "replaced": replaced, "released": released}
    assert summary["continued"] == [entry]
    assert without_count(records) == without_count(cli.records(whole))
    if kind == "published":
        assert folder.joinpath("model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    else:
        assert summary["released"] == 1 + COUNT + released == cli.summary(whole)["released"] + released
        assert summary["epsilon_spent"] > cli.summary(whole)["epsilon_spent"]
        spent = [record["epsilon_spent"] for record in records]
        assert spent == sorted(spent)
    assert not [*folder.glob(f"{CHECKPOINT}*")]


def verified(folder: Path) -> str | None:
    """The first line of the independent check that does not hold."""
    line = verify(folder, READ).first
    return None if line is None else line.name


def changed(folder: Path, **values) -> None:
    path = folder / "summary.json"
    path.write_text(json.dumps(cli.summary(folder) | values))
    cli.resum_summary(folder)


def test_it_is_offered_and_done(kind, half, whole):
    """Of exact noise one release more had left: that of the request whose record was being written."""
    before = cli.contents(half)
    refused = command(kind, half, "resume=true")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"request {ENDED}: budget was " in refused.err
    assert f"resume=checkpoint replaces the records after request {EVERY}, and says so" in refused.err
    assert cli.contents(half) == before
    ended = command(kind, half, "resume=checkpoint")
    assert (ended.code, ended.err.count("\n")) == (0, 0), ended.err
    ended_right(half, whole, kind, 2, 3 if kind == "anew" else 2)
    assert command(kind, half, "resume=true").code == 0
    assert verified(half) is None
    if kind != "published":
        changed(half, released=1 + COUNT)
        assert verified(half) == "releases"
    changed(half, continued=[])
    assert verified(half) == "summary"
    path = half / "removals.jsonl"
    path.write_text(path.read_text().replace("after request 3: 2 records", "after request 2: 2 records"))
    assert verified(half) == "ledger"
    for reader in (read_run, expunge.load):
        with pytest.raises(
            RunFolderError, match=r"removals\.jsonl:4: damaged, it is not that of removals\.sha"
        ):
            reader(half)
    cli.resum(path)
    assert verified(half) == "ledger"
    with pytest.raises(RunFolderError, match=r"removals\.jsonl:4: continued is 'from the .*after request 2"):
        read_run(half)


@pytest.mark.parametrize(
    ("name", "owner", "when"),
    [
        ("replace", RunCheckpoint, lambda *_: True),
        ("_cut", RunCheckpoint, lambda *_: True),
        ("keep", Ledger, lambda *_: True),
        ("_cut_off", Ledger, lambda ledger: ledger.lines == EVERY),
        ("append", Ledger, lambda _, record: "continued" in record),
        ("append", Ledger, lambda _, record: record["request"] == EVERY + 2 and "continued" not in record),
    ],
    ids=["before", "counted", "last-gone", "prefix-known", "cut", "first-again"],
)
def test_ended_at_any_step_it_comes_to_the_same(made, tmp_path, name, owner, when):
    half = Path(shutil.copytree(made("anew")[1], tmp_path / "half"))
    killed_at(name, owner, when, "anew", half, "resume=checkpoint")
    assert command("anew", half, "resume=checkpoint" if name == "replace" else "resume=true").code == 0
    ended_right(half, made("anew")[0], "anew", 2, 3)


def test_sums_that_are_left_over_of_it_count_for_nothing(made, tmp_path):
    half = Path(shutil.copytree(made("seeded")[1], tmp_path / "half"))
    before = (half / "removals.sha256").read_bytes()
    new = lambda _, record: "continued" in record  # noqa: E731
    killed_at("append", Ledger, new, "seeded", half, "resume=checkpoint")
    (half / "removals.sha256").write_bytes(before)
    assert command("seeded", half, "resume=true").code == 0
    ended_right(half, made("seeded")[0], "seeded", 2, 2)


def test_from_the_same_checkpoint_twice_all_are_counted(half, whole, kind):
    """Back on the first processor it does not come out again either."""
    killed_at("append", Ledger, lambda _, r: r["request"] == EVERY + 2, kind, half, "resume=checkpoint")
    nudged(half, EVERY + 1)
    assert command(kind, half, "resume=true").code == 2
    assert command(kind, half, "resume=checkpoint").code == 0
    ended_right(half, whole, kind, 3, 5 if kind == "anew" else 3)


def test_requests_that_are_added_find_the_count_again(made, tmp_path):
    """A run with noise from a seed is repeated from its start; then everything is replaced, and counts."""
    folder = Path(shutil.copytree(made("seeded")[1], tmp_path / "half"))
    assert command("seeded", folder, "resume=checkpoint").code == 0
    before = cli.ledger(folder)
    added = command("seeded", folder, "resume=true", count=COUNT + 1)
    assert (added.code, added.err) == (0, "")
    assert cli.ledger(folder).startswith(before)
    assert cli.summary(folder)["released"] == 1 + COUNT + 1 + 2
    nudged(folder, 2)
    (folder / "summary.json").unlink()
    assert command("seeded", folder, "resume=checkpoint", count=COUNT + 1).code == 0
    replaced = COUNT + 1 + 2
    assert cli.summary(folder)["continued"] == [{"request": 1, "replaced": replaced, "released": replaced}]
    assert cli.summary(folder)["released"] == 1 + COUNT + 1 + replaced


def test_a_run_that_comes_out_again_replaces_nothing(kind, made, whole, tmp_path):
    place = tmp_path / "run"
    killed_at("append", Ledger, lambda _, r: r["request"] > ENDED, kind, place)
    assert command(kind, place, "resume=checkpoint").code == 0
    assert "continued" not in cli.summary(place)
    assert cli.ledger(place) == cli.ledger(whole) or kind == "anew"


def test_bounds_that_round_otherwise_are_such_a_case(tmp_path, monkeypatch):
    place = tmp_path / "run"
    killed_at("append", Ledger, lambda _, r: r["request"] > ENDED, "published", place)
    up = outward.up
    monkeypatch.setattr(outward, "up", lambda x: math.nextafter(up(x), math.inf))
    refused = command("published", place, "resume=true")
    assert refused.code == 2
    assert f"request {EVERY + 1}: residual_bound was " in refused.err
    assert command("published", place, "resume=checkpoint").code == 0
    assert cli.summary(place)["continued"] == [{"request": EVERY + 1, "replaced": 2, "released": 2}]


_KNOWN = "damaged, its first 3 lines are not those that checkpoint.safetensors was made after"
SAID = {
    (2, "outcome"): ("nonsense", _KNOWN),
    (2, "rows"): ([77], _KNOWN),
    (2, "request"): (3, "removals.jsonl:2: holds request 3"),
    (2, "test_accuracy"): (0.5, _KNOWN),
    (2, "seconds"): (0.5, _KNOWN),
    (5, "outcome"): ("nonsense", "removals.jsonl:5: outcome is 'nonsense'"),
    (5, "rows"): ([77], "removals.jsonl:5: rows is [77], and must be those asked for, [7]"),
    (5, "removed_total"): (3, "removals.jsonl:5: removed_total is 3"),
    (5, "continued"): ("so", "removals.jsonl:5: continued is 'so'"),
}


@pytest.mark.parametrize("place", SAID)
def test_lines_are_not_believed(made, tmp_path, place):
    """Neither as they are nor with sums that are made anew: the checkpoint knows the bytes before it."""
    half = Path(shutil.copytree(made("seeded")[1], tmp_path / "half"))
    path, (value, said) = half / "removals.jsonl", SAID[place]
    number, key = place
    lines = path.read_text().splitlines(keepends=True)
    lines[number - 1] = json.dumps(json.loads(lines[number - 1]) | {key: value}) + "\n"
    path.write_text("".join(lines))
    before = cli.contents(half)
    for what, how in ("damaged, it is not that of removals.sha256", "true"), (said, "checkpoint"):
        ended = command("seeded", half, f"resume={how}")
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert what in ended.err
        assert cli.contents(half) == before
        cli.resum(path)
        before = cli.contents(half)


@given(after=st.integers(0, 10**6), replaced=st.integers(1, 10**6), released=st.integers(0, 10**6))
def test_what_a_record_says_can_be_read(after, replaced, released):
    made = Continued(after, replaced, released)
    assert Continued.of(str(made)) == made
    assert Continued.of(f"{made}.") is None
    assert made.and_before(None) == made
    assert made.and_before(made) == Continued(after, 2 * replaced, 2 * released)
    assert made.as_json()["request"] == after + 1


def test_resume_has_three_values(tmp_path):
    ended = command("seeded", tmp_path / "run", "resume=maybe")
    assert (ended.code, ended.err) == (
        2,
        "expunge: resume: got 'maybe', allowed: true, false, auto or checkpoint\n",
    )
    assert not (tmp_path / "run").exists()
