"""What the page says of the runs themselves: what they share, and the settings and versions of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from expunge.report.read import text, totals
from expunge.report.read.runs import Run
from expunge.report.tables.contents import Contents
from expunge.report.tables.table_rows import Row

_DATA = ("dataset", "extractor", "model")
_TOP = ("seed", "device")

Fact = tuple[str, str]


class Facts(NamedTuple):
    """Settings and versions: what all runs share, and what is a run's own, by its row."""

    shared: list[Fact]
    own: list[tuple[Row, str, list[Fact]]]


def lead(contents: Contents) -> str:
    """Return one line on what the runs have in common, and what studies there are."""
    parts, runs = [], contents.runs
    if runs:
        parts.append(f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}")
    for key in _DATA:
        values = dict.fromkeys(text.plain(r.summary[key]) for r in runs if r.summary.get(key))
        if values:
            parts.append(f"{key} {', '.join(values)}")
    for key, what in (("n_train", "training rows"), ("n_test", "test rows"), ("requests", "requests each")):
        counts = dict.fromkeys(text.count(n) for r in runs if (n := r.number(key)) is not None)
        if counts:
            parts.append(f"{' or '.join(counts)} {what if len(runs) > 1 else what.removesuffix(' each')}")
    parts += [f"{len(some)} {kind.lower()}" for kind, some in contents.missing().items()]
    if contents.studies:
        names = ", ".join(dict.fromkeys(text.plain(study.summary["study"]) for study in contents.studies))
        parts.append(
            f"{len(contents.studies)} {'study' if len(contents.studies) == 1 else 'studies'}: {names}"
        )
    return " · ".join(parts)


def differing_facts(lines: Sequence[Row], links: Mapping[str, str]) -> Facts:
    """Return settings and versions: those of all runs once, and of each run what the others do not share."""
    every = [_facts(line.of) for line in lines]
    common = set.intersection(*map(set, every)) if len(every) > 1 else set()
    shared = [fact for fact in every[0] if fact in common]
    own = [[fact for fact in facts if fact not in common] for facts in every]
    return Facts(
        shared, [(row, links.get(row.run, ""), facts) for row, facts in zip(lines, own, strict=True)]
    )


def _facts(run: Run) -> list[Fact]:
    facts = [(key, run.config.get(key, run.summary.get(key))) for key in _TOP]
    facts += text.settings(run).items()
    facts += [(f"version of {name}", value) for name, value in text.flat(run.summary.get("versions"))]
    facts += [(key, run.number(key)) for key in ("seconds_fit", "peak_memory_mb")]
    extracted = {key: value for key, value in run.summary.items() if key.startswith("extractor_")}
    facts += text.flat(extracted)
    if (total := totals.worded(run)) is not None:
        facts.append((totals.TOGETHER, ", ".join(total)))
    return [(text.plain(key), text.shown(value)) for key, value in facts if value is not None]
