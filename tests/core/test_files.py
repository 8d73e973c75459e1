"""The one file format: every byte is checked, whatever wrote the tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from expunge.core.errors import DataError
from expunge.core.files import State, load_state, load_tensors, save_state, save_tensors, write_atomically

ARRAYS = {"w": np.arange(6.0).reshape(2, 3), "b": np.array(2), "none": np.zeros((0, 2), np.float32)}


def test_a_state_comes_back_as_it_was(tmp_path):
    values = {"z": [1, None], "a": {"text": '"sha256":"' + "1" * 64 + '"'}}
    save_state(tmp_path / "s", State(ARRAYS, values))
    again = load_state(tmp_path / "s")
    assert again.values == values
    assert list(again.values) == ["z", "a"]
    for name, array in load_file(tmp_path / "s").items():  # anybody's reader
        np.testing.assert_array_equal(array, ARRAYS[name])
        np.testing.assert_array_equal(again.arrays[name], ARRAYS[name])
        assert again.arrays[name].dtype == ARRAYS[name].dtype
    again.arrays["w"][0] = 1  # writable


def test_torch_and_numpy_write_the_same_file(tmp_path):
    save_state(tmp_path / "s", State({"w": ARRAYS["w"]}, {"k": 1}))
    save_tensors(tmp_path / "t", {"w": torch.from_numpy(ARRAYS["w"])}, {"k": 1})
    assert (tmp_path / "s").read_bytes() == (tmp_path / "t").read_bytes()
    assert load_tensors(tmp_path / "s")[1] == {"k": 1}


def test_every_changed_byte_is_found(tmp_path):
    path = tmp_path / "s"
    save_state(path, State({"w": ARRAYS["w"]}, {"k": 1}))
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DataError):
            load_tensors(path)
        with pytest.raises(DataError):  # a flip in the word sha256 makes no file of an earlier version
            load_state(path, signed=False)


def test_a_state_of_an_earlier_version_is_read_and_anybody_elses_file_is_not(tmp_path):
    save_file({"w": ARRAYS["w"]}, tmp_path / "old", metadata={"expunge": '{"k": 1}'})
    assert load_state(tmp_path / "old", signed=False).values == {"k": 1}
    for load in (load_tensors, load_state):
        with pytest.raises(DataError, match="not what was written"):
            load(tmp_path / "old")
    save_file({"w": ARRAYS["w"]}, tmp_path / "theirs")
    with pytest.raises(DataError, match="not a file written by expunge"):
        load_state(tmp_path / "theirs")


def test_an_error_leaves_what_was_there(tmp_path, monkeypatch):
    write_atomically(tmp_path / "f", b"first")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("expunge.core.files.os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "f", b"second")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("f", b"first")]
