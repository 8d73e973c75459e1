"""YAML of a user's: what it stands for is no more than what one can see of it, and is seen before it is made.

A few lines of aliases, or of references, are more than any memory holds or than anybody waits for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]

from expunge.core.errors import UserError
from expunge.core.memory import in_words

_LARGEST = 1 << 20  # bytes
_DEEPEST = 64
_MOST = 50_000  # values, those that aliases stand for among them
_LONGEST_NUMBER = 4300  # digits, as Python has it; what is not in quotes may be a number
_NUMBER = re.compile(r"[-+.:_0-9a-fA-FxXoO]*")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = re.compile(
    r"!|tag:yaml\.org,2002:(str|int|float|bool|null|seq|map|merge"
    r"|python/object/apply:pathlib\.(_local\.)?(Posix|Windows)?Path)"
)

_MOST_FOLLOWED = 2_000
_MOST_LETTERS = 10_000_000
_LONGEST = 10_000  # letters of a text with references
_MOST_NAMED = 8
_NAMED_BY_ANOTHER = re.compile(r"\$\{[^:{}]*\$\{")
_WORD = re.compile(r"[\w.\[\]-]+")


def require_tree(text: str, aliases: bool = True) -> None:
    """Refuse YAML that is more than it seems, by aliases, nests without end, or holds what no setting is.

    Raises:
        ValueError: It does; or, unless ``aliases`` are allowed, it has one.
        yaml.YAMLError: It is no YAML.
    """
    if len(text) > _LARGEST:
        raise ValueError(f"{in_words(len(text))} of text, allowed: at most {in_words(_LARGEST)}")
    count, begun, sizes = 0, list[tuple[str | None, int]](), dict[str, int]()
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            if not aliases or event.anchor not in sizes:
                of = ", of itself or of what is not there" if aliases else ""
                raise ValueError(f"it has an alias (*{event.anchor[:80]}){of}")
            count += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            sizes |= {anchor: count - before} if anchor else {}
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            _require_plain(event)
            if isinstance(event, yaml.CollectionStartEvent):
                begun.append((event.anchor, count - 1))
                sizes.pop(event.anchor, None)
            elif event.anchor:
                sizes[event.anchor] = 1
        if count > _MOST:
            raise ValueError(f"it stands for more than {_MOST:,} values")
        if len(begun) > _DEEPEST:
            raise ValueError(f"it is more than {_DEEPEST} levels deep")


def _require_plain(event: Any) -> None:
    """Refuse a value of another kind than settings have."""
    if event.tag and not _TAGS.fullmatch(event.tag):
        raise ValueError(f"line {event.start_mark.line + 1} has a value of the kind {event.tag[:80]}")
    value = getattr(event, "value", "")
    if _NO_TEXT.search(value):
        raise ValueError(f"line {event.start_mark.line + 1} has a character that no text has")
    if len(value) > _LONGEST_NUMBER and _NUMBER.fullmatch(value):
        raise ValueError(f"line {event.start_mark.line + 1} has a number of {len(value):,} digits")


def require_followable(settings: Any) -> None:
    """Refuse settings whose references (``${key}``) lead to others, and these to others, without end.

    What each may come to is counted, not made: a reference for every word in ``${...}`` that is a key.

    Args:
        settings: Plain mappings and lists, references as they are written.

    Raises:
        UserError: They come to too much; the line names the key.
    """
    named, found = 0, _References(settings)
    for key, text in _texts(settings):
        if "${" in text:
            named += len(_NAMED_BY_ANOTHER.findall(text))
            if len(text) > _LONGEST or named > _MOST_NAMED:
                allowed = f"{_LONGEST:,} letters, and {_MOST_NAMED} names of references that are references"
                raise UserError(f"{'.'.join(key)}: more references (${{...}}) than allowed: {allowed}")
    for name in settings if isinstance(settings, Mapping) else ():
        followed, letters = found.of((str(name),), settings[name])
        if followed > _MOST_FOLLOWED or letters > _MOST_LETTERS:
            allowed = f"at most {_MOST_FOLLOWED:,} that are followed, and {_MOST_LETTERS:,} letters"
            raise UserError(f"{name}: its references (${{...}}) come to too much, allowed: {allowed}")


def _texts(node: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node, str):
        yield key, node
    elif isinstance(node, (Mapping, list)):
        for name, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from _texts(value, (*key, str(name)))


class _References:
    """How many references are followed for a value, and how many letters and values it comes to."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[tuple[str, ...], tuple[int, int]] = {}

    def of(self, key: tuple[str, ...], node: Any) -> tuple[int, int]:
        if key not in self._known:
            self._known[key] = 0, 1  # where it leads back to itself OmegaConf says so
            self._known[key] = self._counted(key, node)
        return self._known[key]

    def _counted(self, key: tuple[str, ...], node: Any) -> tuple[int, int]:
        if isinstance(node, (Mapping, list)):
            items = node.items() if isinstance(node, Mapping) else enumerate(node)
            inner = [self.of((*key, str(name)), value) for name, value in items]
            return sum(one for one, _ in inner), 1 + sum(other for _, other in inner)
        if not isinstance(node, str) or "${" not in node:
            return 0, len(node) if isinstance(node, str) else 1
        followed, letters = node.count("${"), len(node)
        for word in _WORD.findall(node):
            target = self._target(key, word)
            if target is not None:
                one, other = self.of(*target)
                followed, letters = followed + one, letters + other
        return followed, letters

    def _target(self, key: tuple[str, ...], word: str) -> tuple[tuple[str, ...], Any] | None:
        """Key and value that a word names, from the top or, with dots before it, from where it stands."""
        up = len(word) - len(word.lstrip("."))
        parts = tuple(part for part in re.split(r"[.\[\]]+", word) if part)
        whole = (*key[: len(key) - up], *parts) if up else parts
        node = self._root
        for part in whole:
            if isinstance(node, Mapping):
                node = next((value for name, value in node.items() if str(name) == part), None)
            elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
            else:
                return None
        return (whole, node) if whole and node is not None else None
