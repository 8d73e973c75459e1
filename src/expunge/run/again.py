"""What a finished run was made from, read again: for who checks the run, and trusts nothing else of it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from expunge.core.errors import DataError, InvalidValue, RunFolderError, one_line
from expunge.core.sources import PLUGINS
from expunge.core.yaml_text import require_followable
from expunge.datasets import Dataset
from expunge.run.build import data_of, extractor_of
from expunge.run.job_cache import JobCache
from expunge.run.targets import located
from expunge.run.yaml_files import load_yaml

_ENVIRONMENT = "oc.env"


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
    config, _ = load_yaml(path, aliases=False)
    try:
        require_followable(OmegaConf.to_container(config, resolve=False))
        with _no_environment():
            found = OmegaConf.to_container(config, resolve=True)
    except (OmegaConfBaseException, OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path}: not a configuration ({one_line(error)})") from None
    if not isinstance(found, dict):
        raise RunFolderError(f"{path}: must be a mapping")
    return {str(key): value for key, value in found.items()}


@contextmanager
def _no_environment() -> Iterator[None]:
    """References to the environment stay words, as long as this lasts."""

    def as_written(key: str, *default: Any) -> str:
        return f"${{{','.join(map(str, (f'{_ENVIRONMENT}:{key}', *default)))}}}"

    OmegaConf.register_new_resolver(_ENVIRONMENT, as_written, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver(_ENVIRONMENT, oc.env, replace=True)


def _require_part(group: str, settings: dict[str, Any]) -> None:
    """Refuse a ``_target_`` that is no data set or extractor: the folder may be another's.

    It may name what reads data, not all that our packages have or import, such as what writes a file. Of a
    plug-in, which is code that was put here by who checks the run, it may name all that it defines itself.

    Raises:
        InvalidValue: It does not name one.
    """
    found = settings.get(group)
    path = str(found.get("_target_", "")) if isinstance(found, dict) else ""
    module, _, name = path.rpartition(".")
    ours, plugin = module.startswith(f"expunge.{group}s."), module.partition(".")[0] == PLUGINS
    target: Any = located(group, path) if (ours or plugin) and not name.startswith("_") else None
    returned = inspect.get_annotations(target).get("return") if inspect.isfunction(target) else None
    known = plugin or hasattr(target, "extract") or returned in ("Dataset", Dataset)
    if getattr(target, "__module__", None) != module or not known:
        raise InvalidValue(f"{group}._target_", path, f"the name of a part of expunge.{group}s or {PLUGINS}")


@dataclass(frozen=True)
class Features:
    """What an extractor makes of the training rows, ``x_i = scale_i (raw_i - offset)``, and what it says.

    ``epsilon`` and ``delta`` are what they have cost the training rows, as it says; they mean nothing where
    ``not_covered`` says why nothing is known. ``raw`` is (n, d), ``scale`` (n,); None where not needed.
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
    extractor, _ = extractor_of(settings, cache, digests, network=False)
    try:
        train, _ = extractor.extract(dataset)
    except (InvalidValue, DataError) as error:
        raise error.within("extractor") from None
    unsaid = "the extractor does not say what it costs the training rows"
    said: Any = extractor.upstream() if hasattr(extractor, "upstream") else Features(0.0, 0.0, unsaid)
    if not all(hasattr(train, part) for part in ("raw", "scale", "offset")):
        raise DataError(f"extractor: its features are {type(train).__name__}, no rows that can be read")
    return Features(said.epsilon, said.delta, said.not_covered, train.raw, train.scale, train.offset)
