"""What trials have come to, and which of them is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from expunge.core.errors import RunFolderError, UserError
from expunge.core.text import finite
from expunge.record.folders.files import parse_object, read_lines, read_text
from expunge.record.ledger import FILE

FAILED = "failed"


@dataclass(frozen=True)
class Trial:
    """A trial that is over.

    Attributes:
        number: From 0, the settings of the YAML, on.
        settings: What it had instead of those.
        status: ``done``, ``refused`` (a request was, so that what is scored is not what the method made) or
            ``failed``.
        score: By the rule; None where it has none.
        seconds: Of its removals alone; of a trial that failed, until then.
        error: Why it failed.
        scores: On each network, where there are several.
    """

    number: int
    settings: dict[str, Any]
    status: str
    score: float | None
    seconds: float
    error: str | None = None
    scores: tuple[float | None, ...] = ()

    @classmethod
    def over(cls, networks: Sequence[Trial]) -> Trial:
        """Return the trial whose score is the mean over networks, and none where one of them has none.

        It has failed, or was refused, where it was on one of them.
        """
        if len(networks) == 1:
            return networks[0]
        worst = max(networks, key=lambda one: ("done", "refused", FAILED).index(one.status))
        scores = tuple(one.score for one in networks)
        known = [score for score in scores if score is not None]
        mean = fmean(known) if len(known) == len(scores) else None
        seconds = sum(one.seconds for one in networks)
        return cls(worst.number, worst.settings, worst.status, mean, seconds, worst.error, scores)

    @classmethod
    def of_run(cls, number: int, settings: Mapping[str, Any], folder: Path) -> Trial:
        """Return the trial that a complete run folder holds."""
        path = folder / "summary.json"
        summary = parse_object(read_text(path), path)
        ledger = folder / FILE
        seconds = [parse_object(line, ledger, at)["seconds"] for at, line in read_lines(ledger)]
        status = "refused" if summary["refused"] else "done"
        return cls(number, dict(settings), status, finite(summary.get("tow")), sum(seconds))

    @classmethod
    def kept(cls, path: Path, identity: str) -> Trial | None:
        """Return what ``as_json`` has left in a file; None where it is missing, damaged, of other inputs."""
        if not path.is_file():
            return None
        try:
            found = parse_object(read_text(path), path)
            if found.pop("identity") != identity:
                return None
            return cls(**found | {"scores": tuple(found["scores"])})
        except (RunFolderError, KeyError, TypeError):
            return None

    def as_json(self) -> dict[str, Any]:
        """What is kept of it."""
        return asdict(self)


def chosen(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest score; of several the earliest.

    Raises:
        UserError: No trial has a score, or none but the one of the YAML's own settings has come to an end.
    """
    scored = [trial for trial in trials if trial.score is not None]
    failed = next((trial for trial in trials if trial.status == FAILED), None)
    why = f" ({failed.error})" if failed else ""
    if not scored:
        raise UserError(f"tuning: none of the {len(trials)} trials has a score{why}")
    if len(trials) > 1 and all(trial.status == FAILED for trial in trials[1:]):
        raise UserError(f"tuning: all trials of the search space failed{why}, allowed: one that can be tried")
    return max(scored, key=lambda trial: (trial.score, -trial.number))
