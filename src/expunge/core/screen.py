"""What a command shows on standard output: as wide as the terminal, and in colours where it has them.

Everywhere else (a pipe, a file, ``NO_COLOR``, ``TERM=dumb``) it is plain text of the same words. ``rich`` is
imported when there is something to show.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from expunge.core.errors import printable

WIDTH = 80
"""Columns where there is no terminal to ask, unless ``COLUMNS`` says otherwise."""
_LEAST = 20
_GAP = 2
_HEADING = 18  # columns that a heading may take where its cells take less
_BESIDE = len("Next: expunge-report ")
_NOTE = 24  # columns that the last cell of a row needs beside the others, if it has so much to say
_LEAD = 0.4  # of the width, which what tells the rows apart takes at most


def width() -> int:
    """Columns of the terminal that standard output is, in a pipe ``WIDTH``."""
    if sys.stdout.isatty():
        return max(_LEAST, shutil.get_terminal_size((WIDTH, 24)).columns)
    given = os.environ.get("COLUMNS", "")
    return max(_LEAST, int(given)) if given.isdecimal() and int(given) else WIDTH


def styled() -> bool:
    """Whether standard output is a terminal that has colours, and nobody minds them."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
    return sys.stdout.isatty() and wanted


def command(*words: str) -> str:
    """Words as a shell is to get them."""
    return shlex.join(words)


class Page:
    """Text and tables, put together part by part; ``str`` of it is what the screen shows.

    No sign of a text steers the terminal, whoever wrote it.

    Args:
        columns: The width; None: that of the screen.
        colours: None: where the screen has them.
    """

    def __init__(self, columns: int | None = None, colours: bool | None = None) -> None:
        from rich.console import Console

        self.width = width() if columns is None else max(_LEAST, columns)
        self.colours = styled() if colours is None else colours
        self._file = StringIO()
        self._console = Console(
            file=self._file,
            width=self.width,
            force_jupyter=False,  # in a notebook it would show every part by itself, and write none
            force_terminal=self.colours,
            color_system="auto" if self.colours else None,
            no_color=not self.colours,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def __str__(self) -> str:
        return "".join(f"{line.rstrip()}\n" for line in self._file.getvalue().splitlines())

    def near(self, path: Path) -> str:
        """A path as it is shown: whole, or where that is too long relative to the current folder it is in."""
        here, most = Path.cwd(), self.width - _BESIDE
        fits = _wide(str(path)) <= most or not path.is_relative_to(here)
        return str(path if fits else path.relative_to(here))

    def gap(self) -> None:
        """An empty line."""
        self._console.print()

    def text(self, words: str, style: str = "") -> None:
        """A paragraph, wrapped between words."""
        self._console.print(_text(words, style), overflow="fold")

    def whole(self, words: str, style: str = "") -> None:
        """A line that is copied from the screen, such as a path: it is not broken, however long it is."""
        self._console.print(_text(words, style), soft_wrap=True)

    def facts(self, groups: Mapping[str, Sequence[tuple[str, str, str]]]) -> None:
        """Names and values one below the other, in groups with a heading (empty: none).

        Args:
            groups: Heading -> name, value, and what is to be said of them.
        """
        every = [line for lines in groups.values() for line in lines]
        beside = any(note for *_, note in every) and self.width >= WIDTH
        first = min(max(_wide(name) for name, *_ in every), self.width * 2 // 5)
        notes = max(_wide(note) for *_, note in every)
        most = max(self.width * 2 // 5, self.width - first - notes - 3 * _GAP)
        second = min(max(_wide(value) for _, value, _ in every), most) if beside else None
        for heading, lines in groups.items():
            if heading:
                self.text(heading, "bold")
            grid = self._grid([first + (2 if heading else 0), second, *([None] if beside else [])])
            for name, value, note in lines:
                said = _text(value)
                if note and not beside:
                    said.append_text(_text(f"  ({note})", "dim"))
                named = _padded(_text(name, "cyan"), 2 if heading else 0)
                grid.add_row(named, said, *([_text(note, "dim")] if beside else []))
            self._console.print(grid)

    def rows(self, body: Sequence[Sequence[str]], right: Collection[int] = (), indent: int = 0) -> None:
        """Rows of cells, each column as wide as it needs, but for the last, which wraps.

        Where little room is left for the last, it stands below the others.

        Args:
            body: The rows, all of as many cells.
            right: Places of the columns that stand to the right.
            indent: Columns that are left free before every row.
        """
        widths = [max(_wide(row[i]) for row in body) for i in range(len(body[0]) - 1)]
        most = max(_wide(row[-1]) for row in body)
        if self.width - indent - sum(wide + _GAP for wide in widths) >= min(most, _NOTE):
            grid = self._grid([*widths, None])
            for i in right:
                grid.columns[i].justify = "right"
            for row in body:
                grid.add_row(*map(_text, row))
            self._console.print(_padded(grid, indent))
            return
        for row in body:
            first = (" " * _GAP).join(filter(None, row[:-1]))
            self._console.print(_padded(_text(first), indent), overflow="fold")
            if row[-1]:
                self._console.print(_padded(_text(row[-1]), indent + _GAP), overflow="fold")

    def table(self, heads: Sequence[tuple[str, str]], body: Sequence[Sequence[str]], lead: int = 1) -> None:
        """A table; where it is too wide, several of the same rows, one below the other.

        Args:
            heads: Title of each column, and what stands below it.
            body: The rows; a cell may have a second line, which says less.
            lead: How many columns tell the rows apart, and so begin every one of the tables.
        """
        cells = [[row[i] for row in body] for i in range(len(heads))]
        widths = [
            _room(head, column, i < lead) for i, (head, column) in enumerate(zip(heads, cells, strict=True))
        ]
        for i in range(lead):
            most = max(int(self.width * _LEAD), min(_longest(cells[i]), self.width // 2)) // lead
            widths[i] = min(widths[i], most)
        taken = sum(wide + _GAP for wide in widths[:lead])
        for place, chosen in enumerate(_packed(widths, lead, self.width - taken)):
            if place:
                self.gap()
            self._part(
                [*range(lead), *chosen], heads, body, [min(w, self.width - taken) for w in widths], lead
            )

    def _part(
        self,
        chosen: Sequence[int],
        heads: Sequence[tuple[str, str]],
        body: Sequence[Sequence[str]],
        widths: Sequence[int],
        lead: int,
    ) -> None:
        from rich.box import SIMPLE_HEAD, Box
        from rich.table import Table

        dashes = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
        drawn = SIMPLE_HEAD if self.colours and _is_unicode() else dashes
        table = Table(box=drawn, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for i in chosen:
            title, sub = heads[i]
            head = _text(title, "bold")
            if sub:
                head.append_text(_text(f"\n{sub}", "not bold dim"))
            side: Any = "left" if i < lead else "right"
            table.add_column(head, width=widths[i], justify=side, overflow="fold")
        for row in body:
            table.add_row(*(_cell(row[i], "cyan" if i < lead else "") for i in chosen))
        self._console.print(table)

    def _grid(self, widths: Sequence[int | None]) -> Any:
        from rich.table import Table

        grid = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
        for wide in widths:
            grid.add_column(width=wide, overflow="fold")
        return grid


def _packed(widths: Sequence[int], lead: int, room: int) -> list[list[int]]:
    """Places of the columns after the first ``lead``, in as few tables as they need in this order."""
    tables: list[list[int]] = [[]]
    left = room
    for i in range(lead, len(widths)):
        if tables[-1] and widths[i] > left:
            tables.append([])
            left = room
        tables[-1].append(i)
        left -= widths[i] + _GAP
    return tables


def _room(head: tuple[str, str], cells: Sequence[str], leads: bool) -> int:
    """The width that a column asks for: that of its cells, and of the words of its heading."""
    inside = max((_wide(line) for cell in cells for line in cell.split("\n")), default=0)
    words = _longest(head)
    titles = max(map(_wide, head))
    return max(inside, words, titles if leads else min(titles, _HEADING), 1)


def _longest(lines: Sequence[str]) -> int:
    """The width of the widest word."""
    return max((_wide(word) for line in lines for word in line.split()), default=0)


def _wide(words: str) -> int:
    from rich.cells import cell_len

    return cell_len(words)


def _text(words: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(printable(words, but="\n"), style=style)


def _cell(words: str, style: str) -> Any:
    first, _, below = words.partition("\n")
    said = _text(first, style)
    return said.append_text(_text(f"\n{below}", "dim")) if below else said


def _padded(text: Any, indent: int) -> Any:
    from rich.padding import Padding

    return Padding(text, (0, 0, 0, indent)) if indent else text


def _is_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
