"""Compiled functions, and the files that keep what was compiled: without them it takes longer."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache, NullCache

from expunge.core.errors import one_line
from expunge.core.homes import has_home, private_folder

log = logging.getLogger(__name__)

_CONFIG: Any = numba.config


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` without the interpreter's lock, whose code is kept in files where it can be.

    numba keeps it beside the source, or in the user's home. Where it may write to neither, it lies in a
    folder that is this user's alone, or nowhere.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, **options)(function)
        dispatcher._cache = _cache_of(function)
        return dispatcher

    return compiled


class _Cache(FunctionCache):
    """Files of compiled code: one that is damaged or cannot be written costs no run."""

    _said = False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # damaged pickles raise all sorts
            self._say(error)
        try:
            self.flush()  # an index of nothing, to which what is compiled now can be added
        except OSError as error:
            self._say(error)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self._say(error)

    def _say(self, error: Exception) -> None:
        """Once a process: a function has many, and there are many functions."""
        if not _Cache._said:
            what = f"{self.cache_path}: cannot be used ({one_line(error)})"
            log.warning("%s; functions are compiled again, which takes longer", what)
        _Cache._said = True


def _cache_of(function: Callable[..., Any]) -> FunctionCache | NullCache:
    # Without a home numba would make a folder of the name ~ in the current one.
    if has_home() or os.environ.get("XDG_CACHE_HOME") or _CONFIG.CACHE_DIR:
        try:
            return _Cache(function)
        except RuntimeError:  # no place that can be written to
            pass
    folder, given = private_folder(), _CONFIG.CACHE_DIR
    if folder is None:
        return NullCache()
    try:
        _CONFIG.CACHE_DIR = str(folder / "numba")
        return _Cache(function)
    except RuntimeError:
        return NullCache()
    finally:
        _CONFIG.CACHE_DIR = given
