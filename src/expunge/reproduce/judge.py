"""Ours against what was published: a check and a sweep in, what was found out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from expunge.core.text import NONE, number, setting
from expunge.reproduce.expected import Comparison, Expectation, Value
from expunge.reproduce.sweep_cells import CellGroup, FinishedSweep, NotMeasured, described

_MOST_NAMED = 3  # cells that a verdict names before it counts the rest


@dataclass(frozen=True)
class Judged:
    """Ours and what was allowed, in words; whether it was met (None: not measured), and where or why not."""

    ours: str
    tolerance: str
    met: bool | None
    detail: str = ""


def judge(it: Comparison, sweep: FinishedSweep) -> Judged:
    """Hold one quantity of a sweep against what was published."""
    try:
        groups = sweep.select(it.where)
        found = (_direction if it.expect.rule == "monotone" else _numbers)(it, sweep, groups)
    except NotMeasured as reason:
        return Judged(NONE, NONE, None, str(reason))
    return replace(found, tolerance=f"{found.tolerance} ({it.why})") if it.why else found


def _numbers(it: Comparison, sweep: FinishedSweep, groups: Sequence[CellGroup]) -> Judged:
    """The rules about one number: it must hold in every cell."""
    expect = it.expect
    ours, tolerances, missed = [], [], []
    for group in groups:
        value = sweep.number(it.ours, group, it.where)
        limits = [
            sweep.number(limit, group, it.where) if isinstance(limit, Value) else limit
            for limit in expect.limits
        ]
        ours.append(value)
        tolerances.append(_tolerance(expect, limits))
        if not _holds(expect, value, limits):
            missed.append(f"{sweep.name_of(group.settings)}: {number(value)}, {tolerances[-1]}")
    seeds = max(len(group.cells) for group in groups)
    shown = number(ours[0]) if min(ours) == max(ours) else f"{number(min(ours))} to {number(max(ours))}"
    if len(groups) > 1:
        shown += f", {len(groups) - len(missed)} of {len(groups)} cells"
    if seeds > 1:
        shown += f", mean of {seeds} seeds"
    tolerance = tolerances[0] if len(set(tolerances)) == 1 else _tolerance(expect, [])
    return Judged(shown, tolerance, not missed, _listed(missed) if len(groups) > 1 else "")


def _holds(expect: Expectation, value: float, limits: Sequence[float]) -> bool:
    """Whether ``value`` agrees with ``limits`` by a rule about one number."""
    low, high = limits[0], limits[-1]
    if "by" in expect.options:
        return bool(abs(value - low) <= expect.options["by"])
    if "factor" in expect.options:
        low, high = sorted((low / expect.options["factor"], low * expect.options["factor"]))
    return (expect.rule == "at_most" or low <= value) and (expect.rule == "at_least" or value <= high)


def _tolerance(expect: Expectation, limits: Sequence[float]) -> str:
    """What is allowed, in words; without limits, that every cell has one of its own."""
    shown = [number(limit) for limit in limits]
    if "by" in expect.options:
        words = f"± {setting(expect.options['by'])}"
    elif "factor" in expect.options:
        words = f"within a factor of {setting(expect.options['factor'])}"
    elif expect.rule == "between" and shown:
        return " to ".join(shown)
    else:
        words = expect.rule.replace("_", " ")
        return f"{words} {shown[0]}" if shown else f"{words} its own, each cell"
    return f"{shown[0]} {words}" if shown else f"{words}, each cell against its own"


def _direction(it: Comparison, sweep: FinishedSweep, groups: Sequence[CellGroup]) -> Judged:
    """The rule about a grid: along one setting, all others fixed, ours goes one way."""
    options = it.expect.options
    along, slack = options["along"], float(options.get("slack", 0))
    sign = 1 if options["direction"] == "up" else -1
    steps, moved, broken = 0, 0, []
    for fixed, line in _lines(groups, along).items():
        values = [sweep.number(it.ours, group, it.where) for group in line]
        places = [setting(group.settings[along]) for group in line]
        steps += len(values) - 1
        moved += sum(sign * (b - a) > 0 for a, b in pairwise(values))
        for before, after in breaks([sign * value for value in values], slack):
            step = f"{along.rpartition('.')[2]} {places[before]} → {places[after]}"
            change = f"{number(values[before], 4)} → {number(values[after], 4)}"
            broken.append(f"{fixed}{step} ({change})")
    if not steps:
        raise NotMeasured(f"one value of {along} alone")
    flat = moved == 0 and not options.get("may_be_flat", False)
    detail = _listed(broken) or (f"the same at every {along}" if flat else "")
    words = "does not fall" if sign > 0 else "does not rise"
    tolerance = f"{words} by more than {setting(slack)}" if slack else words
    ours = f"{steps - len(broken)} of {steps} step{'s' * (steps > 1)}"
    return Judged(ours, tolerance, not broken and not flat, detail)


def _lines(groups: Sequence[CellGroup], along: str) -> dict[str, list[CellGroup]]:
    """The rows of the grid along one setting: what is fixed, in words -> the cells by that setting."""
    found: dict[str, list[CellGroup]] = {}
    shared = [key for key in groups[0].settings if len({repr(g.settings.get(key)) for g in groups}) == 1]
    for group in groups:
        if not isinstance(group.settings.get(along), (int, float)):
            raise NotMeasured(f"{along} is not a number of this sweep")
        fixed = {k: v for k, v in group.settings.items() if k != along and k not in shared}
        found.setdefault(f"{described(fixed)}: " if fixed else "", []).append(group)
    return {name: sorted(line, key=lambda g: g.settings[along]) for name, line in found.items()}


def breaks(values: Sequence[float], slack: float) -> list[tuple[int, int]]:
    """Where a sequence falls by more than ``slack``: (place of the highest value before, place) of each such.

    There is none just when no value lies more than ``slack`` below any value before it, so that small falls
    do not add up unseen.
    """
    found, top = [], 0
    for place, value in enumerate(values):
        if value < values[top] - slack:
            found.append((top, place))
        if value > values[top]:
            top = place
    return found


def _listed(items: Sequence[str]) -> str:
    named = "; ".join(items[:_MOST_NAMED])
    more = len(items) - _MOST_NAMED
    return f"{named}; and {more} more" if more > 0 else named
