"""MIA-efficacy: the share of the removed rows that a membership attack takes for rows never trained on.

And the tug of war with it, ToW-MIA: membership where ToW has the accuracy on removed rows.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from expunge.core.columns import AIM, Column, with_references
from expunge.metrics.base import Evaluated, Values, View, probabilities_of
from expunge.metrics.tow import accuracies, tug_of_war
from expunge.predictors import Differentiable, Probabilistic

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


def mia_efficacy(members: Array, others: Array, forget: Array) -> float | None:
    """``1 - mean(attack(forget))``, where the attack says 1 of rows that it takes for members.

    The attack is a support vector machine on one number a row, the probability of its own label: C 3, radial
    kernel, gamma ``auto`` (1 of one feature). Fan et al., *SalUn*, ICLR 2024, after Jia et al., NeurIPS 2023.
    Between 0 and 1; neither end is the aim, which is the retrained model's value. None where one of the three
    has no row.

    Args:
        members: (m,) probabilities of rows that were trained on.
        others: (m,) of rows that never were, as many.
        forget: (f,) of those that have been removed.
    """
    if not min(len(members), len(others), len(forget)):
        return None
    from sklearn.svm import SVC

    x, y = np.concatenate([members, others])[:, None], np.arange(len(members) + len(others)) < len(members)
    attack = SVC(C=3, kernel="rbf", gamma="auto").fit(x, y)
    return float(1 - np.mean(attack.predict(forget[:, None])))


class MiaEfficacy(Evaluated):
    """``mia_efficacy`` of the model, and of the model that ``View.reference`` is; ``tow_mia`` of both.

    ``tow_mia = (1 - |MIA - MIA_ref|)(1 - |retain - retain_ref|)(1 - |test - test_ref|)``, with the accuracies
    of ``Tow``. MIA is the share of removed rows that the attack calls members, or strangers: the difference
    is the same. Zhao et al., *What Makes Unlearning Hard and What to Do About It*, NeurIPS 2024.

    Members are as many rows of the retain set as there are test rows, at equal distances; where it has fewer,
    as many test rows as it has. Test rows of classes that no training row ever had do not count.
    """

    needs = Probabilistic
    COLUMNS = with_references(
        {
            "mia_efficacy": Column(
                "MIA-efficacy",
                "",
                "share of the removed rows that a support vector machine on the probability of a row's own "
                "label takes for rows never trained on; it has learned from retained and test rows; " + AIM,
            )
        }
    ) | {
        "tow_mia": Column(
            "ToW-MIA",
            "↑",
            "product of 1 - |MIA-efficacy - the retrained model's|, and of 1 - |accuracy - the retrained "
            "model's| over retained and test rows; 1 is a model that a membership attack, and accuracies, do "
            "not tell from the retrained one; doing nothing is near it where the attack takes removed rows "
            "of both models alike",
            "accuracy",
        )
    }

    def __call__(self, view: View) -> Values:
        """One training, shared with other metrics, a machine and two passes for each of the two models."""
        found = {"mia_efficacy": _of(view, view.model), "retrain_mia_efficacy": _of(view, view.reference)}
        found["tow_mia"] = _tow_mia(view, *found.values())
        for name in (name for name, value in found.items() if value is None):
            log.warning("%s is not defined: a model, removed, retained and test rows are needed", name)
        return found


def _tow_mia(view: View, own: float | None, aim: float | None) -> float | None:
    """The tug of war with these two in place of the accuracies on the forget set."""
    if own is None or aim is None or view.reference is None:
        return None
    sides = (own, view.model), (aim, view.reference)
    return tug_of_war(*([share, *accuracies(view, model)[1:]] for share, model in sides))


def _of(view: View, model: Differentiable | None) -> float | None:
    """That of one model."""
    if not isinstance(model, Probabilistic):
        return None
    retain, forget = np.flatnonzero(~view.requested), np.flatnonzero(view.requested)
    count, classes = min(len(retain), len(view.known_test)), np.unique(view.y_train)

    def own(x: object, y: Ids, rows: Ids) -> Array:
        each = np.arange(len(rows)), np.searchsorted(classes, y[rows])
        return probabilities_of(model, classes, x, rows)[each]

    members, others = view.some(retain, count), view.some(view.known_test, count)
    return mia_efficacy(
        own(view.x_train, view.y_train, members),
        own(view.x_test, view.y_test, others),
        own(view.x_train, view.y_train, forget),
    )
