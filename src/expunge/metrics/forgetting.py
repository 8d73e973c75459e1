"""Has the model forgotten? Everything is set against a model that never saw the requested rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count, require_positive
from expunge.metrics.accuracy import accuracy
from expunge.metrics.base import AIM, View, require_every
from expunge.metrics.divergence import js_divergence, kl_divergence
from expunge.metrics.membership import logistic_attack, matched, threshold_attack, traits
from expunge.metrics.relearn import relearn_steps
from expunge.metrics.retrained import weight_distance
from expunge.unlearners.base import Probabilistic

Found = Mapping[str, float | None]

_RETRAINED = "of the retrained model, as a reference"

DEFINITIONS: dict[str, tuple[str, str]] = {
    "test_accuracy": ("↑", "share of test rows classified rightly"),
    "retain_accuracy": ("↑", "share of the training rows nobody asked to forget classified rightly"),
    "forget_accuracy": ("", f"share of forget rows classified rightly; {AIM}"),
    "membership_auc": (
        "",
        f"chance that a forget row has a smaller loss than a test row of the same classes; {AIM}",
    ),
    "membership_tpr": ("", f"forget rows recognised by their loss at 1% false alarms; {AIM}"),
    "membership_logistic_auc": (
        "",
        "area under the ROC curve of a logistic regression that tells forget rows from test rows by the "
        f"model's outputs; {AIM}",
    ),
    "membership_logistic_tpr": ("", f"forget rows that attack recognises at 1% false alarms; {AIM}"),
    "retrain_membership_auc": ("", f"membership_auc {_RETRAINED}"),
    "retrain_membership_tpr": ("", f"membership_tpr {_RETRAINED}"),
    "retrain_membership_logistic_auc": ("", f"membership_logistic_auc {_RETRAINED}"),
    "retrain_membership_logistic_tpr": ("", f"membership_logistic_tpr {_RETRAINED}"),
    "retrain_js_test": (
        "↓",
        "Jensen-Shannon divergence from the retrained model's predictions, nats, mean over test rows",
    ),
    "retrain_js_forget": (
        "↓",
        "Jensen-Shannon divergence from the retrained model's predictions, nats, mean over forget rows",
    ),
    "retrain_kl_test": (
        "↓",
        "KL(retrained model's predictions || this model's), nats, mean over test rows",
    ),
    "retrain_kl_forget": (
        "↓",
        "KL(retrained model's predictions || this model's), nats, mean over forget rows",
    ),
    "retrain_weight_distance": (
        "↓",
        "distance of the weights from the retrained model's, over the length of those",
    ),
    "completeness": ("↑", "share of forget rows that this and the retrained model classify alike"),
    "relearn_steps": (
        "",
        "gradient steps on the forget rows until their mean loss is down to what it was before any removal; "
        f"{AIM}",
    ),
    "retrain_relearn_steps": ("", f"relearn_steps {_RETRAINED}"),
}
"""Column -> (arrow, definition): ↑ more is better, ↓ less is better, none where the aim is a value."""

_SLACK = 1e-6  # relative, of the loss to relearn: the same model trained twice may differ in the last digits


def completeness(predicted: NDArray[np.int64], reference: NDArray[np.int64]) -> float | None:
    """Share of the forget rows that a model and the retrained one classify alike; None for no rows.

    Between 0 and 1; more is better, and 1 is the retrained model's own.
    """
    return accuracy(predicted, reference)


class Forgetting:
    """What the model still knows of the forget set, beside the retrained model; see ``DEFINITIONS``.

    The retrained model never saw the forget set: all it can do with these rows it has from the others. Test
    rows of classes that no training row has are left out. The loss to relearn is that of the
    same model trained on all rows, forget set included, with the same seed (and the present perturbation).

    None is what an unlearner that is not ``Probabilistic`` gets, except for the distance of weights; what a
    retain set without a row gets where the retrained model is needed, and attacks on too few rows.

    Args:
        every: Evaluate after every this many requests (and after the last); None: after the last alone. Each
            time is two trainings, both of them shared with other metrics.
        relearn_lr: Size of the gradient steps that learn again; None leaves relearning out, and its training.
        relearn_max_steps: Such steps at most; a model that needs more has None.
        seed: Of the folds of the logistic attack.

    Raises:
        InvalidValue: A value is not allowed.
    """

    columns = tuple(name for name in DEFINITIONS if not name.endswith("_accuracy"))

    def __init__(
        self,
        every: int | None = None,
        relearn_lr: float | None = 0.1,
        relearn_max_steps: int = 1000,
        seed: int = 0,
    ) -> None:
        self.every, self.seed = require_every(every), require_count("seed", seed, least=0)
        self.relearn_lr = None if relearn_lr is None else require_positive("relearn_lr", relearn_lr)
        self.relearn_max_steps = require_count("relearn_max_steps", relearn_max_steps)

    def __call__(self, view: View) -> dict[str, float | None]:
        """Two trainings, a few passes over all rows, and the steps of relearning over the forget set."""
        ours, reference = view.unlearner, view.reference
        found: dict[str, float | None] = dict.fromkeys(self.columns)
        if reference is not None:
            found["retrain_weight_distance"] = weight_distance(view.unlearner.model(), reference.model())
        if not view.requested.any() or not isinstance(ours, Probabilistic):
            return found
        target = self._loss_to_relearn(view)
        found |= self._of(view, ours, target)
        if isinstance(reference, Probabilistic):
            theirs = self._of(view, reference, target)
            found |= {f"retrain_{name}": value for name, value in theirs.items()}
            found |= _compared(view, ours, reference)
        return found

    def _loss_to_relearn(self, view: View) -> float | None:
        """Mean loss over the forget set of the model trained on all rows, and a little more."""
        if self.relearn_lr is None or view.original is None:
            return None
        losses = view.original.losses(view.x_train, view.y_train, np.flatnonzero(view.requested))
        return (1 + _SLACK) * float(np.mean(losses))

    def _of(self, view: View, model: Probabilistic, target: float | None) -> Found:
        """The columns that look at one model alone."""
        forget = np.flatnonzero(view.requested)
        chosen, others = matched(view.y_train[forget], view.y_test)
        members = _traits(model, view.x_train, view.y_train, forget[chosen])
        strangers = _traits(model, view.x_test, view.y_test, others)
        threshold = threshold_attack(members[:, 0], strangers[:, 0])
        logistic = logistic_attack(members, strangers, self.seed)
        steps = None
        if self.relearn_lr is not None and target is not None:
            weights, mean_loss = model.mean_loss(view.x_train, view.y_train, forget)
            steps = relearn_steps(mean_loss, weights, target, self.relearn_lr, self.relearn_max_steps)
        return {
            "membership_auc": threshold.auc,
            "membership_tpr": threshold.tpr,
            "membership_logistic_auc": logistic.auc,
            "membership_logistic_tpr": logistic.tpr,
            "relearn_steps": steps,
        }


def _traits(
    model: Probabilistic, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Traits of some rows, (m, 4); the loss comes first."""
    return traits(model.probabilities(x, rows), np.searchsorted(model.classes_, y[rows]))


def _compared(view: View, ours: Probabilistic, reference: Probabilistic) -> Found:
    """The columns that compare the predictions with the retrained model's."""
    forget = np.flatnonzero(view.requested)
    test, test_aim = (model.probabilities(view.x_test, view.known_test) for model in (ours, reference))
    told, told_aim = (model.probabilities(view.x_train, forget) for model in (ours, reference))
    predicted, aim = (model.predict(view.x_train)[forget] for model in (ours, reference))
    return {
        "retrain_js_test": _mean(js_divergence(test_aim, test)),
        "retrain_js_forget": _mean(js_divergence(told_aim, told)),
        "retrain_kl_test": _mean(kl_divergence(test_aim, test)),
        "retrain_kl_forget": _mean(kl_divergence(told_aim, told)),
        "completeness": completeness(predicted, aim),
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if len(values) else None
