"""What is to be said under a table: how far its rows compare, what is guaranteed, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from expunge.core import text
from expunge.core.groups import grouped
from expunge.record.folders import guarantees, totals
from expunge.record.folders.runs import Run
from expunge.report.tables.table_rows import Row


def warnings(runs: Sequence[Run]) -> list[str]:
    """Return one line for each thing that makes the rows less comparable than they look.

    Requests are compared within one data set and one seed: another seed draws other requests by design.
    """
    first: dict[tuple[str, str], Run] = {}
    pairs = [(r, first.setdefault((str(r.summary["dataset"]), str(r.summary.get("seed"))), r)) for r in runs]
    unlike = [(run, other) for run, other in pairs if run.requests() != other.requests()]
    if not unlike:
        return []
    pairs_of_rows = (zip(run.requests(), other.requests(), strict=False) for run, other in unlike)
    cut = all(a == b for start in pairs_of_rows for a, b in start)
    what = "the same requests, but not equally many" if cut else "the same requests (their rows differ)"
    verb = "served" if cut else "did not serve"
    return [f"Warning: the runs {verb} {what}; compare counts and accuracies with that in mind."]


def guaranteed(table: Sequence[Row]) -> list[str]:
    """Return one line for each guarantee that certified runs say they have."""

    def own(row: Row) -> list[str]:
        able = row.of.certified and isinstance(row.of.summary.get("guarantee"), str)
        return [guarantees.words(row.of)] if able else []

    lines = []
    for said, _, which in _told(table, own):
        holds = said.startswith(guarantees.RELEASE)
        sign, words = ("Guarantee:", said) if holds else (guarantees.MARK, text.capital(said))
        lines.append(f"{sign} {words}{which}.")
    return lines


def besides(table: Sequence[Row]) -> list[str]:
    """Return what rows give to say under the table, besides the guarantees of certified runs.

    Of a guarantee for extractor and model together: why there is none, where the run's own guarantee does not
    say so already, and what it does not cover. Then which metric could not measure some runs, and why.
    """

    def without(row: Row) -> list[tuple[str, str]]:
        reason = guarantees.besides(row.of, row.not_covered)
        published = row.extractor_mode == totals.PUBLISHED
        what = "as published" if published else "no guarantee for extractor and model together"
        return [(what, reason)] if reason else []

    def partly(row: Row) -> list[str]:
        said = guarantees.beyond(row.of)
        return [said] if said and row.epsilon_total is not None else []

    def unmeasured(row: Row) -> list[tuple[str, str]]:
        said = row.of.summary.get("not_measured")
        return [(text.plain(k), text.plain(v)) for k, v in said.items()] if isinstance(said, dict) else []

    return [
        *(f"Warning: {what}: {why}{which}." for (what, why), _, which in _told(table, without)),
        *(f"{guarantees.MARK} Not covered: {what}{which}." for what, _, which in _told(table, partly)),
        *(f"Not measured: {what} of {names}: {why}." for (what, why), names, _ in _told(table, unmeasured)),
    ]


def _told(table: Sequence[Row], told: Callable[[Row], Sequence[Any]]) -> Iterator[tuple[Any, str, str]]:
    """Yield each thing that is told of rows, of which ones, and that in brackets unless it is all of them."""
    every = {row.unlearner for row in table}
    for said, some in grouped((one, row.unlearner) for row in table for one in told(row)).items():
        names = list(dict.fromkeys(some))
        which = f" ({guarantees.named(names, len(every))})" if len(names) < len(every) else ""
        yield said, ", ".join(names), which
