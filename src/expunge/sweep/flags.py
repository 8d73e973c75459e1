"""Flags of the command line: Hydra's, told from the overrides wherever they stand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

from expunge.core.errors import UserError

FORMS = ("run", "multirun", "cfg", "info", "shell_completion")
"""What the command is to do; Hydra takes one of them."""
_SWITCHES = {
    **{"help": "-h", "hydra_help": None, "version": None, "resolve": None, "schema": None},
    **{"run": "-r", "multirun": "-m", "shell_completion": "-sc"},
}
_VALUES = {
    **{"cfg": "-c", "package": "-p", "config_path": "-cp", "config_name": "-cn", "config_dir": "-cd"},
    **{"experimental_rerun": None, "info": "-i", "list": None},
}
_CHOICES = {
    "cfg": ("job", "hydra", "all"),
    "info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help, and --hydra-help for the flags)")


def parser() -> argparse.ArgumentParser:
    """The flags that Hydra knows, ``--list`` and ``--schema``."""
    made = _Parser("expunge", add_help=False)
    for name, short in _SWITCHES.items():
        made.add_argument(_flag(name), *([short] if short else []), action="store_true")
    for name, short in _VALUES.items():
        made.add_argument(_flag(name), *([short] if short else []), choices=_CHOICES.get(name))
    return made


def parted(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return flags, and overrides in their order; after ``--`` there are overrides alone.

    Raises:
        UserError: There is no such flag, or it has a value that is not one of its own.
    """
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    whole = [_with_its_value(flag, after) for flag, after in pairwise([*given[:end], ""])]
    flags, rest = parser().parse_known_args(whole)
    overrides = [*rest, *given[end + 1 :]]
    if unknown := [text for text in rest if text.startswith("-")]:
        raise UserError(f"{unknown[0]}: no such flag (see --hydra-help); settings have no dashes: KEY=VALUE")
    return flags, [text for text in overrides if text != "--"]


def as_arguments(flags: argparse.Namespace) -> list[str]:
    """Return flags as Hydra's parser reads them; ``--name=value`` takes nothing from what stands after it."""
    given = vars(flags)
    switches = [_flag(name) for name in _SWITCHES if given[name]]
    return [*switches, *(f"{_flag(name)}={given[name]}" for name in _VALUES if given[name] is not None)]


def require_one_form(flags: argparse.Namespace) -> None:
    """Refuse flags that exclude each other, or mean nothing by themselves.

    Raises:
        UserError: Which, and what is allowed.
    """
    given = [_flag(name) for name in FORMS if getattr(flags, name)]
    if len(given) > 1:
        raise UserError(f"{given[-1]}: got {given[0]} beside it, allowed: one of {_listed(FORMS)}")
    for name in ("resolve", "package"):
        if getattr(flags, name) and not flags.cfg:
            raise UserError(f"{_flag(name)}: only beside --cfg")
    if flags.experimental_rerun is not None:
        raise UserError(
            "--experimental-rerun: not taken, as it loads a pickle, which can run anything; allowed: "
            "resume=true hydra.run.dir=FOLDER, or the overrides in FOLDER/.hydra/overrides.yaml"
        )


def _with_its_value(flag: str, after: str) -> str:
    """``--info`` and ``--list`` may stand without a value, and must not take an override for one."""
    if flag == "--list" and (not after or after.startswith("-") or "=" in after):
        return "--list=groups"
    return "--info=all" if flag in ("--info", "-i") and after not in _CHOICES["info"] else flag


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_flag, names))
