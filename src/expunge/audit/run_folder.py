"""The method of a run folder, with the run's own settings and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.audit.problems import of_rows
from expunge.audit.worlds import Data
from expunge.core.errors import InvalidValue, RunFolderError
from expunge.record.folders.files import parse_object, read_config, read_text
from expunge.run.build import build_experiment
from expunge.run.job_cache import JobCache
from expunge.run.yaml_files import load_yaml

_REQUESTS = 2
_CHOICES = ("dataset", "extractor", "model", "unlearner")


def of_run(folder: Path) -> tuple[Any, Data, dict[str, Any]]:
    """The unlearner of a finished run, not yet fitted; its training data with the rows to remove; settings.

    Raises:
        UserError: The folder is not that of a run, or its data are not there, or its method has no
            certificate.
    """
    summary = parse_object(read_text(folder / "summary.json"), folder / "summary.json")
    if "study" in summary:
        raise RunFolderError(f"{folder}: a study; allowed: the folder of a run, which removes something")
    settings = read_config(folder / ".hydra" / "config.yaml")
    settings.pop("hydra", None)
    settings |= {"resume": False, "force": False, "progress": False}
    choices = {key: str(summary.get(key)) for key in _CHOICES}
    experiment = build_experiment(settings, choices, JobCache(), None, _typed(folder))
    method = experiment.unlearner
    if (role := getattr(method, "role", None)) != "certified":
        raise InvalidValue("unlearner", role, "a certified one: there is no claim to be audited in others")
    x, _ = experiment.extractor.extract(experiment.dataset)
    releases = getattr(method, "releases", _REQUESTS + 1)
    requests = max(1, min(_REQUESTS, releases - 1))
    return method, of_rows(str(summary.get("dataset")), x, experiment.dataset.y_train, requests), settings


def _typed(folder: Path) -> set[str]:
    """The keys that the command line gave."""
    path = folder / ".hydra" / "overrides.yaml"
    given: Any = load_yaml(path)[0] if path.is_file() else ()
    return {str(override).lstrip("+").partition("=")[0] for override in given}
