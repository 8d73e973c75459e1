"""Packages of trackers, which not everybody has."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from expunge.core.errors import UserError


def needed(module: str, package: str, extra: str) -> Any:
    """Import ``module`` of ``package``.

    Raises:
        UserError: ``tracker``: the package is not installed; the extra that brings it is named.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in (package, module.split(".")[0]):
            raise
        raise UserError(
            f"tracker: needs the package {package}, which is not installed: pip install 'expunge[{extra}]'"
        ) from None
