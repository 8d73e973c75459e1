"""Groups, choices and keys as the YAML files themselves tell of them: by their comments.

For the help of the command and for the site's reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Key:
    """A setting: its whole name, its value as it is written, and what its comment says."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Choice:
    """A YAML file: the comment at its head, its keys, and the choice of its group that it begins from."""

    name: str
    about: str
    keys: tuple[Key, ...]
    parent: str | None


def groups(conf: Path) -> list[str]:
    """Return the groups, experiments last."""
    found = {file.parent.relative_to(conf).as_posix() for file in conf.rglob("*.yaml")} - {"."}
    return sorted(found, key=lambda group: (group.startswith("experiment"), group))


def choice(file: Path, group: str) -> Choice:
    """Read a YAML file with its comments.

    Raises:
        yaml.YAMLError: It is none.
    """
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    head = [line[2:] for line in _leading(lines) if not line.startswith("# @package")]
    root = yaml.compose(text)
    prefix, everywhere = group.replace("/", "."), group == "" or "# @package _global_" in lines
    keys: list[Key] = []
    parent = None
    for name, value in root.value if root else ():
        if name.value == "defaults":
            parent = _parent(value)
        elif name.value not in ("_target_", "reduced"):  # what a rehearsal replaces are no keys of a run
            keys += _keys(name.value if everywhere else f"{prefix}.{name.value}", name, value, lines)
    return Choice(file.stem, " ".join(head), tuple(keys), parent)


def _leading(lines: list[str]) -> list[str]:
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:end]


def _parent(defaults: yaml.Node) -> str | None:
    named = [entry.value for entry in defaults.value if isinstance(entry, yaml.ScalarNode)]
    return next((name.rpartition("/")[2] for name in named if name != "_self_"), None)


def _keys(name: str, key: yaml.Node, value: yaml.Node, lines: list[str]) -> list[Key]:
    """A key, or those within a mapping of several lines."""
    block = isinstance(value, yaml.MappingNode) and not value.flow_style
    if block:
        within = [_keys(f"{name}.{k.value}", k, v, lines) for k, v in value.value if k.value != "_target_"]
        return [one for keys in within for one in keys]
    start, end = value.start_mark, value.end_mark
    if isinstance(value, yaml.SequenceNode) and not value.flow_style:
        return [Key(name, "[...]", _comment(lines[key.end_mark.line][key.end_mark.column + 1 :]))]
    if start.line != end.line or start.index == end.index:  # none, or one of several lines
        return [Key(name, "null" if start.index == end.index else "...", _comment(lines[start.line]))]
    shown = lines[start.line][start.column : end.column].strip()
    return [Key(name, shown, _comment(lines[end.line][end.column :]))]


def _comment(rest: str) -> str:
    return rest.partition("#")[2].strip()


def above(one: Choice, choices: Mapping[str, Choice]) -> Choice | None:
    """Return the choice that one begins from, if it does."""
    return choices.get(one.parent) if one.parent else None


def meanings(one: Choice | None, choices: Mapping[str, Choice]) -> dict[str, str]:
    """Return key -> what a choice, or the one that it begins from, says of it."""
    if one is None:
        return {}
    return meanings(above(one, choices), choices) | {key.name: key.meaning for key in one.keys if key.meaning}
