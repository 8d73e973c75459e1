"""Configuration files of a user's, looked at before they are read: see ``expunge.core.yaml_text``."""

from __future__ import annotations

from pathlib import Path

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from expunge.core.errors import UserError, one_line
from expunge.core.files import read_text
from expunge.core.yaml_text import require_followable, require_tree


def load_yaml(path: Path, aliases: bool = True) -> tuple[DictConfig | ListConfig, str]:
    """Read a configuration whose references can be followed, and return it with its text.

    Raises:
        UserError: It cannot be read, is none, or its references come to too much; the line names the file.
    """
    try:
        text = read_text(path)
        require_tree(text, aliases)
        found = yaml.load(text, Loader=get_yaml_loader())
        if found is not None and not isinstance(found, (dict, list)):
            raise ValueError("must be a mapping")
        config = OmegaConf.create({} if found is None else found)
        require_followable(OmegaConf.to_container(config, resolve=False))
        return config, text
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
