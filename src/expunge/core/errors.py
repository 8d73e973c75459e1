"""Errors a user can mend: each is one clear line, and the command line turns it into exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LONGEST = 400  # of what a message shows of a value
_SPACES = "\u00a0\u2007\u2009\u202f"  # which do not break, or are thin


class UserError(ValueError):
    """Something the user gave cannot be used; ``str()`` of it is one line fit to be shown."""


class InvalidValue(UserError):
    """A named value is not allowed.

    Args:
        name: The parameter's name; the command line puts the config group before it (``unlearner.lam``).
        got: What was given.
        allowed: What would have been right, in words.
    """

    def __init__(self, name: str, got: Any, allowed: str) -> None:
        self.name, self.got, self.allowed = name, got, allowed
        super().__init__(f"{name}: got {_shown(got)}, allowed: {allowed}")

    def within(self, group: str) -> InvalidValue:
        """Return the same complaint with ``group.`` before the name."""
        return InvalidValue(f"{group}.{self.name}", self.got, self.allowed)


def _shown(got: Any) -> str:
    """What ``repr`` says of a value, in one line that is no longer than it helps."""
    text = one_line(repr(got))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({type(got).__name__})"


class DataError(UserError):
    """A data file or folder is missing, unreadable or holds what it must not.

    Args:
        reason: What is wrong with it.
        name: The parameter that named it; None where it is found without one.
    """

    def __init__(self, reason: str, name: str | None = None) -> None:
        self.reason, self.name = reason, name
        super().__init__(reason if name is None else f"{name}: {reason}")

    def within(self, group: str) -> DataError:
        """Return the same complaint with ``group.`` before the name, if it has one."""
        return self if self.name is None else DataError(self.reason, f"{group}.{self.name}")


class PeerLost(Exception):
    """Another process of the same program, which this one needs, is gone or has failed."""


class RunFolderError(UserError):
    """A run folder cannot be continued or read."""


class BrokenInvariant(RuntimeError):
    """What must always hold does not: the program, or a part of one's own, is wrong, and not what was given.

    What it was about to do is not done; ``str()`` of it is one line fit to be shown.

    Args:
        name: What is wrong, by the name that the records give it.
        got: What it is.
        must: What it must be, in words and with the number that it is compared with.
        where: What it is of, such as a request.
    """

    def __init__(self, name: str, got: Any, must: str, where: str | None = None) -> None:
        self.name, self.got, self.must = name, got, must
        super().__init__(f"{f'{where}: ' if where else ''}{name} is {got!r}, and must be {must}")

    def at(self, where: str) -> BrokenInvariant:
        """Return the same complaint with what it is of before it."""
        return BrokenInvariant(self.name, self.got, self.must, where)


def last_line(error: BaseException) -> str:
    """The last line of an error's text (where libraries put the cause), or its type where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def one_line(error: object) -> str:
    """The text of an error with its lines joined, and nothing in it that steers a terminal."""
    return printable(" ".join(line.strip() for line in str(error).splitlines() if line.strip()))


def printable(text: str, but: str = "") -> str:
    """Text that steers no terminal, whoever wrote it: a question mark for every sign that is not printed.

    Such are escapes, marks that turn the direction of reading, and halves of a pair; ``but`` stay.
    """
    return "".join(c if c.isprintable() or c in _SPACES or c in but else "?" for c in text.replace("\t", " "))


class _Kept:
    """What is kept, rather than printed, while a command is carried out for a program in Python."""

    complaints: list[str] | None = None


@contextmanager
def unprinted() -> Iterator[list[str]]:
    """Keep ``say`` and ``complain`` from printing as long as this lasts; the list gets what is complained of.

    It holds for all threads: what a command says comes from several.
    """
    before, _Kept.complaints = _Kept.complaints, []
    try:
        yield _Kept.complaints
    finally:
        _Kept.complaints = before


def say(text: str, styled: bool = False) -> None:
    """Print text on standard output; what a terminal cannot show, or must not be told, is a question mark.

    Text that is ``styled`` is ours, and what of it is others' has been through ``printable``.
    """
    if _Kept.complaints is not None:
        return
    encoding, text = sys.stdout.encoding or "utf-8", text if styled else printable(text, but="\n")
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (`| head`) has had enough; the files are written all the same
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(error: object, program: str = "expunge") -> None:
    """Print one line on standard error; in a path or a name no sign steers the terminal."""
    line = "".join(sign if sign.isprintable() else "?" for sign in one_line(error))
    if _Kept.complaints is not None:
        _Kept.complaints.append(line)
        return
    sys.stderr.write(f"{program}: {line}\n")
