"""Keys of a configuration that nobody reads, and keys that somebody misses: either is a mistake."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from expunge.core.checks import require_name
from expunge.core.errors import UserError
from expunge.run.config_files import config_dir

_ELSEWHERE = ("study", "tuning")  # where an experiment brings it; where settings are tuned
_MAY_LACK = ("metrics",)  # as with metrics=[]
_FOR_THE_COMMAND = ("reduced", "tuning")  # gone once the command line has been read; this one if it is none


def require_known(config: DictConfig, groups: Collection[str]) -> None:
    """Refuse keys that neither the program nor another key (``${key}``) reads, and the lack of one it reads.

    What a group's own keys are is for the class that it names; here are the top, and the groups of the linear
    model, which name none.

    Args:
        config: The configuration, interpolations as they stand.
        groups: Those that a run needs and a study must not have.

    Raises:
        UserError: Which key, and which ones it may have meant.
    """
    known = _known()
    spared = groups if config.get("study") is not None else _MAY_LACK
    if missing := [key for key in known if key not in config and key not in spared]:
        raise UserError(f"{missing[0]}: missing (was it deleted with ~?), allowed: a value (see --help)")
    for key in map(str, config):
        if key not in (*known, *_ELSEWHERE) and not _read_by_another(key, config):
            raise UserError(f"{key}: no such key{_nearest(key, config)}, allowed: {', '.join(known)}")
    for group in ("model", "training"):
        settings = config.get(group)
        if isinstance(settings, DictConfig) and "_target_" not in settings:
            _require_of_the_linear_model(group, settings, config)


def require_without(config: DictConfig, groups: Collection[str]) -> None:
    """Refuse groups of settings that a study does not read.

    Raises:
        UserError: Which group, and which keys it has.
    """
    for group in groups:
        if (given := config.get(group)) is not None:
            of_it = [f"{group}.{key!s}" for key in given] if isinstance(given, DictConfig) else []
            keys = f" ({', '.join(of_it)})" if of_it else ""
            raise UserError(f"{group}: got a setting{keys}, allowed: none, since a study has no such group")


def _require_of_the_linear_model(group: str, settings: DictConfig, config: DictConfig) -> None:
    from expunge.run.linear_settings import OF_THE_MODEL, OF_THE_ROWS  # and the model with it: not for --help

    if "name" in settings:
        require_name(f"{group}.name", settings["name"])
    keys = ("name", *(key for key, home in OF_THE_MODEL.items() if home == group))
    keys += OF_THE_ROWS if group == "model" else ()
    for key in map(str, settings):
        if key not in keys and not _read_by_another(f"{group}.{key}", config):
            raise UserError(f"{group}.{key}: no such key, allowed: {', '.join(keys)}")


@cache
def _known() -> tuple[str, ...]:
    own = OmegaConf.to_container(OmegaConf.load(config_dir() / "config.yaml"))
    assert isinstance(own, dict)
    entries = [entry for entry in own.pop("defaults") if isinstance(entry, dict)]
    groups = [key for entry in entries for key in entry if not key.startswith("override ")]
    return tuple(key for key in (*groups, *map(str, own)) if key not in ("hydra", *_FOR_THE_COMMAND))


def _read_by_another(key: str, config: DictConfig) -> bool:
    """Whether an interpolation, of ours or of Hydra's, names the dotted key, or its last part relatively."""
    text = OmegaConf.to_yaml(config)
    if HydraConfig.initialized():
        text += OmegaConf.to_yaml(HydraConfig.get())
    named = [name for body in re.findall(r"\$\{([^}]*)", text) for name in re.findall(r"[\w.]+", body)]
    last = key.rpartition(".")[2]
    return any(
        f"{name.strip('.')}.".startswith(f"{key}.") or (name[0] == "." and name.rpartition(".")[2] == last)
        for name in named
    )


def _nearest(key: str, config: DictConfig) -> str:
    everywhere = list(_dotted(OmegaConf.to_container(config)))
    same = [name for name in everywhere if name != key and name.rpartition(".")[2] == key]
    near = same or [name for name in get_close_matches(key, everywhere, cutoff=0.7) if name != key]
    return f" (near: {', '.join(near[:5])})" if near else ""


def _dotted(settings: Any, above: str = "") -> Iterator[str]:
    for key, value in settings.items():
        yield f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{key}.")
