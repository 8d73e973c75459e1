"""A hook of mkdocs: a page of every group, choice and key, from the comments of the YAML in ``conf/``."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from expunge.run.key_comments import Choice, Key, above, choice, groups, meanings

CONF = Path(__file__).resolve().parents[2] / "conf"
_HEAD = """\
# Every group and key

Written from the comments of the YAML files in `conf/`. `group=choice` takes a choice; a key is set by its
whole name, `unlearner.lam=1e-4`. `null` is no value, `???` one that has to be given, and `${a.b}` that of
another key. `expunge --help` says what a command line comes to.
"""


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


def _section(one: Choice, choices: dict[str, Choice], group: str) -> list[str]:
    base = above(one, choices)
    anchor = re.sub(r"[^\w-]", "", f"{group}={base.name}".lower()) if base else ""
    begins = f"The settings of [`{base.name}`](#{anchor}), but for:\n" if base else ""
    return [f"{one.about}\n", begins, _table(one.keys, meanings(base, choices))]


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
