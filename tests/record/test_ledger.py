"""A ledger and the sums of its lines: cut anywhere it goes on; what is not as it was written is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import RunFolderError
from expunge.record.ids import Ids
from expunge.record.ledger import KEYS, Ledger, read_ledger
from expunge.record.sums import LENGTH, require_sums, sum_of, sums_of, whole_lines

RECORDS = [
    {**dict.fromkeys(KEYS), "request": k, "rows": [k * 7], "outcome": "removed", "seconds": k / 3}
    for k in range(1, 7)
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a ledger of six records."""
    folder = tmp_path_factory.mktemp("written")
    with Ledger(folder / "l.jsonl") as ledger:
        assert [ledger.append(record) for record in RECORDS] == RECORDS
        ledger.require_whole()
    return folder


def copied(written, tmp_path_factory) -> Path:
    return Path(shutil.copytree(written, tmp_path_factory.mktemp("copy") / "c")) / "l.jsonl"


def events(written):
    """What is on disk after every byte that is written, in the order of writing."""
    lines = (written / "l.jsonl").read_bytes().splitlines(keepends=True)
    sums, ledger = b"", b""
    for line in lines:
        for k in range(LENGTH + 1):
            yield sums + sum_of(line)[:k], ledger
        sums += sum_of(line)
        for k in range(1, len(line) + 1):
            yield sums, ledger + line[:k]
        ledger += line


def test_ended_at_any_byte_it_goes_on_and_ends_the_same(written, tmp_path_factory):
    whole = {path.name: path.read_bytes() for path in written.iterdir()}
    path = tmp_path_factory.mktemp("cut") / "l.jsonl"
    places = list(events(written))
    chosen = np.random.default_rng(0).choice(len(places), 20, replace=False)
    edges = [k for k in range(len(places) - 1) if (places[k][1] == b"") != (places[k + 1][1] == b"")]
    for sums, lines in (places[k] for k in sorted({*chosen.tolist(), *edges, 0, LENGTH, LENGTH + 1})):
        sums_of(path).write_bytes(sums)
        path.write_bytes(lines)
        with Ledger(path) as ledger:
            assert ledger.lines == lines.count(b"\n")
            assert list(ledger.records()) == RECORDS[: ledger.lines]
            assert (sums_of(path).read_bytes(), path.read_bytes()) == (sums, lines), "until it is written to"
            for record in RECORDS[ledger.lines :]:
                ledger.append(record)
            ledger.require_whole()
        assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == whole
        require_sums(path)


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7), of_sums=st.booleans())
def test_a_bit_that_is_another_is_found(written, tmp_path_factory, place, bit, of_sums):
    path = tmp_path_factory.getbasetemp() / "bit.jsonl"
    shutil.copy(written / "l.jsonl", path)
    shutil.copy(written / "l.sha256", sums_of(path))
    changed = sums_of(path) if of_sums else path
    content = bytearray(changed.read_bytes())
    content[place % len(content)] ^= 1 << bit
    changed.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"bit\.jsonl:[1-7]: damaged, it ") as caught:
        require_sums(path)
    assert "\n" not in str(caught.value)
    try:
        with Ledger(path) as ledger:
            found = list(ledger.records())
    except RunFolderError:
        return
    assert found == RECORDS[:5], "the last line has lost its end: it is served again"


@given(lost=st.integers(1, 6), whole=st.booleans())
def test_lines_that_are_missing_at_the_end_are_found_in_a_complete_run(
    written, tmp_path_factory, lost, whole
):
    path = tmp_path_factory.getbasetemp() / "lost.jsonl"
    lines = (written / "l.jsonl").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-lost]) + (b"" if whole else lines[-lost][:-1]))
    shutil.copy(written / "l.sha256", sums_of(path))
    with pytest.raises(RunFolderError, match=rf":{7 - lost}: damaged, it has {6 - lost} whole lines"):
        require_sums(path)
    assert list(read_ledger(path)) == RECORDS[:-lost], "while it runs a sum without its line is nothing"


def test_without_sums_it_is_read_and_not_continued(written, tmp_path_factory):
    path = copied(written, tmp_path_factory)
    sums_of(path).unlink()
    require_sums(path)
    assert list(read_ledger(path)) == RECORDS
    with pytest.raises(RunFolderError, match=r"l\.sha256: missing, .*force=true"):
        Ledger(path)
    path.write_bytes(b"")
    with Ledger(path) as ledger:  # nothing has been recorded yet
        assert ledger.lines == 0


def test_fewer_sums_than_lines_are_damage(written, tmp_path_factory):
    path = copied(written, tmp_path_factory)
    sums_of(path).write_bytes(sums_of(path).read_bytes()[: -LENGTH - 1])
    for read in (require_sums, Ledger, lambda path: list(whole_lines(path))):
        with pytest.raises(RunFolderError, match=r"l\.jsonl:5: damaged, it has no sum in l\.sha256"):
            read(path)


@pytest.mark.parametrize("name", ["l.jsonl", "l.sha256"])
def test_two_writers_are_noticed_at_once(written, tmp_path_factory, name):
    path = copied(written, tmp_path_factory)
    with Ledger(path) as ledger:
        ledger.append(RECORDS[0] | {"request": 7})
        with open(path.with_name(name), "ab") as other:
            other.write(b"{}\n")
        for act in (lambda: ledger.append(RECORDS[0] | {"request": 8}), ledger.require_whole):
            with pytest.raises(RunFolderError, match="another process has been writing to it") as caught:
                act()
            assert str(caught.value).startswith(f"{path.with_name(name)}: holds ")
    assert path.read_bytes().count(b'"request": 8') == 0


def test_what_changes_under_a_run_is_found_at_its_end(written, tmp_path_factory):
    path = copied(written, tmp_path_factory)
    with Ledger(path) as ledger:
        content = path.read_bytes()
        path.write_bytes(content.replace(b'"removed"', b'"refused"', 1))
        with pytest.raises(RunFolderError, match=r"l\.jsonl:1: damaged"):
            ledger.require_whole()


@given(asked=st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_prefixes_are_those_of_the_bytes_in_any_order(written, asked):
    import hashlib

    lines = (written / "l.jsonl").read_bytes().splitlines(keepends=True)
    with Ledger(written / "l.jsonl") as ledger:
        for count in asked:
            right = hashlib.sha256(b"".join(lines[:count])).hexdigest()
            assert ledger.prefix(count) == {"lines": count, "sha256": right}


def test_records_that_are_cut_off_leave_a_ledger_at_every_step(written, tmp_path_factory):
    """The ledger first, its sums then; ended in between, what is left over of the sums counts for nothing."""
    path = copied(written, tmp_path_factory)
    all_sums = sums_of(path).read_bytes()
    with Ledger(path) as ledger:
        ledger.keep(2)
        assert list(ledger.records()) == RECORDS[:2]
        ledger.append(RECORDS[2])
        ledger.require_whole()
    sums_of(path).write_bytes(all_sums)
    with Ledger(path) as ledger:
        assert ledger.lines == 3
        ledger.append(RECORDS[3])
        ledger.require_whole()
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == RECORDS[:4]


@given(ids=st.lists(st.lists(st.integers(0, 3000), max_size=5), max_size=20), far=st.integers(0, 2**70))
def test_ids_are_a_set(ids, far):
    found, right = Ids(), set()
    for some in [*ids, [far]]:
        found.update(some)
        right |= {*some}
    assert list(found) == sorted(right)
    assert len(found) == len(right)
    assert all(one in found for one in right)
    assert not any(one in found for one in range(3001) if one not in right)
