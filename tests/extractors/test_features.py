"""Features and their files: the same bytes by every way, and nothing read that is not what was written."""

from __future__ import annotations

import logging
import multiprocessing
import resource
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from torch import nn

from expunge.core.errors import DataError, InvalidValue
from expunge.datasets.images import Images
from expunge.extractors.feature_files import FeatureFile
from expunge.extractors.features import extracted
from expunge.extractors.scaling import standardised
from tests.networks import pictures, small_cnn

CPU = torch.device("cpu")


class Counted(nn.Module):
    """A convolution, ReLU and pooling; counts the batches that go through it."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("shift", torch.zeros(()))
        self.batches = 0

    def forward(self, x):
        self.batches += 1
        return nn.functional.max_pool2d(self.conv(x).relu() + self.shift, 2).flatten(1)


class Log(nn.Module):
    """The logarithm of what it gets."""

    def forward(self, x):
        return x.log()


def images(n=12, seed=0):
    return Images.of(pictures(n, seed=seed)[0], 255.0, 0.5)


def extract(module=None, cache=None, train=None, test=None, identity=None, **how):
    train = images() if train is None else train
    test = images(5, seed=1) if test is None else test
    how = {"batch_size": 4, "progress": False} | how
    module = module or Counted()
    return extracted(module, train, test, identity=identity or {}, cache=cache, device=CPU, **how)


def same(a, b):
    return all(
        x.raw.dtype == y.raw.dtype == np.float32
        and np.array_equal(x.raw, y.raw)
        and np.array_equal(x.scale, y.scale)
        for x, y in zip(a, b, strict=True)
    )


def only_file(folder):
    (file,) = folder.iterdir()
    assert file.name.endswith(".features.safetensors")
    return file


# Extraction


@given(st.integers(1, 9), st.integers(0, 5), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_batches_come_to_the_same_as_all_rows_at_once(n, m, size):
    train, test, module = images(n), images(m, seed=1), Counted()
    found = extract(module, train=train, test=test, batch_size=size)
    for rows, x in zip(found, (train, test), strict=True):
        with torch.no_grad():
            whole = module(x.batch(np.arange(len(x)))).double().numpy()
        np.testing.assert_allclose(rows.raw, whole, rtol=1e-5, atol=1e-6)
        norms = np.linalg.norm(rows.dense(), axis=1)
        np.testing.assert_allclose(norms[whole.any(axis=1)], 1, rtol=1e-12)


def test_the_network_is_in_evaluation_mode_and_its_mode_is_given_back():
    module = small_cnn().float().train()
    alone = extract(module, train=images(1))
    among = extract(module, train=images(12))
    assert module.training
    assert module[1].training
    np.testing.assert_allclose(alone[0].raw[0], among[0].raw[0], rtol=1e-5)


def test_rows_where_nothing_fires_stay_zero():
    module = Counted()
    module.conv.bias.data.fill_(-100)
    train, _ = extract(module)
    assert not train.dense().any()


def test_features_may_be_scaled_by_the_training_set(tmp_path):
    raw = [rows.raw for rows in extract()]
    for cache in (None, tmp_path):
        scaled = extract(cache=cache, scaling="dataset")
        for rows, expected in zip(scaled, standardised(*raw), strict=True):
            np.testing.assert_array_equal(rows.raw, expected)


def test_bad_settings_are_refused():
    with pytest.raises(InvalidValue, match=r"^scaling: "):
        extract(scaling="column")
    with pytest.raises(InvalidValue, match=r"^batch_size: "):
        extract(batch_size=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_the_same_features(tmp_path):
    here = extract()
    there = extracted(
        Counted(), images(), images(5, seed=1), identity={}, cache=tmp_path, device=torch.device("cuda")
    )
    np.testing.assert_allclose(there[0].raw, here[0].raw, rtol=1e-2, atol=1e-3)


# NaN


@pytest.mark.parametrize("cached", [False, True])
def test_weights_that_are_not_finite(cached, tmp_path):
    module = Counted()
    module.conv.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(
        DataError, match=r"^dataset toy: .* training row 0 are NaN or infinite; the extractor"
    ):
        extract(module, cache=tmp_path if cached else None, what="dataset toy")
    assert not list(tmp_path.iterdir())


def test_the_first_bad_row_is_named():
    train, test = np.ones((9, 3)), np.ones((7, 3))
    test[5, 2] = 0
    with pytest.raises(DataError, match="test row 5 are NaN or infinite"):
        extract(Log(), train=Images.of(train), test=Images.of(test), batch_size=4)


# The cache


def test_a_hit_does_not_run_the_network_again(tmp_path):
    module = Counted()
    first = extract(module, tmp_path / "made" / "when needed")
    assert module.batches == 5  # three of 12 rows, two of 5
    again = extract(module, tmp_path / "made" / "when needed")
    assert module.batches == 5
    assert same(first, again)
    assert same(first, extract(module))


def test_features_are_mapped_into_memory(tmp_path):
    for rows in extract(cache=tmp_path):
        assert isinstance(rows.raw, np.memmap)
        assert not rows.raw.flags.writeable


def test_the_file_is_one_that_others_can_read(tmp_path):
    found = extract(cache=tmp_path)
    theirs = load_file(only_file(tmp_path))
    assert theirs.keys() == {"train", "test"}
    np.testing.assert_array_equal(theirs["train"], found[0].raw)
    np.testing.assert_array_equal(theirs["test"], found[1].raw)


def changed(what):
    """The arguments of an extraction that is not the plain one."""
    module, train, test = Counted(), images(), images(5, seed=1)
    if what == "weights":
        module.conv.bias.data[0] += 1
    elif what == "buffer":
        module.shift += 1
    elif what == "training pixel":
        train.raw[11, 7, 7, 2] ^= 1
    elif what == "test pixel":
        test.raw[0, 0, 0, 0] ^= 1
    elif what == "unit":
        train = Images(train.raw, 254.0, 0.5)
    return {"module": module, "train": train, "test": test}


OTHERS = {"identity": {"identity": {"a": 1}}, "batch size": {"batch_size": 5}}


@pytest.mark.parametrize("what", ["weights", "buffer", "training pixel", "test pixel", "unit", *OTHERS])
def test_what_the_features_depend_on_changes_the_key(what, tmp_path):
    extract(cache=tmp_path)
    arguments = changed(what) | OTHERS.get(what, {})
    extract(cache=tmp_path, **arguments)
    assert arguments["module"].batches
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("how", [{"progress": True}, {"what": "another"}, {"scaling": "dataset"}])
def test_what_they_do_not_depend_on_does_not(how, tmp_path):
    extract(cache=tmp_path)
    module = Counted()
    extract(module, tmp_path, **how)
    assert not module.batches


def cut(length):
    return lambda content: content[:length]


def flipped(place):
    def spoil(content):
        content = bytearray(content)
        content[place] ^= 1
        return bytes(content)

    return spoil


def named(place, old, new):
    """Replace something in the header; the length stays."""
    assert len(old) == len(new), place
    return lambda content: content.replace(old, new, 1)


DAMAGES = {
    **{f"cut to {length}": cut(length) for length in (0, 4, 8, 100, 400, -1)},
    **{f"byte {place}": flipped(place) for place in (0, 5, 8, 60, -600, -1)},
    "longer": lambda content: content + bytes(4),
    "more rows": named("shape", b'"shape":[12,', b'"shape":[13,'),
    "swapped": named("names", b'"train":{', b'"tesst":{'),
    "empty header": lambda content: bytes(8),
    "a text": lambda content: b"features",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_never_used(damage, tmp_path, caplog):
    expected = extract(cache=tmp_path)
    file = only_file(tmp_path)
    content = file.read_bytes()
    assert DAMAGES[damage](content) != content
    file.unlink()  # the mapped one must not change under ``expected``
    file.write_bytes(DAMAGES[damage](content))
    module = Counted()
    assert same(extract(module, tmp_path), expected)
    assert module.batches
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert str(file) in line
    assert "extracted again" in line
    assert "\n" not in line
    assert only_file(tmp_path).read_bytes() == content


def test_the_features_of_something_else_are_not_used(tmp_path, caplog):
    expected = extract(cache=tmp_path)
    file = only_file(tmp_path)
    extract(cache=tmp_path / "other", identity={"another": 1})
    file.unlink()
    shutil.copy(only_file(tmp_path / "other"), file)
    shutil.rmtree(tmp_path / "other")
    assert same(extract(cache=tmp_path), expected)
    assert "extracted again" in caplog.text


def test_another_writers_tensors_are_not_used(tmp_path, caplog):
    expected = extract(cache=tmp_path)
    file = only_file(tmp_path)
    file.unlink()
    save_file({"train": expected[0].raw + 1, "test": expected[1].raw + 1}, file)
    assert same(extract(cache=tmp_path), expected)
    assert "extracted again" in caplog.text


def test_a_folder_in_the_files_place(tmp_path, caplog):
    expected = extract(cache=tmp_path)
    file = only_file(tmp_path)
    file.unlink()
    file.mkdir()
    assert same(extract(cache=tmp_path), expected)
    assert "kept in memory" in caplog.text


def test_a_folder_that_cannot_be_made(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    found = extract(cache=tmp_path / "file" / "cache")
    assert same(found, extract())
    (line,) = [r.getMessage() for r in caplog.records]
    assert "cannot be written to" in line


def test_a_disk_that_is_full_in_the_middle(tmp_path, caplog):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
    try:
        found = extract(cache=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert same(found, extract())
    assert "kept in memory" in caplog.text
    assert not list((tmp_path / "cache").iterdir())


# Several at once


def test_a_writer_without_locks_finishes_first(tmp_path):
    """On a file system that knows no locks two may write one path; whoever is last puts the same there."""
    file = FeatureFile(tmp_path / "one.features.safetensors", {"made": "from"}, (3, 2))
    block = np.arange(10, dtype=np.float32).reshape(5, 2)

    def interrupted():
        yield block[:3]
        file.write([block])
        yield block[3:]

    file.write(interrupted())
    file.require_sound()
    train, test = file.map()
    assert np.array_equal(train, block[:3])
    assert np.array_equal(test, block[3:])
    only_file(tmp_path)


def extract_after(barrier, folder, results):
    barrier.wait(timeout=120)
    torch.set_num_threads(1)
    results.put([rows.dense() for rows in extract(cache=folder, batch_size=1)])


def test_two_processes_at_once(tmp_path):
    context, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    barrier, results = context.Barrier(2), context.Queue()
    other = context.Process(target=extract_after, args=(barrier, tmp_path, results))
    other.start()
    try:
        extract_after(barrier, tmp_path, results)
    finally:
        torch.set_num_threads(threads)
    first, second = results.get(timeout=120), results.get(timeout=120)
    other.join(timeout=60)
    assert other.exitcode == 0
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    only_file(tmp_path)


# The file itself


def test_writing_and_checking_hold_one_block_at_a_time(tmp_path):
    rows, dim = 64, 1 << 18  # 1 MiB a row

    def blocks():
        for k in range(rows):
            yield np.full((1, dim), k, dtype=np.float32)

    file = FeatureFile(tmp_path / "f.safetensors", {}, (rows - 4, 4))
    tracemalloc.start()
    try:
        file.write(blocks())
        file.require_sound()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    train, test = file.map()
    assert (train.shape, test.shape) == ((60, dim), (4, dim))
    np.testing.assert_array_equal(train[:, -1], np.arange(60))
    np.testing.assert_array_equal(test[:, 0], np.arange(60, 64))


def test_numbers_begin_at_a_multiple_of_eight_bytes(tmp_path):
    for key in range(9):
        file = FeatureFile(tmp_path / f"{key}.safetensors", {"key": "x" * key}, (1, 0))
        file.write([np.ones((1, 3), dtype=np.float32)])
        assert int.from_bytes(file.path.read_bytes()[:8], "little") % 8 == 0
        file.require_sound()
        assert file.map()[1].shape == (0, 3)
