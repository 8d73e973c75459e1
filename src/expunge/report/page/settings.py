"""Settings and versions of runs: what all of them share, and what is each one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from expunge.core import text
from expunge.record.chance import LEVELS
from expunge.record.folders import totals
from expunge.record.folders.runs import Run
from expunge.report.read import names

_TOP = (*LEVELS, "device")

Fact = tuple[str, str]


class Settings(NamedTuple):
    """What all runs share, and what is a run's own, in the order of the runs."""

    shared: list[Fact]
    own: list[list[Fact]]


def settings(runs: Sequence[Run]) -> Settings:
    """Return what was set for the runs, and what they were made by; of a single run nothing is shared."""
    every = [_facts(run) for run in runs]
    common = set.intersection(*map(set, every)) if len(every) > 1 else set()
    own = [[fact for fact in facts if fact not in common] for facts in every]
    return Settings([fact for fact in every[0] if fact in common], own)


def _facts(run: Run) -> list[Fact]:
    facts = [(key, run.config.get(key, run.summary.get(key))) for key in _TOP]
    facts += names.settings(run).items()
    facts += [(f"version of {name}", value) for name, value in names.flat(run.summary.get("versions"))]
    facts += [(key, run.number(key)) for key in ("seconds_fit", "peak_memory_mb")]
    extracted = {key: value for key, value in run.summary.items() if key.startswith("extractor_")}
    facts += names.flat(extracted)
    if (total := totals.worded(run)) is not None:
        facts.append((totals.TOGETHER, ", ".join(total)))
    return [(text.plain(key), text.shown(value)) for key, value in facts if value is not None]
