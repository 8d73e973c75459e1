"""A figure that compares extractors: what their features are worth, and what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from expunge.record.columns import main_column
from expunge.report.figures import chart, drawing, strips, style
from expunge.report.read import text, totals
from expunge.report.read.methods import COLOURS
from expunge.report.read.runs import Run
from expunge.report.tables.table_rows import lasting

_HEAD = "certified model, after the removals"
_FEATURES = ("features",)
_MARKS = ("circle", "diamond", "square", "triangle-up", "triangle-down", "cross", "triangle-left", "arrow")
_WIDE = 400  # pixels
_NOTHING = "no guarantee"
_CAPTION = (
    "Share of test rows classified correctly. The certified model is that after the last request.{} At the "
    "right, what extractor and certified model promise together for each removed row taken alone."
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
    rows = [row for one in every for kind in kinds if (row := _row(one, kind))]
    said = _CAPTION.format("".join(f" {text.capital(kind)}: {meant[kind]}." for kind in kinds if meant[kind]))
    return chart.rendered(_strips(rows, every, kinds), "extractors", "Accuracy by extractor", said)


def _row(one: Compared, kind: str) -> dict[str, Any]:
    """Return the accuracies of one kind, of which the figure shows the lowest and the highest."""
    values = one.accuracies.get(kind)
    if not values:
        return {}
    said = " to ".join(dict.fromkeys((text.accuracy(values[0]), text.accuracy(values[-1]))))
    return {"row": one.name, "what": kind, "low": values[0], "x": values[-1], "said": said}


def _strips(rows: Sequence[dict[str, Any]], every: Sequence[Compared], kinds: Sequence[str]) -> Any:
    names = [one.name for one in every]
    low, high = min(row["low"] for row in rows), max(row["x"] for row in rows)
    low = min(low, high - 0.03)  # no span that makes noise look like more
    x = strips.along("test rows classified correctly", (low - 0.1 * (high - low), high + 0.35 * (high - low)))
    height = strips.step(names, 18 * len(kinds) + 10)
    looks = {kind: (_MARKS[i % COLOURS], style.SERIES[i % COLOURS]) for i, kind in enumerate(kinds)}
    shapes, hues = zip(*looks.values(), strict=True)
    keys = chart.legend(kinds, symbolType="circle")
    lane = alt.YOffset("what:N", scale=dict(domain=list(kinds), paddingOuter=0.4))
    tips = [
        alt.Tooltip("row:N", title="extractor"),
        alt.Tooltip("what:N"),
        alt.Tooltip("said:N", title="accuracy"),
    ]
    base = alt.Chart(chart.data(rows)).encode(
        y=strips.rows_axis(names),
        yOffset=lane,
        color=alt.Color("what:N", scale=dict(domain=kinds, range=hues), legend=keys),
    )
    shape = alt.Shape("what:N", scale=dict(domain=kinds, range=shapes), legend=keys)
    lowest = x.copy()
    lowest.shorthand = "low:Q"
    promises = alt.Chart(chart.data([{"row": one.name, "said": one.promise} for one in every]))
    layers = [
        base.mark_rule(strokeWidth=1.4).encode(x=x, x2="low:Q"),
        *(
            base.mark_point(filled=True, size=56, opacity=1).encode(x=at, shape=shape, tooltip=tips)
            for at in (x, lowest)
        ),
        base.mark_text(align="left", dx=9, fontSize=11).encode(
            x=x, text="said:N", color=alt.value(style.INK)
        ),
        promises.mark_text(align="left", dx=6, fontSize=11, color=style.INK).encode(
            y=strips.rows_axis(names), x=alt.value(_WIDE), text="said:N"
        ),
    ]
    return alt.layer(*layers).properties(width=_WIDE, height=height * len(names))


def compared(runs: Sequence[Run]) -> list[Compared]:
    """Return the extractors that can be compared, in the order of ``runs``.

    Accuracies on other rows are another task: extractors are compared within one data set, and where it is
    the only one there. Runs with other settings on the same extractor are taken together.
    """
    groups: dict[tuple[object, ...], dict[str, list[Run]]] = {}
    for run, notes in zip(runs, text.extractors(runs), strict=True):
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
    main = main_column(run.columns for run in runs)
    values = {
        _HEAD: [run.number(main[0]) for run in runs if run.certified] if main else [],
    }
    for key, _, plot in drawing.plotted(runs, _FEATURES):
        values[plot.title] = [lasting(run, key) for run in runs]
    # Runs on one extractor share its own head: equal values are one.
    known = {kind: sorted({v for v in some if v is not None}) for kind, some in values.items()}
    return {kind: some for kind, some in known.items() if some}


def _promise(runs: Sequence[Run]) -> str:
    """Return the total of the certified runs, from the smallest to the largest, or that there is none."""
    if any(totals.not_covered(run) for run in runs):
        return _NOTHING
    promised = [totals.total(run)[0] for run in runs if run.certified]
    known = sorted({text.number(e): e for e in promised if e is not None}.items(), key=lambda pair: pair[1])
    return f"total ε {' to '.join(dict.fromkeys((known[0][0], known[-1][0])))}" if known else ""
