"""Whether a backdoor that was trained in still opens: the share of triggered test rows that it turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.core.columns import AIM, Column, with_references
from expunge.datasets.corruption import POISON
from expunge.metrics.base import Evaluated, Values, View
from expunge.predictors import Differentiable, Predictor


def attack_success(predicted: NDArray[np.int64], target: int) -> float | None:
    """Share of triggered rows, none of them of the class ``target``, that are taken for it.

    Args:
        predicted: (q,) labels.
        target: What poisoned rows were labelled.

    Returns:
        None for no rows. Gu et al., *BadNets*, 2017.
    """
    return float(np.mean(predicted == target)) if len(predicted) else None


class Attack(Evaluated):
    """``attack_success`` of the model, of the model before any removal and of ``View.reference``.

    The rows are test rows with the trigger of ``dataset.poison`` (``Corruption.triggered``), which count in
    no accuracy: how well a model does on clean rows is its ``test_accuracy``.
    """

    needs = Differentiable
    needs_corruption = POISON
    COLUMNS = {
        **with_references(
            {
                "attack_success": Column(
                    "attack success",
                    "",
                    "share of test rows of other classes that the trigger turns into the target's, after the "
                    f"removal; {AIM}",
                    "accuracy",
                )
            }
        ),
        "attack_success_before": Column(
            "attack success, before",
            "",
            "the same of the model before any removal",
            "accuracy",
        ),
    }

    def __call__(self, view: View) -> Values:
        """Two trainings, shared with other metrics, and a pass over the test rows for each model."""
        found: dict[str, float | None] = dict.fromkeys(self.COLUMNS)
        corruption = view.corruption
        if corruption is None or corruption.target is None:
            return found
        models = {"": view.model, "retrain_": view.reference}
        for of, model in models.items():
            found[f"{of}attack_success"] = _of(view, model, corruption.triggered, corruption.target)
        before = _of(view, view.original, corruption.triggered, corruption.target)
        return found | {"attack_success_before": before}


def _of(
    view: View, model: Predictor | Differentiable | None, rows: NDArray[np.int64], target: int
) -> float | None:
    return None if model is None else attack_success(model.predict(view.x_test)[rows], target)
