"""Audits: claimed epsilon beside the lower bound that attacks prove, as a table, a picture and a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from expunge.charts import style
from expunge.core import markdown, text
from expunge.record.folders.findings import VERDICTS, read_audit
from expunge.record.folders.runs import Run
from expunge.report.figures import audit
from expunge.report.page.render import rendered

READING = (
    "A lower bound above the claimed ε refutes the claim. One below it proves nothing but that these "
    "attacks found no more; what shows in fewer than about 5 of a method's pairs is not seen."
)
_Words = Callable[[Mapping[str, Any]], str]
_METHODS: dict[str, _Words] = {
    "method": lambda one: text.plain(one["name"]),
    "claim": lambda one: text.plain((one.get("claim") or text.NONE).partition(":")[0]),
    "ε, δ claimed": lambda one: f"{text.number(one['epsilon'])}, {text.number(one['delta'])}",
    "audited: ε at least": lambda one: _low(one, "audited"),
    "δ at least": lambda one: _low(one, "delta_needed"),
    "this test needs": lambda one: _span(one["audited"], "∞") if one.get("audited") else text.NONE,
    "by": lambda one: text.plain(one.get("by") or text.NONE),
    "pairs": lambda one: " + ".join(map(text.count, filter(None, (one["pairs"], one.get("noise_pairs"))))),
    "verdict": lambda one: VERDICTS[one["verdict"]],
}
_ATTACKS: dict[str, _Words] = {
    "attack": lambda one: text.plain(one["attack"]),
    "event": lambda one: text.plain(one["event"]),
    "after removal": lambda one: _seen(one["removed"]),
    "retrained": lambda one: _seen(one["retrained"]),
    "ε at least": lambda one: text.number(one["epsilon"]["low"]),
    "δ at least": lambda one: text.number(one["delta"]["low"]),
}

Table = tuple[list[str], list[list[str]]]


def table(methods: Sequence[Mapping[str, Any]]) -> Table:
    """Return the headings and the cells of the table, one line a method."""
    return _table(_METHODS, methods)


def attacks(method: Mapping[str, Any]) -> Table:
    """Return the same of every attack on a method, with counts and exact limits."""
    return _table(_ATTACKS, method["attacks"])


def as_markdown(found: Mapping[str, Any]) -> str:
    """Return the table of an audit in Markdown."""
    return markdown.table(*table(found["methods"])) + "\n"


def as_page(found: Mapping[str, Any], drawn: style.Drawn) -> str:
    """Return an audit as a page of its own, with its picture."""
    return rendered("audit", title="Audit", scripts=[], audited=_shown(found["methods"], drawn))


def of_runs(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Return what the page shows of the runs that have been audited, together; None where none has."""
    found = {run.name: one for run in runs if (one := read_audit(run.folder)) is not None}
    methods = [
        {**one, "name": f"{name}: {one['name']}" if len(runs) > 1 else one["name"]}
        for name, audited in found.items()
        for one in audited["methods"]
    ]
    return _shown(methods, audit.draw(methods)) if methods else None


def _shown(methods: Sequence[Mapping[str, Any]], drawn: style.Drawn) -> dict[str, Any]:
    return {
        **{"methods": methods, "table": table(methods), "attacks": attacks},
        **{"reading": READING, "drawn": drawn},
    }


def _table(columns: Mapping[str, _Words], lines: Sequence[Mapping[str, Any]]) -> Table:
    return list(columns), [[say(line) for say in columns.values()] for line in lines]


def _low(one: Mapping[str, Any], key: str) -> str:
    return text.number((one.get(key) or {}).get("low"))


def _span(limits: Mapping[str, Any], endless: str = text.NONE) -> str:
    high = limits["high"]
    return f"{text.number(limits['low'])} to {endless if high is None else text.number(high)}"


def _seen(side: Mapping[str, Any]) -> str:
    return f"{text.count(side['seen'])} of {text.count(side['out_of'])} ({_span(side)})"
