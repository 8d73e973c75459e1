"""One scenario, killed at some of its events and begun again, against one that was left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kills.compare import differences
from tests.kills.events import KILLED, Done, ended
from tests.kills.scenarios import Scenario


@dataclass(frozen=True)
class Unbroken:
    """A scenario that was left alone: the events it came to, what was there before, and what after it."""

    scenario: Scenario
    folder: Path
    before: Path
    after: Path
    events: list[str]


def unbroken(scenario: Scenario, root: Path) -> Unbroken:
    """Do the whole scenario once under ``root``."""
    folder, before, after = (root / name for name in ("work", "before", "after"))
    folder.mkdir(parents=True)
    _sound(ended(_at(scenario.before, folder), folder))
    shutil.copytree(folder, before, symlinks=True)
    done = ended(_at(scenario.work, folder), folder)
    _sound(done)
    shutil.copytree(folder, after, symlinks=True)
    return Unbroken(scenario, folder, before, after, done.events)


def killed(whole: Unbroken, *at: int) -> Iterator[str]:
    """End it at the first of these events, the same command at the next, and so on; then leave it alone.

    Yields:
        What is not as it is after an unbroken one.
    """
    shutil.rmtree(whole.folder)
    shutil.copytree(whole.before, whole.folder, symlinks=True)
    for event in at:
        done = ended(_at(whole.scenario.work, whole.folder), whole.folder, event)
        if done.code not in (0, KILLED):
            yield f"ended with {done.code}: {done.said}"
    done = ended(_at(whole.scenario.work, whole.folder), whole.folder)
    if done.code:
        yield f"the same command ended with {done.code}: {done.said}"
    elif "Traceback" in done.said:
        yield done.said
    yield from differences(whole.folder, whole.after, whole.scenario.named_alone)


def _at(work: Callable[[], object], folder: Path) -> Callable[[], int]:
    def there() -> int:
        os.chdir(folder)
        return int(work() or 0)  # type: ignore[call-overload]

    return there


def _sound(done: Done) -> None:
    assert done.code == 0, done.said
