"""A reader of pickles whose memory and time are bounded by the bytes that are there.

The compiled reader of Python believes a file: fifteen bytes that speak of four gigabytes get them, a number
in a memo makes an array as long, and a tuple of tuples as a key is hashed for ever. Here lengths are compared
with what is left of the file before anything is made, the memo is a dictionary, keys are small, and there is
an end to the steps. Nothing that a file names is called or imported: see ``expunge.core.records``.

A pickle is a program of one-byte instructions for a machine with a stack and a memo; Python's ``pickletools``
describes them.
"""

from __future__ import annotations

import codecs
import os
import pickle
import struct
from collections.abc import Callable
from typing import IO, Any

from expunge.core.records import Record, named, odd_keys, require_few

_MOST = 4_000_000  # instructions; none makes much more than a hundred bytes of its own
_NEWEST = 5  # protocol
_WIDTHS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
_BOUNDARIES = {b"00": False, b"01": True}  # truth values of the oldest protocols
_STEPS: dict[bytes, Callable[[RecordReader], None]] = {}


class RecordReader:
    """Reads pickles, one after the other, from a file in which it can seek; Python 2's text is latin-1.

    ``load`` raises errors of all sorts for what is no pickle, and ``ValueError`` for what is too much of one.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, start = file, file.tell()
        self._left = file.seek(0, os.SEEK_END) - start
        file.seek(start)
        self._begin()

    def _begin(self) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []  # stacks under the marks
        self.memo: dict[int, Any] = {}
        self._classes: dict[tuple[str, str], type[Record]] = {}
        self._odd = 0

    def load(self) -> Any:
        """Return what the next pickle makes."""
        self._begin()
        read, steps = self._file.read, _STEPS
        for _ in range(_MOST):
            code = read(1)
            self._left -= 1
            if step := steps.get(code):
                step(self)
            elif code == pickle.STOP:
                return self.stack.pop()
            else:
                raise ValueError(f"instruction {code!r} is not known, or not taken" if code else "cut short")
        raise ValueError(f"more than {_MOST:,} instructions")

    def find_class(self, module: str, name: str) -> type[Record]:
        """Return the records of one name."""
        return named(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Return what the writer kept elsewhere."""
        raise ValueError("it refers to what is not in it")

    def asked(self, module: Any, name: Any) -> type[Record]:
        """The records of one name, made once."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is no text")
        if (module, name) not in self._classes:
            self._classes[module, name] = self.find_class(module, name)
        return self._classes[module, name]

    def take(self, size: int) -> bytes:
        """The next bytes, of which there must be as many."""
        if size > self._left:
            raise ValueError(f"it speaks of {size:,} bytes where {self._left:,} are left")
        self._left -= size
        return self._file.read(size)

    def number(self, width: int) -> int:
        """A whole number of that many bytes, without sign."""
        return int(struct.unpack(_WIDTHS[width], self.take(width))[0])

    def counted(self, width: int) -> bytes:
        """Bytes, after their number."""
        return self.take(self.number(width))

    def line(self) -> bytes:
        """The bytes up to the end of the line."""
        found = self._file.readline(self._left)
        self._left -= len(found)
        if not found.endswith(b"\n"):
            raise ValueError("cut short within a line")
        return found[:-1]

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def mark(self) -> None:
        """Begin a stack of its own on top."""
        self._below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        """What has come since the last mark, which goes."""
        found, self.stack = self.stack, self._below.pop()
        return found

    def discard(self) -> None:
        """Take away what is on top, be it a mark."""
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def call(self, asked: Any, arguments: Any) -> None:
        """Record a call."""
        ours = isinstance(asked, Record) or (isinstance(asked, type) and issubclass(asked, Record))
        if not ours or not isinstance(arguments, (tuple, list)):
            raise ValueError("a call of what is no name, or without arguments")
        self.push(asked(*arguments))

    def set_state(self, state: Any) -> None:
        """Record a state of what is on top."""
        if not isinstance(self.stack[-1], Record):
            raise ValueError("a state of what has none")
        self.stack[-1].state = state

    def add(self, elements: list[Any]) -> None:
        """Add to the list, the set or the record that is on top."""
        onto = self.stack[-1]
        if isinstance(onto, set):
            onto.update(self.keys(elements))
        elif isinstance(onto, (list, Record)):
            (onto if isinstance(onto, list) else onto.elements).extend(elements)
        else:
            raise ValueError("elements of what has none")

    def enter(self, flat: list[Any]) -> None:
        """Put keys and values into the dictionary or the record that is on top."""
        onto = self.stack[-1]
        if not isinstance(onto, (dict, Record)):
            raise ValueError("entries of what has none")
        (onto if isinstance(onto, dict) else onto.entries).update(self.pairs(flat))

    def pairs(self, flat: list[Any]) -> dict[Any, Any]:
        """A dictionary of keys and values that take turns."""
        return dict(zip(self.keys(flat[::2]), flat[1::2], strict=True))

    def keys(self, found: list[Any]) -> list[Any]:
        """Keys that are soon hashed, and not too many odd ones of them in all."""
        self._odd += odd_keys(found)
        require_few(self._odd)
        return found


def _integer(text: bytes) -> Any:
    return _BOUNDARIES[text] if text in _BOUNDARIES else int(text)


def _quoted(text: bytes) -> str:
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise ValueError("a text without quotes")
    return codecs.escape_decode(text[1:-1])[0].decode("latin-1")


def _signed(reader: RecordReader, size: int) -> int:
    if size < 0:
        raise ValueError("a number of fewer than no bytes")
    return int.from_bytes(reader.take(size), "little", signed=True)


def _protocol(reader: RecordReader) -> None:
    if (found := reader.number(1)) > _NEWEST:
        raise ValueError(f"protocol {found}, allowed: up to {_NEWEST}")


def _two(reader: RecordReader) -> tuple[Any, Any]:
    second = reader.stack.pop()
    return reader.stack.pop(), second


def _last(reader: RecordReader, count: int) -> tuple[Any, ...]:
    return tuple(reversed([reader.stack.pop() for _ in range(count)]))


def _named_lines(reader: RecordReader) -> type[Record]:
    return reader.asked(reader.line().decode(), reader.line().decode())


def _made(reader: RecordReader) -> None:
    reader.call(*_last(reader, 3)[:2])


def _object(reader: RecordReader) -> None:
    kind, *arguments = reader.since_mark()
    reader.call(kind, arguments)


def _instance(reader: RecordReader) -> None:
    kind = _named_lines(reader)
    reader.call(kind, reader.since_mark())


def _keep(reader: RecordReader, place: int) -> None:
    if place < 0:
        raise ValueError("a place below none")
    reader.memo[place] = reader.stack[-1]


def _values() -> dict[bytes, Callable[[RecordReader], Any]]:
    """The instructions that push one value."""
    p = pickle
    return {
        p.NONE: lambda r: None,
        p.NEWTRUE: lambda r: True,
        p.NEWFALSE: lambda r: False,
        p.INT: lambda r: _integer(r.line()),
        p.LONG: lambda r: int(r.line().rstrip(b"L")),
        p.FLOAT: lambda r: float(r.line()),
        p.BININT: lambda r: _signed(r, 4),
        p.BININT1: lambda r: r.number(1),
        p.BININT2: lambda r: r.number(2),
        p.LONG1: lambda r: _signed(r, r.number(1)),
        p.LONG4: lambda r: _signed(r, _signed(r, 4)),
        p.BINFLOAT: lambda r: struct.unpack(">d", r.take(8))[0],
        p.STRING: lambda r: _quoted(r.line()),
        p.BINSTRING: lambda r: r.counted(4).decode("latin-1"),
        p.SHORT_BINSTRING: lambda r: r.counted(1).decode("latin-1"),
        p.BINBYTES: lambda r: r.counted(4),
        p.SHORT_BINBYTES: lambda r: r.counted(1),
        p.BINBYTES8: lambda r: r.counted(8),
        p.BYTEARRAY8: lambda r: bytearray(r.counted(8)),
        p.UNICODE: lambda r: r.line().decode("raw-unicode-escape"),
        p.BINUNICODE: lambda r: r.counted(4).decode("utf-8", "surrogatepass"),
        p.SHORT_BINUNICODE: lambda r: r.counted(1).decode("utf-8", "surrogatepass"),
        p.BINUNICODE8: lambda r: r.counted(8).decode("utf-8", "surrogatepass"),
        p.EMPTY_LIST: lambda r: [],
        p.EMPTY_TUPLE: lambda r: (),
        p.EMPTY_DICT: lambda r: {},
        p.EMPTY_SET: lambda r: set(),
        p.LIST: lambda r: r.since_mark(),
        p.TUPLE: lambda r: tuple(r.since_mark()),
        p.TUPLE1: lambda r: (r.stack.pop(),),
        p.TUPLE2: lambda r: _last(r, 2),
        p.TUPLE3: lambda r: _last(r, 3),
        p.DICT: lambda r: r.pairs(r.since_mark()),
        p.FROZENSET: lambda r: frozenset(r.keys(r.since_mark())),
        p.DUP: lambda r: r.stack[-1],
        p.GET: lambda r: r.memo[int(r.line())],
        p.BINGET: lambda r: r.memo[r.number(1)],
        p.LONG_BINGET: lambda r: r.memo[r.number(4)],
        p.GLOBAL: _named_lines,
        p.STACK_GLOBAL: lambda r: r.asked(*_two(r)),
        p.PERSID: lambda r: r.persistent_load(r.line().decode()),
        p.BINPERSID: lambda r: r.persistent_load(r.stack.pop()),
    }


def _pushing(value: Callable[[RecordReader], Any]) -> Callable[[RecordReader], None]:
    return lambda r: r.push(value(r))


def _others() -> dict[bytes, Callable[[RecordReader], Any]]:
    """The instructions that do something else; there are none for registered extensions and buffers."""
    p = pickle
    return {
        p.PROTO: _protocol,
        p.FRAME: lambda r: r.number(8),  # how much to read at once: no matter
        p.MARK: RecordReader.mark,
        p.POP: RecordReader.discard,
        p.POP_MARK: RecordReader.since_mark,
        p.PUT: lambda r: _keep(r, int(r.line())),
        p.BINPUT: lambda r: _keep(r, r.number(1)),
        p.LONG_BINPUT: lambda r: _keep(r, r.number(4)),
        p.MEMOIZE: lambda r: _keep(r, len(r.memo)),
        p.APPEND: lambda r: r.add([r.stack.pop()]),
        p.APPENDS: lambda r: r.add(r.since_mark()),
        p.ADDITEMS: lambda r: r.add(r.since_mark()),
        p.SETITEM: lambda r: r.enter([*_last(r, 2)]),
        p.SETITEMS: lambda r: r.enter(r.since_mark()),
        p.REDUCE: lambda r: r.call(*_two(r)),
        p.NEWOBJ: lambda r: r.call(*_two(r)),
        p.NEWOBJ_EX: _made,
        p.OBJ: _object,
        p.INST: _instance,
        p.BUILD: lambda r: r.set_state(r.stack.pop()),
    }


_STEPS.update({code: _pushing(value) for code, value in _values().items()})
_STEPS.update({code: step for code, step in _others().items()})
