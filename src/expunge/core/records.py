"""What a pickle asks for, kept without letting a file call or import anything.

An ordinary unpickler runs whatever a file tells it to. Allowing the names that arrays and tensors need would
not be enough: a file may also give such objects a state that makes their library take its bytes for
addresses. So nothing that a file names is ever used. A record of what it asks for takes its place, and what
is wanted is made of it afterwards, once it has been found to be what it should be.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, ClassVar

_HASHED = 2**61 - 1  # below, the hash of a whole number is the number
_MOST_ODD = 10_000
_LARGEST_KEY = 10_000  # characters, bytes and values in all


class Record:
    """What a file asks for: a call of ``asked`` with arguments, and what it does to the result.

    Attributes:
        asked: Module and name of what would be called, as the file has it.
        arguments: Of the call.
        state: Given to the result; None where there is none.
        entries: Put into the result, as into a dictionary.
        elements: Added to the result, as to a list or a set.
    """

    __slots__ = ("arguments", "elements", "entries", "state")
    asked: ClassVar[str] = ""
    arguments: tuple[Any, ...]
    state: Any
    entries: dict[Hashable, Any]
    elements: list[Any]

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state, self.entries, self.elements = arguments, None, {}, []

    def __call__(self, *arguments: Any) -> Record:
        """Record a call of what was asked for, such as a method that ``getattr`` was to find."""
        return type(self)(*arguments)


def named(asked: str) -> type[Record]:
    """Return the records of one name, ``module.name``."""
    return type("Named", (Record,), {"__slots__": (), "asked": asked})


def odd_keys(keys: Iterable[Any]) -> int:
    """See that keys, or elements of a set, are soon hashed; how many are no text and no small number.

    A tuple that holds another twice, and so on, is small in memory and hashed, or written, for ever; nobody
    keeps such. Numbers can be chosen so that many have one hash: there must not be many that are large.

    Raises:
        ValueError: A key stands for too much, or there are too many odd ones.
    """
    odd = [key for key in keys if type(key) is not str and not (type(key) is int and abs(key) < _HASHED)]
    for key in odd:
        left, inner = _LARGEST_KEY, [key]
        while inner and left > 0:
            value = inner.pop()
            if isinstance(value, (tuple, frozenset)):
                left -= 1 + len(value)
                inner += value if left > 0 else ()
            elif isinstance(value, (str, bytes)):
                left -= len(value)
            else:
                left -= value.bit_length() // 8 if type(value) is int else 1
        if left <= 0:
            raise ValueError("a key that stands for too much")
    require_few(len(odd))
    return len(odd)


def require_few(odd: int) -> None:
    """Raise ``ValueError`` if there are too many odd keys."""
    if odd > _MOST_ODD:
        raise ValueError(f"more than {_MOST_ODD:,} keys that are neither text nor small numbers")


def entries_of(found: Any) -> Mapping[Hashable, Any] | None:
    """The entries of a dictionary of any kind, as it was pickled; None for anything else."""
    if isinstance(found, dict):
        return found
    if not isinstance(found, Record):
        return None
    match found.arguments:
        case (list() as pairs,) if all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
            odd_keys([pair[0] for pair in pairs])
            return {**dict(map(tuple, pairs)), **found.entries}  # as Python 2 wrote those that are in order
    return found.entries or None
