"""What other commands found of a run and left in its folder: ``audit.json`` and ``verified.json``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.record.folders.files import parse_object, read_text

AUDIT, VERIFIED = "audit.json", "verified.json"
FORMAT = 1
"""Of either file."""
VERDICTS = {
    "refuted": "REFUTED",
    "refuted as said": "refuted, as its run says",
    "below": "below its claim",
    "nothing found": "nothing found, nothing promised",
    "not tried": "no request was served",
}
"""What an audit comes to, in words. The first alone speaks against the program."""
REFUTED, KNOWN, BELOW, NOTHING, UNTRIED = VERDICTS

# Shapes, as ``_like`` takes them: what the report shows of either file.
_NUMBER = (int, float)
_LIMITS = {"low": (*_NUMBER, None), "high": (*_NUMBER, None)}  # null is infinity
_SEEN = {"seen": int, "out_of": int, "low": _NUMBER, "high": _NUMBER}
_ATTACK = {
    **{"attack": str, "event": str, "removed": _SEEN, "retrained": _SEEN},
    **{"epsilon": _LIMITS, "delta": _LIMITS},
}
_METHOD = {
    **{"name": str, "claim": (str, None), "epsilon": _NUMBER, "delta": _NUMBER, "verdict": str},
    **{"pairs": int, "noise_pairs": (int, None), "by": (str, None), "not_tried": ([str], None)},
    **{"audited": (_LIMITS, None), "delta_needed": (_LIMITS, None), "attacks": [_ATTACK]},
}
_CHECKED = {"accepted": bool, "when": str, "claim": dict, "lines": [dict], "files": dict}
_FILES = (".hydra/config.yaml", "summary.json", "removals.jsonl", "model.safetensors", "inputs.json")


@dataclass(frozen=True)
class Verified:
    """The verdict of ``expunge-verify`` on a run.

    Attributes:
        said: What the file holds.
        changed: Files that are not as they were when they were checked.
    """

    said: Mapping[str, Any]
    changed: Sequence[str]


def read_audit(folder: Path) -> dict[str, Any] | None:
    """Return ``audit.json`` of a run folder; None where it has not been audited.

    Raises:
        RunFolderError: It is not what ``expunge-audit`` writes.
    """
    path = folder / AUDIT
    if not path.exists():
        return None
    found = parse_object(read_text(path), path)
    if found.get("format") != FORMAT:
        raise RunFolderError(f"{path}:1: 'format' must be {FORMAT}, is {found.get('format')!r}")
    methods = found.get("methods")
    if not _like(methods, [_METHOD]) or not all(one["verdict"] in VERDICTS for one in methods or ()):
        raise RunFolderError(f"{path}:1: 'methods' must be a list of what was audited")
    return found


def read_verified(folder: Path) -> Verified | None:
    """Return what ``verified.json`` of a run folder says; None where nobody has checked the run.

    Raises:
        RunFolderError: The file is not one of ``expunge-verify``.
    """
    path = folder / VERIFIED
    if not path.is_file():
        return None
    said = parse_object(read_text(path), path)
    if said.get("format") != FORMAT or not _like(said, _CHECKED):
        raise RunFolderError(f"{path}:1: not what expunge-verify writes (format {FORMAT})")
    changed = [file for file in _FILES if _digest(folder / file) != said["files"].get(file)]
    return Verified(said, changed)


def _like(value: Any, shape: Any) -> bool:
    """Whether a value is of a type, None, a list of one shape, an object with keys, or one of several."""
    if isinstance(shape, tuple):
        return any(_like(value, one) for one in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_like(one, shape[0]) for one in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(_like(value.get(key), one) for key, one in shape.items())
    return value is None if shape is None else type(value) is shape


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    except OSError:
        return None
