"""The stream of removal requests."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import Dataset
from expunge.record.requests import ListedRows, OfClass, RandomPeople, RandomRows, Request


def dataset(n: int = 12) -> Dataset:
    """Rows 0, 3, 6, ... are of class "no", the others of class "yes"; class "none" has no training rows."""
    y = np.where(np.arange(n) % 3 == 0, -1, 1)
    x = np.ones((n, 2))
    return Dataset("toy", x, y, x, y, {1: "yes", -1: "no", 7: "none"})


def rows_of(requests: list[Request]) -> list[tuple[int, ...]]:
    assert [request.number for request in requests] == list(range(1, len(requests) + 1))
    return [request.rows for request in requests]


@given(people=st.integers(1, 5), together=st.integers(1, 7), seed=st.integers(0, 2**32 - 1))
def test_random_people_leave_whole_and_are_the_same_however_many_leave_together(people, together, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(7), np.arange(1, 8)))
    x = np.ones((len(y), 2))
    data = Dataset("toy", x, y, x, y, {label: str(label) for label in range(7)})
    alone = rows_of(RandomPeople(people).stream(data, seed))
    assert len(alone) == people
    owners = [y[list(rows)] for rows in alone]
    assert all(len(set(own)) == 1 and len(own) == np.sum(y == own[0]) for own in owners)
    assert len({own[0] for own in owners}) == people
    joint = rows_of(RandomPeople(people, together, seed=seed).stream(data, seed + 1))
    groups = [alone[k : k + together] for k in range(0, people, together)]
    assert joint == [tuple(sorted(row for rows in group for row in rows)) for group in groups]
    with pytest.raises(InvalidValue, match="at most 5, so that two of 7"):
        RandomPeople(6).stream(data, seed)


@given(
    n=st.integers(2, 60), batch_size=st.integers(1, 8), seed=st.integers(0, 2**32 - 1), part=st.floats(0, 1)
)
def test_random_rows_are_in_range_disjoint_and_fixed_by_the_seed(n, batch_size, seed, part):
    most = (n - 1) // batch_size
    if not most:
        with pytest.raises(InvalidValue, match=f"batch_size: .*at most {n - 1}"):
            RandomRows(1, batch_size).stream(dataset(n), seed)
        return
    count = max(1, int(part * most))
    drawn = rows_of(RandomRows(count, batch_size).stream(dataset(n), seed))
    flat = [row for rows in drawn for row in rows]
    assert len(drawn) == count
    assert {len(rows) for rows in drawn} == {batch_size}
    assert len(set(flat)) == len(flat) < n
    assert all(type(row) is int and 0 <= row < n for row in flat)
    assert drawn == rows_of(RandomRows(most, batch_size, seed=seed).stream(dataset(n), seed + 1))[:count]
    with pytest.raises(InvalidValue, match=f"count: got {most + 1}, allowed: at most {most} "):
        RandomRows(most + 1, batch_size).stream(dataset(n), seed)


def test_random_differs_with_the_seed_and_reaches_every_row():
    streams = [rows_of(RandomRows(5).stream(dataset(), seed)) for seed in range(40)]
    assert len(set(map(tuple, streams))) > 30
    assert {rows[0] for stream in streams for rows in stream} == set(range(12))


def test_random_is_not_the_generator_that_others_make_of_the_same_seed():
    theirs = np.random.default_rng(3).permutation(12)[:11].tolist()
    assert [r[0] for r in rows_of(RandomRows(11).stream(dataset(), 3))] != theirs


@pytest.mark.parametrize("rows", [[5, 2, 9], (5, 2, 9), np.array([5, 2, 9])])
def test_listed_rows_keep_their_order(rows):
    assert rows_of(ListedRows(rows).stream(dataset(), 0)) == [(5,), (2,), (9,)]
    assert rows_of(ListedRows(rows, batch_size=2).stream(dataset(), 0)) == [(5, 2), (9,)]


def test_a_single_id_and_lists_of_lists():
    assert rows_of(ListedRows(5).stream(dataset(), 0)) == [(5,)]
    assert rows_of(ListedRows([[5, 2], [9]]).stream(dataset(), 0)) == [(5, 2), (9,)]


def test_rows_from_a_configuration_list():
    omegaconf = pytest.importorskip("omegaconf")
    nested = omegaconf.OmegaConf.create({"rows": [[5, 2], [9]]}).rows
    assert rows_of(ListedRows(nested).stream(dataset(), 0)) == [(5, 2), (9,)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "5, 2\n\n9 # the last one\n# nothing\n"),
        ("a.csv", "5,2\r\n9\r\n"),
        ("a.json", "[[5, 2], [9]]"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_rows_from_a_file(tmp_path, name, text, encoding):
    (tmp_path / name).write_bytes(text.encode(encoding))  # a mark at the beginning, as some editors put there
    assert rows_of(ListedRows(str(tmp_path / name)).stream(dataset(), 0)) == [(5, 2), (9,)]


def test_a_flat_json_list_is_batched(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([5, 2, 9]))
    assert rows_of(ListedRows(path, batch_size=2).stream(dataset(), 0)) == [(5, 2), (9,)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1, 12], r"rows: got 12, allowed: row ids from 0 to 11 \(request 2, position 1\)"),
        ([[1, -1]], r"rows: got -1, allowed: row ids from 0 to 11 \(request 1, position 2\)"),
        ([1, 2.0], r"rows: got 2.0, .* \(request 2, position 1\)"),
        ([True], r"rows: got True, "),
        (["1"], r"rows: got '1', "),
        ([None], r"rows: got None, "),
        ([[3, 1], [2, 3]], r"rows: got 3, allowed: each row once \(request 2, position 2\); .* request 1 "),
        ([], r"rows: got \[\], allowed: at least one row id$"),
        ([[1], []], r"rows: got \[\], .*\(request 2\)"),
        ([1, [2]], r"rows: .*not both"),
        (list(range(12)), r"rows: got 'all 12 rows', allowed: at least one training row left"),
    ],
)
def test_bad_rows_are_named_with_their_place(rows, message):
    with pytest.raises(InvalidValue, match=message):
        ListedRows(rows).stream(dataset(), 0)


def test_batch_size_does_not_go_with_lists_of_lists():
    with pytest.raises(InvalidValue, match="batch_size: got 2"):
        ListedRows([[1], [2]], batch_size=2).stream(dataset(), 0)


@pytest.mark.parametrize("rows", [None, True, 1.5, {1: 2}])
def test_rows_of_another_type_are_refused_at_once(rows):
    with pytest.raises(InvalidValue, match=r"^rows: got"):
        ListedRows(rows)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[1, 2", "a.json: not JSON"),
        ("a.json", b'{"rows": [1]}', "a.json: holds a dict, allowed: a list"),
        ("a.txt", b"\xff\xfe\xff", "a.txt: cannot be read .*not text"),
        ("a.txt", b"1\ntwo\n", r"rows: got 'two', .* \(request 2, position 1\)"),
        ("a.txt", b"\n# none\n", "at least one row id"),
        (None, b"", "cannot be read .*No such file"),
    ],
)
def test_bad_row_files_are_named(tmp_path, name, content, message):
    path = tmp_path / (name or "b.txt")
    if name:
        path.write_bytes(content)
    with pytest.raises((DataError, InvalidValue), match=message):
        ListedRows(str(path)).stream(dataset(), 0)


def test_a_class_goes_in_file_order_in_one_request():
    assert rows_of(OfClass(**{"class": "no"}).stream(dataset(), 0)) == [(0, 3, 6, 9)]
    assert rows_of(OfClass(batch_size=3, **{"class": "no"}).stream(dataset(), 0)) == [(0, 3, 6), (9,)]


@given(n=st.integers(6, 60), count=st.integers(1, 30), seed=st.integers(0, 2**32 - 1))
def test_part_of_a_class_is_sorted_and_fixed_by_the_seed(n, count, seed):
    yes = [row for row in range(n) if row % 3]
    if count > len(yes):
        with pytest.raises(InvalidValue, match=f"count: got {count}, allowed: at most {len(yes)}"):
            OfClass(count=count, **{"class": "yes"}).stream(dataset(n), seed)
        return
    (rows,) = rows_of(OfClass(count=count, **{"class": "yes"}).stream(dataset(n), seed))
    assert len(rows) == count
    assert list(rows) == sorted(set(rows) & set(yes))
    assert [rows] == rows_of(OfClass(count=count, seed=seed, **{"class": "yes"}).stream(dataset(n), 0))


@pytest.mark.parametrize(("share", "count"), [(1.0, 8), (0.5, 4), (0.01, 1)])
def test_share_of_a_class(share, count):
    (rows,) = rows_of(OfClass(share=share, **{"class": "yes"}).stream(dataset(), 0))
    assert len(rows) == count


@pytest.mark.parametrize("name", ["maybe", "none"])
def test_classes_without_rows_are_refused(name):
    with pytest.raises(InvalidValue, match=f"class: got '{name}'"):
        OfClass(**{"class": name}).stream(dataset(), 0)


def test_a_class_that_is_everything_is_refused():
    x, y = np.ones((3, 2)), np.ones(3, dtype=np.int64)
    with pytest.raises(InvalidValue, match=r"class: .*leaves at least one"):
        OfClass(**{"class": 3}).stream(Dataset("toy", x, y, x, y, {1: "3"}), 0)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: RandomRows(count=-1), "count"),
        (lambda: RandomRows(count=1.5), "count"),
        (lambda: RandomRows(batch_size=0), "batch_size"),
        (lambda: RandomRows(seed=-1), "seed"),
        (lambda: ListedRows([1], batch_size=-1), "batch_size"),
        (lambda: OfClass(), "class"),
        (lambda: OfClass(clas="3"), "clas"),
        (lambda: OfClass(share=0, **{"class": "3"}), "share"),
        (lambda: OfClass(share=1.1, **{"class": "3"}), "share"),
        (lambda: OfClass(share="all", **{"class": "3"}), "share"),
        (lambda: OfClass(share=float("nan"), **{"class": "3"}), "share"),
        (lambda: OfClass(share=0.5, count=2, **{"class": "3"}), "count"),
        (lambda: OfClass(batch_size=0, **{"class": "3"}), "batch_size"),
    ],
)
def test_settings_are_checked_where_they_enter(make, name):
    with pytest.raises(InvalidValue) as caught:
        make()
    assert caught.value.name == name
