"""Pickles, read without letting a file call or import anything.

An ordinary unpickler runs whatever a file tells it to. Allowing the names that arrays and tensors need would
not be enough: a file may also give such objects a state that makes their library take its bytes for
addresses. So nothing that a file names is ever used. A record of what it asks for takes its place, and what
is wanted is made of it afterwards, once it has been found to be what it should be.
"""

from __future__ import annotations

import pickle
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar


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

    # pickle makes some objects without a call of __init__
    def __new__(cls, *arguments: Any, **named: Any) -> Record:
        """Record a call."""
        made = super().__new__(cls)
        made.arguments, made.state, made.entries, made.elements = arguments, None, {}, []
        return made

    def __setstate__(self, state: Any) -> None:
        """Record a state."""
        self.state = state

    def __setitem__(self, key: Hashable, value: Any) -> None:
        """Record an entry."""
        self.entries[key] = value

    def append(self, element: Any) -> None:
        """Record an element of a list."""
        self.elements.append(element)

    def add(self, element: Any) -> None:
        """Record an element of a set."""
        self.elements.append(element)


class RecordReader(pickle.Unpickler):
    """An unpickler that makes records of whatever a file names, and plain values of the rest."""

    def find_class(self, module: str, name: str) -> type[Record]:
        """Return the records of one name."""
        return type("Named", (Record,), {"__slots__": (), "asked": f"{module}.{name}"})


def entries_of(found: Any) -> Mapping[Hashable, Any] | None:
    """The entries of a dictionary of any kind, as it was pickled; None for anything else."""
    if isinstance(found, dict):
        return found
    if not isinstance(found, Record):
        return None
    match found.arguments:
        case (list() as pairs,) if all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
            return {**dict(map(tuple, pairs)), **found.entries}  # as Python 2 wrote those that are in order
    return found.entries or None
