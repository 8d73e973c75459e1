"""Whether two folders hold the same, but for times and memory: byte for byte otherwise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from expunge.record.sums import sum_of
from tests import cli

_VARYING = re.compile(r"seconds|memory")
_RESUMED = re.compile(rb"^ *(- )?resume[:=].*\n|,resume=true", re.M)
"""A run whose beginning was continued before its first record has ``resume`` among its settings."""


_OF_COMMAND = re.compile(r"\.jobs/(sweep|earlier)\.json$")
"""What there was before the latest command of a sweep."""


def differences(one: Path, other: Path, named_alone: bool = False) -> list[str]:
    """The names of files that are in one folder alone, or differ."""
    left, right = (
        {name: content for name, content in cli.every(folder).items() if not _OF_COMMAND.search(name)}
        for folder in (one, other)
    )
    names = sorted(left.keys() ^ right.keys() if named_alone else left.keys() | right.keys())
    if named_alone:
        return names
    return [name for name in names if _comparable(name, left, one) != _comparable(name, right, other)]


def _comparable(name: str, files: dict[str, bytes], root: Path) -> Any:
    content = files.get(name)
    if content is None:
        return None
    if name.endswith(".jsonl"):
        return cli.without_seconds(content)
    if name.endswith(".sha256"):
        return content.count(b"\n"), _sums(root / name)  # themselves they are of lines with times in them
    if name.endswith(".json"):
        return _without(json.loads(content))
    if name.endswith(".safetensors"):
        return _tensors(content)
    if name.endswith(".pdf"):
        return content[:8], len(content)  # the converter orders its fonts as it likes
    if name.endswith(".yaml"):
        return _RESUMED.sub(b"", content)
    return content


def _sums(path: Path) -> list[str]:
    """The files that a file of sums is that of: each, or its lines, as its sums say."""
    sums = path.read_bytes()
    beside = [path.with_suffix(suffix) for suffix in (".json", ".jsonl", ".yaml")]
    contents = {file.suffix: file.read_bytes() for file in beside if file.exists()}
    return [
        suffix
        for suffix, content in contents.items()
        if sums == b"".join(map(sum_of, content.splitlines(True) if suffix == ".jsonl" else [content]))
    ]


def _without(value: Any) -> Any:
    """A JSON value without what is measured of the machine, and what follows from it."""
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items() if not _VARYING.search(key)}
    return [_without(inner) for inner in value] if isinstance(value, list) else value


def _tensors(content: bytes) -> tuple[Any, bytes]:
    """Header and bytes of the tensors; the digest is of all, times included."""
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:end])
    told = json.loads(head["__metadata__"].pop("expunge"))
    head["__metadata__"].pop("sha256")
    if "settings" in told:
        told["settings"].pop("resume", None)
    return (_without(told), head), content[end:]
