"""Runs that differ only in their seed: mean and 95% interval, and differences paired by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from expunge.core.intervals import Interval, of_all
from expunge.core.text import finite
from expunge.core.variance import Draws, nested_mean, outermost
from expunge.record import chance
from expunge.record.columns import merged
from expunge.record.folders.runs import Run
from expunge.record.folders.walk import natural
from expunge.report.read.measured import references
from expunge.report.read.methods import Method, methods
from expunge.report.tables.table_rows import Row, rows


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ only in their seed.

    Attributes:
        label: The method, with what tells it from the other groups.
        rows: The rows of the table of the runs, by ascending seed, one a seed: of several repeats and
            evaluations of one seed, which are not independent, their means.
        draws: Those of the single runs, by their draws (``expunge.record.chance``), in order.
        values: Key -> mean and interval, of the numbers of the rows that every run has.
        paired: Key of a number that runs are compared by -> its differences from the reference method's runs
            of the same draws and requests, one a seed.
        colour: Its place among the colours of the figures.
        again: The rows of runs whose seed is there already: the same run made twice counts once.
    """

    label: str
    rows: list[Row]
    draws: dict[Draws, Row]
    values: dict[str, Interval]
    paired: dict[str, list[float]]
    colour: int = 0
    again: list[Row] = field(default_factory=list)

    @property
    def seeds(self) -> list[str]:
        """The seeds, as the table has them."""
        return [row.seed for row in self.rows]

    @property
    def title(self) -> str:
        """The label, and of how many seeds and runs it is."""
        many = [f"{len(self.rows)} seeds"] * (len(self.rows) > 1)
        many += [f"{len(self.draws)} runs"] * self.is_nested
        return f"{self.label} · {', '.join(many)}" if many else self.label

    @property
    def is_nested(self) -> bool:
        """Whether there are several runs of one seed."""
        return len(self.draws) > len(self.rows)

    @property
    def single(self) -> list[Row]:
        """The rows of single runs."""
        return [*self.draws.values()] if self.is_nested else self.rows

    @property
    def average(self) -> Row:
        """A row of the means; blank where not every run has the value, counts rounded."""
        first = self.rows[0]
        if len(self.rows) == 1:
            return first.but(unlearner=self.label)
        means: dict[str, Any] = {key: found.mean for key, found in self.values.items()}
        for key, value in first.values.items():
            if isinstance(value, int) and key in means:
                means[key] = round(means[key])
            elif finite(value) is not None and key not in means:
                means[key] = None
        exhausted = [row.budget_exhausted for row in self.rows]
        ran_out = None if None in exhausted else any(exhausted)
        label = f"{self.label} · mean over {len(self.rows)} seeds"
        return first.but(**{**means, "unlearner": label, "seed": "", "budget_exhausted": ran_out})


def by_method(runs: Sequence[Run]) -> list[SeedGroup]:
    """Return what is said of each method, in the order of ``runs``: of one seed or of several."""
    found = {id(row.of): row for row in rows(runs)}
    return [_group(method, [found[id(run)] for run in method.runs], runs) for method in methods(runs)]


def _group(method: Method, every: Sequence[Row], runs: Sequence[Run]) -> SeedGroup:
    first = {chance.path_of(row.of.summary): row for row in reversed(every)}
    draws = {path: first[path] for path in sorted(first, key=lambda path: [*map(natural, map(str, path))])}
    again = [row for row in every if all(row is not one for one in draws.values())]
    by_seed: dict[Any, dict[Draws, Row]] = {}
    for path, row in draws.items():
        by_seed.setdefault(path[0], {})[path] = row
    table = [_mean(own) for own in by_seed.values()]
    found = {key: of_all(row.number(key) for row in table) for key in table[0].values}
    values = {key: one for key, one in found.items() if one}
    main = [key for key, column in merged(run.columns for run in method.runs).items() if column.main]
    paired = {key: _paired(key, {path: row.of for path, row in draws.items()}, runs) for key in main}
    return SeedGroup(method.label, table, draws, values, paired, method.colour, again)


def _paired(key: str, group: Mapping[Draws, Run], runs: Sequence[Run]) -> list[float]:
    """Return the differences of a number, one a seed with a partner; none of a reference with itself.

    The partner is the reference method's run on the same problem, with the same draws and requests.
    """
    found: dict[Draws, float] = {}
    for path, run in group.items():
        if run.role == "reference":
            continue
        partner = next((r for r in references(run, runs) if _asked(r) == _asked(run)), None)
        ours, theirs = run.number(key), partner.number(key) if partner else None
        if ours is not None and theirs is not None:
            found[path] = ours - theirs
    return [*outermost(found).values()]


def _asked(run: Run) -> tuple[object, ...]:
    return chance.path_of(run.summary), run.summary.get("n_test"), run.requests()


def _mean(rows: Mapping[Draws, Row]) -> Row:
    """A row of the means of several; blank where one has no number that others have."""
    first, means = next(iter(rows.values())), dict[str, Any]()
    for key, value in first.values.items():
        known = {draws: number for draws, row in rows.items() if (number := row.number(key)) is not None}
        if any(row.values.get(key) != value for row in rows.values()) and known:
            means[key] = nested_mean(known) if len(known) == len(rows) else None
    exhausted = [row.budget_exhausted for row in rows.values()]
    return first.but(**means, budget_exhausted=None if None in exhausted else any(exhausted))
