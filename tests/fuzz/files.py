"""Hostile files of a user's: ``python -m tests.fuzz.files [--count N] [--seed S] [--kind PART]``.

Valid small files of every kind are spoiled by chance, each is given to what reads it, in a process of its
own, and how that ends is judged: code 2 and one line that names the file or its key, or no effect; never a
traceback, a hang, or more memory than the rule allows; no folder left, and nothing that was there is touched.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import stat
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.forked import Outcome, forked
from tests.fuzz.kinds import OUT, Kind, all_kinds
from tests.fuzz.mutations import spoil

MOST = 400 << 20  # bytes that a reader may hold of a small file, its libraries' own among them


@dataclass(frozen=True)
class Judged:
    """What was done, how it ended, and what is wrong with that (None: nothing)."""

    kind: str
    how: str
    outcome: Outcome
    fault: str | None


def run(count: int, seed: int, where: Path, part: str = "") -> Iterator[Judged]:
    """Spoil ``count`` files, of the kinds in turn."""
    kinds = [kind for kind in all_kinds(where / "pattern") if part in kind.name]
    (where / "pattern").mkdir()
    others = _contents(kinds[:12], where / "others")
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        folder = where / str(number)
        folder.mkdir()
        kind = kinds[number % len(kinds)]
        file = kind.make(folder)
        how = spoil(file, others, draw)
        yield judged(kind, how, folder, file)


def judged(kind: Kind, how: str, folder: Path, file: Path, refused: bool = False, most: int = MOST) -> Judged:
    """Give a file to what reads it; ``refused``: that must be so."""
    before = content_of(folder)
    outcome = forked(kind.action(folder, file))
    return Judged(kind.name, how, outcome, _fault(kind, folder, file, outcome, before, refused, most))


def _fault(
    kind: Kind, folder: Path, file: Path, outcome: Outcome, before: dict[str, str], refused: bool, most: int
) -> str | None:
    if "Traceback" in outcome.err + outcome.out:
        return "a traceback"
    if outcome.code not in kind.codes:
        return f"code {outcome.code}"
    if outcome.grown > most:
        return f"{outcome.grown >> 20} MiB"
    if outcome.code == 2:
        if outcome.err.count("\n") != 1:
            return f"{outcome.err.count(chr(10))} lines"
        names = (file.name, str(file), file.parent.name, *kind.named)
        if not any(name in outcome.err for name in names):
            return "a line that names neither file nor key"
        if len(outcome.err) > 2000:
            return "a line that nobody reads"
        if (folder / OUT).exists() and not _of_the_rest(folder / OUT, outcome):
            return "a folder is left"
    elif refused:
        return "not refused"
    after = content_of(folder)
    changed = [name for name in before if after.get(name) != before[name]]
    if changed and not (outcome.code == 0 and kind.name.startswith(("resume", "cached"))):
        return f"{changed[0]} was changed"
    return None


def _of_the_rest(out: Path, outcome: Outcome) -> bool:
    """Whether it is a report of the runs that are whole; the line says which one is not."""
    return "damaged, left out: " in outcome.err and (out / "report.html").is_file()


def content_of(folder: Path) -> dict[str, str]:
    """What lies under a folder: name -> kind and digest."""
    found = {}
    for here, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(here, name)
            mode = path.lstat().st_mode
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""
            found[str(path.relative_to(folder))] = f"{stat.S_IFMT(mode)} {digest}"
    return found


def _contents(kinds: list[Kind], where: Path) -> list[bytes]:
    found = []
    for number, kind in enumerate(kinds):
        (where / str(number)).mkdir(parents=True)
        found.append(kind.make(where / str(number)).read_bytes())
    return found


def main() -> int:
    """Run the command; returns how many ended as they must not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", default="", help="of kinds whose name has this in it alone")
    parser.add_argument("--show", action="store_true", help="every line that is said")
    options = parser.parse_args()
    started, codes, bad, slowest, largest = time.perf_counter(), Counter[int](), 0, 0.0, 0
    with tempfile.TemporaryDirectory() as where:
        for number, one in enumerate(run(options.count, options.seed, Path(where), options.kind)):
            codes[one.outcome.code] += 1
            slowest, largest = max(slowest, one.outcome.seconds), max(largest, one.outcome.grown)
            if one.fault or options.show:
                bad += one.fault is not None
                said = one.outcome.err[-1500:] if one.fault else one.outcome.err
                sys.stdout.write(f"{number} {one.kind}: {one.how}: {one.fault or 'good'}: {said.strip()}\n")
                sys.stdout.flush()
            if (number + 1) % 50 == 0 or number + 1 == options.count:
                _sum_up(number + 1, codes, bad, slowest, largest, time.perf_counter() - started)
    return min(bad, 1)


def _sum_up(count: int, codes: Counter[int], bad: int, slowest: float, largest: int, taken: float) -> None:
    codes_said = ", ".join(f"{count} of code {code}" for code, count in sorted(codes.items()))
    sys.stdout.write(
        f"{count} files: {codes_said}; {bad} faults; the slowest {slowest:.1f} s, the largest "
        f"{largest >> 20} MiB; {taken:.0f} s in all\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
