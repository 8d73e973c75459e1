"""A hook of mkdocs: the tables of the leaderboard, from the files of ``experiments/leaderboard``."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "leaderboard"
_ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}
_FIRST = ("mnist_networks", "cifar10_features", "mnist_class", "mnist_rows", "heads")  # others by name


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the tables where the page has its comment."""
    if page.file.src_uri != "leaderboard.md":
        return markdown
    before, start, rest = markdown.partition("<!--")
    return before + tables(FOLDER) + rest.partition("-->")[2] if start else markdown


def tables(folder: Path) -> str:
    """Return all tables, each with its heading and what it is of."""
    names = sorted(file.stem for file in folder.glob("*.json") if file.stem != "schema")
    names.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    return "\n".join(
        board(json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))) for name in names
    )


def board(entry: dict[str, Any]) -> str:
    """Return one comparison: a heading, its facts, a table that can be sorted, what its columns mean."""
    metrics = entry["metrics"]
    names = [entry["sort"], *(name for name in metrics if name != entry["sort"])]
    heads = "".join(_head(name, metrics[name], name == entry["sort"]) for name in names)
    body = "\n".join(_row(method, names) for method in _ranked(entry))
    meant = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(metrics[name]['definition'])}</dd>"
        for name in names
        if metrics[name]["definition"]
    )
    legend = f"<details><summary>What the columns mean</summary><dl>{meant}</dl></details>" if meant else ""
    run = f"expunge {entry['version']}" + (f", commit {entry['commit']}" if "commit" in entry else "")
    when = f", {entry['date']}" if "date" in entry else ""
    return (
        f"## {_plain(entry['title'])}\n\n"
        f"{_plain(entry['data'])}; {_plain(entry['model'])}. Forget set: {_plain(entry['forget_set'])}. "
        f"By {_plain(entry['by'])}{_plain(when)}, {_plain(run)}; {_plain(entry['machine'])}.\n\n"
        f"```text\n{entry['command']}\n```\n\n"
        f'<div class="board"><table class="board"><thead><tr><th scope="col"><button>method</button></th>'
        f"{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div>\n{legend}\n\n"
    )


def _ranked(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The methods, the best of ``sort`` first; of a number that is best at no end, the largest."""
    name, sign = entry["sort"], -1 if entry["metrics"][entry["sort"]]["better"] != "lower" else 1

    def key(method: dict[str, Any]) -> tuple[bool, float]:
        value = method["values"].get(name)
        return value is None, sign * value["mean"] if value else 0.0

    return sorted(entry["methods"], key=key)


def _head(name: str, metric: dict[str, str], sorted_by: bool) -> str:
    way = ' aria-sort="ascending"' if metric["better"] == "lower" else ' aria-sort="descending"'
    title = escape(metric["definition"], quote=True)
    text = escape(name) + _ARROWS[metric["better"]]
    return f'<th scope="col"{way if sorted_by else ""} title="{title}"><button>{text}</button></th>'


def _row(method: dict[str, Any], names: list[str]) -> str:
    told = ", ".join(f"{key} {value}" for key, value in method["settings"].items())
    seeds = f"{method['seeds']} seeds" if method["seeds"] > 1 else "1 seed"
    settings = f' title="{escape(f"{seeds}; {told}" if told else seeds, quote=True)}"'
    cells = "".join(_cell(method["values"].get(name)) for name in names)
    return f'<tr><th scope="row"{settings}>{escape(method["method"])}</th>{cells}</tr>'


def _cell(value: dict[str, float] | None) -> str:
    if value is None:
        return "<td>–</td>"
    mean = f"{value['mean']:.4g}"
    if "low" not in value:
        return f'<td data-value="{value["mean"]!r}">{mean}</td>'
    span = f"{value['low']:.4g} to {value['high']:.4g}"
    return f'<td data-value="{value["mean"]!r}">{mean}<small>{span}</small></td>'


def _plain(text: str) -> str:
    """Text as Markdown that shows it as it is."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in text)
