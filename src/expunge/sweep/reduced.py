"""Reduced experiments: what stands under ``reduced:`` in an experiment's file makes another one of it.

``+experiment=X reduced=true`` is ``+experiment=X_reduced``. There is no such file: Hydra is handed X with
those overrides in it before it reads the command line, and the user's own come after them as ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from expunge.core.errors import InvalidValue
from expunge.sweep.command import config_folders, key_in, parted

SUFFIX = "_reduced"


def with_reduced(arguments: Sequence[str], config_dir: Path) -> list[str]:
    """Return the arguments with ``reduced=true`` in the experiment's name, and let Hydra know that name.

    Our own YAML is in ``config_dir``; the user's is looked for where ``--config-dir`` says.

    Raises:
        InvalidValue: ``reduced`` is neither true nor false, or there is nothing that could be reduced.
    """
    flags, asked = parted(arguments)
    values = [override.partition("=")[2] for override in asked if key_in(override) == "reduced"]
    rest = [override for override in asked if key_in(override) != "reduced"]
    value = values[-1] if values else None
    if value not in (None, "true", "false"):
        raise InvalidValue("reduced", value, "true or false")
    if value == "true" and not any(key_in(override) == "experiment" for override in rest):
        raise InvalidValue("reduced", value, "only beside an experiment: +experiment=...")
    folders = config_folders(config_dir, flags)
    for place, override in enumerate(rest):
        key, sign, names = override.partition("=")
        if key_in(override) == "experiment":  # one name, or more of them in a sweep or a list
            rest[place] = key + sign + re.sub(r"[\w./-]+", lambda name: _name(name[0], value, folders), names)
    return [*flags, *rest]


def _name(given: str, value: str | None, folders: Sequence[Path]) -> str:
    """The name of the experiment that is meant; a reduced one is stored under it unless it is a file."""
    full = given.removesuffix(SUFFIX)
    name = full + SUFFIX
    if (given != name and value != "true") or _file(name, folders):
        return name if value == "true" else given
    if not _file(full, folders):
        return given  # Hydra knows it from elsewhere, or says what there is
    if value == "false":
        raise InvalidValue("reduced", value, f"true, since {given} is a reduced experiment")
    group, _, last = f"experiment/{name}".rpartition("/")
    ConfigStore.instance().store(last, reduced(full, folders), group, package="_global_")
    return name


def reduced(name: str, folders: Sequence[Path]) -> DictConfig:
    """Return the content of an experiment's file with its own ``reduced:`` put in.

    A key that the experiment sweeps is swept over other values; a group with another choice keeps nothing
    of what the experiment says of its own choice; any other key gets another value. ``folders`` hold the
    experiments and groups.

    Raises:
        InvalidValue: It has no ``reduced:``.
    """
    own = _read(name, folders)
    overrides = own.get("reduced")
    if not isinstance(overrides, Mapping):
        raise InvalidValue("reduced", "true", f"false, since {name} has nothing under reduced:")
    swept = _swept(name, folders)
    defaults = own.setdefault("defaults", [])
    values: dict[str, Any] = {"reduced": True}
    for key, value in overrides.items():
        if key in swept:
            hydra = own.setdefault("hydra", {})
            hydra.setdefault("sweeper", {}).setdefault("params", {})[key] = value
        elif any((folder / key).is_dir() for folder in folders):
            choice = f"override /{key}"
            own.pop(key, None)
            defaults[:] = [*(entry for entry in defaults if choice not in entry), {choice: value}]
        else:
            values[key] = value
    content = OmegaConf.create(own)
    for key, value in values.items():
        OmegaConf.update(content, key, value)
    return content


def _swept(name: str, folders: Sequence[Path]) -> set[str]:
    """The keys that an experiment sweeps by itself, or one that it includes."""
    own = _read(name, folders)
    included = [entry for entry in own.get("defaults", ()) if str(entry).startswith("/experiment/")]
    keys = [_swept(entry.removeprefix("/experiment/"), folders) for entry in included]
    params = own.get("hydra", {}).get("sweeper", {}).get("params", {})
    return {*params, *(key for each in keys for key in each)}


def _file(name: str, folders: Sequence[Path]) -> Path | None:
    files = (folder / "experiment" / f"{name}.yaml" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def _read(name: str, folders: Sequence[Path]) -> dict[Any, Any]:
    file = _file(name, folders)
    content = OmegaConf.to_container(OmegaConf.load(file)) if file else {}
    assert isinstance(content, dict)
    return content
