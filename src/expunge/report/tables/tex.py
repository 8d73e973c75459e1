r"""The table by method for a paper: LaTeX with booktabs, the best in bold, every text as the text it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from expunge.core import text
from expunge.core.intervals import Interval
from expunge.core.latex import escaped
from expunge.report.tables.columns import LABEL, TableColumn
from expunge.report.tables.over_seeds import SeedGroup
from expunge.report.tables.table import Cell, body, heads, number

_HEAD = """\
% \\usepackage{booktabs} in the preamble, then \\input{table.tex} where the table is to be.
% Mean over the seeds, and half the width of its 95\\% interval (how it is made: table.md);
% in bold the best of each column with an arrow, of the methods on one data set.
"""
_SHARES = ("accuracy", "difference")
_NEGATIVE = re.compile(r"(?<![\w.)])-(?=[\d.])")
_UNIT = re.compile(r"(.*?\d)( [a-zµ]+|%|×)?")


def as_tex(groups: Sequence[SeedGroup]) -> str:
    """Return the ``tabular`` of the methods: the columns in which more or less is better."""
    head = [c for c in heads(groups) if c.key == LABEL or c.column.arrow]
    titles = [escaped(c.title) for c in head]
    subs = ["" if c.column.beside and not c.out_of else c.column.sub for c in head]
    lines = [list(map(_cell, line, head)) for line in body(groups, head)]
    whole = [titles, [escaped(f"({sub})") if sub else "" for sub in subs], *lines]
    first, second, *rest = (f"{' & '.join(line)} \\\\\n" for line in whole)
    inside = f"\\toprule\n{first}{second}\\midrule\n{''.join(rest)}\\bottomrule\n"
    return f"{_HEAD}\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n{inside}\\end{{tabular}}\n"


def _cell(one: Cell, column: TableColumn) -> str:
    """Return a cell as LaTeX: of numbers the mean of the first, with half the width of its interval."""
    if column.key == LABEL:
        return escaped(one.words)
    shown, found = f"{one.words} {one.note}".strip(), one.found
    if found is not None and (one.span or (column.column.beside and not column.out_of)):
        mean = _plus_minus(column.format, found) if one.span else number(found.mean, column.format)
        shown = f"{'≥ ' * shown.startswith('≥')}{mean} {one.note}".strip()
    words = escaped(_NEGATIVE.sub("−", shown))
    return f"\\textbf{{{words}}}" if one.best else words


def _plus_minus(how: str, found: Interval) -> str:
    """Return a mean and half the width of its interval, in one unit."""
    words, half = number(found.mean, how), (found.high - found.low) / 2
    match = _UNIT.fullmatch(words)
    if match is None or not match[2]:
        return f"{words} ± {text.accuracy(half) if how in _SHARES else text.number(half, 2)}"
    scale = found.mean / float(match[1].replace(",", "")) if found.mean else 1.0
    return f"{match[1]} ± {text.number(half / scale, 2)}{match[2]}"
