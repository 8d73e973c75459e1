"""What the command line says of a sweep, before Hydra reads it."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from expunge.core.errors import InvalidValue
from expunge.core.hashing import sha256_of_settings
from expunge.record.settings import AXES
from expunge.sweep.flags import as_arguments, parted, require_one_form
from expunge.sweep.jobs import FOLDER, UNNAMED

DIRECTORY = "hydra.sweep.dir"
SEARCHPATH = "hydra.searchpath"
_OF_BEGINNING = (DIRECTORY, "hydra.run.dir", "resume", "force")
_FILE = "file://"
_REMOVALS = ("class", "group", "identity", "ids", "people", "rows")
"""Choices of removal, each called like the key that no other has."""
_MOST_SEEDS = 10_000
_COUNTED = {"seed": "how many seeds, from 0 on", "repeat": "how many unlearnings of each original"}
_COUNTED["evaluation"] = "how many evaluations of each unlearned model"
_MOST_VALUES = 100_000  # of a range


def prepared(arguments: Sequence[str]) -> list[str]:
    """Return the arguments as Hydra is to see them.

    ``seeds=5`` becomes ``seed=0,1,2,3,4`` and a sweep, and so do ``originals``, ``repeats`` and
    ``evaluations`` (``_with_axes``); a sweep that names no folder gets one whose name is a
    function of its settings, so that the same command finds what it left there.

    Raises:
        InvalidValue: One of these is not a whole number, or stands beside what it stands for.
    """
    flags, asked = parted(arguments)
    require_one_form(flags)
    if flags.config_name is None:
        asked = _with_removal(asked)
    if flags.hydra_help:  # for which Hydra reads no configuration of ours
        return ["--hydra-help"]
    if flags.config_path and os.path.isdir(flags.config_path):
        flags.config_path = os.path.abspath(flags.config_path)  # Hydra: relative to the file of our program
    if flags.cfg or flags.info or flags.shell_completion:  # nothing is run
        return [*as_arguments(flags), *asked]
    seeded = _with_axes(asked)
    if seeded != asked:
        flags.run, flags.multirun = False, True
    for override in seeded:
        _require_countable(override)
    named = any(key_in(override) == DIRECTORY for override in seeded)
    folder = f"{DIRECTORY}=multirun/{name_of(seeded, _own_files(flags))}"
    # Flags first: Hydra takes overrides on both sides of one for two different things.
    return [*as_arguments(flags), *seeded, *([] if named else [folder])]


def _with_removal(overrides: list[str]) -> list[str]:
    """``removal.group=NAME`` says of itself which removal it is; where none is chosen, it is that one."""
    keys = [key_in(override) for override in overrides]
    meant = [choice for choice in _REMOVALS if f"removal.{choice}" in keys]
    chosen = {"removal", "experiment"} & set(keys)
    return overrides if chosen or not meant else [f"removal={meant[0]}", *overrides]


def going_on(arguments: Sequence[str]) -> list[str]:
    """Return the (prepared) arguments of a run but for those that say where it begins, and whether."""
    return [one for one in arguments if key_in(one) not in _OF_BEGINNING]


def folder_of(arguments: Sequence[str]) -> Path | None:
    """Return the folder of the sweep that these (prepared) arguments have begun, or None."""
    named = [argument for argument in arguments if key_in(argument) == DIRECTORY]
    folder = Path(named[-1].partition("=")[2].strip("'\"")).absolute() if named else None
    return folder if folder and (folder / FOLDER).is_dir() else None


def name_of(overrides: Sequence[str], files: Mapping[str, str] | None = None) -> str:
    """Return a sweep's name: its experiment, and a hash of what it is asked for, in whatever order.

    Args:
        overrides: What the command line gives.
        files: The configuration files that it names by flags, which ask for something, too.
    """
    asked = sorted(a for a in overrides if matters(key_in(a)) or key_in(a) == SEARCHPATH)
    experiments = [a.partition("=")[2] for a in asked if key_in(a) == "experiment"]
    named = experiments[0] if experiments else (files or {}).get("config_name", "")
    last = re.sub(r"[^A-Za-z0-9_-]+", "-", named.rpartition("/")[2])
    settings = {"overrides": asked, **({"files": dict(files)} if files else {})}
    return f"{last or 'sweep'}-{sha256_of_settings(settings)[:8]}"


def _own_files(flags: argparse.Namespace) -> dict[str, str]:
    """The files of the user's own that flags name: two of them in one folder are two sweeps."""
    paths = {name: getattr(flags, name) for name in ("config_dir", "config_path", "config_name")}
    return {name: os.path.normpath(path) for name, path in paths.items() if path is not None}


def config_folders(config_dir: Path, flags: argparse.Namespace, overrides: Sequence[str]) -> list[Path]:
    """Return where YAML is: our own folder, and the user's that a flag or ``hydra.searchpath`` names."""
    values = [text.partition("=")[2] for text in overrides if key_in(text) == SEARCHPATH]
    searched = re.findall(r"[^\s,\[\]'\"]+", values[-1]) if values else []
    own = [
        flags.config_dir,
        *(text.removeprefix(_FILE) for text in searched if not text.startswith("pkg://")),
    ]
    return [config_dir, *(Path(path).absolute() for path in own if path)]


def key_in(override: str) -> str:
    """The key of an override, without the signs of ``+key=``, ``++key=`` and ``~key``."""
    return override.partition("=")[0].lstrip("+~")


def matters(key: str) -> bool:
    """Whether a key changes what is run: how and where it is run has keys of Hydra's own."""
    if key.startswith(("hydra.", "hydra/")):
        return key.startswith("hydra.sweeper")
    return re.split(r"[./]", key)[0] not in UNNAMED


def _require_countable(override: str) -> None:
    """Refuse a range that no machine could hold, before Hydra makes a list of it."""
    key, _, value = override.partition("=")
    found = re.fullmatch(r"range\(([^()]*)\)", value.replace(" ", ""))
    try:
        bounds = [float(part.rpartition("=")[2]) for part in found[1].split(",")] if found else []
    except ValueError:  # Hydra says what it is
        return
    if not bounds:
        return
    start, stop, step = [*([0.0] if len(bounds) == 1 else []), *bounds, 1.0][:3]
    if not (step and abs(stop - start) / abs(step) <= _MOST_VALUES):
        raise InvalidValue(key.lstrip("+~"), value, f"a range of at most {_MOST_VALUES:,} values")


def _with_axes(overrides: list[str]) -> list[str]:
    """``seeds`` and ``originals`` are seeds from 0 on, ``repeats`` and ``evaluations`` numbers from 1 on.

    For 0 is tied to the original: the retrained network has its seed, and metrics draw alike in all runs.
    Several are to be drawn alike, each from the others; one of them alone is the first, and no axis.
    """
    keys, values = [key_in(override) for override in overrides], dict[str, str]()
    for override in overrides:
        if (many := key_in(override)) in AXES:
            values[many] = override.partition("=")[2]
    axes = []
    for many, number in values.items():
        one = AXES[many]
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= _MOST_SEEDS):
            raise InvalidValue(many, number, f"a whole number >= 1: {_COUNTED[one]}")
        if one != "seed" and any(text.replace(" ", "") == "seed=null" for text in overrides):
            raise InvalidValue(many, number, "only with a seed: without one no original is had twice")
        if one in keys:
            told = f"{one}=0,1,2,..." if one == "seed" else f"{one}=1,2,..."
            raise InvalidValue(many, number, f"only without {one}=...: it stands for {told}")
        if twin := next((key for key in values if key != many and AXES[key] == one), None):
            raise InvalidValue(many, number, f"only without {twin}=...: both say how many seeds there are")
        first = int(one != "seed")
        if not first or int(number) > 1:
            axes.append(f"{one}={','.join(map(str, range(first, first + int(number))))}")
    return [*(override for override in overrides if key_in(override) not in AXES), *axes]
