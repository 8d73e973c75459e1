"""A tracker at arm's length: it is told no secrets, and its errors do not cost the run."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from expunge.core.columns import Columns
from expunge.core.errors import one_line
from expunge.tracking.base import Tracker

log = logging.getLogger(__name__)

SECRET = re.compile(r"(\w*_)?seeds?")
"""Whoever knows one can draw the perturbation again; the extractor's gives the noise of its training."""


class Guarded(Tracker):
    """Passes everything on to a tracker until that fails: then it says so once, and the run goes on without.

    The run's own files are the truth, so that nothing is lost. Seeds are left out, at whatever depth.

    Args:
        tracker: Any tracker; ``define``, ``before`` and ``figures`` it need not have.
    """

    def __init__(self, tracker: Any) -> None:
        self.tracker = tracker
        self._failed = False

    def start(self, config: dict[str, Any], folder: Path, group: str | None) -> None:
        """Begin, without the seeds in ``config``."""
        self._pass_on(lambda: self.tracker.start(without_secrets(config), folder, group))

    def define(self, columns: Columns) -> None:
        """Say what the numbers are, to a tracker that wants to know."""
        if hasattr(self.tracker, "define"):
            self._pass_on(lambda: self.tracker.define(columns))

    def before(self, record: dict[str, Any]) -> None:
        """Pass on what was before the first request, to a tracker that wants to know."""
        if hasattr(self.tracker, "before"):
            self._pass_on(lambda: self.tracker.before(without_secrets(record)))

    def log(self, record: dict[str, Any]) -> None:
        """Pass on a copy of a record: what a tracker does to it is nothing to the ledger."""
        self._pass_on(lambda: self.tracker.log(without_secrets(record)))

    def finish(self, summary: dict[str, Any]) -> None:
        """Pass on the summary, without its seed, and without whom the last request was about."""
        told = {key: value for key, value in summary.items() if key != "ids"}
        self._pass_on(lambda: self.tracker.finish(without_secrets(told)))

    def figures(self, draw: Callable[[], Path | None]) -> None:
        """Have the figures drawn for a tracker that takes them; ``draw`` returns None where none are."""
        if hasattr(self.tracker, "figures") and (folder := draw()) is not None:
            self._pass_on(lambda: self.tracker.figures(folder))

    def __enter__(self) -> Guarded:
        self._pass_on(self.tracker.__enter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go, also of a tracker that has failed: the next job of a sweep must start clean."""
        self._pass_on(lambda: self.tracker.__exit__(kind, value, trace), even_if_failed=True)

    def _pass_on(self, call: Callable[[], Any], even_if_failed: bool = False) -> None:
        if self._failed and not even_if_failed:
            return
        try:
            call()
        except Exception as error:  # whatever it is, the removals that were served are worth more
            if not self._failed:
                failed = f"{type(self.tracker).__name__} failed ({type(error).__name__}: {one_line(error)})"
                log.warning("%s; the run goes on without it, its files hold everything", failed)
            self._failed = True


def without_secrets(values: Any) -> Any:
    """Return a copy of JSON values without the entries called ``seed``, or ``noise_seed``, or so."""
    if isinstance(values, dict):
        kept = {key: value for key, value in values.items() if not SECRET.fullmatch(str(key))}
        return {key: without_secrets(value) for key, value in kept.items()}
    return [without_secrets(value) for value in values] if isinstance(values, list) else values
