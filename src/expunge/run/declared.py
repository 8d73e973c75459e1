"""Names that ``_target_`` may have: parts of ours, declared by our own files, and what a user has written.

Light, for it is asked before anything of a run is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from expunge.core.errors import InvalidValue, one_line
from expunge.core.sources import PLUGINS
from expunge.run.config_files import config_dir

TRUSTED = ("expunge", PLUGINS)
"""Packages that ``_target_`` may name: a configuration file must not be able to call anything else."""
_ROOMS = {
    "dataset": "expunge.datasets",
    "extractor": "expunge.extractors",
    "metrics": "expunge.metrics",
    "model": "expunge.models",
    "removal": "expunge.record.requests",
    "study": "expunge.studies",
    "tracker": "expunge.tracking",
    "training": "expunge.training",
    "unlearner": "expunge.unlearners",
}
"""Where the parts of a group are: no configuration is to call what writes a file, or what we import."""


def located(group: str, path: str) -> Any:
    """The class or function that a ``_target_`` names; ``InvalidValue`` if it is none of ours.

    Of our own package it is one of the group's parts, declared by name (``declared``). Of a user's own it is
    what ``defined`` finds. Configurations come with run folders of others, too.
    """
    require_named(group, path)
    if path.partition(".")[0] == PLUGINS:
        return defined(f"{group}._target_", path)
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def require_named(group: str, path: str) -> None:
    """Refuse a name that no part of the group can have; nothing is imported for it.

    Raises:
        InvalidValue: It is neither declared by a file of ours nor in the package of plug-ins.
    """
    top = path.partition(".")[0]
    if top not in TRUSTED:
        raise InvalidValue(f"{group}._target_", path, "a name in the package " + " or ".join(TRUSTED))
    room = _ROOMS.get(group.partition(".")[0], "")
    hidden = "." not in path or any(
        not part.isidentifier() or part.startswith("_") for part in path.split(".")
    )
    if hidden or (top != PLUGINS and not (path.startswith(f"{room}.") and path in declared())):
        parts = f"a part of {room} or {PLUGINS}" if room else f"none here; groups: {', '.join(_ROOMS)}"
        raise InvalidValue(f"{group}._target_", path, parts)


@cache
def declared() -> frozenset[str]:
    """The parts of our own package: what the ``_target_`` of a file in ``conf/`` names."""
    texts = (file.read_text(encoding="utf-8") for file in sorted(config_dir().rglob("*.yaml")))
    return frozenset(name for text in texts for name in re.findall(r"^\s*_target_:\s*([\w.]+)", text, re.M))


def defined(key: str, path: str) -> Any:
    """The class or function that a package of the user's own defines itself, not one that it imports.

    Raises:
        InvalidValue: ``key`` names another thing, or one that cannot be imported.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidValue(key, path, f"something that can be imported ({one_line(error)})") from None
    package = path.partition(".")[0]
    if not callable(found) or str(getattr(found, "__module__", None)).partition(".")[0] != package:
        raise InvalidValue(key, path, f"a class or function that {package} defines itself")
    return found


def require_parts(settings: Mapping[str, Any]) -> None:
    """Refuse a ``_target_`` at any depth of the settings that no part of its group can have.

    A part may make what its own settings name, so that these are held to the same names.

    Raises:
        InvalidValue: Which one.
    """
    for key, path in nested_targets(settings):
        require_named(key, str(path))


def nested_targets(settings: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Where ``_target_`` stands in nested settings, and what it names."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(settings, Mapping):
        items = settings.items()
    elif isinstance(settings, (list, tuple)):
        items = enumerate(settings)
    for key, value in items:
        if key == "_target_":
            yield above, value
        yield from nested_targets(value, f"{above}.{key}" if above else str(key))
