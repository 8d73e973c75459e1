"""Runs that differ only in their seed: mean and 95% interval, and differences paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from expunge.core.intervals import Interval, of_all
from expunge.core.text import finite
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
        rows: The rows of the table of the runs, by ascending seed, one a seed.
        values: Key -> mean and interval, of the numbers of the rows that every run has.
        paired: Key of a number that runs are compared by -> its differences from the reference method's runs
            of the same seed and requests, one a pair.
        colour: Its place among the colours of the figures.
        again: The rows of runs whose seed is there already: the same run made twice counts once.
    """

    label: str
    rows: list[Row]
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
        """The label, and of how many seeds it is."""
        return f"{self.label} · {len(self.rows)} seeds" if len(self.rows) > 1 else self.label

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
    first = {row.seed: row for row in reversed(every)}
    table = [first[seed] for seed in sorted(first, key=natural)]
    again = [row for row in every if row is not first[row.seed]]
    found = {key: of_all(row.number(key) for row in table) for key in table[0].values}
    values = {key: one for key, one in found.items() if one}
    main = [key for key, column in merged(run.columns for run in method.runs).items() if column.main]
    paired = {key: _paired(key, [row.of for row in table], runs) for key in main}
    return SeedGroup(method.label, table, values, paired, method.colour, again)


def _paired(key: str, group: Sequence[Run], runs: Sequence[Run]) -> list[float]:
    """Return the differences of a number, one a run with a partner; none of a reference with itself.

    The partner is the reference method's run on the same problem, with the same seed and requests.
    """
    found = []
    for run in (run for run in group if run.role != "reference"):
        partner = next((r for r in references(run, runs) if _asked(r) == _asked(run)), None)
        ours, theirs = run.number(key), partner.number(key) if partner else None
        if ours is not None and theirs is not None:
            found.append(ours - theirs)
    return found


def _asked(run: Run) -> tuple[object, ...]:
    return run.summary.get("seed"), run.summary.get("n_test"), run.requests()
