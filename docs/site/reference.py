"""A hook of mkdocs: a page of every group, choice and key, from the comments of the YAML in ``conf/``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

CONF = Path(__file__).resolve().parents[2] / "conf"
_HEAD = """\
# Every group and key

Written from the comments of the YAML files in `conf/`. `group=choice` takes a choice; a key is set by its
whole name, `unlearner.lam=1e-4`. `null` is no value, `???` one that has to be given, and `${a.b}` that of
another key. `expunge --help` says what a command line comes to.
"""


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


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, "reference.md", content=page(CONF)))
    return files


def page(conf: Path) -> str:
    """Return the page for a folder of config groups."""
    parts = [_HEAD, "## Settings of a run\n", _table(choice(conf / "config.yaml", "").keys, {})]
    for group in groups(conf):
        choices = {file.stem: choice(file, group) for file in sorted((conf / group).glob("*.yaml"))}
        parts.append(f"## {group}\n")
        for one in choices.values():
            parts += [f"### {group}={one.name}\n", *_section(one, choices, group)]
    return "\n".join(parts)


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


def _section(one: Choice, choices: dict[str, Choice], group: str) -> list[str]:
    above = _above(one, choices)
    anchor = re.sub(r"[^\w-]", "", f"{group}={above.name}".lower()) if above else ""
    begins = f"The settings of [`{above.name}`](#{anchor}), but for:\n" if above else ""
    return [f"{one.about}\n", begins, _table(one.keys, _meanings(above, choices))]


def _above(one: Choice, choices: dict[str, Choice]) -> Choice | None:
    return choices.get(one.parent) if one.parent else None


def _meanings(one: Choice | None, choices: dict[str, Choice]) -> dict[str, str]:
    """Key -> what a choice, or the one that it begins from, says of it."""
    if one is None:
        return {}
    return _meanings(_above(one, choices), choices) | {
        key.name: key.meaning for key in one.keys if key.meaning
    }


def _table(keys: tuple[Key, ...], meanings: dict[str, str]) -> str:
    if not keys:
        return ""
    rows = [
        f"| `{k.name}` | {_code(k.value)} | {_cell(k.meaning or meanings.get(k.name, ''))} |" for k in keys
    ]
    return "\n".join(["| key | value | meaning |", "|---|---|---|", *rows, ""])


def _code(value: str) -> str:
    return f"`{_cell(value)}`" if value else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
