"""Groups that the command line deletes: ``~tracker`` is ``tracker=none``; without some there is no run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from expunge.core.errors import InvalidValue
from expunge.sweep.command import config_folders
from expunge.sweep.flags import as_arguments, parted

_LISTS = ("metrics",)
_NONE = "none"


def with_none(arguments: Sequence[str], config_dir: Path) -> list[str]:
    """Return the arguments with the choice ``none`` in place of a group that is deleted.

    A group of lists gets the empty one. ``~GROUP=CHOICE`` stays: Hydra compares the choice.

    Raises:
        InvalidValue: The group has no such choice.
    """
    flags, asked = parted(arguments)
    folders = config_folders(config_dir, flags, asked)
    return [*as_arguments(flags), *(_chosen(override, folders) for override in asked)]


def _chosen(override: str, folders: Sequence[Path]) -> str:
    if not re.fullmatch(r"~\w+", override):  # Hydra's own groups have a slash
        return override
    group = override[1:]
    files = [file for folder in folders for file in (folder / group).glob("*.yaml")]
    if not files:
        return override
    if group in _LISTS:
        return f"{group}=[]"
    names = sorted({file.stem for file in files})
    if _NONE in names:
        return f"{group}={_NONE}"
    raise InvalidValue(group, override, f"one of {', '.join(names)}, since no run can do without")
