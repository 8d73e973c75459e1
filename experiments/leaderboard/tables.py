"""The table of a report, in Markdown, read back: methods, numbers, intervals, and what each number means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "min": 60.0, "h": 3600.0, "×": 1.0, "": 1.0}
_NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
_VALUE = re.compile(rf"({_NUMBER}) ?(s|ms|µs|min|h|×)?(?: \[({_NUMBER})[^,\]]*, ({_NUMBER})[^\]]*\])?$")
_ASIDE = re.compile(r"^(?:all|≥) | of [\d,.]+(?= \u2020|$)| \u2020$")  # all 3; 4 of 1,000; 0.04 of 1 †
_HEAD = re.compile(r"(.*?) ?([↑↓]?)(?: \((.*)\))?$")
_PARTS = re.compile(r" → | / |, (?![^\[]*\])")
_PAIRS = (
    "median, p95",
    "trials, time",
)  # second lines of a heading that name two numbers; others have a sign
_BETTER = {"↑": "higher", "↓": "lower", "": ""}


@dataclass(frozen=True)
class Metric:
    """A column, or one of the two numbers of its cells.

    Attributes:
        name: Its heading, with what tells it from others of the same heading.
        better: ``higher``, ``lower``, or empty where neither is.
        definition: What the table's legend says of it; empty where it has none.
    """

    name: str
    better: str
    definition: str


@dataclass(frozen=True)
class Table:
    """A table: ``rows`` are label -> name of a metric -> mean, and low and high where they are told."""

    metrics: tuple[Metric, ...]
    rows: dict[str, dict[str, dict[str, float]]]


def read(text: str) -> Table:
    """Read the first table of a report's Markdown; a first column of words names the row, a second joins it.

    Raises:
        ValueError: There is no table, or a cell is no number.
    """
    lines = [line for line in text.split("\n## Single runs")[0].splitlines() if line.startswith("|")]
    if len(lines) < 3:
        raise ValueError("no table")
    heads, body = _cells(lines[0]), [_cells(line) for line in lines[2:]]
    words = next(at for at in range(1, len(heads)) if any(_is_number(row[at]) for row in body))
    legend = re.findall(r"^- \*\*(.+?)\*\*: (.+)$", text, re.MULTILINE)
    columns = list(_columns(heads[words:], [(name, said.replace("\\|", "|")) for name, said in legend]))
    rows = {}
    for row in body:
        found = {}
        for metrics, cell in zip(columns, row[words:], strict=True):
            values = _PARTS.split(cell) if len(metrics) > 1 else [cell]
            found |= {
                metric.name: _value(value)
                for metric, value in zip(
                    metrics, values if cell != "–" else ["–"] * len(metrics), strict=True
                )
                if value != "–"
            }
        rows[", ".join(row[:words])] = found
    return Table(tuple(metric for metrics in columns for metric in metrics), rows)


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("**", "") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def _columns(heads: list[str], legend: list[tuple[str, str]]) -> Iterator[tuple[Metric, ...]]:
    """Yield the metrics of each column: two where its second line says that a cell has two."""
    often, left = Counter(match[1] for head in heads if (match := _HEAD.match(head))), list(legend)
    for head in heads:
        match = _HEAD.match(head)
        assert match is not None  # everything in it may be empty
        name, arrow, note = match[1], match[2], match[3] or ""
        said = next(((of, what) for of, what in left if of == f"{name} {arrow}".strip()), None)
        if said:
            left.remove(said)
        means = said[1] if said else ""
        better = _BETTER[arrow]
        if " → " in note or " / " in note or note in _PAIRS:
            parts = _PARTS.split(note)
            # What is before the first request is the same for all, and better for none.
            yield tuple(Metric(f"{name}, {p}", "" if p == "before" else better, means) for p in parts)
        else:
            told = f"{name}: {note.removesuffix(', paired')}" if often[name] > 1 else name
            yield (Metric(told, better, means),)


def _is_number(cell: str) -> bool:
    return _VALUE.match(_ASIDE.sub("", _PARTS.split(cell)[0])) is not None


def _value(cell: str) -> dict[str, float]:
    match = _VALUE.match(_ASIDE.sub("", cell))
    if match is None:
        raise ValueError(f"{cell!r} is no number of a table")
    unit = _UNITS[match[2] or ""]
    names = ("mean", "low", "high")
    found = [match[1], match[3], match[4]] if match[3] else [match[1]]
    inner = re.findall(rf"{_NUMBER} ?(s|ms|µs|min|h|×)?(?=[,\]])", cell)
    units = [unit, *(_UNITS[one or ""] for one in inner)] if match[3] else [unit]
    return {
        name: float(f"{float(value.replace(',', '')) * of:.12g}")
        for name, value, of in zip(names, found, units, strict=False)
    }
