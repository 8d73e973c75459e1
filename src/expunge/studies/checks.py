"""Checks that studies share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.core.errors import InvalidValue


def require_names(key: str, given: Any, allowed: Sequence[str]) -> list[str]:
    """Return a list of one or more distinct names out of ``allowed``, in the order given.

    Raises:
        InvalidValue: It is something else.
    """
    ok = isinstance(given, (list, tuple)) and given and all(isinstance(name, str) for name in given)
    if not ok or not set(given) <= set(allowed) or len(set(given)) < len(given):
        raise InvalidValue(key, given, "a list of one or more of " + ", ".join(allowed) + ", each once")
    return list(given)
