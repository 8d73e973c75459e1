"""What ``audit.json`` says: claimed epsilon beside the lower bound that attacks prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.report.figures import style
from expunge.report.page.figure import figure_of
from expunge.report.read import text
from expunge.report.read.run_files import parse_object, read_text
from expunge.report.read.runs import Run, finite
from expunge.report.tables import layout

FILE, FORMAT = "audit.json", 1
VERDICTS = {
    "refuted": "REFUTED",
    "refuted as said": "refuted, as its run says",
    "below": "below its claim",
    "nothing found": "nothing found, nothing promised",
    "not tried": "no request was served",
}
"""What an audit comes to. The first alone speaks against the program."""
REFUTED, KNOWN, BELOW, NOTHING, UNTRIED = VERDICTS
_COLOURS = {REFUTED: 1, KNOWN: 5, BELOW: 2, NOTHING: 7, UNTRIED: 7}
HEAD = (
    "method",
    "claim",
    "ε, δ claimed",
    "audited: ε at least",
    "δ at least",
    "this test needs",
    "by",
    "pairs",
    "verdict",
)
_KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "claim": (str, type(None)),
    "attacks": (list,),
}
READING = (
    "A lower bound above the claimed ε refutes the claim. One below it proves nothing but that these "
    "attacks found no more; what shows in fewer than about 5 of a method's pairs is not seen."
)


def read(folder: Path) -> dict[str, Any] | None:
    """``audit.json`` of a run folder; None where it has not been audited.

    Raises:
        RunFolderError: It is not what ``expunge-audit`` writes.
    """
    path = folder / FILE
    if not path.exists():
        return None
    found = parse_object(read_text(path), path)
    if found.get("format") != FORMAT:
        raise RunFolderError(f"{path}:1: 'format' must be {FORMAT}, is {found.get('format')!r}")
    methods = found.get("methods")
    if not isinstance(methods, list) or not all(map(_is_method, methods)):
        raise RunFolderError(f"{path}:1: 'methods' must be a list of what was audited")
    return found


def _is_method(one: Any) -> bool:
    if not isinstance(one, dict) or one.get("verdict") not in VERDICTS:
        return False
    return all(isinstance(one.get(key), kind) for key, kind in _KEYS.items()) and all(
        finite(one.get(key)) is not None for key in ("epsilon", "delta", "pairs")
    )


def as_markdown(found: Mapping[str, Any]) -> str:
    """The table in Markdown."""
    return layout.markdown(HEAD, cells(found)) + "\n"


def cells(found: Mapping[str, Any]) -> list[list[str]]:
    """The lines of the table, one a method."""
    return [_line(one) for one in found["methods"]]


def _line(one: Mapping[str, Any]) -> list[str]:
    bound = one.get("audited") or {}
    high = text.number(bound.get("high")) if bound.get("high") is not None else "∞"
    pairs = text.count(one["pairs"])
    if one.get("noise_pairs"):
        pairs += f" + {text.count(one['noise_pairs'])}"
    return [
        text.plain(one["name"]),
        text.plain((one["claim"] or text.NONE).partition(":")[0]),
        f"{text.number(one['epsilon'])}, {text.number(one['delta'])}",
        text.number(bound.get("low")),
        text.number((one.get("delta_needed") or {}).get("low")),
        f"{text.number(bound['low'])} to {high}" if bound else text.NONE,
        text.plain(one.get("by") or text.NONE),
        pairs,
        VERDICTS[one["verdict"]],
    ]


def draw(found: Mapping[str, Any]) -> style.Drawn:
    """Draw for every method its claimed epsilon and what the audit proves."""
    from matplotlib.lines import Line2D

    methods = found["methods"]
    top = max([1.0, *(one["epsilon"] for one in methods), *(_bound(one, "low") for one in methods)]) * 1.15
    with style.styled():
        figure, (ax,) = style.canvas(9.6, 1.8 + 0.24 * max(4, len(methods)))
        for place, one in enumerate(methods):
            y = len(methods) - 1 - place
            colour = style.SERIES[_COLOURS[one["verdict"]]]
            ax.plot(one["epsilon"], y, marker="D", ms=6, mfc=style.PAPER, mec=style.INK, mew=1.3, zorder=4)
            if one["verdict"] == UNTRIED:
                ax.text(0.01 * top, y, "no request was served", va="center", fontsize=8, color=style.MUTED)
                continue
            low, high = _bound(one, "low"), min(_bound(one, "high"), top)
            ax.plot([low, high], [y, y], color=colour, lw=0.9, alpha=0.45, zorder=2)
            ax.plot([0, low], [y, y], color=colour, lw=4.5, solid_capstyle="butt", zorder=3)
            ax.plot(low, y, marker="|", ms=11, mew=2, color=colour, zorder=5)
        names = [text.plain(one["name"]) for one in reversed(methods)]
        ax.set_yticks(range(len(methods)), names, fontsize=8.5)
        ax.set(xlim=(0, top), ylim=(-0.7, len(methods) - 0.3), xlabel="epsilon")
        ax.set_title("Claimed, and proved by attacks at the least", loc="left")
        keys = [Line2D([], [], ls="", marker="D", mfc=style.PAPER, mec=style.INK, label="claimed")]
        there = [verdict for verdict in VERDICTS if any(one["verdict"] == verdict for one in methods)]
        keys += [
            Line2D([], [], color=style.SERIES[_COLOURS[it]], lw=4, label=f"lower bound: {VERDICTS[it]}")
            for it in there
            if it != UNTRIED
        ]
        style.legend(figure, keys, 2)
        caption = (
            "Thick bar: the epsilon that the best of all attacks proves at the least, at the claimed delta "
            "(exact limits, 99% for all attacks on a method together). Thin line: on to the most that the "
            "same test can need. A bar beyond the diamond refutes the claim."
        )
        return style.render(figure, "audit", "Claimed epsilon and audited lower bound", caption)


def _bound(one: Mapping[str, Any], key: str) -> float:
    value = (one.get("audited") or {}).get(key)
    return float("inf") if value is None else float(value)


def sections(runs: Sequence[Run]) -> list[str]:
    """The part of the page for runs that have been audited, together; empty where none has."""
    found = {run.name: audit for run in runs if (audit := read(run.folder)) is not None}
    methods = [
        {**one, "name": f"{name}: {one['name']}" if len(runs) > 1 else one["name"]}
        for name, audit in found.items()
        for one in audit["methods"]
    ]
    return [section({"methods": methods})] if methods else []


def section(found: Mapping[str, Any]) -> str:
    """An audit: the claim in words, the table, every attack, the picture."""
    said = "\n".join(f"<li>{words}</li>" for words in dict.fromkeys(map(_claim, found["methods"])))
    attacks = "\n".join(
        f"<h3>{escape(text.plain(one['name']))}</h3>\n{_table(_ATTACKS, _attacks(one))}\n{_not_tried(one)}"
        for one in found["methods"]
    )
    return f"""\
<h2>Audit</h2>
<p>Rows were removed by the method and, beside it, models were trained exactly without them; attacks looked at
what was released. <strong>{escape(READING)}</strong> What an audit can show:
<code>docs/audit.md</code>.</p>
{_table(HEAD, cells(found))}
<h3>The claims in words</h3>
<ul>
{said}
</ul>
{figure_of(draw(found))}
<details>
<summary>Every attack, with counts and exact limits</summary>
{attacks}
</details>"""


_ATTACKS = ("attack", "event", "after removal", "retrained", "ε at least", "δ at least")


def _attacks(one: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            text.plain(attack["attack"]),
            text.plain(attack["event"]),
            *(_seen(attack[world]) for world in ("removed", "retrained")),
            text.number(attack["epsilon"]["low"]),
            text.number(attack["delta"]["low"]),
        ]
        for attack in one["attacks"]
    ]


def _seen(side: Mapping[str, Any]) -> str:
    limits = f"{text.number(side['low'])} to {text.number(side['high'])}"
    return f"{text.count(side['seen'])} of {text.count(side['out_of'])} ({limits})"


def _claim(one: Mapping[str, Any]) -> str:
    return escape(text.capital(text.plain(one.get("claim") or "no claim in words")))


def _not_tried(one: Mapping[str, Any]) -> str:
    items = "".join(f"<li>{escape(text.plain(what))}</li>" for what in one.get("not_tried", ()))
    return f"<p>Not attacked:</p>\n<ul>{items}</ul>" if items else ""


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    lines = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in body
    )
    return f"""\
<div class="scroll" tabindex="0" role="region" aria-label="Table of the audit">
<table>
<thead><tr>{titles}</tr></thead>
<tbody>
{lines}
</tbody>
</table>
</div>"""
