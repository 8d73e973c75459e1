"""A figure that compares extractors: what their features are worth, and what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expunge.charts import chart, style
from expunge.charts.rendering import rendered
from expunge.charts.strips import strips
from expunge.core import text
from expunge.record.columns import main_column
from expunge.record.folders import totals
from expunge.record.folders.runs import Run
from expunge.report.figures import drawing
from expunge.report.read import names
from expunge.report.read.measured import lasting

_HEAD = "certified model, after the removals"
_FEATURES = ("features",)
_MARKS = ("circle", "diamond", "square", "triangle-up", "triangle-down", "cross", "triangle-left", "arrow")
_NOTHING = "no guarantee"
_CAPTION = (
    "Share of test rows classified correctly. The certified model is that after the last request.{} With its "
    "name is what extractor and certified model promise together for each removed row taken alone."
)


@dataclass(frozen=True)
class Compared:
    """Runs on one extractor: its name, the accuracies of each kind that is known, and what is promised."""

    name: str
    accuracies: dict[str, list[float]]
    promise: str


def draw_extractors(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the accuracies by extractor; None unless two extractors on the same rows have any."""
    every = compared(runs)
    if not every:
        return None
    features = {keyed.plot.title: keyed.column.definition for keyed in drawing.plotted(runs, _FEATURES)}
    meant = {_HEAD: "", **features}  # and what those mean that are of the features alone
    kinds = [kind for kind in meant if any(kind in one.accuracies for one in every)]
    rows = [row for one in every for place, kind in enumerate(kinds) for row in _rows(one, kind, place)]
    found = [row["x"] for row in rows]
    low, high = min(*found, max(found) - 0.03), max(found)  # no span that makes noise look like more
    ends = (low - 0.1 * (high - low), high + 0.35 * (high - low))
    x = chart.axis("x", "test rows classified correctly", ends, tickCount=4)
    looks = {kind: {"shape": _MARKS[i % style.COLOURS], "size": 56} for i, kind in enumerate(kinds)}
    hues = {kind: style.SERIES[i % style.COLOURS] for i, kind in enumerate(kinds)}
    lanes = {"domain": [-1, len(kinds)]}
    whole = strips(rows, x, looks, hues, by="what", lanes=lanes, step=18 * len(kinds) + 10)
    said = _CAPTION.format("".join(f" {text.capital(kind)}: {meant[kind]}." for kind in kinds if meant[kind]))
    return rendered(whole, "extractors", "Accuracy by extractor", said)


def _rows(one: Compared, kind: str, lane: int) -> list[dict[str, Any]]:
    """Return the accuracies of one kind, of which the figure shows the lowest and the highest."""
    values = one.accuracies.get(kind)
    if not values:
        return []
    said = " to ".join(dict.fromkeys((text.accuracy(values[0]), text.accuracy(values[-1]))))
    who = ", ".join(filter(None, (one.name, one.promise)))
    highest = {"row": who, "what": kind, "x": values[-1], "to": values[0], "said": said, "lane": lane}
    lowest = {"row": who, "what": kind, "x": values[0], "lane": lane}
    return [highest, lowest] if values[0] < values[-1] else [highest]


def compared(runs: Sequence[Run]) -> list[Compared]:
    """Return the extractors that can be compared, in the order of ``runs``.

    Accuracies on other rows are another task: extractors are compared within one data set, and where it is
    the only one there. Runs with other settings on the same extractor are taken together.
    """
    groups: dict[tuple[object, ...], dict[str, list[Run]]] = {}
    for run, notes in zip(runs, names.extractors(runs), strict=True):
        data = tuple(run.summary.get(key) for key in ("dataset", "n_train", "n_test"))
        groups.setdefault(data, {}).setdefault(", ".join(notes), []).append(run)
    found = []
    for data, extractors in groups.items():
        where = f"{text.plain(data[0])}, {text.setting(data[1])} rows: " if len(groups) > 1 else ""
        able = [Compared(where + name, _known(own), _promise(own)) for name, own in extractors.items()]
        able = [one for one in able if one.accuracies]
        found += able if len(able) > 1 else []
    return found


def _known(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Return the accuracies by kind, ascending: runs on one extractor share its head, equal ones are one."""
    main = main_column(run.columns for run in runs)
    values = {_HEAD: [run.number(main[0]) for run in runs if run.certified] if main else []}
    for key, _, plot in drawing.plotted(runs, _FEATURES):
        values[plot.title] = [lasting(run, key) for run in runs]
    known = {kind: sorted({v for v in some if v is not None}) for kind, some in values.items()}
    return {kind: some for kind, some in known.items() if some}


def _promise(runs: Sequence[Run]) -> str:
    """Return the total of the certified runs, from the smallest to the largest, or that there is none."""
    if any(totals.not_covered(run) for run in runs):
        return _NOTHING
    promised = [totals.total(run)[0] for run in runs if run.certified]
    known = list(dict.fromkeys(text.number(e) for e in sorted(e for e in promised if e is not None)))
    return f"total ε {' to '.join(dict.fromkeys((known[0], known[-1])))}" if known else ""
