"""Errors a user can mend: each is one clear line, and the command line turns it into exit code 2."""

from __future__ import annotations

from typing import Any


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
        super().__init__(f"{name}: got {got!r}, allowed: {allowed}")

    def within(self, group: str) -> InvalidValue:
        """Return the same complaint with ``group.`` before the name."""
        return InvalidValue(f"{group}.{self.name}", self.got, self.allowed)


class DataError(UserError):
    """A data file or folder is missing, unreadable or holds what it must not."""


class RunFolderError(UserError):
    """A run folder cannot be continued or read."""


def last_line(error: BaseException) -> str:
    """The last line of an error's text (where libraries put the cause), or its type where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
