"""A hook of mkdocs: a page of each notebook, with the outputs that are kept in it; nothing is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "notebooks"
_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, where a link to a notebook leads to in the site."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        name = path.relative_to(ROOT).with_suffix(".md").as_posix()
        files.append(File.generated(config, name, content=page(notebook, path.name)))
    return files


def page(notebook: dict[str, Any], name: str) -> str:
    """Return a notebook as Markdown; below its title stands the file itself, to be downloaded."""
    title, *rest = [part for cell in notebook["cells"] for part in _cell(cell)]
    head, _, below = title.partition("\n")
    return "\n\n".join([head, f"As it was run; the [notebook]({name}) itself.", below.strip(), *rest]) + "\n"


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
    elif cell["cell_type"] == "code" and source.strip():
        yield _fenced(source, "python")
        for output in cell["outputs"]:
            yield from _output(output)


def _output(output: dict[str, Any]) -> Iterator[str]:
    """The richest form of an output that a page can have: a picture, a table, else text."""
    data = output.get("data", {})
    if "image/png" in data:
        encoded = re.sub(r"\s", "", "".join(data["image/png"]))
        yield f'<img alt="{_alternative(data)}" src="data:image/png;base64,{encoded}">'
    elif "text/html" in data:
        table = _STYLE.sub("", "".join(data["text/html"]))
        plain = re.sub(r"<table[^>]*>", "<table>", table)
        yield "\n".join(line for line in plain.splitlines() if line.strip())
    elif text := "".join(output.get("text") or data.get("text/plain", "")):
        yield _fenced(text, "text")


def _alternative(data: dict[str, Any]) -> str:
    text = " ".join("".join(data.get("text/plain", "")).split())
    return "figure" if not text or text.startswith("<") else re.sub(r'[<>"&]', "", text)


def _fenced(text: str, kind: str) -> str:
    """A block of code, also of text that has such blocks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    body = text.rstrip("\n")
    return f"{fence}{kind}\n{body}\n{fence}"
