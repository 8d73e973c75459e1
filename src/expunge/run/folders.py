"""Where data lie, and where what was trained or extracted is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from expunge.core.errors import InvalidValue, UserError

_HOME = "~/.cache/expunge"


def data_dir(settings: dict[str, Any]) -> Path:
    """``data_dir``, or ``$EXPUNGE_DATA``, or ``~/.cache/expunge``."""
    return _folder(settings, "data_dir", os.environ.get("EXPUNGE_DATA") or _HOME)


def cache_dir(settings: dict[str, Any]) -> Path:
    """``cache_dir``, or ``$EXPUNGE_CACHE``, or ``~/.cache/expunge/trained``: networks and features."""
    return _folder(settings, "cache_dir", os.environ.get("EXPUNGE_CACHE") or f"{_HOME}/trained")


def _folder(settings: dict[str, Any], key: str, otherwise: str) -> Path:
    given = otherwise if settings[key] is None else settings[key]
    if not (isinstance(given, (str, Path)) and str(given).strip() and "\0" not in str(given)):
        raise InvalidValue(key, given, "the path of a folder")
    path = Path(given).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise UserError(f"{key}: {path} is not a folder")
    return path
