"""Numbers and tables of the benchmarks' pages, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(heads: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, laid out; ``heads`` are separated by bars."""
    names = heads.split("|")
    whole = [names, *rows]
    widths = [max(len(row[k]) for row in whole) for k in range(len(names))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in whole
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def typical(ms: Mapping[str, Any], per: float = 1) -> str:
    """A median with the tenth and ninetieth percentile, of ``harness.spread``, divided by ``per``."""
    return f"{short(ms['median'] / per)} ({short(ms['p10'] / per)}-{short(ms['p90'] / per)})"


def seconds(found: Mapping[str, Any]) -> str:
    """A median with the range, of ``harness.repeated``."""
    return f"{short(found['median'])} ({span(found['seconds'])})"


def factor(found: Mapping[str, Any]) -> str:
    """A ratio with its range over the repeats, if it has any, of ``harness.ratio``."""
    by_repeat = found["ratio_by_repeat"]
    return times(found["ratio"]) + (f" ({span(by_repeat)})" if by_repeat else "")


def short(value: float) -> str:
    """A number in three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def times(ratio: float) -> str:
    """A ratio."""
    return f"{short(ratio)}x"


def span(values: Sequence[float]) -> str:
    """Smallest and largest."""
    return f"{short(min(values))}-{short(max(values))}"


def verdict(met: bool) -> str:
    """In a word."""
    return "met" if met else "missed"
