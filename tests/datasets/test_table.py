"""Tables in CSV and Parquet files against the standard library's reader, and what is said of hostile ones."""

from __future__ import annotations

import csv
import io
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.datasets import scikit_learn, table, table_files

COLOURS = ("red", "green", "a,b", "two\nlines", '"quoted"', "=1+1", "é")
RECORDS = st.lists(
    st.tuples(
        st.floats(-1e6, 1e6, width=32),
        st.integers(-(2**40), 2**40),
        st.booleans(),
        st.sampled_from(COLOURS),
        st.sampled_from(["yes", "no", "Ω"]),
    ),
    min_size=12,
    max_size=40,
)
NAMES = ("size", "count", "member", "colour", "label")


def written(folder, records, suffix, bom=False, group_rows=7):
    """The records as a file, with an id and a group for each row."""
    frame = pd.DataFrame(records, columns=list(NAMES))
    frame["id"] = [f"row {k}" for k in range(len(frame))]
    frame["group"] = [k % 3 for k in range(len(frame))]
    path = folder / f"own{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path, row_group_size=group_rows)
    else:
        text = frame.to_csv(index=False, sep="\t" if suffix == ".tsv" else ",", quoting=csv.QUOTE_MINIMAL)
        path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    return path


def by_hand(records):
    """What each row is, from the values themselves."""
    x = [
        [size, float(count), float(member), *(float(colour == known) for known in COLOURS)]
        for size, count, member, colour, _ in records
    ]
    return np.array(x).astype(np.float32), [label for *_, label in records]


@given(RECORDS, st.sampled_from([".csv", ".tsv", ".parquet"]), st.booleans(), st.integers(1, 20))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_is_what_was_written(tmp_path, monkeypatch, records, suffix, bom, rows):
    monkeypatch.setattr(table_files, "ROWS", rows)
    labels = [label for *_, label in records]
    last = len(records) - max(1, round(0.25 * len(records)))
    if len(set(labels[:last])) < 2 or not set(labels[last:]) <= set(labels[:last]):
        return
    path = written(tmp_path, records, suffix, bom)
    found = table.load(tmp_path, path, "label", categories={"colour": list(COLOURS)}, test_share=0.25)
    x, y = by_hand(records)
    np.testing.assert_array_equal(np.vstack([found.x_train, found.x_test]), x)
    named = [found.class_names[label] for label in [*found.y_train.tolist(), *found.y_test.tolist()]]
    assert named == y
    assert found.ids.tolist() == [f"row {k}" for k in range(last)]
    assert found.groups.tolist() == [str(k % 3) for k in range(last)]
    assert list(found.features)[:3] == ["size", "count", "member"]
    assert [*found.features.values()] == [False, False, True, *[True] * len(COLOURS)]


def load(tmp_path, text, name="own.csv", label="y", **how):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return table.load(tmp_path, tmp_path / name, label, **how)


BODY = "1,x\n2,y\n3,x\n4,y\n5,x\n"
HOSTILE = {
    "no such column": (f"a,y\n{BODY}", {"label": "z"}, "label: got 'z', allowed: a column of"),
    "missing": ("a,y\n1,x\n,y\n3,x\n", {}, "line 3: column a holds no number, allowed: a number in each row"),
    "formula": ("a,y\n1,x\n=1+1,y\n3,x\n", {}, "line 3: column a holds '=1+1', allowed: numbers"),
    "NA is text": ("a,y\n1,x\nNA,y\n3,x\n", {}, "line 3: column a holds 'NA'"),
    "infinity": ("a,y\n1,x\ninf,y\n3,x\n", {}, "line 3: column a holds inf"),
    "too large": ("a,y\n1,x\n1e39,y\n3,x\n", {}, "line 3: column a holds 1e+39"),
    "a date": ("a,y\n2020-01-01,x\n2020-01-02,y\n", {}, "dataset.drop=[a]"),
    "quoted newlines": (
        't,a,y\n"1\n\n2",1,x\n"3\n",2,y\nx,q,y\n',
        {"drop": ["t"]},
        "line 7: column a holds 'q'",
    ),
    "blank lines": ("a,y\n1,x\n\n\nq,y\n", {}, "line 5: column a holds 'q'"),
    "more values": ("a,y\n1,x\n2,y,3\n", {}, "different lengths"),
    "more values in all": ("a,y\n1,x,1\n2,y,3\n", {}, "different lengths"),
    "fewer values": ("a,y\n1,x\n2\n", {}, "line 3: column y is empty"),
    "open quote": ('a,y\n1,x\n"2,y\n', {}, "an open quote"),
    "NUL": ("a,y\n1,x\n\x002,y\n", {}, "byte 8 is NUL"),
    "not UTF-8": (b"a,y\n1,x\n\xff,y\n", {}, "no UTF-8"),
    "nothing": ("", {}, "its first line is empty"),
    "no rows": ("a,y\n", {}, "has no rows"),
    "one row": ("a,y\n1,x\n", {}, "1 rows cannot be split"),
    "labels alone": ("y\nx\ny\n", {}, "has no column besides y"),
    "two of a name": ("a,a,y\n1,1,x\n2,2,y\n", {}, "two columns are called 'a'"),
    "no name": ("a,,y\n1,1,x\n2,2,y\n", {}, "column 2 is called ''"),
    "a million columns": ("y," + ",".join(map(str, range(10**6))) + "\nx\n", {}, "allowed: at most 65,536"),
    "another separator": ("a;y\n1;x\n2;y\n", {}, "is dataset.separator right?"),
    "ids twice": ("id,a,y\n7,1,x\n8,2,y\n7,3,x\n", {}, "column id holds '7' in line 2 and line 4"),
    "no id": ("id,a,y\n7,1,x\n,2,y\n9,3,x\n", {}, "line 3: column id is empty"),
    "no group": ("group,a,y\n7,1,x\n,2,y\n9,3,x\n", {}, "line 3: column group is empty"),
    "a long id": (f"id,a,y\n{'q' * 1001},1,x\n8,2,y\n", {}, "line 2: column id holds 1,001 characters"),
    "one class": ("a,y\n1,x\n2,x\n3,x\n", {}, "two or more classes, got 1 (x)"),
    "measurements": ("a,y\n1,0.5\n2,1.25\n3,2\n", {}, "line 2: column y holds 0.5, allowed: classes"),
    "a class of test rows": ("a,y\n1,x\n2,y\n3,z\n", {}, "must be shuffled first"),
    "unknown category": (
        "c,y\nred,x\nblue,y\n",
        {"categories": {"c": ["red"]}},
        "line 3: column c holds 'blue', allowed: red (dataset.categories)",
    ),
    "categories of none": (f"a,y\n{BODY}", {"categories": {"q": ["red"]}}, "categories: got 'q'"),
    "no categories": (f"a,y\n{BODY}", {"categories": {"a": []}}, "categories.a: got []"),
    "fill of none": (
        f"a,y\n{BODY}",
        {"fill": {"y": 1}},
        "fill: got 'y', allowed: columns that are features: a",
    ),
    "fill with text": (f"a,y\n{BODY}", {"fill": {"a": "1"}}, "fill.a: got '1'"),
    "drop of none": (f"a,y\n{BODY}", {"drop": ["q"]}, "drop: got 'q'"),
    "drop of the labels": (f"a,y\n{BODY}", {"drop": ["y"]}, "drop: got 'y'"),
    "label as id": (f"a,y\n{BODY}", {"id": "y"}, "id: got 'y'"),
    "separator": (f"a,y\n{BODY}", {"separator": ",,"}, "separator: got ',,'"),
    "share": (f"a,y\n{BODY}", {"test_share": 1}, "test_share: got 1"),
}


NUMBERS = ["1e5", "+3", " 4 ", "-0", "007", "1.", ".5", "99999999999999999999", "1E-3"]


def test_numbers_as_they_are_written(tmp_path):
    """Also beside one of another kind, for which a reader takes the column for text."""
    rows = "".join(f"{text},{k % 2}\n" for k, text in enumerate(NUMBERS))
    expected = [1e5, 3, 4, 0, 7, 1, 0.5, 1e20, 1e-3]
    found = load(tmp_path, f"a,y\n{rows}", test_share=0.1)
    np.testing.assert_array_equal(found.x_train[:, 0], np.array(expected[:-1], dtype=np.float32))
    for bad in ("0x1F", "1_000", "1 000", '"1,000"', "1.2.3", "nan", "None", "#REF!", "True"):
        with pytest.raises(DataError, match="line 5: column a holds"):
            load(tmp_path, f"a,y\n1,0\n2,1\n3,0\n{bad},1\n")


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_other_ends_of_lines(tmp_path, end):
    found = load(tmp_path, f"a,y\n{BODY}".replace("\n", end))
    assert found.x_train[:, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_used_is_one_line(tmp_path, case):
    text, how, said = HOSTILE[case]
    with pytest.raises(UserError) as caught:
        load(tmp_path, text, **how)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(tmp_path))


def test_another_format_and_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"allowed: a name ending in one of \.csv, \.tsv, \.parquet"):
        load(tmp_path, "a,y\n1,x\n", name="own.xlsx")
    with pytest.raises(DataError, match="no such file"):
        table.load(tmp_path, "none.csv", "y")


def test_numbers_stand_for_missing_ones_and_columns_are_left_out(tmp_path):
    text = "a,b,name,y\n1,,ann,x\n,3,ben,y\n5,4,cy,x\n,,dan,y\n1,1,eve,x\n"
    found = load(tmp_path, text, fill={"a": -1, "b": 0.5}, drop=["name"])
    assert found.x_train.tolist() == [[1, 0.5], [-1, 3], [5, 4], [-1, 0.5]]


def test_ids_and_groups_are_features_where_they_are_not_taken(tmp_path):
    text = f"id,y\n{BODY}"
    with pytest.raises(DataError, match="no column besides"):
        load(tmp_path, text)
    found = load(tmp_path, text, id=False)
    assert (found.ids, list(found.features)) == (None, ["id"])


def test_rows_that_are_drawn_have_their_places_as_ids(tmp_path):
    text = "a,y\n" + "".join(f"{k},{'x' if k < 50 else 'y'}\n" for k in range(100))
    found = load(tmp_path, text, test_seed=3, test_share=0.3)
    assert found.x_train[:, 0].astype(int).astype(str).tolist() == found.ids.tolist()
    assert sorted([*found.x_train[:, 0], *found.x_test[:, 0]]) == list(range(100))
    assert np.all(np.diff(found.x_train[:, 0]) > 0)
    assert len(found.x_test) == 30


def test_test_rows_of_a_file_of_their_own(tmp_path):
    (tmp_path / "test.csv").write_text("y,a\nx,7\ny,8\n")
    found = load(tmp_path, "id,a,y\nr1,1,x\nr2,2,y\n", test_file="test.csv")
    assert found.ids.tolist() == ["r1", "r2"]
    assert found.x_test.tolist() == [[7], [8]]
    (tmp_path / "test.csv").write_text("y,b\nx,7\n")
    with pytest.raises(DataError, match=r"test.csv: has no column 'a'"):
        load(tmp_path, f"a,y\n{BODY}", test_file="test.csv")


def test_whole_numbers_keep_their_order_as_labels(tmp_path):
    found = load(tmp_path, "a,y\n1,10\n2,9\n3,10\n4,9\n5,10\n")
    assert found.class_names == {9: "9", 10: "10"}
    found = load(tmp_path, "a,y\n1,010\n2,9\n3,010\n4,9\n5,010\n")
    assert found.class_names == {0: "010", 1: "9"}


def test_types_of_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": pd.array([1, 2, 3, 4], dtype="Int64"), "y": ["x", "y", "x", "y"]})
    frame["b"] = pd.array([True, False, True, False], dtype="boolean")
    frame["c"] = pd.Categorical(["p", "q", "p", "q"])
    frame.to_parquet(path := tmp_path / "a.parquet", row_group_size=1)
    found = table.load(tmp_path, path, "y", categories={"c": ["q", "p"]})
    assert found.x_train.tolist() == [[1, 1, 0, 1], [2, 0, 1, 0], [3, 1, 0, 1]]
    assert [*found.features.items()] == [("a", False), ("b", True), ("c=q", True), ("c=p", True)]
    frame.loc[2, "a"] = pd.NA
    frame.to_parquet(path)
    with pytest.raises(DataError, match=r"a.parquet, row 2: column a holds no number"):
        table.load(tmp_path, path, "y", categories={"c": ["q", "p"]})
    frame["a"] = pd.to_datetime(["2020-01-01"] * 4)
    frame.to_parquet(path)
    with pytest.raises(DataError, match="column a holds dates or times"):
        table.load(tmp_path, path, "y", categories={"c": ["q", "p"]})
    indexed = pd.DataFrame({"a": [1, 2, 3], "y": [0, 1, 0]}, index=[7, 8, 9])
    indexed.to_parquet(path)
    assert list(table.load(tmp_path, path, "y").features) == ["a"]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="damaged, or of another format"):
        table.load(tmp_path, path, "y")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"Parquet needs pyarrow: pip install 'expunge\[parquet\]'"):
        load(tmp_path, b"PAR1", name="a.parquet")


def test_digests_cover_ids_groups_and_names(tmp_path):
    def digests(name="r", groups=2, column="a"):
        rows = "".join(f"{name}{k},g{k % groups},{k},{k % 2}\n" for k in range(9))
        return load(tmp_path, f"id,group,{column},y\n{rows}").digests()

    first = digests()
    changed = {
        "training ids": digests(name="s"),
        "training groups": digests(groups=3),
        "names of features": digests(column="b"),
    }
    for part, other in changed.items():
        assert {key for key in first if other[key] != first[key]} == {part}


def test_arrays_have_ids_and_groups_too(tmp_path):
    from expunge.datasets import arrays

    x, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y, ids=np.arange(10) + 100, groups=np.array(["p", "q"] * 5))
    found = arrays.load(tmp_path, "a.npz")
    assert found.ids.tolist() == [str(k + 100) for k in range(8)]
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    pair = arrays.load(tmp_path, "x.npy", y_path="y.npy", test_seed=1)
    assert pair.x_train[:, 0].astype(int).tolist() == [2 * int(name) for name in pair.ids]
    for how, said in (({}, "y_path: got None"), ({"y_path": 7}, "y_path: got 7")):
        with pytest.raises(InvalidValue, match=said):
            arrays.load(tmp_path, "x.npy", **how)
    np.savez(tmp_path / "a.npz", x=x, y=y, ids=np.zeros(10, int))
    with pytest.raises(DataError, match="ids holds a value twice"):
        arrays.load(tmp_path, "a.npz")


def test_tables_of_scikit_learn():
    from sklearn.datasets import load_wine

    found, theirs = scikit_learn.load(name="wine", test_seed=4), load_wine()
    rows = np.array(found.ids, dtype=int)
    np.testing.assert_array_equal(found.x_train, theirs.data[rows].astype(np.float32))
    np.testing.assert_array_equal(found.y_train, theirs.target[rows])
    assert list(found.features) == list(theirs.feature_names)
    with pytest.raises(InvalidValue, match=r"name: got 'covtype', .* save what is fetched"):
        scikit_learn.load(name="covtype")


def test_a_cell_is_no_longer_than_it_helps(tmp_path):
    with pytest.raises(DataError) as caught:
        load(tmp_path, f"a,y\n1,x\n{'q' * 200_000},y\n")
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
    assert io.StringIO(str(caught.value)).readline() == str(caught.value)
