"""Folders are emptied in one decided step, and what is in place is whole, wherever a process ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from expunge.core.folders import (
    content,
    delete,
    empty,
    finish,
    missing,
    sweep_up,
    sweep_up_cache,
    unmake,
    whole,
    writing,
)
from expunge.core.locks import exclusive
from tests.kills.events import KILLED, ended


def laid_out(root: Path) -> Path:
    """A folder with files, a folder, and links to a file and a folder outside of it and to nothing."""
    (root / "outside" / "deep").mkdir(parents=True)
    (root / "outside" / "deep" / "precious").write_text("precious")
    folder = root / "folder"
    (folder / "below" / "further").mkdir(parents=True)
    for name in ("a", "summary.json", "keep.log", "below/b", "below/further/c"):
        (folder / name).write_text(name)
    (folder / "below").chmod(0o555)
    (folder / "to_file").symlink_to(root / "outside" / "deep" / "precious")
    (folder / "to_folder").symlink_to(root / "outside")
    (folder / "below" / "further" / "to_folder").symlink_to(root / "outside")
    (folder / "to_nothing").symlink_to(root / "nowhere")
    return folder


HOW = (("keep.log",), ("summary.json",))


def test_emptied_at_once_or_not_at_all_whatever_event_ends_it(tmp_path):
    """Before the deciding step everything is there; after it, the next process finishes it."""
    folder, count, decided = laid_out(tmp_path / "count"), 0, []
    whole_one = ended(lambda: empty(folder, *HOW) or 0, folder.parent)
    assert (whole_one.code, [path.name for path in folder.iterdir()]) == (0, ["keep.log"])
    for event in range(len(whole_one.events)):
        folder = laid_out(tmp_path / str(event))
        before = {path.name for path in folder.iterdir()}
        assert ended(lambda: empty(folder, *HOW) or 0, folder.parent, event).code == KILLED  # noqa: B023
        decided.append(any(path.name.startswith(".gone-") for path in folder.iterdir()))
        if not decided[-1]:
            left = {path.name for path in folder.iterdir()}
            assert left in (before, {"keep.log"})
        finish(folder, *HOW)
        there = {path.name for path in folder.iterdir()}
        assert there == ({"keep.log"} if decided[-1] else left)
        assert (folder.parent / "outside" / "deep" / "precious").read_text() == "precious"
        count += decided[-1]
    assert count > 10
    assert decided[0] is False


def test_as_a_user_who_may_not_write_everywhere(tmp_path):
    tmp_path.chmod(0o777)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        if not os.stat(parent).st_mode & 0o001:
            pytest.skip("the folder of the tests is closed to others")
    folder = tmp_path / "root"

    def work() -> int:
        os.setuid(65534)
        empty(laid_out(folder), *HOW)
        return 0

    if os.getuid():
        pytest.skip("this user cannot become another")
    done = ended(work, folder)
    assert done.code == 0, done.said
    assert [path.name for path in (folder / "folder").iterdir()] == ["keep.log"]
    assert (folder / "outside" / "deep" / "precious").read_text() == "precious"


def test_only_what_is_named_like_ours_is_on_its_way_out(tmp_path):
    """Somebody's folder is not emptied since it holds one that begins the same, or a link of that name."""
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "folder"
    for name in (".gone-fishing", ".gone-" + "0" * 31):
        (folder / name).mkdir(parents=True)
    (folder / (".gone-" + "0" * 32)).symlink_to(tmp_path / "outside")
    (folder / "precious").write_text("")
    before = sorted(folder.iterdir())
    finish(folder)
    assert sorted(folder.iterdir()) == before
    assert not list((tmp_path / "outside").iterdir())
    assert [path.name for path in content(folder)] == [".gone-" + "0" * 31, ".gone-fishing", "precious"]


def test_a_folder_is_put_in_place_when_it_is_whole(tmp_path):
    target = tmp_path / "figures"

    def draw(text: str) -> int:
        with whole(target) as folder:
            folder.mkdir()
            for name in "ab":
                (folder / name).write_text(text)
        return 0

    events = len(ended(lambda: draw("old"), tmp_path).events)
    for event in range(events + 4):
        ended(lambda: draw("new"), tmp_path, event)
        found = {name: (target / name).read_text() for name in "ab"} if target.exists() else {}
        assert len(set(found.values())) <= 1
        sweep_up(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} <= {"figures"}
    with pytest.raises(FileExistsError), whole(target) as folder:
        (folder.mkdir(), folder.mkdir())
    with whole(tmp_path / "nothing"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]


def test_a_cache_is_rid_of_what_kills_left_their_locks_included(tmp_path):
    part = f"a.features.safetensors.{'0' * 32}.part"
    for name in ("a.features.safetensors", part, "a.features.lock", "b.lock", "c.safetensors"):
        (tmp_path / name).write_text("")
    with exclusive(tmp_path / "a.features.lock"):
        sweep_up_cache(tmp_path)
        left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.features.safetensors", part, "a.features.lock", "c.safetensors"}
    (tmp_path / part).touch()
    sweep_up_cache(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.features.safetensors", "c.safetensors"}


def test_only_folders_that_were_made_go_and_only_empty_ones(tmp_path):
    made = missing(tmp_path / "a" / "b" / "c")
    assert [path.name for path in made] == ["c", "b", "a"]
    made[0].mkdir(parents=True)
    (tmp_path / "a" / "other").write_text("")
    unmake(made)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["other"]
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert missing(tmp_path / "link") == []
    delete(tmp_path / "link")
    assert (tmp_path / "a" / "other").exists()


def test_an_error_in_what_is_written_leaves_no_new_folder(tmp_path):
    with pytest.raises(OSError, match="disk"), writing(tmp_path / "a" / "b"):
        raise OSError("disk")
    assert not list(tmp_path.iterdir())
    with writing(tmp_path / "a"):
        (tmp_path / "a" / "file").write_text("")
    with pytest.raises(OSError, match="disk"), writing(tmp_path / "a"):
        raise OSError("disk")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]
