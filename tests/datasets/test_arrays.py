"""A user's own arrays: mapped, equal, and refused in one clear line where they cannot be used."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.datasets import arrays
from expunge.datasets.array_files import open_arrays
from expunge.datasets.images import Images


def one_line(caught: pytest.ExceptionInfo[UserError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def write(path: Path, content: dict[str, np.ndarray], compressed: bool = False) -> Path:
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(array) for name, array in content.items()}, path)
    else:
        (np.savez_compressed if compressed else np.savez)(path, **content)
    return path


def table(n: int = 10, d: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(n).normal(size=(n, d)), "y": np.arange(n) % 2}


def memory_mapped(array: np.ndarray) -> bool:
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = array.base if isinstance(array, np.ndarray) else None
    return False


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, ">f8", np.float16, bool])
@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_arrays_are_mapped_and_equal(tmp_path, name, dtype):
    if name == "a.safetensors" and dtype == ">f8":
        pytest.skip("the format is little-endian")
    content = table(50) | {"x": (table(50)["x"] * 50).astype(dtype)}
    dataset = arrays.load(tmp_path, write(tmp_path / name, content))
    assert memory_mapped(dataset.x_train)
    assert memory_mapped(dataset.x_test)
    assert np.array_equal(np.concatenate([dataset.x_train, dataset.x_test]), content["x"])
    assert np.array_equal(np.concatenate([dataset.y_train, dataset.y_test]), content["y"])
    assert (len(dataset.x_train), len(dataset.x_test)) == (40, 10)
    assert dataset.class_names == {0: "0", 1: "1"}


def test_compressed_arrays_are_read(tmp_path):
    content = table()
    dataset = arrays.load(tmp_path, write(tmp_path / "a.npz", content, compressed=True))
    assert not memory_mapped(dataset.x_train)
    assert np.array_equal(dataset.x_train, content["x"][:8])


@given(
    array=hnp.arrays(
        st.sampled_from([np.uint8, np.float32, np.dtype(">i4"), np.int64]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0),
    ),
    fortran=st.booleans(),
    name=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_mapping_agrees_with_numpy_on_any_array(tmp_path, array, fortran, name):
    array = np.asfortranarray(array) if fortran else array
    path = write(tmp_path / "a.npz", {"other": np.arange(3), name: array})
    ours = open_arrays(path)[name]()
    assert ours.dtype == array.dtype
    assert ours.shape == array.shape
    assert np.array_equal(ours, array, equal_nan=array.dtype.kind == "f")


def test_rows_keep_their_file_numbers_without_test_arrays(tmp_path):
    content = {"X": np.arange(20.0).reshape(10, 2), "y": np.arange(10) % 2}
    dataset = arrays.load(tmp_path, write(tmp_path / "a.npz", content), test_share=0.31)
    assert dataset.x_train[:, 0].tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert dataset.x_test[:, 0].tolist() == [14, 16, 18]


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_given_test_arrays_come_first(tmp_path, name):
    train, test = table(10), table(4)
    path = write(
        tmp_path / name, train | {"X_test": test["x"], "y_test": test["y"][:, None].astype(np.float32)}
    )
    dataset = arrays.load(tmp_path, path)
    assert np.array_equal(dataset.x_train, train["x"])
    assert np.array_equal(dataset.x_test, test["x"])
    assert dataset.y_test.tolist() == [0, 1, 0, 1]
    other = write(tmp_path / "b.npz", table(6))
    assert np.array_equal(arrays.load(tmp_path, path, test_path=other).x_test, table(6)["x"])


def test_images_keep_their_shape_and_settings_are_passed_on(tmp_path):
    content = {"x": np.zeros((10, 4, 5), np.uint8), "y": np.array([7.0, -2.0] * 5)}
    dataset = arrays.load(
        tmp_path, write(tmp_path / "a.npz", content), offset=0.5, unit=255, classes=[-2, "7"]
    )
    assert dataset.x_train.shape == (8, 4, 5)
    assert (dataset.unit, dataset.offset, dataset.raw_offset) == (255, 0.5, 127.5)
    assert dataset.class_names == {-2: "-2", 7: "7"}


def test_path_is_taken_from_here_and_then_from_the_data_folder(tmp_path, monkeypatch):
    here, data = tmp_path / "here", tmp_path / "data"
    here.mkdir()
    data.mkdir()
    monkeypatch.chdir(here)
    write(data / "a.npz", table(10))
    assert len(arrays.load(data, "a.npz").x_train) == 8
    write(here / "a.npz", table(20))
    assert len(arrays.load(data, "a.npz").x_train) == 16
    with pytest.raises(DataError, match=r"^path: b\.npz: no such file, neither from .*here nor in .*data$"):
        arrays.load(data, "b.npz")


DAYS = ["1999-01-01", "2020-02-01", "2024-12-31"]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["wombat", "Ant", "ant"]), ["Ant", "ant", "wombat"]),
        (np.array(["10", "9", "1 0"]).astype(">U4"), ["1 0", "10", "9"]),
        (np.array([DAYS[1], DAYS[0], DAYS[2]], "M8[D]"), DAYS),
        (np.array([2**64 - 1, 3, 2**63], np.uint64), ["3", str(2**63), str(2**64 - 1)]),
    ],
)
def test_labels_of_other_kinds_are_numbered_in_their_order(tmp_path, labels, names):
    y = labels[np.arange(12) % 3]
    content = {"x": table(12)["x"], "y": y, "x_test": table(4)["x"], "y_test": y[:4, None]}
    dataset = arrays.load(tmp_path, write(tmp_path / "a.npz", content))
    assert dataset.class_names == dict(enumerate(names))
    assert [dataset.class_names[label] for label in dataset.y_train.tolist()] == [str(label) for label in y]
    assert dataset.y_test.tolist() == dataset.y_train[:4].tolist()
    two = arrays.load(tmp_path, tmp_path / "a.npz", classes=names[:2])
    assert set(two.class_names.values()) == set(names[:2])


@pytest.mark.parametrize("kind", ["U16", "U32", "U64", "I8", "BF16"])
def test_every_type_of_tensors_is_read(tmp_path, kind):
    values = np.array([[0, 1], [3, 100], [2, 0.5 if kind == "BF16" else 7]])
    narrow = (values.astype(np.float32).view(np.uint32) >> 16).astype("<u2")
    stored = narrow if kind == "BF16" else values.astype(f"<{kind[0].lower()}{int(kind[1:]) // 8}")
    entry = {"dtype": kind, "shape": [3, 2], "data_offsets": [0, stored.nbytes]}
    header = json.dumps({"x": entry}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + stored.tobytes())
    read = open_arrays(tmp_path / "a.safetensors")["x"]()
    np.testing.assert_array_equal(read, values)
    assert read.dtype == (np.float32 if kind == "BF16" else stored.dtype)


def test_a_test_share_of_one_class_is_worth_a_warning(tmp_path, caplog):
    content = table() | {"y": np.array([0] * 5 + [1] * 5)}
    arrays.load(tmp_path, write(tmp_path / "a.npz", content))
    assert "the last 2 rows, taken for the test, are all of one class" in caplog.text


X, Y = table()["x"], table()["y"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": X, "y": Y}, "needs an array named x or X, found: data, y"),
        ({"x": X, "labels": Y}, "needs an array named y, found: x, labels"),
        ({"x": X, "y": Y, "x_test": X}, "needs an array named y_test"),
        ({"x": X, "y": Y, "y_test": Y}, "needs an array named x_test or X_test"),
        ({"x": X, "y": Y[:9]}, r"y is of shape \(9,\), allowed: \(10,\), a label for each row"),
        ({"x": X, "y": np.eye(10)}, r"y is of shape \(10, 10\)"),
        ({"x": X[:, 0], "y": Y}, r"x is of shape \(10,\), allowed: \(rows, features\)"),
        ({"x": X[:, :0], "y": Y}, r"x is of shape \(10, 0\)"),
        ({"x": X[:0], "y": Y[:0]}, r"x is of shape \(0, 3\)"),
        ({"x": X[:1], "y": Y[:1]}, "1 rows cannot be split"),
        ({"x": X * 1j, "y": Y}, "x is of type complex128, allowed: real numbers"),
        ({"x": X, "y": Y.astype("S")}, r"y is of type \|S.*, allowed: whole numbers, text or dates"),
        ({"x": X, "y": Y * 1j}, "y is of type complex128, allowed: whole numbers, text or dates"),
        ({"x": X, "y": np.where(Y, np.datetime64("NaT"), np.datetime64("2020"))}, "y holds no date in row 1"),
        (
            {"x": X, "y": Y, "x_test": X, "y_test": Y.astype(str)},
            "training labels are whole numbers, test labels text, allowed: one kind",
        ),
        ({"x": X, "y": Y + 0.5}, "y holds 0.5 in row 0, allowed: whole numbers"),
        ({"x": X, "y": np.where(Y, np.nan, 1)}, "y holds nan in row 1"),
        ({"x": X, "y": np.where(Y, np.inf, 1)}, "y holds inf in row 1"),
        ({"x": X, "y": np.where(Y, 2.0**63, 0.0)}, r"y holds 9\.2.*e\+18 in row 1"),
        ({"x": X, "y": Y * 0}, r"labels must be of two or more classes, got 1 \(0\)"),
        ({"x": X, "y": np.arange(10) // 4}, r"label 2 is not among the training rows' \(0, 1\).*shuffled"),
        (
            {"x": X, "y": Y, "x_test": X[:, :2], "y_test": Y},
            r"training row is of shape \(3,\), a test row of \(2,\)",
        ),
        ({"x": np.array([None] * 10), "y": Y}, "array x cannot be read .*(pickle|object)"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_wrong_arrays_are_named(tmp_path, content, message, compressed):
    path = write(tmp_path / "a.npz", content, compressed)
    with pytest.raises(DataError, match=message) as caught:
        arrays.load(tmp_path, path)
    assert one_line(caught).startswith(str(path))


class Trap:
    def __reduce__(self):
        return (os._exit, (3,))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_pickles_are_never_opened(tmp_path, method):
    path = tmp_path / "a.npz"
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    with zipfile.ZipFile(path, "w", method) as archive:
        magic = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1)
        archive.writestr("x.npy", magic + header + b"\n" + pickle.dumps(Trap()))
    with pytest.raises(DataError, match=r"array x cannot be read"):
        arrays.load(tmp_path, path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"1,2", r"cannot tell its format, allowed: a name ending in \.npz, \.npy, \.safetensors"),
        ("a.npz", b"", "not an .npz archive, or damaged"),
        ("a.npz", b"\x93NUMPY\x01\x00", "not an .npz archive, or damaged"),
        ("a.safetensors", b"", "not a .safetensors file, or damaged"),
        ("a.safetensors", b"\xff" * 30, "not a .safetensors file, or damaged"),
        ("a.safetensors", struct.pack("<Q", 3) + b"[1]", "not a .safetensors file, or damaged"),
        ("a.safetensors", struct.pack("<Q", 3) + b"{x}", "not a .safetensors file, or damaged"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        arrays.load(tmp_path, tmp_path / name)
    assert one_line(caught).startswith(str(tmp_path / name))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"dtype": "F8_E5M2", "shape": [4, 4], "data_offsets": [0, 16]},
            "x is of type F8_E5M2, allowed: F64, F32, F16, BF16, .*U8, BOOL",
        ),
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 15]}, "damaged"),
        ({"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "damaged"),
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [8, 24]}, "damaged"),
        ({"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]}, "damaged"),
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [-8, 8]}, "damaged"),
        ({"dtype": "F32", "shape": "22", "data_offsets": [0, 16]}, "damaged"),
        ({"shape": [2, 2], "data_offsets": [0, 16]}, "damaged"),
        ({"dtype": ["F32"], "shape": [2, 2], "data_offsets": [0, 16]}, "damaged"),
        ([], "damaged"),
    ],
)
def test_tensors_outside_the_file_are_refused(tmp_path, entry, message):
    header = json.dumps({"__metadata__": {"a": "b"}, "x": entry}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    with pytest.raises(DataError, match=message) as caught:
        arrays.load(tmp_path, path)
    one_line(caught)


@pytest.mark.parametrize("name", ["a.npz", "b.npz", "a.safetensors"])
def test_any_damage_is_a_data_error_or_other_numbers(tmp_path, name):
    path = write(tmp_path / name, table(), compressed=name == "b.npz")
    sound, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(sound)
        for place in random.integers(len(sound), size=random.integers(1, 4)):
            content[place] = random.integers(256)
        path.write_bytes(content[: random.choice([len(sound), random.integers(len(sound))])])
        with contextlib.suppress(DataError):  # damage within the numbers cannot be seen
            assert len(arrays.load(tmp_path, path).x_train)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("test_share", 0), ("test_share", 1), ("test_share", "half"),
        ("unit", 0), ("unit", -1), ("offset", "a"), ("path", ""), ("path", None), ("test_path", 3),
        ("classes", [0, 5]),
    ],
)  # fmt: skip
def test_settings_are_checked_where_they_enter(tmp_path, setting, value):
    path = write(tmp_path / "a.npz", table())
    with pytest.raises(InvalidValue) as caught:
        arrays.load(tmp_path, **({"path": path} | {setting: value}))
    assert caught.value.name == setting


@pytest.mark.parametrize("kind", [">f4", "f2", "u2", "u4", "i8", "?", "g"])
def test_a_network_gets_every_type_of_numbers(tmp_path, kind):
    x = np.arange(48).reshape(12, 4).astype(kind)
    dataset = arrays.load(tmp_path, write(tmp_path / "a.npz", {"x": x, "y": np.arange(12) % 2}))
    batch = Images.of(dataset.x_train).batch(np.arange(5))
    np.testing.assert_array_equal(batch.numpy(), x[:5].astype(np.float32))
