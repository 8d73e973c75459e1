"""What is wrong with how a generated command line ended."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shutil
import signal
import stat
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cli
from tests.fuzz.line import Line
from tests.fuzz.world import Seen, seen, valid_run

SECONDS = 20.0
"""That a line may take, of the processor: others may be using it."""
_MAINS = {f"expunge-{name}": f"expunge.{name}.app" for name in ("report", "verify", "audit", "reproduce")}


class TooLong(BaseException):
    """A line did not come to an end."""


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def ended(line: Line, cwd: Path) -> cli.Ended:
    """Run a line in this process."""
    if line.program == "expunge":
        return cli.expunge(*line.arguments, cwd=cwd)
    out, err = io.StringIO(), io.StringIO()
    main = importlib.import_module(_MAINS[line.program]).main
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", [line.program, *line.arguments])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main()
            except SystemExit as end:
                code = end.code
    return cli.Ended(code or 0, out.getvalue(), err.getvalue())


def judged(line: Line, root: Path, before: Seen, seconds: float = SECONDS) -> tuple[str, int]:
    """Run a line in ``root``, which is left as it was.

    Returns:
        What is wrong, or nothing; and the exit code.
    """
    try:
        with _limit(seconds), warnings.catch_warnings():
            warnings.simplefilter("always")
            end = ended(line, root)
    except TooLong:
        _restore(root, before)
        return f"longer than {seconds:g} s", -1
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        _restore(root, before)
        return (
            f"traceback: {type(error).__name__}: {str(error)[:200]} ({last.filename[-40:]}:{last.lineno})",
            -2,
        )
    after = seen(root)
    wrong = _wrong(line, end, root, before, after)
    _restore(root, before)
    return wrong, end.code


def _wrong(line: Line, end: cli.Ended, root: Path, before: Seen, after: Seen) -> str:
    changed = [path for path in before if before[path] != after.get(path)]
    if changed:
        return f"touched {changed[:4]} (rc {end.code}: {end.err[:200]})"
    said = end.err.splitlines()
    if "Traceback" in end.err + end.out:
        return f"traceback in a message: {end.err[-300:]}"
    swept = (
        any(word == "-m" or word.startswith("--multi") or "seeds=" in word for word in line.arguments)
        or "sweep:" in end.out
    )
    spared = swept or line.program == "expunge-reproduce"  # which say which cell or row it is
    bad = [text for text in said if not (text.startswith(f"{line.program}: ") or "left out" in text)]
    if bad and not spared:
        return f"rc {end.code}, not a line of ours: {bad[0][:300]}"
    if end.code == 0:
        return _wrong_of_success(line, root, before, after)
    new = sorted(set(after) - set(before))
    if swept:
        return "" if end.code in (1, 2) and said else f"rc {end.code}: {end.err[:200]}"
    if end.code != 2 or len(said) != 1:
        return f"rc {end.code}, {len(said)} lines: {end.err[:400]}"
    if new:
        return f"left {new[:4]} after: {said[0][:200]}"
    if not _names(line, said[0]):
        return f"does not name {line.names[:4]}: {said[0][:300]}"
    return "" if len(said[0]) < 3000 else f"a line of {len(said[0])} signs"


def _wrong_of_success(line: Line, root: Path, before: Seen, after: Seen) -> str:
    if line.never:
        return "taken"
    new = sorted(set(after) - set(before))
    for path in new:
        if path.endswith("summary.json"):
            try:
                wrong = valid_run((root / path).parent)
            except ValueError as error:
                wrong = str(error)
            if wrong:
                return f"{path}: {wrong}"
    return ""


def _names(line: Line, said: str) -> bool:
    """Whether a refusal names what is wrong: a key whole or its last part, or what was given."""
    for name in line.names:
        last = name.rpartition(".")[2] or name
        for text in {name, last} if re.fullmatch(r"[\w.]+", name) else {name}:
            if text and re.search(rf"(?<![\w]){re.escape(text)}(?![\w])", said):
                return True
        if name and not re.fullmatch(r"[\w.]+", name) and name in said:
            return True
    return False


def _restore(root: Path, before: Seen) -> None:
    """Delete what is new, and make the empty folder again that is no more; the rest cannot be mended."""
    after = seen(root)
    for path in sorted(set(before) - set(after)):
        if stat.S_ISDIR(before[path][0]):
            (root / path).mkdir()
    for path in sorted(set(after) - set(before), reverse=True):
        there = root / path
        if there.is_symlink() or not there.is_dir():
            there.unlink(missing_ok=True)
        else:
            shutil.rmtree(there)
