"""Hydra's and OmegaConf's exceptions, folded into the one line that tells a user what to mend."""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from traceback import extract_tb
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    UnsupportedInterpolationType,
)

from expunge.core.errors import UserError, complain, one_line
from expunge.core.system_errors import system_error
from expunge.run.config_files import config_dir

_NO_KEY = (ConfigAttributeError, ConfigKeyError)
_OF_PATHS = (
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EEXIST, errno.EROFS, errno.EINVAL),
)
"""Of a file or folder that was named: another can be."""


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show the warnings of Hydra itself as the lines of ours are shown; those of others as ever."""
    shown = warnings.showwarning

    def show(message: Any, category: Any, filename: str, *rest: Any, **named: Any) -> None:
        if re.search(r"[/\\]hydra[/\\]", filename):
            complain(one_line(message))
        else:
            shown(message, category, filename, *rest, **named)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def without_folder(error: BaseException) -> str | None:
    """Say which folder of a job Hydra could not make; None for any other error."""
    names = [frame.name for frame in extract_tb(error.__traceback__)]
    if not (isinstance(error, OSError) and ("run_job", "mkdir") in pairwise(names)):
        return None
    return f"hydra.run.dir (of a sweep hydra.sweep.subdir): {error.filename}: no folder ({error.strerror})"


def of_an_override(error: BaseException, given: Sequence[str]) -> str | None:
    """Say which override of those given Hydra could not take, where its own error does not; None for others.

    A group has the choice ``null`` or a number, or the parts of a sweep are none that it can count.
    """
    of_group = isinstance(error, ValueError) and "Config group override" in str(error)
    files = [Path(file).parts for file in _files(error)]
    inside = "hydra" in files[-1] if files else False  # of its own: what it calls says what is wrong itself
    if (of_group or inside) and (said := _no_choice(given)):
        return said
    if not (of_group or any("override_parser" in file for file in files)):
        own = [text for text in given if re.match(r"[+~]*hydra[./]", text)]
        of_hydra = inside and own and not isinstance(error, OSError)
        return f"{', '.join(own)}: not as Hydra needs it ({one_line(error)})" if of_hydra else None
    for override in OverridesParser.create().parse_overrides(list(given)):
        key, value = override.get_key_element().lstrip("+~"), str(override.input_line).partition("=")[2]
        try:
            _ = list(override.sweep_string_iterator()) if override.is_sweep_override() else []
        except (ArithmeticError, TypeError, ValueError) as wrong:
            return f"{key}: got {value}, allowed: a sweep that can be counted out ({_named(wrong)})"
    return one_line(error)


def _no_choice(given: Sequence[str]) -> str | None:
    """Say which group has a choice that is no name, as a number is none; None where each has one."""
    try:
        overrides = OverridesParser.create().parse_overrides(list(given))
    except HydraException:  # which says it itself
        return None
    for override in overrides:
        key, value = override.get_key_element().lstrip("+~"), str(override.input_line).partition("=")[2]
        if not ((config_dir() / key).is_dir() or key.startswith("hydra/")) or override.is_delete():
            continue
        parts = override.sweep_iterator() if override.is_sweep_override() else [override.value()]
        names = [name for part in parts for name in (part if isinstance(part, list) else [part])]
        if not all(isinstance(name, str) for name in names):
            choices = ", ".join(sorted(file.stem for file in (config_dir() / key).glob("*.yaml")))
            return f"{key}: got {value}, allowed: one of {choices or 'those in its folders (see --help)'}"
    return None


def _named(error: BaseException) -> str:
    return type(error).__name__ if "<class" in str(error) else one_line(error)


def of_settings(error: BaseException) -> str | None:
    """Say which file Hydra could not put settings together from; None for an error from elsewhere."""
    if not any("config_loader" in Path(file).stem for file in _files(error)):
        return None
    return system_error(error) or one_line(error)


def of_system(error: BaseException) -> bool:
    """Whether the system has refused something for which no file or folder that was named is to blame."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, (OSError, MemoryError)):
        seen = seen.__cause__
    return isinstance(seen, MemoryError) or getattr(seen, "errno", None) not in (None, *_OF_PATHS)


def of_sweeper(error: BaseException) -> bool:
    """Whether a sweeper that is a plug-in of Hydra's has raised it."""
    return any("hydra_plugins" in file and "sweeper" in file for file in _files(error))


def _files(error: BaseException) -> list[str]:
    return [frame.filename for frame in extract_tb(error.__traceback__)]


def _choices_with(key: str) -> str:
    """Which choices of a key's group have it, in words; nothing where none has."""
    group, _, own = key.rpartition(".")
    files = sorted(config_dir().glob(f"{group}/*.yaml")) if group else []
    choices = [file.stem for file in files if re.search(rf"^{re.escape(own)}:", file.read_text(), re.M)]
    return f" of this {group} (it is one of {', '.join(choices)})" if choices else ""


def explained(error: BaseException) -> str:
    """Say on one line which key or group is wrong, and what is allowed."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        if error.options:
            return f"{group}: got {choice!r}, allowed: one of {', '.join(error.options)}"
        return f"{error.missing_cfg_file}: no such configuration file (--config-name, or a group; see --help)"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: not given; this choice needs a value for it"
    if isinstance(error, OverrideParseException):
        said = one_line(error).partition(" See https://")[0]
        quotes = "a value with other signs goes in quotes within quotes: KEY=\"'VALUE'\""
        return f"{error.override}: not an override ({said}); {quotes}"
    if isinstance(error, (InterpolationResolutionError, UnsupportedInterpolationType)) and error.full_key:
        return f"{error.full_key}: {one_line(str(error).splitlines()[0])}"
    cause = error.__cause__
    if isinstance(cause, _NO_KEY) and cause.parent_node is not None:
        named = re.search(r"'([^']+)'", str(error))
        known = [str(key) for key in cause.parent_node if str(key) != "hydra"]
        keys = ", ".join(known) or "none yet; +KEY=VALUE adds one"
        key = named.group(1) if named else str(cause.full_key)
        there = _choices_with(key) if cause.full_key == key else ""  # else its group is not there at all
        return f"{key}: no such key{there}, allowed: {keys}"
    if isinstance(error, UserError):
        return one_line(error)
    said = f"{error}" if cause is None or str(cause) in str(error) else f"{error} ({cause})"
    return re.sub(r"(\S{200})\S+", r"\1...", one_line(said))  # a long value is not said whole, twice
