"""The commands of a page: those of its blocks, of its tables and of its text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
RECORDS = tuple(sorted((ROOT / "experiments").glob("*/RESULTS.md")))
"""What was measured, and by which commands."""
OURS = ("expunge", "expunge-audit", "expunge-report", "expunge-reproduce", "expunge-verify")
PROGRAMS = (*OURS, "python", "make", "pytest", "pip", "cd", "source")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^|\n\n)((?: {4}\S.*\n| {8,}\S.*\n)+)")
_OVERRIDE = re.compile(r"^[+~]{0,2}[a-z][\w./]*=\S+$")


@dataclass(frozen=True)
class Command:
    """A line as a shell is to get it (continued lines are one), and the page that has it."""

    text: str
    page: str

    @property
    def words(self) -> list[str]:
        """The words of the line, as a POSIX shell parts them; settings of the environment first."""
        return shlex.split(self.text, comments=True)


def commands(page: Path) -> list[Command]:
    """Return the commands of a page, each once, in order."""
    text, name = page.read_text(), page.relative_to(ROOT).as_posix()
    found = [*_of_blocks(text), *_of_text(_FENCE.sub("", text))]
    return [Command(line, name) for line in dict.fromkeys(found)]


def fragments(page: Path) -> list[Command]:
    """Return the settings that the text names by themselves, ``metrics=[accuracy]``, as part of a command."""
    text, name = _FENCE.sub("", page.read_text()), page.relative_to(ROOT).as_posix()
    spans = [_unquoted(span) for span in _spans(text)]
    found = [span for span, plain in zip(_spans(text), spans, strict=True) if _OVERRIDE.match(plain)]
    return [Command(f"expunge {span}", name) for span in dict.fromkeys(found)]


def python_blocks(page: Path) -> list[str]:
    """Return the blocks of Python of a page."""
    return [code for kind, code in _FENCE.findall(page.read_text()) if kind == "python"]


def _of_blocks(text: str) -> Iterator[str]:
    fenced = [code for kind, code in _FENCE.findall(text) if kind in ("", "bash", "sh")]
    for block in (*fenced, *_INDENTED.findall(_FENCE.sub("", text))):
        lines = [line.strip() for line in re.sub(r"\\\n\s*", "", block).splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if any(map(_is_command, lines)):
            assert all(map(_is_command, lines)), f"a block with a line that is no known command: {lines}"
            yield from lines


def _of_text(text: str) -> Iterator[str]:
    """The commands within the text; what a list has right after one is another ending of it."""
    command, end = "", 0
    for match in re.finditer(r"`([^`]+)`", text):
        span, gap = " ".join(match[1].split()), text[end : match.start()]
        end = match.end()
        if _is_command(span) and " " in span:
            command = span
            yield span
        elif command and gap.strip() in (",", "(", ", ("):
            if another := _ended_otherwise(command, span):
                yield another
        else:
            command = ""


def _ended_otherwise(command: str, span: str) -> str | None:
    if span.startswith("--"):
        return re.sub(r" --[\w-]+$", "", command) + f" {span}"
    paper = re.search(r"\+experiment=(\w+)/", command)
    if paper and re.fullmatch(r"\w+(/\w+)?", span):
        name = span if "/" in span else f"{paper[1]}/{span}"
        return re.sub(r"\+experiment=\S+", f"+experiment={name}", command)
    return None


def _spans(text: str) -> list[str]:
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def _unquoted(span: str) -> str:
    return re.sub(r"""^(['"])(.*)\1$""", r"\2", span)


def _is_command(line: str) -> bool:
    words = re.sub(r"^(\w+=\S+ )+", "", line).split()
    return bool(words) and words[0] in PROGRAMS
