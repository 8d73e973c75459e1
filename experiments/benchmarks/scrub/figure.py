"""The picture of one scrub: seconds of each stage, ours and published, and of each network."""

from __future__ import annotations

from typing import Any

from experiments.benchmarks.scrub.ours import GUARD, STAGES
from experiments.benchmarks.scrub.tables import WHAT
from experiments.benchmarks.tables import short, times
from expunge.report.figures import style

OURS, PUBLISHED = style.SERIES[0], style.SERIES[1]
BY_STAGE = dict(zip((*STAGES, GUARD), style.SERIES, strict=False))


def draw(report: dict[str, Any], name: str) -> style.Drawn:
    """Stages against the published order of work, and beside it, if they were measured, the networks."""
    families = report.get("families")
    title = "Time of one scrub"
    caption = "Median seconds of the stages of one scrub" + (
        "; left against the published order of work, right ours on other networks." if families else "."
    )
    with style.styled():
        figure, axes = style.canvas(10.2 if families else 6.4, 3.6, panels=2 if families else 1)
        _stages(axes[0], report["stages"])
        handles = [
            style.Line2D([], [], color=colour, marker="o", ls="", label=label)
            for label, colour in (("ours", OURS), ("published order of work", PUBLISHED))
        ]
        if families:
            _families(axes[1], families["rows"])
            handles += [
                style.Line2D([], [], color=colour, marker="s", ls="", label=WHAT[stage])
                for stage, colour in BY_STAGE.items()
            ]
        style.legend(figure, handles, columns=4 if families else 2)
        return style.render(figure, name, title, caption)


def _stages(ax: style.Axes, part: dict[str, Any]) -> None:
    rows = [(WHAT[row["stage"]], row) for row in part["stages"]]
    rows.append(("whole scrub", part["whole"]))
    for place, (_, row) in enumerate(rows):
        ours = row["ours"]["median"]
        if "published" in row:
            theirs = row["published"]["median"]
            ax.plot([ours, theirs], [place, place], color=style.MUTED, lw=1.5, zorder=1)
            ax.plot([theirs], [place], "o", color=PUBLISHED)
            ax.annotate(times(row["ratio"]), (theirs, place), (7, 0), textcoords="offset points", va="center")
        ax.plot([ours], [place], "o", color=OURS)
    ax.set_yticks(range(len(rows)), [label for label, _ in rows])
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.minorticks_off()
    ax.margins(x=0.22, y=0.12)
    ax.set_xlabel(f"seconds ({part['family']}, {part['copies']:,} copies)")


def _families(ax: style.Axes, rows: list[dict[str, Any]]) -> None:
    for place, row in enumerate(rows):
        left = 0.0
        for stage, colour in BY_STAGE.items():
            ax.barh([place], [row["seconds"][stage]], left=[left], color=colour, height=0.62)
            left += row["seconds"][stage]
        ax.annotate(short(left), (left, place), (4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(rows)), [row["family"] for row in rows])
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.set_xlabel("seconds")
