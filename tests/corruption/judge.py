"""What became of a command that went on from something corrupted."""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.corruption.damage import damage
from tests.corruption.subjects import SUBJECTS, Subject, outputs

SECONDS = 120


@dataclass(frozen=True)
class Case:
    """One corruption.

    Attributes:
        verdict: ``refused`` in one line, ``no effect``, or what must not be: ``silent``, ``traceback``,
            ``lines``, ``unnamed``, ``hung``.
    """

    subject: str
    number: int
    file: str
    how: str
    verdict: str
    said: str = ""

    @property
    def good(self) -> bool:
        """Whether it ended as it must."""
        return self.verdict in ("refused", "no effect")


class Prepared:
    """A subject's folder as it was left, and what comes of it where nothing is corrupted."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.before, self.work = subject, folder / "before", folder / "work"
        self.work.mkdir(parents=True)
        subject.make(self.work)
        shutil.copytree(self.work, self.before)
        ended = subject.go_on(self.work)
        assert (ended.code, ended.err) == (0, ""), ended.err
        self.wanted = outputs(self.work, subject.compared)
        found = {
            path.relative_to(self.before).as_posix()
            for one in subject.files
            for path in self.before.glob(one)
        }
        self.files = sorted(found)
        assert self.files

    def case(self, number: int, seed: int) -> Case:
        """Corrupt one file, and go on."""
        subject = self.subject
        rng = np.random.default_rng([seed, number, *subject.name.encode()])
        shutil.rmtree(self.work)
        shutil.copytree(self.before, self.work)
        name = self.files[int(rng.integers(len(self.files)))]
        others = [*subject.others, *(one for one in self.files if one != name)]
        how = damage(self.work, name, others, subject.forged, rng)
        verdict, said = self._judged(name, how == "deleted")
        return Case(subject.name, number, name, how, verdict, said)

    def _judged(self, name: str, deleted: bool) -> tuple[str, str]:
        def late(*_: object) -> None:
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(SECONDS)
        try:
            ended = self.subject.go_on(self.work)
        except TimeoutError:
            return "hung", ""
        except Exception:
            return "traceback", traceback.format_exc().splitlines()[-1]
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        lines = ended.err.splitlines()
        if "Traceback" in ended.err:
            return "traceback", lines[-1]
        if ended.code == 0:
            now, found = self.wanted, outputs(self.work, self.subject.compared)
            # whoever made a run may keep the secret of it elsewhere
            elsewhere = {name} if deleted and Path(name).name == "state.safetensors" else set()
            differ = [
                path
                for path in sorted(now | found)
                if now.get(path) != found.get(path) and path not in elsewhere
            ]
            return ("silent", f"{differ}") if differ else ("no effect", " ".join(lines))
        if ended.code not in (1, 2) or len(lines) != 1:
            return "lines", f"rc {ended.code}: {ended.err}"
        file = Path(name).name
        named = re.search(rf"(?<![\w.-]){re.escape(file)}(?!\.?\w)", lines[0])
        named = named or self.subject.by_check or (file in _BY_KEY and "resume: " in lines[0])
        return ("refused" if named else "unnamed"), lines[0]


# What differs is named by its key: who looks for it there finds it in the configuration, or in its input.
_BY_KEY = ("config.yaml", "inputs.json")


def cases(count: int, seed: int, names: tuple[str, ...] = ()) -> Iterator[Case]:
    """Corrupt ``count`` times, each of the subjects as often."""
    chosen = [SUBJECTS[name] for name in names or SUBJECTS]
    with tempfile.TemporaryDirectory() as folder:
        for k, subject in enumerate(chosen):
            prepared = Prepared(subject, Path(folder) / subject.name)
            for number in range(k, count, len(chosen)):
                yield prepared.case(number, seed)
            shutil.rmtree(Path(folder) / subject.name)
