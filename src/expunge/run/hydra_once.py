"""One composition for a command, where Hydra makes two: the first only to read ``hydra.mode`` from it.

Both are of the same files and overrides, but for ``hydra.mode=RUN``, which Hydra adds where nobody has set
it: the second is the first with that. It is a good part of what a command does before its run begins.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

_ADDED = {f"hydra.mode={mode.name}": mode for mode in (RunMode.RUN, RunMode.MULTIRUN)}
_MISSING = "???"  # a group that is still to be chosen: left out of the first composition, an error in a run


def _chosen(config: DictConfig) -> list[object]:
    found: Any = OmegaConf.to_container(config.hydra.runtime.choices, resolve=False)
    return list(found.values())


@dataclass(frozen=True)
class _Kept:
    """A composition, and what it was made of."""

    name: str | None
    overrides: tuple[str, ...]
    folder: str
    config: DictConfig

    def with_added(self, name: str | None, overrides: list[str]) -> bool:
        """Make it what these overrides come to, and say whether they are those it was made of."""
        count = len(self.overrides)
        given, more = tuple(overrides[:count]), overrides[count:]
        same = (self.name, self.overrides, self.folder) == (name, given, os.getcwd())
        if not same or len(more) > 1 or not all(one in _ADDED for one in more):
            return False
        for one in more:
            self.config.hydra.mode = _ADDED[one]
            self.config.hydra.overrides.hydra.append(one)
        return True


class OnceLoader(ConfigLoaderImpl):
    """Hydra's loader, which gives what it composed for ``hydra.mode`` to whom asks for it next."""

    _kept: _Kept | None = None

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a configuration, as Hydra does, or go on with the one that was composed before."""
        kept, self._kept = self._kept, None
        if kept is not None and validate_sweep_overrides and kept.with_added(config_name, overrides):
            parsed = OverridesParser.create().parse_overrides(overrides)
            self.validate_sweep_overrides_legal(parsed, run_mode, from_shell)
            return kept.config
        found = super().load_configuration(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )
        if not validate_sweep_overrides and _MISSING not in _chosen(found):
            self._kept = _Kept(config_name, tuple(overrides), os.getcwd(), found)
        return found
