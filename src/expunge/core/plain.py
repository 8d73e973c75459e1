"""Values as JSON has them: one door for all that is written as text, whoever made it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.errors import InvalidValue

_ALLOWED = "text, true, false, null, a finite number, or lists and mappings of these"


def plain(value: Any, name: str = "value") -> Any:
    """Return ``value`` as JSON gives it back: scalars of numpy and torch as Python's, tuples as lists.

    Keys become text.

    Args:
        value: What is to be written.
        name: What messages call it; what lies within is named after it, ``name.key`` and ``name[2]``.

    Raises:
        InvalidValue: Something within is nothing that JSON has (NaN and infinity are not).
    """
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, bool):
        return None if value is None else bool(value)
    if isinstance(value, (str, int)):
        return str.__str__(value) if isinstance(value, str) else int(value)
    if isinstance(value, (float, np.floating)) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping):
        return {_key(key, name): plain(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, f"{name}[{k}]") for k, inner in enumerate(value)]
    raise InvalidValue(name, value, _ALLOWED)


def _key(key: Any, name: str) -> str:
    found = plain(key, f"a key of {name}")
    if isinstance(found, (list, dict)):
        raise InvalidValue(f"a key of {name}", key, "text or a number")
    return found if isinstance(found, str) else json.dumps(found)


def as_json(value: Any, name: str = "value", **how: Any) -> str:
    """Return ``value`` as JSON text; ``how`` is for ``json.dumps``.

    Raises:
        InvalidValue: See ``plain``.
    """
    return json.dumps(plain(value, name), allow_nan=False, **how)


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers by name, with None for NaN and infinity, which JSON does not have.

    Raises:
        InvalidValue: A value is neither a number nor None.
    """
    found = {}
    for name, value in values.items():
        try:
            found[name] = None if value is None or not math.isfinite(value) else value
        except (TypeError, ValueError, OverflowError):
            raise InvalidValue(name, value, "a number, or None where there is none") from None
    return found
