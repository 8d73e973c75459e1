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


def require_positive(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless it is a finite number > 0."""
    return _require(name, value, "a finite number > 0", lambda v: 0 < v < float("inf"))


def require_probability(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless 0 < value < 1."""
    return _require(name, value, "a number strictly between 0 and 1", lambda v: 0 < v < 1)


def require_share(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless 0 < value <= 1."""
    return _require(name, value, "a number above 0 and at most 1", lambda v: 0 < v <= 1)


def require_count(name: str, value: Any, least: int = 1) -> int:
    """Return ``value`` as an int, or raise ``InvalidValue`` unless it is a whole number >= ``least``."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise InvalidValue(name, value, f"a whole number >= {least}")
    return int(value)


def require_choice(name: str, value: Any, choices: Any) -> str:
    """Return ``value``, or raise ``InvalidValue`` unless it is one of ``choices``."""
    if value not in choices:
        raise InvalidValue(name, value, "one of " + ", ".join(map(str, choices)))
    return str(value)


def _require(name: str, value: Any, allowed: str, test: Any) -> float:
    try:
        number = float(value) if not isinstance(value, (str, bool)) else float("nan")
    except (TypeError, ValueError):
        number = float("nan")
    if not test(number):
        raise InvalidValue(name, value, allowed)
    return number
