"""What a finished run was made from, read again: for who checks the run, and trusts nothing else of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expunge.core.errors import DataError, InvalidValue, RunFolderError, UserError, one_line
from expunge.datasets import Dataset
from expunge.linear.rows import Rows
from expunge.linear.sparse_rows import SparseRows
from expunge.run.build import data_of, extractor_of
from expunge.run.declared import located
from expunge.run.environment import as_written
from expunge.run.job_cache import JobCache
from expunge.run.linear_settings import constant_of
from expunge.run.yaml_files import load_yaml


def settings_again(path: Path) -> dict[str, Any]:
    """The configuration that a run has kept, with all references in it followed but for the environment's.

    The folder may be another's: what is in the environment here is not for it to see, and references to it
    stay as they are written. Aliases are refused, which no program's file has: a few lines of them are more
    than any memory holds.

    Raises:
        RunFolderError: It is missing, or no configuration.
    """
    if not os.path.lexists(path):
        raise RunFolderError(f"{path}: missing from the run folder")
    try:
        config, _ = load_yaml(path, aliases=False)
        with as_written():
            found = OmegaConf.to_container(config, resolve=True)
    except UserError as error:
        said = str(error)  # of a reference it names the key alone
        raise RunFolderError(said if said.startswith(f"{path}:") else f"{path}: {said}") from None
    except (OmegaConfBaseException, OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path}: not a configuration ({one_line(error)})") from None
    if not isinstance(found, dict):
        raise RunFolderError(f"{path}: must be a mapping")
    return {str(key): value for key, value in found.items()}


def _require_part(group: str, settings: dict[str, Any]) -> None:
    """Refuse a group that names no part: the folder may be another's.

    Raises:
        InvalidValue: It does not.
    """
    found = settings.get(group)
    located(group, str(found.get("_target_", "")) if isinstance(found, dict) else "")


@dataclass(frozen=True)
class Features:
    """What an extractor makes of the training rows, ``x_i = scale_i (raw_i - offset)``, and what it says.

    ``epsilon`` and ``delta`` are what they have cost the training rows, as it says; they mean nothing where
    ``not_covered`` says why nothing is known. ``raw`` is (n, d), maybe sparse, ``scale`` (n,); None where
    not needed.
    """

    epsilon: float
    delta: float
    not_covered: str | None
    raw: Any = None
    scale: Any = None
    offset: float = 0.0


def data_again(settings: dict[str, Any], cache: JobCache) -> tuple[Dataset, dict[str, str]]:
    """The data set of a run, and its digests.

    Raises:
        UserError: It cannot be read.
    """
    _require_part("dataset", settings)
    return data_of(settings, cache)


def features_again(
    settings: dict[str, Any], cache: JobCache, dataset: Dataset, digests: dict[str, str]
) -> Features:
    """The features of a run with a linear model, by its extractor.

    Raises:
        UserError: They cannot be made.
    """
    _require_part("extractor", settings)
    constant = constant_of(settings, dataset)
    extractor, _ = extractor_of(settings, cache, digests, network=False, constant=constant)
    try:
        train, _ = extractor.extract(dataset)
    except (InvalidValue, DataError) as error:
        raise error.within("extractor") from None
    unsaid = "the extractor does not say what it costs the training rows"
    said: Any = extractor.upstream() if hasattr(extractor, "upstream") else Features(0.0, 0.0, unsaid)
    if not isinstance(train, (Rows, SparseRows)):
        raise DataError(f"extractor: its features are {type(train).__name__}, no rows that can be read")
    offset = train.offset if isinstance(train, Rows) else 0.0
    return Features(said.epsilon, said.delta, said.not_covered, train.raw, train.scale, offset)
