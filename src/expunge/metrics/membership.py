"""Membership inference: can rows asked to be forgotten be told from rows the model never saw?

An area under the ROC curve of 0.5 means that the attack cannot tell, yet it is not the aim: a model that
never saw the forget rows may still find them easier, or harder, than the test rows. The aim is the value of
the retrained model under the same attack on the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from expunge.core.errors import InvalidValue
from expunge.metrics.base import evenly_spaced

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

FALSE_ALARMS = 0.01
FOLDS = 5

_TINY = np.finfo(np.float64).tiny


class Attack(NamedTuple):
    """How well an attack tells members from others; the aim for both is the retrained model's value.

    Attributes:
        auc: Area under the ROC curve: the chance that a member gets a higher score than another row, where
            equal scores count one half. With m members and n others that no attack can tell apart it scatters
            about 0.5 by sqrt((m + n + 1) / (12 m n)): by 0.06 with 40 and 60.
        tpr: Share of the members recognised (true positive rate) at the best threshold that takes at most 1%
            of the other rows for members; with fewer than 100 of those, none of them.
    """

    auc: float | None = None
    tpr: float | None = None


def row_losses(probabilities: Array, labels: Ids) -> Array:
    """Cross-entropy ``-log p_i[label_i]`` of each row, (n,), in nats, at most 708; smaller fits better.

    A probability near one is taken as one less the sum of the others: losses below 1e-16 then still differ.

    Args:
        probabilities: (n, K).
        labels: (n,) numbers of the right classes, 0..K-1.

    Raises:
        InvalidValue: ``labels`` are not those of n rows, or not of the K classes.
    """
    n, classes = probabilities.shape
    if labels.shape != (n,) or not ((labels >= 0) & (labels < classes)).all():
        allowed = f"numbers from 0 to {classes - 1}, shape ({n},)"
        raise InvalidValue("labels", f"{labels.dtype} of shape {labels.shape}", allowed)
    each = np.arange(len(labels))
    right = probabilities[each, labels]
    others = probabilities.copy()
    others[each, labels] = 0.0
    rest = others.sum(axis=1)
    return np.where(rest < 0.5, -np.log1p(-np.minimum(rest, 0.5)), -np.log(np.maximum(right, _TINY)))


def traits(probabilities: Array, labels: Ids) -> Array:
    """What the logistic attack sees of each row, (n, 4).

    Its loss, the largest probability, the margin (largest less second largest) and the entropy (nats).

    Args:
        probabilities: (n, K), K >= 2.
        labels: (n,) numbers of the right classes, 0..K-1.
    """
    ordered = np.sort(probabilities, axis=1)
    largest, second = ordered[:, -1], ordered[:, -2]
    loss = row_losses(probabilities, labels)
    return np.stack([loss, largest, largest - second, entr(probabilities).sum(axis=1)], axis=1)


def matched(members: Ids, others: Ids, some: Callable[[Ids, int], Ids] = evenly_spaced) -> tuple[Ids, Ids]:
    """Choose rows on both sides whose classes stand in the same proportions.

    Classes differ in how easy they are: members of class 0 against others of all classes would be told apart
    by their class, whatever the model remembers. Every member of a class that others have too is taken, and
    as many others as keep the members' proportions (rounded down, but one a class at least).

    Args:
        members: (m,) labels.
        others: (n,) labels.
        some: What chooses so many of the others of a class.

    Returns:
        Places in ``members`` and in ``others``, in rising order.
    """
    shared = np.intersect1d(members, others)
    if not len(shared):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    pairs = [(np.flatnonzero(others == label), int(np.sum(members == label))) for label in shared]
    have, need = min(((len(found), count) for found, count in pairs), key=lambda pair: pair[0] / pair[1])
    chosen = [some(found, max(1, count * have // need)) for found, count in pairs]
    return np.flatnonzero(np.isin(members, shared)), np.sort(np.concatenate(chosen))


def threshold_attack(member_losses: Array, other_losses: Array) -> Attack:
    """Call every row a member whose loss is below a threshold; the aim is the retrained model's ``Attack``.

    Args:
        member_losses: (m,), finite.
        other_losses: (n,), finite. For m = 0 or n = 0 nothing is defined.
    """
    return _attack(-member_losses, -other_losses)


def logistic_attack(members: Array, others: Array, seed: int = 0) -> Attack:
    """Let logistic regression tell members by several traits; the aim is the retrained model's ``Attack``.

    Each row is scored by a regression fitted to the other four of five folds, or the attack would look
    better than it is. Traits are standardised, and both sides weigh the same however many they are. Where
    nothing can be told apart, the area is a little below 0.5 on average (measured: 0.49 with 30 and 60 rows),
    for the retrained model as for any other.

    Args:
        members: (m, t) traits, finite.
        others: (n, t). For fewer than five rows on either side nothing is defined.
        seed: Of the folds.
    """
    if min(len(members), len(others)) < FOLDS:
        return Attack()
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.concatenate([members, others])
    y = np.arange(len(x)) < len(members)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    regression = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    scores = cross_val_predict(regression, x, y, cv=folds, method="decision_function")
    return _attack(scores[y], scores[~y])


def _attack(members: Array, others: Array) -> Attack:
    """Of scores that are higher for rows which look like members."""
    if not len(members) or not len(others):
        return Attack()
    from sklearn.metrics import roc_auc_score, roc_curve

    scores = np.concatenate([members, others])
    truth = np.arange(len(scores)) < len(members)
    false_alarms, recognised, _ = roc_curve(truth, scores, drop_intermediate=False)
    return Attack(float(roc_auc_score(truth, scores)), float(recognised[false_alarms <= FALSE_ALARMS].max()))
