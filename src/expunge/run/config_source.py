"""Where Hydra reads a user's configuration files: each is looked at before it is made into settings."""

from __future__ import annotations

import os
from pathlib import Path

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from omegaconf import DictConfig

from expunge.core.errors import UserError, one_line
from expunge.run.yaml_files import load_yaml

_HEAD = 512  # characters in which Hydra looks for ``# @package``


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's source of files, under its name: that is what Hydra tells sources by."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a file.

        Raises:
            UserError: It is no configuration, or stands for more than can be meant.
            ConfigLoadError: It is not there.
        """
        path = Path(os.path.realpath(os.path.join(self.path, self._normalize_file_name(config_path))))
        if not path.exists():
            raise ConfigLoadError(f"Config not found : {path}")
        config, text = load_yaml(path)
        if not isinstance(config, DictConfig):
            raise UserError(f"{path}: must be a mapping")
        try:
            header = self._get_header_dict(text[:_HEAD])
        except ValueError as error:
            raise UserError(f"{path}: {one_line(error)}") from None
        return ConfigResult(config=config, path=f"file://{self.path}", provider=self.provider, header=header)


def look_at_files() -> None:
    """Let Hydra read configuration files through this, from now on."""
    SourcesRegistry.instance().types["file"] = FileConfigSource
