"""A figure that compares extractors: what their features are worth, and what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from expunge.record.columns import main_column
from expunge.report.figures import drawing, style
from expunge.report.read import text, totals
from expunge.report.read.runs import Run
from expunge.report.tables.table_rows import lasting

_HEAD = "certified model, after the removals"
_FEATURES = ("features",)
_MARKS = ("o", "D", "s", "^", "v", "P", "X", "*")
_LANE = 0.26  # between the accuracies of one extractor; extractors are 1 apart
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


@style.styled()
def draw_extractors(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the accuracies by extractor; None unless two extractors on the same rows have any."""
    every = compared(runs)
    shown = every[: style.MOST]
    if not shown:
        return None
    features = {keyed.plot.title: keyed.column.definition for keyed in drawing.plotted(runs, _FEATURES)}
    kinds = {_HEAD: "", **features}  # and what those mean that are of the features alone
    looks = {kind: (_MARKS[i % style.MOST], style.SERIES[i % style.MOST]) for i, kind in enumerate(kinds)}
    looks = {k: look for k, look in looks.items() if any(k in one.accuracies for one in shown)}
    figure, (ax,) = style.canvas(drawing.WIDTH, 1.3 + (0.22 + 0.18 * len(looks)) * len(shown))
    for place, one in enumerate(shown):
        for lane, kind in enumerate(looks):
            height = place + _LANE * (lane - (len(looks) - 1) / 2)
            _accuracies(ax, height, one.accuracies.get(kind), looks[kind])
        ax.text(1.02, place, one.promise, transform=ax.get_yaxis_transform(), va="center", size=9)
    drawing.run_rows(ax, [drawing.wrapped(one.name, 30) for one in shown])
    for between in range(1, len(shown)):
        ax.axhline(between - 0.5, color=style.GRID, lw=0.7)
    title = "Accuracy by extractor"
    ax.set(title=title, xlabel="test rows classified correctly")
    _room(ax, [values for one in shown for values in one.accuracies.values()])
    keys = [drawing.dot_key(kind, marker, 7, colour) for kind, (marker, colour) in looks.items()]
    style.legend(figure, keys, columns=min(len(keys), 3))
    said = [f" {text.capital(kind)}: {kinds[kind]}." for kind in looks if kinds[kind]]
    caption = _CAPTION.format("".join(said))
    if len(shown) < len(every):
        caption += f" The first {len(shown)} of {len(every)} extractors are drawn."
    return style.render(figure, "extractors", title, caption)


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


def _accuracies(ax: Axes, height: float, values: Sequence[float] | None, look: tuple[str, str]) -> None:
    """Draw the accuracies of one kind on a line, and write them to the right of the last."""
    if not values:
        return
    marker, colour = look
    ax.plot(values, [height] * len(values), ls="-", lw=1.2, marker=marker, ms=6, color=colour)
    drawing.write(ax, _said(values), (values[-1], height), (7, 0), va="center")


def _said(values: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys((text.accuracy(values[0]), text.accuracy(values[-1]))))


def _room(ax: Axes, known: Sequence[Sequence[float]]) -> None:
    """Leave room for what is written beside the values, and show no span that makes noise look like more."""
    low, high = ax.get_xlim()
    span = max(high - low, 0.04)
    right = max(values[-1] + (0.05 + 0.025 * len(_said(values))) * span for values in known)
    left = max(high - span, -0.02)
    ax.set_xticks(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(left, min(high, 1.0)))
    ax.set_xlim(left, max(high, right))
