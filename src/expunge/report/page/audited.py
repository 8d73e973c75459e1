"""What ``audit.json`` says: claimed epsilon beside the lower bound that attacks prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from expunge.core.errors import RunFolderError
from expunge.report.figures import style
from expunge.report.page.figures import figure_of
from expunge.report.page.render import rendered
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
    from expunge.report.figures import audit

    return audit.draw(found, {it: (words, _COLOURS[it]) for it, words in VERDICTS.items()}, UNTRIED)


def sections(runs: Sequence[Run]) -> list[Markup]:
    """The part of the page for runs that have been audited, together; empty where none has."""
    found = {run.name: audit for run in runs if (audit := read(run.folder)) is not None}
    methods = [
        {**one, "name": f"{name}: {one['name']}" if len(runs) > 1 else one["name"]}
        for name, audit in found.items()
        for one in audit["methods"]
    ]
    return [section({"methods": methods})] if methods else []


def section(found: Mapping[str, Any]) -> Markup:
    """An audit: the claim in words, the table, every attack, the picture."""
    methods = found["methods"]
    return rendered(
        "audited",
        reading=READING,
        head=HEAD,
        lines=cells(found),
        claims=list(dict.fromkeys(text.plain(one.get("claim") or "no claim in words") for one in methods)),
        figure=figure_of(draw(found)),
        attack_head=_ATTACKS,
        attacks=[(one["name"], _attacks(one), one.get("not_tried", ())) for one in methods],
    )


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
