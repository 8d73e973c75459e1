"""What came out of each row, as plain JSON values: made from a sweep, kept in a file, put together."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.core.text import NONE
from expunge.record.folders.files import parse_object, read_text
from expunge.reproduce.expected import Check, PaperRow
from expunge.reproduce.judge import Judged, judge
from expunge.reproduce.sweep_cells import FinishedSweep

FILE = "reproduced.json"
MET, MISSED, OPEN, NOT_RUN = "as published", "not as published", "not measured", "not run"
OURS = {MET: "as claimed", MISSED: "not as claimed"}
"""The words for what nobody has published."""
_HARMLESS = re.compile(
    r"\+{0,2}(data_dir|cache_dir|threads|device|progress|figures|resume|force|checkpoint_every"
    r"|tracker(\..+)?|hydra[./].+)="
)
_FOLDERS = re.compile(r"(?<![\w.…~/])~?/(?:[^\s:,;'\"()/]+/)+")


def of_sweep(row: PaperRow, sweep: FinishedSweep, reduced: bool, overrides: Sequence[str]) -> dict[str, Any]:
    """The result of a row that was run, at least in part."""
    seeds = {cell["summary"].get("seed") for cell in sweep.done}
    return {
        **_head(row, reduced, overrides),
        "runs": len(sweep.done),
        "seeds": sorted(seed for seed in seeds if isinstance(seed, int)),
        "versions": next((cell["summary"].get("versions", {}) for cell in sweep.done), {}),
        "failed": sweep.failures(),
        "checks": [
            _line(check, judge(check.comparison, sweep) if check.comparison else None) for check in row.checks
        ],
    }


def of_nothing(row: PaperRow, reduced: bool, reason: str, failed: bool = False) -> dict[str, Any]:
    """The result of a row that was not run, or ended without any run."""
    return {
        **_head(row, reduced, ()),
        "not_run": reason,
        "failed": [reason] if failed else [],
        "checks": [_line(check, None) for check in row.checks],
    }


def _head(row: PaperRow, reduced: bool, overrides: Sequence[str]) -> dict[str, Any]:
    return {
        "what": row.what,
        "experiment": row.experiment,
        "reduced": reduced,
        "overrides": [text for text in overrides if not _HARMLESS.match(text)],
        "figures": [],
    }


def _line(check: Check, found: Judged | None) -> dict[str, Any]:
    verdict = NOT_RUN if found is None else {True: MET, False: MISSED, None: OPEN}[found.met]
    found = found or Judged(NONE, NONE, None)
    reasons = [found.detail, check.not_run if found.met is None else ""]
    return {
        **{"quantity": check.quantity, "published": check.published, "source": check.source},
        **{"ours": found.ours, "tolerance": found.tolerance},
        "verdict": OURS.get(verdict, verdict) if check.source == "ours" else verdict,
        "detail": "; ".join(filter(None, reasons)),
    }


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """The results that ``folder`` keeps, by row; none if it keeps none.

    Raises:
        RunFolderError: The file is there and broken.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    found = parse_object(read_text(path), path)
    for name, result in found.items():
        if not isinstance(result, dict) or not {"reduced", "checks", "figures"} <= result.keys():
            raise RunFolderError(f"{path}:1: {name!r} is not the result of a row")
    return found


def merged(
    kept: Mapping[str, Any], new: Mapping[str, Any], order: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Put new results in place of kept ones, in the paper's order; return all, and the rows that are new.

    What was run is never given up for what was not, nor the whole for the reduced.
    """
    taken = [name for name, result in new.items() if _worth(result) >= _worth(kept.get(name))]
    every = {**kept, **{name: new[name] for name in taken}}
    return {name: every[name] for name in order if name in every}, taken


def _worth(result: Mapping[str, Any] | None) -> int:
    if result is None:
        return 0
    return 1 if result.get("not_run") else 2 if result["reduced"] else 3


def portable(result: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the folders of the machine it was made on: of a path, the last part only."""
    found: dict[str, Any] = json.loads(_FOLDERS.sub("…/", json.dumps(result, ensure_ascii=False)))
    return found
