"""Methods against many retrained models: KLOM and the challenge's epsilon, from runs that kept margins."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core import markdown, text
from expunge.core.errors import DataError
from expunge.core.files import load_state
from expunge.core.intervals import Interval, of_all
from expunge.evaluations.challenge import epsilons
from expunge.evaluations.klom import klom
from expunge.evaluations.margins import SIDES
from expunge.record.folders.runs import Run
from expunge.report.read.arrays import files_of
from expunge.report.read.measured import references
from expunge.report.tables.over_seeds import SeedGroup

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Kept = Mapping[str, NDArray[Any]]
TITLE = "Against many retrained models"
_LEAST = 8  # models of a half, of which histograms and thresholds say something
HEADS = ("method", "models", *(f"KLOM, {name} ↓" for name in SIDES.values()), "95th percentile", "epsilon ↓")
SAID = (
    "KLOM: for each row the Kullback-Leibler divergence (nats, at most 11.5) of the margins of the unlearned "
    "models from those of the retrained ones, 20 bins; mean over the rows, and the 95th percentile of the "
    "removed ones. Epsilon: of the NeurIPS 2023 challenge, by which the two are told apart on a removed row; "
    "mean. The seeds are parted in two: the unlearned models of one half stand against the retrained ones of "
    "the other, and the other way round, and each row has the mean of both. Exact unlearning has no 0 here: "
    "what retraining comes to, by other seeds, is the least that can be had with so many models. Brackets: "
    "95% bootstrap over rows."
)


@dataclass(frozen=True)
class Many:
    """What the models of a method come to.

    Attributes:
        method: Its label.
        models: Of each half.
        klom: Side -> mean over rows and its interval; None where it is not defined.
        worst: The 95th percentile over removed rows.
        epsilon: Mean over removed rows.
    """

    method: str
    models: int
    klom: Mapping[str, Interval | None]
    worst: float | None
    epsilon: Interval | None

    @property
    def cells(self) -> list[str]:
        """A line of the table, by ``HEADS``."""
        worst = text.NONE if self.worst is None else text.number(self.worst, 3)
        found = [self.klom[side] for side in SIDES]
        return [self.method, f"{self.models} + {self.models}", *map(_told, found), worst, _told(self.epsilon)]


def many(groups: Sequence[SeedGroup]) -> list[Many]:
    """Return them for methods with runs of enough seeds that kept margins of the same rows; else none."""
    runs = [row.of for group in groups for row in group.rows]
    kept = {id(run): margins for run in runs if (margins := _kept(run)) is not None}
    if len(kept) < 4 * _LEAST:
        return []
    found: list[Many] = []
    for group in groups:
        own = [row.of for row in group.rows if id(row.of) in kept]
        if own:
            asked = own[0].requests()
            again = [run for run in references(own[0], runs) if id(run) in kept and run.requests() == asked]
            if (pairs := _halves(own, again, kept)) is not None:
                found.append(_of(group.label, pairs))
    return found


def notes(every: Sequence[Many]) -> list[str]:
    """Return what is to be said below the table."""
    return [SAID] if every else []


def as_markdown(every: Sequence[Many]) -> str:
    """Return the table in Markdown under its heading; empty where no method has such runs."""
    if not every:
        return ""
    said = "\n\n".join(map(markdown.escaped, notes(every)))
    return f"## {TITLE}\n\n{markdown.table(HEADS, [one.cells for one in every])}\n\n{said}\n"


def _kept(run: Run) -> Kept | None:
    """The margins that a run kept, and of which rows; None of a file that is not as it should be."""
    for path in files_of(run, "margins", "margins"):
        try:
            arrays = load_state(path, signed=False).arrays
            found = {side: arrays[side].astype(np.float64) for side in SIDES}
            ids = {f"{side}_rows": arrays[f"{side}_rows"] for side in SIDES}
            if all(found[side].shape == (len(ids[f"{side}_rows"]),) for side in SIDES):
                return found | ids
            reason = f"{path}: not the arrays of margins"
        except (DataError, KeyError, ValueError, TypeError) as error:
            reason = str(error) if isinstance(error, DataError) else f"{path}: not the arrays of margins"
        log.warning("%s; it is left out of KLOM", reason)
    return None


def _halves(
    own: Sequence[Run], again: Sequence[Run], kept: Mapping[int, Kept]
) -> list[tuple[list[Kept], list[Kept]]] | None:
    """Unlearned models of each half of the seeds beside the retrained ones of the other; None: too few."""
    ours, theirs = (
        {str(run.summary.get("seed")): kept[id(run)] for run in reversed(runs)} for runs in (own, again)
    )
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds or any(not _same_rows(ours[seeds[0]], of[seed]) for of in (ours, theirs) for seed in seeds):
        return None
    half = len(seeds) // 2
    parts = seeds[:half], seeds[half : 2 * half]
    if half < _LEAST:
        return None
    return [
        ([ours[seed] for seed in one], [theirs[seed] for seed in other])
        for one, other in (parts, parts[::-1])
    ]


def _same_rows(one: Kept, other: Kept) -> bool:
    return all(np.array_equal(one[f"{side}_rows"], other[f"{side}_rows"]) for side in SIDES)


def _of(label: str, pairs: Sequence[tuple[list[Kept], list[Kept]]]) -> Many:
    def both(side: str, how: Any) -> Array:
        parts = [how(*(np.stack([kept[side] for kept in half]) for half in pair)) for pair in pairs]
        return np.asarray(np.mean(parts, axis=0))

    values = {side: both(side, klom) for side in SIDES}
    worst = values["forget"]
    known = len(worst) > 0 and not np.isnan(worst).any()
    return Many(
        label,
        len(pairs[0][0]),
        {side: _mean(values[side]) for side in SIDES},
        float(np.quantile(worst, 0.95)) if known else None,
        _mean(both("forget", epsilons)),
    )


def _mean(values: Array) -> Interval | None:
    """Over rows; None where one is not defined."""
    return of_all(None if np.isnan(value) else float(value) for value in values)


def _told(found: Interval | None) -> str:
    if found is None:
        return text.NONE
    middle, low, high = (text.number(value, 3) for value in found)
    return f"{middle} [{low}, {high}]"
