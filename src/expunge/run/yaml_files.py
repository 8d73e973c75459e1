"""Configuration files of a user's, looked at before they are read: see ``expunge.core.yaml_text``."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from expunge.core.errors import UserError, one_line
from expunge.core.files import read_text
from expunge.core.yaml_text import require_followable, require_tree

_PATHS = "tag:yaml.org,2002:python/object/apply:pathlib"


def load_yaml(path: Path, aliases: bool = True) -> tuple[DictConfig | ListConfig, str]:
    """Read a configuration whose references can be followed, and return it with its text.

    Raises:
        UserError: It cannot be read, is none, or its references come to too much; the line names the file.
    """
    try:
        text = read_text(path)
        return copy.deepcopy(_parsed(text, aliases)), text
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text in UTF-8") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({one_line(error)})") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # what YAML and OmegaConf raise of values that are not what their tags say
        raise UserError(f"{path}: not a configuration ({one_line(error)})") from None


def _loader() -> Any:
    """OmegaConf's, which reads paths as Python 3.13 writes them too."""
    loader: Any = get_yaml_loader()
    for name in ("Path", "PosixPath", "WindowsPath"):
        loader.add_constructor(f"{_PATHS}._local.{name}", loader.yaml_constructors[f"{_PATHS}.{name}"])
    return loader


@lru_cache(maxsize=256)  # the files of conf/ that a sweep's cells, or the runs of a notebook, have in common
def _parsed(text: str, aliases: bool) -> DictConfig | ListConfig:
    require_tree(text, aliases)
    found = yaml.load(text, Loader=_loader())
    if found is not None and not isinstance(found, (dict, list)):
        raise ValueError("must be a mapping")
    config = OmegaConf.create({} if found is None else found)
    require_followable(OmegaConf.to_container(config, resolve=False))
    return config
