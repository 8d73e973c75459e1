"""Docstrings as Markdown: Google's sections as tables, signatures as code, under a heading each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)
_TITLES = {"Args": "argument", "Attributes": "attribute", "Raises": "raised"}
_PROPERTIES = (property, cached_property)
_WIDE = 92  # characters of a signature on one line
_SPECIAL = re.compile(r"([\\<\[\]|]|(?<!\*)\*(?!\*)|(?<!\w)_|_(?!\w))")  # two stars do emphasise


def entry(name: str, thing: Any) -> str:
    """Return the part of a page about a function, a class with its methods, or an error."""
    module, _, short = name.rpartition(".")
    parts = [f"### {short}\n", _imported(module, short)]
    if not _is_error(thing):
        parts.append(f"```python\n{signature(short, thing)}\n```\n")
    parts.append(described(thing))
    if inspect.isclass(thing):
        parts += [_member(short, *member) for member in members(thing)]
    return "\n".join(parts)


def members(thing: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that we wrote, in the order of their classes."""
    ours = [kind for kind in thing.__mro__ if kind.__module__.partition(".")[0] == "expunge"]
    names = dict.fromkeys(name for kind in ours for name in vars(kind))
    if "__call__" in names and getattr(thing, "_is_protocol", False):
        yield "__call__", thing.__call__
    for name in names:
        member = inspect.getattr_static(thing, name)
        if not name.startswith("_") and (_plain(member) or isinstance(member, _PROPERTIES)):
            yield name, member


def described(thing: Any) -> str:
    """Return a docstring as Markdown."""
    text = inspect.getdoc(thing) or ""
    head, *rest = _SECTION.split(text)
    parts = [prose(head)]
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        section, left = _body(body)
        if title in _TITLES:
            rows = [f"| `{name}` | {prose(meaning)} |" for name, meaning in _entries(section)]
            parts.append("\n".join([f"| {_TITLES[title]} | |", "|---|---|", *rows, ""]))
        else:
            parts.append(f"**{title}** {prose(' '.join(section.split()))}\n")
        parts.append(prose(left))
    return "\n".join(part for part in parts if part.strip())


def prose(text: str) -> str:
    """Return text as Markdown: what is within double backticks is code, anything else stands for itself."""
    blocks = re.split(r"(\n(?:\n {4,}[^\n]*)+(?:\n {4,}[^\n]*)*\n)", text)
    return "".join(block if number % 2 else _inline(block) for number, block in enumerate(blocks))


def _inline(text: str) -> str:
    pieces = re.split(r"``(.+?)``", text, flags=re.DOTALL)
    return "".join(
        f"`{' '.join(piece.split())}`" if number % 2 else _SPECIAL.sub(r"\\\1", piece)
        for number, piece in enumerate(pieces)
    )


def signature(name: str, thing: Any) -> str:
    """Return a call as it is written, with types and defaults; on a line each where one is too short."""
    found = inspect.signature(_bare(thing))
    given = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    words, kind = list[str](), None
    for one in given:
        if one.kind is one.KEYWORD_ONLY and kind not in (one.KEYWORD_ONLY, one.VAR_POSITIONAL):
            words.append("*")
        words.append(_argument(one))
        kind = one.kind
    result = "" if found.return_annotation is found.empty else f" -> {_type(found.return_annotation)}"
    line = f"{name}({', '.join(words)}){result}"
    if len(line) <= _WIDE:
        return line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){result}"


def _argument(one: inspect.Parameter) -> str:
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    typed = "" if one.annotation is one.empty else f": {_type(one.annotation)}"
    default = "" if one.default is one.empty else (" = " if typed else "=") + _value(one.default)
    return f"{stars}{one.name}{typed}{default}"


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.replace("typing.", "").strip("'")


def _value(default: Any) -> str:
    text = repr(default)
    return "..." if " at 0x" in text or text == "<factory>" else text


def _member(of: str, name: str, member: Any) -> str:
    if isinstance(member, _PROPERTIES):
        getter = member.fget if isinstance(member, property) else member.func
        typed = inspect.signature(getter).return_annotation
        shown = f"{of}.{name}: {_type(typed)}"
        bare: Any = getter
    else:
        bare = _bare(member)
        shown = signature(f"{of}.{name}", bare)
    return f"#### {name}\n\n```python\n{shown}\n```\n\n{described(bare)}\n"


def _imported(module: str, name: str) -> str:
    return f"`from {module} import {name}`\n"


def _is_error(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, (Exception, Warning))


def _plain(member: Any) -> bool:
    return inspect.isfunction(_bare(member))


def _bare(member: Any) -> Any:
    return member.__func__ if isinstance(member, (classmethod, staticmethod)) else member


def _body(text: str) -> tuple[str, str]:
    """Part what belongs to a section, which is indented, from what follows it."""
    lines = text.strip("\n").split("\n")
    end = next((at for at, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return inspect.cleandoc("\n" + "\n".join(lines[:end])), "\n".join(lines[end:])


def _entries(section: str) -> Iterator[tuple[str, str]]:
    """Yield ``name: meaning`` of a section; lines of a meaning are one."""
    for part in re.split(r"\n(?=\S)", section):
        name, _, meaning = part.partition(":")
        yield name.strip().split(" ")[0], " ".join(meaning.split())
