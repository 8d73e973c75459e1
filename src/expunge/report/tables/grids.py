"""Grids of two settings that runs were swept over, and what a method came to in each of their cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

from expunge.core.columns import Column
from expunge.core.intervals import Interval, of_all
from expunge.core.text import finite
from expunge.record.columns import main_column
from expunge.record.folders.runs import Run
from expunge.record.folders.sweeps import LeftOut
from expunge.report.read.methods import Method, placed
from expunge.report.read.names import alike, deciding
from expunge.report.tables.table_rows import Row, rows

SWEPT = ("unlearner.lam", "unlearner.std")
Pair = tuple[float, float]


@dataclass(frozen=True)
class Cell:
    """Runs that differ in nothing but the seed.

    Attributes:
        main: The number that runs are compared by, over the seeds; None unless every run has it.
        supported: Requests served before a budget ran out, over the seeds; None unless every run has a
            budget.
        served_all: How many of the runs served every request, so that ``supported`` is at least so much.
        requests: Requests of each run, mean over the seeds.
        seeds: How many seeds there are.
    """

    main: Interval | None
    supported: Interval | None
    served_all: int
    requests: float
    seeds: int

    @property
    def at_least(self) -> bool:
        """Whether a budget never ran out, so that more removals might have been served."""
        return self.supported is not None and self.served_all > 0


@dataclass(frozen=True)
class SweptMethod:
    """Runs that differ in nothing but the two swept settings and the seed: ``cells`` by the two values."""

    of: Method
    cells: dict[Pair, Cell]


def axes(runs: Sequence[Run], left_out: Sequence[LeftOut] = ()) -> tuple[str, str] | None:
    """Return the two dotted settings that the runs sweep as a grid; None where no two are.

    ``lam`` and ``std`` are preferred; else the first two numeric settings, in the configuration's order, of
    which some runs that are otherwise alike cross several values of both. Cells that came to nothing count.
    """
    tables = [*map(_numbers, runs), *map(_asked, left_out)]
    keys = dict.fromkeys(key for table in tables for key in table)
    varying = [key for key in keys if len({table[key] for table in tables if key in table}) > 1]
    pairs = [pair for pair in combinations(varying, 2) if set(pair) != set(SWEPT)]
    preferred = [SWEPT] if set(SWEPT) <= set(varying) else []
    return next((pair for pair in (*preferred, *pairs) if _crossed(runs, left_out, pair)), None)


def asked(one: LeftOut, pair: tuple[str, str]) -> list[tuple[str, Pair]]:
    """Return where in a grid a cell is that came to nothing, if it is: its unlearner, and the two values.

    The unlearner is empty where every cell of the sweep has the same.
    """
    named = re.search(r"(?:^|\s)unlearner=(\S+)", one.asked)
    numbers = _asked(one)
    there = set(pair) <= numbers.keys()
    return [(named[1] if named else "", (numbers[pair[0]], numbers[pair[1]]))] if there else []


def _asked(one: LeftOut) -> dict[str, float]:
    """Return the numeric settings that a cell was asked for, of those that not every cell has."""
    parts = (override.lstrip("+").partition("=") for override in one.asked.split())
    return {key: number for key, _, value in parts if (number := _number(value)) is not None}


def _number(word: str) -> float | None:
    try:
        return finite(float(word))
    except ValueError:
        return None


def swept(runs: Sequence[Run], x: str, y: str) -> list[SweptMethod]:
    """Return the methods that have both settings, in the order of ``runs``; none where none varies them."""
    groups, without = _groups(runs, x, y)
    if all(len({_place(run, x, y) for run in group}) < 2 for group in groups):
        return []
    found = {id(row.of): row for row in rows([run for group in groups for run in group])}
    main = main_column(run.columns for run in runs)
    every = []
    for method in placed(groups, without, runs):
        places: dict[Pair, dict[str, Row]] = {}
        for row in (found[id(run)] for run in method.runs):
            # The same run made twice is one run.
            places.setdefault(_place(row.of, x, y), {}).setdefault(row.seed, row)
        cells = {at: _cell(list(seeds.values()), main) for at, seeds in places.items()}
        every.append(SweptMethod(method, cells))
    return every


def _groups(runs: Sequence[Run], x: str, y: str) -> tuple[list[list[Run]], set[str]]:
    """Return the runs that have both settings, alike but for them, and what goes with them."""
    able = [run for run in runs if {x, y} <= _numbers(run).keys()]
    tables = [deciding(run) for run in able]
    # What always has the same value, such as a reference to it, is the same setting under another name.
    first = tables[0] if tables else {}
    same = {key for a in (x, y) for key in first if all(key in t and t[key] == t[a] for t in tables)}
    return alike(able, same), same


def _crossed(runs: Sequence[Run], left_out: Sequence[LeftOut], pair: tuple[str, str]) -> bool:
    """Whether some runs that are alike, with cells that came to nothing, cover more than a line of values."""
    gone = {at for one in left_out for _, at in asked(one, pair)}
    places = [{_place(run, *pair) for run in group} | gone for group in _groups(runs, *pair)[0]]
    return any(len(at) > max(len({a for a, _ in at}), len({b for _, b in at})) for at in places)


def _place(run: Run, x: str, y: str) -> Pair:
    numbers = _numbers(run)
    return numbers[x], numbers[y]


def _cell(table: Sequence[Row], main: tuple[str, Column] | None) -> Cell:
    budgeted = all(row.budget_exhausted is not None for row in table)
    return Cell(
        main=of_all(row.of.number(main[0]) for row in table) if main else None,
        supported=of_all(row.number("removals_supported") for row in table) if budgeted else None,
        served_all=sum(row.budget_exhausted is False for row in table),
        requests=mean(row.requests for row in table),
        seeds=len(table),
    )


def _numbers(run: Run) -> dict[str, float]:
    return {key: number for key, value in deciding(run).items() if (number := finite(value)) is not None}
