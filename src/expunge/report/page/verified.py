"""What ``expunge-verify`` found of the runs, from the ``verified.json`` that it left in their folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.report.read import text
from expunge.report.read.run_files import parse_object, read_text
from expunge.report.tables.table_rows import Row

FILE = "verified.json"
_FORMAT = 1
_CHECKED = (".hydra/config.yaml", "summary.json", "removals.jsonl", "model.safetensors", "inputs.json")
_FEW = 1  # runs that are shown unfolded
_MARKS = {True: "✓", False: "✗", None: "–"}


@dataclass(frozen=True)
class Verified:
    """One run's verdict.

    Attributes:
        name: Of the run.
        said: What the file holds.
        changed: Files that are not as they were when they were checked.
    """

    name: str
    said: Mapping[str, Any]
    changed: Sequence[str]

    @property
    def title(self) -> str:
        """Whether it was accepted, when, and what has changed since."""
        lines = [line for line in self.said["lines"] if isinstance(line, dict)]
        held = sum(line.get("holds") is True for line in lines)
        verdict = f"accepted, {held} lines hold" if self.said["accepted"] else "rejected"
        first = "" if self.said["accepted"] else f": {self.said.get('first')}"
        since = f"; changed since: {', '.join(self.changed)}" if self.changed else ""
        return f"{_MARKS[bool(self.said['accepted'])]} {verdict}{first}, {self.said['when']}{since}"


def read_verified(folder: Path, name: str) -> Verified | None:
    """Return the verdict on a run; None where nobody has checked it.

    Raises:
        RunFolderError: The file is not one of ``expunge-verify``.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    said = parse_object(read_text(path), path)
    kinds: dict[str, type] = {"accepted": bool, "when": str, "claim": dict, "lines": list, "files": dict}
    known = all(isinstance(said.get(key), kind) for key, kind in kinds.items())
    if said.get("format") != _FORMAT or not known:
        raise RunFolderError(f"{path}:1: not what expunge-verify writes (format {_FORMAT})")
    changed = [file for file in _CHECKED if _digest(folder / file) != said["files"].get(file)]
    return Verified(name, said, changed)


def verified(lines: Sequence[Row]) -> str:
    """Return the section of the page; empty where no run was checked."""
    found = [(row, read_verified(row.of.folder, row.of.name)) for row in lines]
    known = [(row, one) for row, one in found if one is not None]
    if not known:
        return ""
    parts = "\n".join(_one(row, one, unfolded=len(known) <= _FEW) for row, one in known)
    rest = len(lines) - len(known)
    others = f" {rest} of the runs {'was' if rest == 1 else 'were'} not checked." if rest else ""
    return f"""\
<h2>Checked by other code</h2>
<p>What <code>expunge-verify</code> found, which shares no code with the program that made the runs. What each
line means, and what cannot be checked: <code>docs/verify.md</code>.{others}</p>
{parts}"""


def _one(row: Row, one: Verified, unfolded: bool) -> str:
    terms = "\n".join(
        f"<dt>{escape(text.plain(about))}</dt><dd>{escape(text.plain(str(words)))}</dd>"
        for about, words in one.said["claim"].items()
    )
    body = "\n".join(map(_line, (line for line in one.said["lines"] if isinstance(line, dict))))
    name = f"{escape(row.unlearner)} <code>{escape(text.plain(one.name))}</code>"
    shown = unfolded or not one.said["accepted"] or bool(one.changed)
    return f"""\
<details{" open" if shown else ""}>
<summary>{name}: {escape(text.plain(one.title))}</summary>
<dl class="terms">
{terms}
</dl>
<div class="scroll" tabindex="0" role="group" aria-label="Lines checked">
<table class="checked">
<thead><tr><th scope="col">line</th><th scope="col">claimed</th><th scope="col">recomputed</th>\
<th scope="col">what is compared</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
</details>"""


def _line(line: Mapping[str, Any]) -> str:
    holds = line.get("holds")
    mark = _MARKS.get(holds if isinstance(holds, bool) else None, "–")
    cells = "".join(f"<td>{escape(_figure(line.get(key)))}</td>" for key in ("claimed", "recomputed", "note"))
    bad = ' class="fault"' if holds is False else ""
    return f'<tr{bad}><th scope="row">{mark} {escape(text.plain(str(line.get("name"))))}</th>{cells}</tr>'


def _figure(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    said = value if isinstance(value, str) else json.dumps(value)
    return text.plain(said)


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    except OSError:
        return None
