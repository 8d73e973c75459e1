"""Requests by id and by group: against the columns themselves, in the ledger, and by the check."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import Dataset, table
from expunge.record.requests import ListedIds, OfGroup
from expunge.run.job_cache import JobCache
from expunge.verify.verdict import verify
from tests import cli


def dataset(groups=None, ids=None, n=12):
    x, y = np.arange(2.0 * n).reshape(n, 2), np.arange(n) % 2
    named = {"groups": groups, "ids": ids}
    found = {key: None if of is None else np.array(of, dtype=str) for key, of in named.items()}
    return Dataset("own", x, y, x[:2], y[:2], {0: "no", 1: "yes"}, **found)


def rows(requests):
    return [list(request.rows) for request in requests]


@given(st.lists(st.sampled_from(["ann", "ben", "7", "07", "Zoë"]), min_size=12, max_size=12), st.randoms())
@settings(max_examples=60, deadline=None)
def test_a_group_is_all_rows_that_have_its_value(groups, random):
    asked = sorted(set(groups), key=lambda name: random.random())[: len(set(groups)) - 1]
    if not asked:
        return
    found = rows(OfGroup(asked).stream(dataset(groups), 0))
    assert found == [[row for row, own in enumerate(groups) if own == name] for name in asked]


@given(st.permutations(range(12)), st.integers(1, 11), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_an_id_is_its_row(places, count, size):
    ids = [f"u{place}" for place in places]
    asked = [f"u{place}" for place in range(count)]
    found = rows(ListedIds(asked, batch_size=size).stream(dataset(ids=ids), 0))
    assert [row for request in found for row in request] == [ids.index(name) for name in asked]
    assert all(len(request) == size for request in found[:-1])


GROUPS = ["ann", "ben", "010", "8"] * 3


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"group": "eve"}, "group: got 'eve', allowed: one of 010, 8, ann, ben"),
        ({"group": "anm"}, "nearest: ann"),
        ({"group": ["ann", "ann"]}, "group: got 'ann', allowed: each group once"),
        ({"group": 8}, "group: got 8, allowed: a name in quotes, as in group=\"'8'\": 010, 8 all read as"),
        ({"group": 1.5}, "group: got 1.5, allowed: a name"),
        ({"group": []}, r"group: got \[\], allowed: the name of a group"),
        ({"group": ["ann", "ben", "010", "8"]}, "groups that leave at least one training row"),
        ({"group": "ann", "count": 4}, "count: got 4, allowed: at most 3, the rows of group ann"),
    ],
)
def test_groups_that_cannot_leave(how, said):
    with pytest.raises(InvalidValue, match=said):
        OfGroup(**how).stream(dataset(GROUPS), 0)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["u1", "x"], "ids: got 'x', allowed: ids of training rows, such as u0, u1, u2"),
        (["u1", "u1"], "ids: got 'u1', allowed: each id once"),
        ([["u1"], "u2"], "either ids or lists of ids, not both"),
        ([["u1"], []], "at least one id id in each request|at least one"),
        ([], "at least one"),
        (True, "ids: got True"),
        ([True], "ids: got True"),
        ([f"u{k}" for k in range(12)], "at least one training id left|at least one"),
    ],
)
def test_ids_that_cannot_leave(ids, said):
    with pytest.raises(InvalidValue, match=said):
        ListedIds(ids).stream(dataset(ids=[f"u{k}" for k in range(12)]), 0)


def test_rows_without_names():
    with pytest.raises(InvalidValue, match=r"group: got 'dataset=own', .*no groups"):
        OfGroup("ann").stream(dataset(), 0)
    with pytest.raises(InvalidValue, match=r"ids: got 'dataset=own', .*no ids"):
        ListedIds(["u1"]).stream(dataset(), 0)


def test_ids_in_files(tmp_path):
    known = dataset(ids=[f"u {k}" for k in range(12)])
    (tmp_path / "a.txt").write_text("u 3\n\n  u 5\n")
    (tmp_path / "a.json").write_text('[["u 3", "u 5"], ["u 0"]]')
    assert rows(ListedIds(str(tmp_path / "a.txt")).stream(known, 0)) == [[3], [5]]
    assert rows(ListedIds(str(tmp_path / "a.json")).stream(known, 0)) == [[3, 5], [0]]
    assert rows(ListedIds("u 7").stream(known, 0)) == [[7]]
    with pytest.raises(DataError, match=r"ids: .*none\.txt: cannot be read as a file of ids"):
        ListedIds(str(tmp_path / "none.txt")).stream(known, 0)


def people(folder, n=240):
    """Rows of 20 users, each with an id; the label is text."""
    rng = np.random.default_rng(5)
    age, hours = rng.integers(18, 80, n), rng.integers(5, 60, n)
    paid = age + hours + 10 * rng.normal(size=n) > 82
    lines = [
        f"row{k},user_{k % 20},{age[k]},{hours[k]},{('<=50K', '>50K')[int(paid[k])]}\n" for k in range(n)
    ]
    (folder / "people.csv").write_text("id,group,age,hours,income\n" + "".join(lines))
    return lines


COMMON = ("dataset=table", "dataset.file=people.csv", "dataset.label=income", "figures=false")


def verdict(folder):
    return verify(folder, JobCache(), progress=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    people(folder)
    ended = cli.expunge(*COMMON, "removal.group=[user_17,user_3]", "hydra.run.dir=a", cwd=folder)
    assert ended.code == 0, ended.err
    return folder


def test_the_key_says_which_removal_and_the_ledger_which_ids(run):
    records = cli.records(run / "a")
    assert [record["rows"] for record in records] == [list(range(17, 192, 20)), list(range(3, 192, 20))]
    assert records[0]["ids"] == [f"row{k}" for k in records[0]["rows"]]
    names = json.loads((run / "a" / "inputs.json").read_text())["digests"]
    assert "dataset.file, training groups" in names


def test_the_check_accepts_it_and_finds_another_id_or_row(run, monkeypatch):
    monkeypatch.chdir(run)
    assert verdict(run / "a").accepted
    path = run / "a" / "removals.jsonl"
    before, sums = path.read_bytes(), (path.parent / "removals.sha256").read_bytes()
    for old, new in ((b'"row17"', b'"row18"'), (b'"ids"', b'"idz"')):
        path.write_bytes(before.replace(old, new, 1))
        cli.resum(path)
        assert not verdict(run / "a").accepted
    path.write_bytes(before)
    (path.parent / "removals.sha256").write_bytes(sums)
    assert verdict(run / "a").accepted


def test_ids_on_the_command_line_and_a_resumed_run_of_more(run, monkeypatch):
    monkeypatch.chdir(run)
    ids = table.load(run, "people.csv", "income", test_seed=1).ids.tolist()
    test = next(name for name in (f"row{k}" for k in range(240)) if name not in ids)
    given = (*COMMON, "removal.ids=ids.txt", "dataset.test_seed=1", "hydra.run.dir=b")
    (run / "ids.txt").write_text(f"{ids[0]}\n{test}\n")
    ended = cli.expunge(*given, cwd=run)
    assert (ended.code, (run / "b").exists()) == (2, False)
    assert f"removal.ids: got '{test}', allowed: ids of training rows" in ended.err
    for count, more in ((2, ()), (3, ("resume=true",))):
        (run / "ids.txt").write_text("\n".join(ids[:count]))
        ended = cli.expunge(*given, *more, cwd=run)
        assert ended.code == 0, ended.err
    assert [record["ids"] for record in cli.records(run / "b")] == [[name] for name in ids[:3]]
    assert verdict(run / "b").accepted


def test_a_chosen_removal_stays_chosen(run):
    ended = cli.expunge(*COMMON, "removal=random", "removal.group=user_1", "hydra.run.dir=c", cwd=run)
    assert ended.code == 2
    assert "group" in ended.err
