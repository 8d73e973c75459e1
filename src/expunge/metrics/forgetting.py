"""Has the model forgotten? Everything is set against a model that never saw the requested rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import (
    LARGEST_SINGLE,
    require_count,
    require_positive,
    require_seed,
)
from expunge.core.columns import AIM, Column, with_references
from expunge.metrics.accuracy import accuracy
from expunge.metrics.base import Evaluated, Values, View, probabilities_of
from expunge.metrics.divergence import js_divergence, kl_divergence
from expunge.metrics.membership import logistic_attack, matched, threshold_attack, traits
from expunge.metrics.relearn import relearn_steps
from expunge.metrics.retrained import WEIGHT_DISTANCE, comparable, weight_distance
from expunge.predictors import Graded, Probabilistic

_DIVERGENCE = "Jensen-Shannon divergence of the predictions from the retrained model's, in nats"


def _of_attack(name: str, by: str, which: str, kind: str = "") -> dict[str, Column]:
    told = f"how well forget rows are told from test rows by {by}; 0.5 is chance; {AIM}"
    share = f"share of forget rows that {which} attack recognises at 1% false alarms; {AIM}"
    return {
        f"{name}_auc": Column(f"membership AUC{kind}", "", told),
        f"{name}_tpr": Column(f"membership TPR{kind}", "", share, sub="at 1% FPR"),
    }


_OWN = {
    **_of_attack(
        "membership", "their loss: a forget row is taken for a training row where its loss is small", "this"
    ),
    **_of_attack(
        "membership_logistic", "a logistic regression on the model's outputs", "the logistic", ", logistic"
    ),
}
_RELEARN = {
    "relearn_steps": Column(
        "relearn steps",
        "",
        "gradient steps on the forget rows until the model fits them as well as before any removal; " + AIM,
    )
}
_COMPARED = {
    "retrain_js_test": Column(
        "divergence from retrained",
        "↓",
        f"{_DIVERGENCE}; mean over the test rows, and over the forget rows",
        beside="retrain_js_forget",
        sub="JS, test / forget rows",
    ),
    "retrain_js_forget": Column(
        "divergence, forget rows", "↓", f"{_DIVERGENCE}; mean over the forget rows", shown=False
    ),
    **{
        f"retrain_kl_{rows}": Column(
            f"KL, {rows} rows",
            "↓",
            f"KL(retrained model's predictions || this model's), nats, mean over {rows} rows",
            shown=False,
        )
        for rows in ("test", "forget")
    },
    **WEIGHT_DISTANCE,
    "completeness": Column(
        "completeness",
        "↑",
        "share of the forget rows that this and the retrained model classify alike",
        "share",
    ),
}

_SLACK = 1e-6  # relative, of the loss to relearn: the same model trained twice may differ in the last digits


def completeness(predicted: NDArray[np.int64], reference: NDArray[np.int64]) -> float | None:
    """Share of the forget rows that a model and the retrained one classify alike; None for no rows.

    Between 0 and 1; more is better, and 1 is the retrained model's own.
    """
    return accuracy(predicted, reference)


class Forgetting(Evaluated):
    """What the model still knows of the forget set, beside the retrained model; see ``COLUMNS``.

    The retrained model never saw the forget set: all it can do with these rows it has from the others. Test
    rows of classes that no training row has are left out. The loss to relearn is that of the
    same model trained on all rows, forget set included, with the same seed (and the present perturbation).
    A class that a model has no more has probability 0 there: the loss of its rows is the largest there is.

    None is what a model that is not ``Probabilistic`` gets, except for the distance of weights; what a
    retain set without a row gets where the retrained model is needed, and attacks on too few rows.

    Args:
        every: See ``Evaluated``. Each time is two trainings, both of them shared with other metrics.
        relearn_lr: Size of the gradient steps that learn again; None leaves relearning out, and its training.
        relearn_max_steps: Such steps at most; a model that needs more has None.
        seed: Of the folds of the logistic attack.
    """

    needs = Probabilistic
    COLUMNS = with_references(_OWN) | _COMPARED | with_references(_RELEARN)

    def __init__(
        self,
        every: int | None = None,
        relearn_lr: float | None = 0.1,
        relearn_max_steps: int = 1000,
        seed: int = 0,
    ) -> None:
        super().__init__(every)
        self.seed = require_seed("seed", seed)
        self.relearn_lr = (
            None if relearn_lr is None else require_positive("relearn_lr", relearn_lr, most=LARGEST_SINGLE)
        )
        self.relearn_max_steps = require_count("relearn_max_steps", relearn_max_steps)

    def __call__(self, view: View) -> dict[str, float | None]:
        """Two trainings, a few passes over all rows, and the steps of relearning over the forget set."""
        ours, reference = view.model, view.reference
        found: dict[str, float | None] = dict.fromkeys(self.COLUMNS)
        if reference is not None:
            found["retrain_weight_distance"] = weight_distance(*comparable(view.model, reference))
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

    def _of(self, view: View, model: Probabilistic, target: float | None) -> Values:
        """The columns that look at one model alone."""
        forget = np.flatnonzero(view.requested)
        chosen, others = matched(view.y_train[forget], view.y_test, view.some)
        classes = np.unique(view.y_train)
        members = _traits(model, classes, view.x_train, view.y_train, forget[chosen])
        strangers = _traits(model, classes, view.x_test, view.y_test, others)
        threshold = threshold_attack(
            _hardness(model, view.x_train, view.y_train, forget[chosen], members),
            _hardness(model, view.x_test, view.y_test, others, strangers),
        )
        logistic = logistic_attack(members, strangers, view.seed(self.seed))
        steps = None
        if self.relearn_lr is not None and target is not None:
            weights, mean_loss = model.mean_loss(view.x_train, view.y_train, forget)
            steps = relearn_steps(mean_loss, weights, target, self.relearn_lr, self.relearn_max_steps)
        return dict(zip(_OWN | _RELEARN, (*threshold, *logistic, steps), strict=True))


def _traits(
    model: Probabilistic,
    classes: NDArray[np.int64],
    x: Any,
    y: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Traits of some rows, (m, 4); the loss comes first."""
    return traits(probabilities_of(model, classes, x, rows), np.searchsorted(classes, y[rows]))


def _hardness(
    model: Probabilistic,
    x: Any,
    y: NDArray[np.int64],
    rows: NDArray[np.int64],
    found: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Numbers in the order of the rows' losses, (m,): the losses among the traits, or better the log odds.

    Losses from probabilities are 0 from a margin of 745 on, and the same for all rows that are as wrong.
    """
    return model.log_odds(x, y, rows) if isinstance(model, Graded) else found[:, 0]


def _compared(view: View, ours: Probabilistic, reference: Probabilistic) -> Values:
    """The columns that compare the predictions with the retrained model's."""
    forget, classes = np.flatnonzero(view.requested), np.unique(view.y_train)
    found: dict[str, float | None] = {}
    for name, x, rows in (("test", view.x_test, view.known_test), ("forget", view.x_train, forget)):
        aim, own = (probabilities_of(model, classes, x, rows) for model in (reference, ours))
        for kind, divergence in (("js", js_divergence), ("kl", kl_divergence)):
            found[f"retrain_{kind}_{name}"] = float(np.mean(divergence(aim, own))) if len(rows) else None
    predicted, aimed = (model.predict(view.x_train)[forget] for model in (ours, reference))
    return found | {"completeness": completeness(predicted, aimed)}
