"""The anamnesis index: how fast removed rows are learned again, beside a retrained model."""

from __future__ import annotations

import logging

import numpy as np

from expunge.core.checks import LARGEST_SINGLE, require_count, require_from_zero, require_positive
from expunge.core.columns import AIM, Column, with_references
from expunge.metrics.base import Evaluated, Values, View
from expunge.metrics.relearn import anamnesis_index, relearn_steps
from expunge.predictors import Probabilistic

log = logging.getLogger(__name__)

_SLACK = 1e-6  # relative: the same model trained twice may differ in the last digits


class Anamnesis(Evaluated):
    """``ain``, and the two numbers of steps that it is the ratio of.

    Steps ``w <- w - lr grad f(w)`` on the mean loss f of all removed rows at once, without a penalty, until
    ``f(w) <= (1 + alpha) f(w_original)``; the original is the model trained on all rows with the same seed. A
    network takes them in evaluation mode: with the statistics of BatchNorm as they are, and without dropout.
    The models themselves stay as they are.

    Args:
        every: See ``Evaluated``. Each time is two trainings, both of them shared with other metrics.
        lr: Size of a step.
        alpha: Share by which the loss may be above the original's.
        max_steps: Steps at most; a model that needs more has no number.
    """

    needs = Probabilistic
    COLUMNS = {
        "ain": Column(
            "AIN",
            "",
            "anamnesis index: steps until the removed rows are learned again, over those of the retrained "
            "model; 1 is the aim, well below 1 the rows left a trace, well above 1 the model was pushed away "
            "from them; undefined where the retrained model fits them as well without a step, or one of the "
            "two does not get there",
        )
    } | with_references(
        {
            "ain_steps": Column(
                "steps to learn again",
                "",
                "gradient steps on the removed rows until the mean loss of these is, within alpha, that of "
                "the model before any removal; " + AIM,
                "count",
            )
        }
    )

    def __init__(
        self, every: int | None = None, lr: float = 0.01, alpha: float = 0.1, max_steps: int = 3000
    ) -> None:
        super().__init__(every)
        self.lr = require_positive("lr", lr, most=LARGEST_SINGLE)
        self.alpha = require_from_zero("alpha", alpha, most=LARGEST_SINGLE)
        self.max_steps = require_count("max_steps", max_steps)

    def __call__(self, view: View) -> Values:
        """Two trainings, shared with other metrics, and up to ``max_steps`` passes for each of two models."""
        found: dict[str, float | None] = dict.fromkeys(self.COLUMNS)
        forget, original = np.flatnonzero(view.requested), view.original
        if original is None or not len(forget):
            log.warning("ain is not defined: removed rows and a model that has losses are needed")
            return found
        target = float(np.mean(original.losses(view.x_train, view.y_train, forget)))
        target *= 1 + self.alpha + _SLACK
        for name, model in (("ain_steps", view.model), ("retrain_ain_steps", view.reference)):
            if isinstance(model, Probabilistic):
                start, mean_loss = model.mean_loss(view.x_train, view.y_train, forget)
                found[name] = relearn_steps(mean_loss, start, target, self.lr, self.max_steps)
        own, aim = found["ain_steps"], found["retrain_ain_steps"]
        found["ain"] = anamnesis_index(own, aim)
        if found["ain"] is None:
            late = f"a model is missing, or does not get there in {self.max_steps} steps"
            none = "the retrained model fits the removed rows as well without a step"
            log.warning("ain is not defined: %s", none if aim == 0 else late)
        return found
