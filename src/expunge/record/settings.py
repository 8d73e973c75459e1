"""Settings as the runs that have them are compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError

AXES = {"seeds": "seed", "originals": "seed", "repeats": "repeat", "evaluations": "evaluation"}
"""What the command line counts -> the key that it stands for a sweep over."""
FREE = (
    *("resume", "force", *AXES, "tracker", "progress", "figures"),
    *("data_dir", "cache_dir", "checkpoint_every", "optimized_metric"),
)
"""Keys that change nothing of what a run comes to."""
_FIRST = ("repeat", "evaluation")
"""Keys that are 0 in the first of several, which is what a run without them is."""
_BY_CONTENT = (
    *("dataset.path", "dataset.test_path", "dataset.file", "dataset.test_file", "dataset.folder"),
    *("dataset.y_path", "dataset.test_y_path", "extractor.ranges", "model.weights", "removal.rows"),
)
"""Keys that name files of which the content is among the inputs, so that they may lie elsewhere by then."""

_ASKED = ("removal.count ", "removal.rows ", "removal.ids ")
_MORE = "; more requests go into a file that the run began with (removal.rows=rows.txt)"


def decisive(settings: Mapping[str, Any], free: Collection[str] = FREE) -> dict[str, Any]:
    """Settings without those that are ``free``, and without what says no more than that it is the first."""
    return {k: v for k, v in settings.items() if k not in free and not (k in _FIRST and _is_first(v))}


def _is_first(value: Any) -> bool:
    return type(value) is int and value == 0


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that results depend on, and of files whose content is an input only that there is one."""
    found = decisive(settings)
    for group, key in (name.split(".") for name in _BY_CONTENT):
        if isinstance(of := found.get(group), Mapping) and isinstance(of.get(key), str):
            found[group] = {**of, key: ""}
    return found


def first_difference(old: Any, new: Any, name: str = "") -> str | None:
    """Say where two nested settings differ first, or None; where a file lies is no difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old | new:
            inner = first_difference(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
            if inner:
                return inner
        return None
    elsewhere = name in _BY_CONTENT and isinstance(old, str) and isinstance(new, str)
    return None if elsewhere or old == new else f"{name} was {old!r} and is now {new!r}"


def must_match(begun_with: Any, settings: dict[str, Any], path: Path | None = None) -> None:
    """Compare the settings a run began with, by what ``path`` holds, and those it is to be continued with.

    Raises:
        RunFolderError: They differ in something that results depend on.
    """
    by = f" (by {path})" if path else ""
    if not isinstance(begun_with, dict):
        raise RunFolderError(f"resume: no settings{by}; force=true repeats the run")
    old, new = decisive(begun_with), decisive(settings)
    if difference := first_difference(old, new):
        more = _MORE if difference.startswith(_ASKED) else ""
        said = f"{difference}{by}; a run is continued with the settings it began with"
        raise RunFolderError(f"resume: {said}{more}")
