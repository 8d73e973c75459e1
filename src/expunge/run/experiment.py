"""What an experiment is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import Dataset
from expunge.metrics import Metric
from expunge.record.inputs import Inputs
from expunge.record.requests import Request
from expunge.tracking import Tracker
from expunge.unlearners import Method, Unlearner


@dataclass
class Experiment:
    """Everything a run is made of, built and checked; nothing has been written yet.

    Attributes:
        settings: The resolved configuration (plain types), as it is built from.
        written: The same as trackers and checkpoints keep it: what is from the environment as it is written;
            None where nothing is.
        hidden: Takes the values that are from the environment out of what is recorded.
        extractor: See ``expunge.extractors.base.Extractor``.
        requests: What will be asked, in order.
        checkpoint_every: Requests between two checkpoints.
        stop_at_limit: End at the first retrain or refusal, whatever else was to be asked: only the number of
            supported removals is wanted. The rest is no part of the run.
        typed: Dotted keys that the command line gives.
        draw: Draws the figures of a finished run, and returns their folder; None where it is to have none.
    """

    settings: dict[str, Any]
    dataset: Dataset
    extractor: Any
    unlearner: Method | Unlearner
    requests: list[Request]
    metrics: list[Metric]
    tracker: Tracker
    seed: int
    checkpoint_every: int = 100
    stop_at_limit: bool = False
    progress: bool = True
    group: str | None = None
    typed: Collection[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    inputs: Inputs = field(default_factory=Inputs)
    written: dict[str, Any] | None = None
    hidden: Callable[[dict[str, Any]], dict[str, Any]] = lambda value: value
    draw: Callable[[Path], Path | None] = lambda folder: None

    @property
    def shown(self) -> dict[str, Any]:
        """The settings as they are recorded."""
        return self.settings if self.written is None else self.written

    @property
    def again(self) -> tuple[int, ...]:
        """What tells this evaluation from the first one of the same model; nothing of the first."""
        evaluation = self.settings.get("evaluation", 0)
        return (self.seed, self.settings.get("repeat", 0), evaluation) if evaluation else ()

    @property
    def model(self) -> Any:
        """What predicts: the method's model, or a plug-in that is both."""
        return getattr(self.unlearner, "predictor", self.unlearner)

    def extract(self) -> tuple[Any, Any]:
        """The inputs of the model; a complaint about a setting of the extractor names it as the user does."""
        settings = self.settings.get("extractor") or {}
        try:
            found: tuple[Any, Any] = self.extractor.extract(self.dataset)
        except (InvalidValue, DataError) as error:
            raise error.within("extractor") if error.name in settings else error from None
        return found
