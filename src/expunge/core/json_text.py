"""JSON that says one thing: text of a file's, as long as it is and no more."""

from __future__ import annotations

import json
import re
from typing import Any

# Halves of characters, and numbers that may be larger than any float.
_SUSPECT = re.compile(r"\\u[dD]|[eE]\+?[0-9]{3}|[0-9]{309}")


def parse_json(content: str | bytes) -> Any:
    """What JSON text says, be it UTF-8.

    Of keys that are given twice, of NaN and infinity, and of halves of characters nobody knows what they
    say. It may nest as deep as Python calls, and a number may have as many digits as Python reads.

    Raises:
        ValueError: It says nothing, or not one thing; ``json.JSONDecodeError`` where a place can be told.
    """
    text = content if isinstance(content, str) else content.decode()
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it nests too deep") from None
    if _SUSPECT.search(text):
        _require_plain(found)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _require_plain(found: Any) -> None:
    try:
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half of a character (\\ud800 to \\udfff)") from None
    except ValueError:
        raise ValueError("a number is larger than any float") from None
