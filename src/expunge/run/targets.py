"""The object that a config group's ``_target_`` names, made with the group's other keys."""

from __future__ import annotations

import inspect
from typing import Any

from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.run.declared import located
from expunge.run.linear_settings import OF_THE_MODEL
from expunge.run.protocols import require_complete, require_protocol


def build(group: str, settings: Any, **extra: Any) -> Any:
    """Call the ``_target_`` of a group's settings with the other keys as arguments.

    Args:
        group: Name of the config group, for messages.
        settings: The group's resolved settings.
        extra: Arguments from elsewhere; passed where the target takes them.

    Raises:
        InvalidValue: The target is not one of ours, or a key has a value it refuses.
    """
    if not isinstance(settings, dict) or "_target_" not in settings:
        raise InvalidValue(group, settings, "a choice of this group (see --help)")
    path = str(settings["_target_"])
    target = located(group, path)
    require_complete(group, path, target)
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    known = _parameters(target)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    elsewhere = OF_THE_MODEL if "logistic" in getattr(target, "supports", ()) else ()
    for key in arguments:
        if key not in known and (not takes_any or key.startswith("_")):
            allowed = ", ".join(dict.fromkeys([*elsewhere, *(k for k in known if k not in extra)]))
            raise InvalidValue(group, key, f"the keys {allowed}")
    arguments |= {key: value for key, value in extra.items() if key in known}
    for key, parameter in known.items():
        optional = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if not optional and parameter.default is parameter.empty and key not in arguments:
            raise UserError(f"{group}.{key}: missing; {path} needs it")
    try:
        made = target(**arguments)
    except (InvalidValue, DataError) as error:
        if error.name in extra:  # not a key of the group's own
            raise
        raise error.within(group) from None
    require_protocol(group, path, made)
    return made


def _parameters(target: Any) -> dict[str, inspect.Parameter]:
    """What a callable takes. A class without a constructor of its own takes nothing.

    A protocol's constructor, which takes anything, stands in for one until the class is first called.
    """
    known = dict(inspect.signature(target).parameters)
    if not isinstance(target, type) or target.__new__ is not object.__new__:
        return known
    protocols = [kind for kind in target.__mro__ if vars(kind).get("_is_protocol")]
    others = [vars(kind).get("__init__") for kind in target.__mro__ if kind not in protocols]
    nobody = (None, object.__init__, *(vars(kind).get("__init__") for kind in protocols))
    return {} if all(one in nobody for one in others) else known
