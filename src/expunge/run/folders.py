"""Where data lie, and where what was trained or extracted is kept."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.core.homes import expanded, has_home, private_folder

_NOWHERE = Path(os.sep, "nonexistent", "expunge")


def data_dir(settings: dict[str, Any]) -> Path:
    """``data_dir``, or ``$EXPUNGE_DATA``, or ``~/.cache/expunge``."""
    return _folder(settings, "data_dir", os.environ.get("EXPUNGE_DATA") or _own())


def cache_dir(settings: dict[str, Any]) -> Path:
    """``cache_dir``, or ``$EXPUNGE_CACHE``, or ``~/.cache/expunge/trained``: networks and features."""
    return _folder(settings, "cache_dir", os.environ.get("EXPUNGE_CACHE") or _own() / "trained")


@cache
def _own() -> Path:
    """``~/.cache/expunge``; without a home folder one among the temporary ones, or one that is not there."""
    return Path.home() / ".cache" / "expunge" if has_home() else private_folder() or _NOWHERE


def _folder(settings: dict[str, Any], key: str, otherwise: str | Path) -> Path:
    given = otherwise if settings[key] is None else settings[key]
    if not (isinstance(given, (str, Path)) and str(given).strip() and "\0" not in str(given)):
        raise InvalidValue(key, given, "the path of a folder")
    try:
        path = expanded(given).absolute()
    except DataError as error:
        raise UserError(f"{key}: {error}") from None
    if path.exists() and not path.is_dir():
        raise UserError(f"{key}: {path} is not a folder")
    return path
