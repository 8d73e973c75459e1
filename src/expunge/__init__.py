"""expunge: machine unlearning experiments with a certificate for every removal."""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False  # as in typing, which the commands import only once they can be interrupted
if TYPE_CHECKING:
    from typing import Any

    from expunge.core.errors import UserError
    from expunge.estimator import CertifiedLogisticRegression
    from expunge.frames import load
    from expunge.python import compose, run, sweep
    from expunge.results import CellsFailed, Result, Sweep
    from expunge.scrubbing import Removal, Scrub
    from expunge.serving import RemovalService

    __version__: str

__all__ = [
    "CellsFailed",
    "CertifiedLogisticRegression",
    "Removal",
    "RemovalService",
    "Result",
    "Scrub",
    "Sweep",
    "UserError",
    "compose",
    "load",
    "run",
    "sweep",
]
_HOMES = {
    "CertifiedLogisticRegression": "estimator",
    "RemovalService": "serving",
    "load": "frames",
    "compose": "python",
    "UserError": "core.errors",
    **dict.fromkeys(("CellsFailed", "Result", "Sweep"), "results"),
    **dict.fromkeys(("Removal", "Scrub"), "scrubbing"),
}
_ROOMS = ("run", "sweep")
"""Functions of ``expunge.python`` that are called like a room of the package: the room is what is called."""


def __getattr__(name: str) -> Any:
    # Heavy imports wait until they are needed: `expunge --help` must not pay for scikit-learn and numba.
    if name == "__version__":
        from expunge.core.versions import version_of

        return version_of("expunge") or "unknown"
    if name not in _HOMES and name not in _ROOMS:
        raise AttributeError(f"module 'expunge' has no attribute {name!r}")
    from importlib import import_module

    if name in _ROOMS:
        return import_module(f"expunge.{name}")
    return getattr(import_module(f"expunge.{_HOMES[name]}"), name)


class _Room(ModuleType):
    """A room that can be called, by the name of a function."""

    @property
    def _function(self) -> Any:
        from importlib import import_module

        return getattr(import_module("expunge.python"), self.__name__.rpartition(".")[2])

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._function(*args, **named)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(self._function)

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self._function.__doc__


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ROOMS and type(value) is ModuleType:  # it has just been imported
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
