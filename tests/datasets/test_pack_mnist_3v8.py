"""The packer of the embedded digits makes the embedded file."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from experiments import pack_mnist_3v8


def test_packer_reproduces_the_embedded_file(tmp_path, shared_data):
    assert pack_mnist_3v8.main([str(shared_data / "MNIST" / "raw"), "--out", str(tmp_path)]) == 0
    packed, kept = tmp_path / pack_mnist_3v8.FILE, pack_mnist_3v8.DATA / pack_mnist_3v8.FILE
    with np.load(packed, allow_pickle=False) as ours, np.load(kept, allow_pickle=False) as theirs:
        assert set(ours) == set(theirs)
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
        licence = (pack_mnist_3v8.DATA / "LICENSE-MNIST.md").read_text(encoding="utf-8")
        assert all(pack_mnist_3v8.digest(ours[name]) in licence for name in ours)
    if "ng" in zlib.ZLIB_RUNTIME_VERSION:
        pytest.skip(f"zlib {zlib.ZLIB_RUNTIME_VERSION} compresses the same arrays to other bytes")
    assert packed.read_bytes() == kept.read_bytes()


def test_packer_says_which_file_is_missing(tmp_path, capsys):
    with pytest.raises(SystemExit):
        pack_mnist_3v8.main([str(tmp_path)])
    assert "train-images-idx3-ubyte.gz: no such file" in capsys.readouterr().err
