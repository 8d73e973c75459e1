"""What one training of the estimator came to."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from expunge.predictors.erasure import erased
from expunge.record.model_file import Version
from expunge.record.training_data import TrainingData
from expunge.unlearners.newton import Newton


@dataclass(frozen=True)
class Fitted:
    """It is replaced as a whole: whoever reads it reads of one model.

    ``settings`` are those of the training, whatever has been set since; ``version`` is of the model's files.
    """

    engine: Newton
    settings: dict[str, Any]
    data: TrainingData
    version: Version

    def apart(self) -> Fitted:
        """Return a copy that goes on by itself: a release as it stands."""
        with self.engine.lock:
            engine = copy(self.engine)
            engine.predictor = copy(engine.predictor)
        return replace(self, engine=engine)

    def erased(self) -> Fitted:
        """Return such a copy without the rows that have left; the engine is to be settled."""
        with self.engine.lock:
            engine = copy(self.engine)
            engine.predictor = erased(engine.predictor)
        there = engine.predictor.classes_
        classes = self.data.names_of(there)[:1].repeat(len(self.data.classes))
        classes[there] = self.data.names_of(there)
        data = replace(self.data, rows=engine.predictor.x, labels=engine.predictor.y, classes=classes)
        return replace(self, engine=engine, data=data)
