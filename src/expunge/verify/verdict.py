"""All lines of a run, one after the other, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.errors import RunFolderError, UserError
from expunge.core.progress import progress_bar
from expunge.run.again import Features, data_again, features_again
from expunge.run.job_cache import JobCache
from expunge.verify import checks
from expunge.verify.asked import check_requests
from expunge.verify.claim import claim
from expunge.verify.files import CONFIG, read_run
from expunge.verify.iteration import check_iteration
from expunge.verify.ledger import check_summary, read_ledger
from expunge.verify.lines import Line
from expunge.verify.published import check_published, check_reference
from expunge.verify.release import check_release
from expunge.verify.subject import Settings, Subject

FORMAT = 1
_GROUPS = ("dataset", "extractor", "unlearner", "removal")


@dataclass(frozen=True)
class Verdict:
    """What was found of one run.

    Attributes:
        folder: The run folder.
        claim: What is claimed, in words, by what it is about.
        lines: All that was checked, in order.
        digests: Of the files that were checked.
    """

    folder: Path
    claim: dict[str, str]
    lines: list[Line]
    digests: dict[str, str]

    @property
    def accepted(self) -> bool:
        """Whether no line fails."""
        return self.first is None

    @property
    def first(self) -> Line | None:
        """The first line that does not hold."""
        return next((line for line in self.lines if line.holds is False), None)

    def as_json(self) -> dict[str, Any]:
        """What ``verified.json`` holds."""
        return {
            "format": FORMAT,
            "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "accepted": self.accepted,
            "first": None if self.first is None else self.first.name,
            "claim": self.claim,
            "lines": [line.as_json() for line in self.lines],
            "files": self.digests,
        }


def verify(
    folder: Path,
    cache: JobCache | None = None,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    progress: bool = False,
) -> Verdict:
    """Check the run in ``folder``.

    Args:
        folder: A run folder.
        cache: What several runs have in common: data and features.
        data_dir: Where the data lie here, if not where the configuration or the environment says.
        cache_dir: The same of trained extractors and features.
        progress: Show a bar, on a terminal.

    Raises:
        UserError: It is no folder of a finished run, or the data cannot be read.
    """
    files = read_run(folder)
    if missing := [
        key for key in ("dataset", "extractor", "unlearner", "removal") if key not in files.settings
    ]:
        raise RunFolderError(f"{folder / CONFIG}: has no {missing[0]}: not the configuration of a run")
    given = {"data_dir": data_dir, "cache_dir": cache_dir}
    elsewhere = {key: str(path) for key, path in given.items() if path is not None}
    own = {"device": "cpu", "threads": None, "data_dir": None, "cache_dir": None}
    settings = Settings({**own, **files.settings, **elsewhere, "progress": progress})
    cache = JobCache() if cache is None else cache
    dataset, digests = data_again(settings.all, cache)
    features = _features(settings, cache, dataset, digests)
    ledger, line = read_ledger(files, dataset.y_train)
    with (
        progress_bar(progress, desc="checking", unit="row", unit_scale=True) as bar,
        np.errstate(over="ignore", divide="ignore", invalid="ignore"),  # what is no number then fails
    ):
        subject = Subject(files, settings, dataset, digests, ledger, features, bar.update)
        lines = [checks.check_files(files), checks.check_data(subject), line]
        lines += [check_requests(files, ledger, dataset), check_summary(files, ledger)]
        lines += _of_method(subject)
    return Verdict(folder, claim(subject), lines, files.digests)


def _features(settings: Settings, cache: JobCache, dataset: Any, digests: dict[str, str]) -> Features | None:
    """What the extractor makes and says; not asked where nothing is checked that has to do with it."""
    if settings.scheme == "none":
        return None
    if settings.own_rows:
        return Features(0.0, 0.0, None)
    return features_again(settings.all, cache, dataset, digests)


def _of_method(subject: Subject) -> Iterator[Line]:
    """The lines that depend on what the method claims; a setting that is none ends them, with a line."""
    yield checks.check_words(subject)
    scheme = subject.settings.scheme
    if scheme == "none":
        return
    if scheme == "iteration":
        yield from check_iteration(subject)
        yield checks.check_composition(subject)
        return
    found = {"release": check_release, "reference": check_reference}.get(scheme, check_published)
    try:
        yield checks.check_classes(subject)
        yield (convexity := checks.check_convexity(subject))
        if convexity.holds:
            yield from found(subject)
    except UserError as error:
        yield Line("settings", False, note=str(error))
    except ArithmeticError as error:
        yield Line("numbers", False, note=f"beyond those that can be computed with ({error})")
    if scheme != "reference":
        yield checks.check_composition(subject)
