"""Names of identities and classes: their order, how many of them a message shows, and who is meant by one."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from expunge.core.errors import InvalidValue

_NEAREST = 3


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts s2 before s10; every name has its own."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part) if k % 2 else 0, part) for k, part in enumerate(parts)]


def plain(name: str) -> str:
    """Return the name in Unicode's composed form: file systems and keyboards differ in theirs."""
    return unicodedata.normalize("NFC", name)


def listed(names: Iterable[str], shown: int = 10) -> str:
    """Return the names in a row; of more than ``shown``, the first ones and how many there are."""
    known = list(names)
    if len(known) <= shown:
        return ", ".join(known)
    return ", ".join(known[:shown]) + f", ... ({len(known)} in all)"


def require_several(name: str, given: Any, allowed: str) -> list[Any]:
    """Return two or more different names as a list, or raise ``InvalidValue``."""
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, (str, Mapping)) else []
    if len(names) < 2 or len(set(map(str, names))) < len(names):
        raise InvalidValue(name, names or given, allowed)
    return names


def person(known: Mapping[int, str], given: Any, key: str = "identity") -> int:
    """Return the label of the identity that is meant by ``given``; names are compared as text.

    A number that came without quotes may have been another name in the configuration: YAML reads ``007`` as 7
    and ``010`` as 8. It is taken only where no other name could have been read as that number. Where labels
    are the numbers in the names, as in re-identification, 2 means ``0002`` as well.

    Args:
        known: Label -> name.
        given: What the user wrote, as the configuration has it.
        key: The setting that has it.

    Raises:
        InvalidValue: ``key``: it is no name, nobody's name, or there is no telling whose.
    """
    if isinstance(given, bool) or not isinstance(given, (str, int)):
        allowed = (
            f"a name; one that reads as a number or as true goes in quotes, as in {_quoted(key, '1.50')}"
        )
        raise InvalidValue(key, given, allowed)
    name = plain(str(given))
    found = [label for label, own in known.items() if own == name]
    found = found or [label for label, own in known.items() if str(label) == name and _number(own) == label]
    if not found:
        raise InvalidValue(key, given, _nearest(list(known.values()), name))
    if isinstance(given, int):
        meant = known[found[0]]
        alike = [own for own in known.values() if given in _readings(own)]
        if len(alike) > 1:
            allowed = (
                f"a name in quotes, as in {_quoted(key, meant)}: {listed(alike)} all read as this number"
            )
            raise InvalidValue(key, given, allowed)
    return found[0]


def _quoted(key: str, name: str) -> str:
    return f"{key}=\"'{name}'\""


def _number(name: str) -> int | None:
    return int(name) if name.isdecimal() else None


def _readings(name: str) -> set[int]:
    """Every number that YAML or the command line could make of the name."""
    found = set()
    for base in (10, 8, 0):
        try:
            found.add(int(name, base))
        except ValueError:
            continue
    return found


def _nearest(names: Sequence[str], name: str) -> str:
    """What is allowed, in words, with the names that are most like the one given."""
    same = [own for own in names if _number(own) is not None and _number(own) == _number(name)]
    folded = {own.casefold(): own for own in names}
    close = [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, _NEAREST)]
    near = list(dict.fromkeys(same + close))[:_NEAREST]
    return f"one of {listed(names)}" + (f"; nearest: {', '.join(near)}" if near else "")
