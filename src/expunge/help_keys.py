"""``expunge --help KEY`` and ``expunge --list GROUP``, from the comments of the YAML and from the source."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expunge.core.errors import UserError
from expunge.core.screen import width
from expunge.help import choices, composed
from expunge.run.key_comments import Choice, above, choice, meanings
from expunge.run.key_source import Told, told

_SAME = 6  # choices named of those that have one value
_EXPERIMENT = "experiment"


def list_text(group: str, folders: Sequence[Path]) -> str:
    """A line for each choice of a group, from the head of its file; of ``groups`` a line for each group.

    Raises:
        UserError: There is no such group.
    """
    known = choices(folders)
    if group == "groups":
        return "\n".join(f"{name}: {', '.join(names)}" for name, names in known.items())
    names = [name for name in known if name in (group, group.removesuffix("s")) or _within(name, group)]
    if not names:
        raise UserError(f"--list: got {group!r}{_near(group, known)}, allowed: groups, {', '.join(known)}")
    lines = []
    for name in names:
        of = choices_of(name, folders)
        part = name.partition("/")[2]
        lines += [(f"{part}/{one}" if part else one, _first(of[one].about)) for one in of]
    widest = max(len(name) for name, _ in lines)
    room = max(20, width() - widest - 4)
    page = []
    for name, about in lines:
        first, *more = textwrap.wrap(about, room) or [""]
        page += [f"  {name:{widest}}  {first}".rstrip(), *(f"  {'':{widest}}  {line}" for line in more)]
    return "\n".join(page)


def key_text(key: str, config_dir: Path, arguments: Sequence[str]) -> str:
    """What a key means, what is allowed, what it is by default and what reads it; of a group its choices.

    ``arguments`` are those of the command line without the key.

    Raises:
        UserError: There is no such key.
    """
    config, chosen, folders = composed(config_dir, arguments)
    known = choices(folders)
    if key in known or any(_within(name, key) for name in known):
        return f"{key}={'NAME' if key in known else '...'}\n{list_text(key, folders)}"
    group = next(
        (name for name in known if key.startswith(f"{name}.") and not _within(name, _EXPERIMENT)), ""
    )
    of = choices_of(group, folders) if group else {"": choice(config_dir / "config.yaml", "")}
    having = {name: one for name, one in of.items() if any(found.name == key for found in one.keys)}
    if not having:
        raise UserError(f"{key}: no such key{_near(key, _names(known, folders))} (see --help)")
    of_chosen = [chosen[group]] if chosen.get(group) in of else []
    told_of = told(key.removeprefix(f"{group}."), target_of(folders, group, [*of_chosen, *having][0], of))
    meaning = next((words for name in (*of_chosen, *having) if (words := meaning_of(of, name, key))), "")
    page = [key, *_wrapped(meaning or (told_of.meaning if told_of else "") or "(no comment)")]
    page += _source(told_of, meaning)
    now = _now(config, key)
    page += _wrapped(f"now: {now}") if now is not None else []
    page += ["", "  value by default" + (f", of {group}=..." if group else "")]
    page += _defaults(having, key, bool(group))
    if told_of is not None:
        page += ["", *_wrapped(f"read by {told_of.where}")]
    return "\n".join(page)


def _source(found: Told | None, meaning: str) -> list[str]:
    if found is None:
        return []
    lines = _wrapped(f"in the code: {found.meaning}") if meaning and found.meaning else []
    lines += _wrapped(f"allowed: {found.allowed}") if found.allowed else []
    return [*lines, *(_wrapped(f"type: {found.type}") if found.type else [])]


def _defaults(having: dict[str, Choice], key: str, grouped: bool) -> list[str]:
    values: dict[str, list[str]] = {}
    for name, one in having.items():
        value = next(found.value for found in one.keys if found.name == key)
        values.setdefault(value, []).append(name)
    if not grouped:
        return [f"    {value}" for value in values]
    lines = []
    for value, names in values.items():
        more = f" and {len(names) - _SAME} more" if len(names) > _SAME else ""
        lines += _wrapped(f"{value}: {', '.join(names[:_SAME])}{more}", "    ")
    return lines


def choices_of(group: str, folders: Sequence[Path]) -> dict[str, Choice]:
    """Name -> choice of a group; of two of the same name that of the first folder counts."""
    files = [file for folder in reversed(folders) for file in sorted((folder / group).glob("*.yaml"))]
    return dict(sorted((file.stem, choice(file, group)) for file in files))


def target_of(folders: Sequence[Path], group: str, name: str, of: dict[str, Choice]) -> str | None:
    """What the file of a choice, or of the one that it begins from, names as its class; empty for none."""
    while name:
        file = next(
            path for folder in reversed(folders) if (path := folder / group / f"{name}.yaml").is_file()
        )
        found = OmegaConf.load(file)
        parts = [one for one in found.values() if OmegaConf.is_dict(one)] if group == "metrics" else []
        for one in (found, *parts):
            if target := OmegaConf.select(one, "_target_"):
                return str(target)
        name = of[name].parent or ""
    return "" if group else None


def meaning_of(of: dict[str, Choice], name: str, key: str) -> str:
    """What the comment of a choice, or of one that it begins from, says of a key; empty for nothing."""
    one = of[name]
    own = next((found.meaning for found in one.keys if found.name == key), "")
    return own or meanings(above(one, of), of).get(key, "")


def _now(config: Any, key: str) -> str | None:
    try:
        value = OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return None
    if value is None:
        return "null" if OmegaConf.select(config, key, default=0) is None else None
    return OmegaConf.to_yaml(value, resolve=True).strip() if OmegaConf.is_config(value) else str(value)


def _names(known: dict[str, list[str]], folders: Sequence[Path]) -> list[str]:
    groups = [group for group in known if not _within(group, _EXPERIMENT)]
    of_all = [key.name for key in choice(folders[0] / "config.yaml", "").keys]
    return [
        *of_all,
        *(k.name for group in groups for one in choices_of(group, folders).values() for k in one.keys),
    ]


def _near(given: str, known: Any) -> str:
    names = list(dict.fromkeys(known))
    last = given.rpartition(".")[2]
    same = [name for name in names if name != given and name.rpartition(".")[2] == last]
    near = list(dict.fromkeys([*same, *get_close_matches(given, names, 5)]))[:5]
    return f" (did you mean {', '.join(near)}?)" if near else ""


def _within(group: str, asked: str) -> bool:
    """Whether a group is one of the folders of the experiments that are asked for."""
    whole = _EXPERIMENT if asked in (_EXPERIMENT, f"{_EXPERIMENT}s") else asked
    return group.startswith(f"{whole}/") and group.startswith(f"{_EXPERIMENT}/")


def _first(about: str) -> str:
    """The first sentence of what is said of a choice."""
    return re.split(r"(?<!al)\. (?=[A-Z])", about)[0].rstrip(".")


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, width(), initial_indent=indent, subsequent_indent=f"{indent}  ")
