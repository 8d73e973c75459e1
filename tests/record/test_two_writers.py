"""Two processes that both think they hold the lock, as on two hosts: no ledger they spoil is finished."""

from __future__ import annotations

import random
import re
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from expunge.core.errors import RunFolderError
from expunge.record import ledger as module
from expunge.record.ledger import Ledger
from expunge.record.sums import LENGTH, sums_of
from expunge.run import runner
from tests import cli
from tests.core.shims import locks

LINES, COUNT = 3, 30
RUN = (*cli.SMALL, f"removal.count={COUNT}", "unlearner=newton", "checkpoint_every=20", "resume=auto")


class Turns:
    """Threads of which one goes on at a time; before every line of the ledger's code chance says which."""

    def __init__(self, seed: int) -> None:
        self._chance, self._may = random.Random(seed), {}
        self._often = self._chance.choice((0.03, 0.1, 0.3))

    def together(self, *works) -> None:
        threads = [
            threading.Thread(target=self._do, args=(number, work)) for number, work in enumerate(works)
        ]
        self._may = {number: threading.Semaphore(0) for number, _ in enumerate(works)}
        for thread in threads:
            thread.start()
        self._next()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()

    def _do(self, number: int, work) -> None:
        self._may[number].acquire()
        sys.settrace(
            lambda frame, *_: self._traced(number) if frame.f_code.co_filename == module.__file__ else None
        )
        try:
            work()
        finally:
            sys.settrace(None)
            del self._may[number]
            self._next()

    def _traced(self, number: int):
        def at_line(*_):
            if self._chance.random() < self._often:
                self._next()
                self._may[number].acquire()
            return at_line

        return at_line

    def _next(self) -> None:
        if self._may:
            self._may[self._chance.choice(sorted(self._may))].release()


def together(path: Path, seed: int) -> bool:
    """Let two write a ledger in turns, and say whether who finished it left it whole."""
    finished, refused, chance = [], [], random.Random(seed)
    with Ledger(path, keys=("request",)) as before:
        for number in range(1, chance.randrange(LINES) + 1):
            before.append({"request": number, "by": 0})
    with open(path, "ab") as file:
        file.write(b"cut" * chance.randrange(2))

    def writer(name: int):
        def work() -> None:
            try:
                with Ledger(path, keys=("request",)) as ledger:
                    while ledger.lines < LINES:
                        ledger.append({"request": ledger.lines + 1, "by": name * 10 ** chance.randrange(3)})
                    ledger.require_whole()
                    finished.append(path.read_bytes())
            except RunFolderError as error:
                refused.append(str(error))

        return work

    Turns(seed).together(writer(1), writer(2))
    assert len(finished) + len(refused) == 2
    assert "\n" not in "".join(refused)
    assert all(content.count(b"\n") == LINES for content in finished)
    if any(path.read_bytes() != content for content in finished):
        return False
    return not finished or sums_of(path).stat().st_size == LINES * LENGTH


def test_nobody_finishes_a_ledger_that_two_have_written_to(tmp_path):
    """But for a claim that the other takes for one of a process that has died, and cuts off.

    From the files alone nobody can tell the two apart. The window is the time between a sum and its line;
    with as many turns as here it opens for one pair in some hundreds. What it leaves is seen by every reader.
    """
    spoiled = []
    for seed in range(500):
        (folder := tmp_path / str(seed)).mkdir()
        if not together(folder / module.FILE, seed):
            spoiled.append(folder / module.FILE)
    assert len(spoiled) <= 5
    for path in spoiled:
        with pytest.raises(RunFolderError):
            Ledger(path, keys=("request",))


def whole(folder: Path) -> bool:
    """Whether a run is finished; then its ledger is whole."""
    if not ((folder / "summary.json").exists() or (folder / "DONE").exists()):
        return False
    assert len(cli.records(folder)) == COUNT
    assert sums_of(folder / module.FILE).stat().st_size == COUNT * LENGTH
    assert cli.summary(folder)["requests"] == COUNT
    return True


def test_of_two_runs_in_one_folder_without_locks_between_hosts(tmp_path):
    env = locks(tmp_path, "host")
    both = [cli.start(*RUN, "hydra.run.dir=run", cwd=tmp_path, **env) for _ in range(2)]
    while any(process.poll() is None for process in both):
        whole(tmp_path / "run")
        time.sleep(0.01)
    for ended in map(cli.wait, both):
        assert ended.code == 0 or len(ended.err.splitlines()) == 1, ended
    if any(process.returncode == 0 for process in both):
        assert whole(tmp_path / "run")
    again = cli.expunge(*RUN, "hydra.run.dir=run", cwd=tmp_path)
    assert whole(tmp_path / "run") == (again.code == 0), again.err


@pytest.mark.parametrize("recorded", [25, COUNT])
def test_what_another_process_has_ended_meanwhile_stays_ended(tmp_path, monkeypatch, recorded):
    """This one found ``recorded`` requests and no summary, and had not looked again when the other ended."""
    unbroken, left = tmp_path / "unbroken", tmp_path / "left"
    done, catch_up = runner.RunCheckpoint.done, runner._catch_up
    monkeypatch.setattr(runner.RunCheckpoint, "done", lambda self: shutil.copy(self.path, tmp_path))
    assert cli.expunge(*RUN, f"hydra.run.dir={unbroken}", cwd=tmp_path).code == 0
    monkeypatch.setattr(runner.RunCheckpoint, "done", done)
    shutil.copytree(unbroken, left)
    for gone in ("summary.json", "summary.sha256", "model.safetensors"):
        (left / gone).unlink()
    for name in (left / module.FILE, sums_of(left / module.FILE)):
        name.write_bytes(b"".join(name.read_bytes().splitlines(keepends=True)[:recorded]))

    def while_another_ends_it(*arguments):
        catch_up(*arguments)
        shutil.copytree(unbroken, left, dirs_exist_ok=True)

    monkeypatch.setattr(runner, "_catch_up", while_another_ends_it)
    ended = cli.expunge(*RUN, f"hydra.run.dir={left}", cwd=tmp_path)
    assert ended.code == 2, ended
    assert re.fullmatch(r".*another process.*\n", ended.err)
    assert whole(left)
