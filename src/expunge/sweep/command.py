"""What the command line says of a sweep, before Hydra reads it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from expunge.core.errors import InvalidValue
from expunge.core.hashing import sha256_of_settings
from expunge.sweep.jobs import FOLDER, UNNAMED

DIRECTORY = "hydra.sweep.dir"
_FLAGS_WITH_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p"),
    *("--cfg", "-c", "--info", "-i", "--experimental-rerun"),
)
_MOST_SEEDS = 10_000


def prepared(arguments: Sequence[str]) -> list[str]:
    """Return the arguments as Hydra is to see them.

    ``seeds=5`` becomes ``seed=0,1,2,3,4`` and a sweep; a sweep that names no folder gets one whose name is a
    function of its settings, so that the same command finds what it left there.

    Raises:
        InvalidValue: ``seeds`` is not a whole number, or stands beside ``seed``.
    """
    flags, asked = parted(arguments)
    seeded = _with_seeds(asked)
    if seeded != asked and not {"-m", "--multirun"} & set(flags):
        flags = [*flags, "--multirun"]
    named = any(key_in(override) == DIRECTORY for override in seeded)
    # Flags first: Hydra takes overrides on both sides of one for two different things.
    return [*flags, *seeded, *([] if named else [f"{DIRECTORY}=multirun/{name_of(seeded)}"])]


def folder_of(arguments: Sequence[str]) -> Path | None:
    """Return the folder of the sweep that these (prepared) arguments have begun, or None."""
    named = [argument for argument in arguments if key_in(argument) == DIRECTORY]
    folder = Path(named[-1].partition("=")[2].strip("'\"")).absolute() if named else None
    return folder if folder and (folder / FOLDER).is_dir() else None


def name_of(overrides: Sequence[str]) -> str:
    """Return a sweep's name: its experiment, and a hash of what it is asked for, in whatever order."""
    asked = sorted(override for override in overrides if matters(key_in(override)))
    experiments = [a.partition("=")[2] for a in asked if key_in(a) == "experiment"]
    last = re.sub(r"[^A-Za-z0-9_-]+", "-", experiments[0].rpartition("/")[2]) if experiments else ""
    return f"{last or 'sweep'}-{sha256_of_settings({'overrides': asked})[:8]}"


def parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return flags with their values, and overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    for argument in arguments:
        value = bool(flags) and flags[-1] in _FLAGS_WITH_VALUE
        (flags if value or argument.startswith("-") else overrides).append(argument)
    return flags, overrides


def config_folders(config_dir: Path, flags: Sequence[str]) -> list[Path]:
    """Return where YAML is: our own folder, and the user's where a flag names one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    own = parser.parse_known_args(flags)[0].config_dir
    return [config_dir, *([own.absolute()] if own else [])]


def key_in(override: str) -> str:
    """The key of an override, without the signs of ``+key=``, ``++key=`` and ``~key``."""
    return override.partition("=")[0].lstrip("+~")


def matters(key: str) -> bool:
    """Whether a key changes what is run: how and where it is run has keys of Hydra's own."""
    if key.startswith(("hydra.", "hydra/")):
        return key.startswith("hydra.sweeper")
    return re.split(r"[./]", key)[0] not in UNNAMED


def _with_seeds(overrides: list[str]) -> list[str]:
    given = [override for override in overrides if key_in(override) == "seeds"]
    if not given:
        return overrides
    number = given[-1].partition("=")[2]
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= _MOST_SEEDS):
        raise InvalidValue("seeds", number, "a whole number >= 1: how many seeds, from 0 on")
    if any(key_in(override) == "seed" for override in overrides):
        raise InvalidValue("seeds", number, "only without seed=...: it stands for seed=0,1,2,...")
    rest = [override for override in overrides if override not in given]
    return [*rest, f"seed={','.join(map(str, range(int(number))))}"]
