r"""The table by method for a paper: LaTeX with booktabs, the best in bold, every text as the text it is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from expunge.report.read import text
from expunge.report.tables.columns import LABEL, TableColumn, in_one_cell
from expunge.report.tables.over_seeds import Interval, SeedGroup
from expunge.report.tables.table import best, heads, interval_of, number, said

_HEAD = """\
% \\usepackage{booktabs} in the preamble, then \\input{table.tex} where the table is to be.
% Mean over the seeds, and half the width of its 95\\% interval (how it is made: table.md);
% in bold the best of each column with an arrow, of the methods on one data set.
"""
_CHARACTERS = {
    **{character: f"\\{character}" for character in "_%&#${}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"<": "$<$", ">": "$>$", "|": "$|$", '"': "''", "`": r"\`{}", "-": "{-}"},
    **{"[": "{[}", "]": "{]}", "*": "{*}"},  # which mean something after the end of a row
    **{"ε": r"$\varepsilon$", "δ": r"$\delta$", "λ": r"$\lambda$", "σ": r"$\sigma$", "µ": r"$\mu$"},
    **{"μ": r"$\mu$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "×": r"$\times$"},
    **{"±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "∞": r"$\infty$", "·": r"$\cdot$", "−": "$-$"},
    **{"†": r"$\dagger$", "–": "--", "—": "---", "…": r"\ldots{}", "\u00a0": "~", "°": r"$^\circ$"},
    **{"ß": r"{\ss}", "ø": r"{\o}", "Ø": r"{\O}", "æ": r"{\ae}", "Æ": r"{\AE}", "ł": r"{\l}", "Ł": r"{\L}"},
    **{"\t": " ", "\n": " ", "‘": "`", "’": "'", "“": "``", "”": "''"},
}
_ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u"},
    **{"\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"},
}
_SHARES = ("accuracy", "difference")
_NEGATIVE = re.compile(r"(?<![\w.)])-(?=[\d.])")
_UNIT = re.compile(r"(.*?\d)( [a-zµ]+|%|×)?")


def escaped(words: str) -> str:
    """Return ASCII that LaTeX sets as these words; a character that it may not know as its code point."""
    return "".join(map(_one, words))


def as_tex(groups: Sequence[SeedGroup]) -> str:
    """Return the ``tabular`` of the methods: the columns in which more or less is better."""
    head = [c for c in heads(groups) if c.key == LABEL or c.column.arrow]
    marked = [best(groups, c) for c in head]
    lines = [
        " & ".join(
            f"\\textbf{{{_cell(group, c)}}}" if place in some else _cell(group, c)
            for c, some in zip(head, marked, strict=True)
        )
        for place, group in enumerate(groups)
    ]
    titles = " & ".join(escaped(c.title) for c in head)
    subs = " & ".join(escaped(f"({c.sub})") if c.sub and not c.column.beside else "" for c in head)
    body = " \\\\\n".join(lines)
    rules = ("\\toprule", "\\midrule", "\\bottomrule")
    first = f"{_HEAD}\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n{rules[0]}\n{titles} \\\\\n"
    return f"{first}{subs} \\\\\n{rules[1]}\n{body} \\\\\n{rules[2]}\n\\end{{tabular}}\n"


def _cell(group: SeedGroup, column: TableColumn) -> str:
    if column.key == LABEL:
        return escaped(group.title)
    one, found = said(group, column), interval_of(group, column)
    shown = one.words
    if found is not None and (one.interval or not in_one_cell(column.key)):
        shown = _plus_minus(column.format, found) if one.interval else number(found.mean, column.format)
        shown = f"≥ {shown}" if one.words.startswith("≥") else shown
    return escaped(_NEGATIVE.sub("−", f"{shown} {one.note}".strip()))


def _plus_minus(how: str, found: Interval) -> str:
    """Return a mean and half the width of its interval, in one unit."""
    words, half = number(found.mean, how), (found.high - found.low) / 2
    match = _UNIT.fullmatch(words)
    if match is None or not match[2]:
        return f"{words} ± {text.accuracy(half) if how in _SHARES else text.number(half, 2)}"
    scale = found.mean / float(match[1].replace(",", "")) if found.mean else 1.0
    return f"{match[1]} ± {text.number(half / scale, 2)}{match[2]}"


def _one(character: str) -> str:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    if character.isascii():
        return character if character.isprintable() else "?"
    base, mark = unicodedata.normalize("NFD", character)[:1], unicodedata.normalize("NFD", character)[1:]
    if mark in _ACCENTS and base.isascii() and base.isalpha():
        return f"\\{_ACCENTS[mark]}{{{base}}}"
    return f"U+{ord(character):04X}"
