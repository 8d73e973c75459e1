"""Reduced experiments: what stands under ``reduced:`` in an experiment's file makes another one of it.

``+experiment=X reduced=true`` is ``+experiment=X_reduced``. There is no such file: Hydra is handed X with
those overrides in it before it reads the command line, and the user's own come after them as ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from omegaconf import DictConfig, OmegaConf

from expunge.core.errors import InvalidValue, UserError
from expunge.run.yaml_files import load_yaml
from expunge.sweep.command import config_folders, key_in
from expunge.sweep.flags import as_arguments, parted

SUFFIX = "_reduced"
_GROUP = "experiment"


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
    if value == "true" and not any(_of_experiments(override) for override in rest):
        raise InvalidValue("reduced", value, "only beside an experiment: +experiment=...")
    folders = config_folders(config_dir, flags, asked)
    for place, override in enumerate(rest):
        if _of_experiments(override):
            rest[place] = _renamed(override, value, folders)
    return [*as_arguments(flags), *rest]


def _of_experiments(override: str) -> bool:
    return key_in(override).split("/")[0] == _GROUP


def _renamed(override: str, value: str | None, folders: Sequence[Path]) -> str:
    """An override with the names of the experiments that are meant: one, a list, a sweep, a pattern."""
    key, sign, names = override.partition("=")
    above = key_in(override).removeprefix(_GROUP).strip("/")  # experiment/icml2020=timing
    if names.startswith("glob("):
        names = ",".join(_matching(override, above, folders)) or names
    plain = r"[\w./-]+(?![\w./(-])"  # not the name of a function of Hydra's
    return key + sign + re.sub(plain, lambda name: _below(above, name[0], value, folders), names)


def _matching(override: str, above: str, folders: Sequence[Path]) -> list[str]:
    """The names that a glob matches, in order; Hydra's own looks into one folder alone."""
    (parsed,) = OverridesParser.create().parse_overrides([override])
    pattern = parsed.value()
    assert isinstance(pattern, Glob)
    return pattern.filter(_names(above, folders))


def _below(above: str, name: str, value: str | None, folders: Sequence[Path]) -> str:
    whole = f"{above}/{name}" if above else name
    return _name(whole, value, folders).removeprefix(f"{above}/")


def _name(given: str, value: str | None, folders: Sequence[Path]) -> str:
    """The name of the experiment that is meant; a reduced one is stored under it unless it is a file."""
    full = given.removesuffix(SUFFIX)
    name = full + SUFFIX
    if (given != name and value != "true") or _file(name, folders):
        return name if value == "true" else given
    if not _file(full, folders) and value != "true":
        return given  # Hydra knows it from elsewhere, or says what there is
    if not _file(full, folders):
        raise InvalidValue(_GROUP, full, f"beside reduced=true a file of its own{_nearest(full, folders)}")
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


def _names(above: str, folders: Sequence[Path]) -> list[str]:
    """The experiments below one of their folders, in order."""
    roots = [folder / _GROUP / above for folder in folders]
    files = {file.relative_to(root) for root in roots for file in root.rglob("*.yaml")}
    return sorted(file.with_suffix("").as_posix() for file in files)


def _nearest(name: str, folders: Sequence[Path]) -> str:
    near = get_close_matches(name, _names("", folders))
    return f", such as {', '.join(near)}" if near else ""


def _read(name: str, folders: Sequence[Path]) -> dict[Any, Any]:
    file = _file(name, folders)
    content = OmegaConf.to_container(load_yaml(file)[0]) if file else {}
    if not isinstance(content, dict):
        raise UserError(f"{file}: must be a mapping")
    return content
