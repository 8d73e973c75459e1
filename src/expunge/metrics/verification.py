"""Are two pictures of the same person? What the embeddings of a model can tell, with and without someone."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count, require_seed, require_switch
from expunge.core.columns import AIM, Column, with_references
from expunge.metrics.base import Evaluated, View
from expunge.metrics.retrieval import rounded, unit_rows
from expunge.predictors import Embedding

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

_CHANCE = "chance that two pictures of one person are nearer (cosine) than two of different persons"

_OWN = {
    "verification_auc": Column("verification AUC", "↑", f"{_CHANCE}; all pairs of test rows"),
    "verification_auc_rest": Column(
        "verification AUC, rest",
        "↑",
        f"{_CHANCE}; pairs of test rows that are not the removed persons'",
    ),
    "verification_auc_identity": Column(
        "verification AUC, person",
        "",
        f"{_CHANCE}; pairs with one of the removed persons' rows at least, training rows and test rows, and "
        "otherwise test rows; " + AIM,
    ),
}

_GAP = {
    "verification_gap": Column(
        "verification gap",
        "↓",
        "verification AUC of the removed persons' pairs less that of the retrained model; above 0: they are "
        "recognised better than by a model that never saw them",
    )
}

_BLOCK = 2**20  # numbers in a block of embeddings: 8 MB


def verification_auc(
    embeddings: Array,
    labels: Labels,
    persons: Labels | None = None,
    max_pairs: int = 500_000,
    seed: int = 0,
) -> float | None:
    """Area under the ROC curve of telling pairs of one person from pairs of two, by cosine similarity.

    It is the chance that a pair of the same person has a larger cosine than a pair of different persons,
    where equal cosines count one half; larger is better, 0.5 is chance. A pair is two different rows, in no
    order. A row of zeros has cosine 0 with every other. Cosines are rounded to 12 decimals.

    Args:
        embeddings: (n, d), finite.
        labels: (n,), who each row is.
        persons: Only pairs with a row of one of these labels at least; None for all pairs.
        max_pairs: Of either kind. Where there are more of a kind, as many are drawn with replacement, each
            pair alike: the area is then an estimate, without bias.
        seed: Of that drawing.

    Returns:
        None where there is no pair of one of the two kinds.
    """
    order, ends, wanted = _in_order(labels, persons)
    places = np.arange(len(labels))
    rng = np.random.default_rng(seed)
    same = _pairs(np.where(wanted, ends - places - 1, 0), places + 1, max_pairs, rng)
    different = _pairs(np.where(wanted, len(labels) - ends, 0), ends, max_pairs, rng)
    if not len(same[0]) or not len(different[0]):
        return None
    from sklearn.metrics import roc_auc_score

    unit = unit_rows(embeddings[order])
    scores = np.concatenate([_cosines(unit, same), _cosines(unit, different)])
    return float(roc_auc_score(np.arange(len(scores)) < len(same[0]), scores))


def _in_order(labels: Labels, persons: Labels | None) -> tuple[Labels, Labels, NDArray[np.bool_]]:
    """An order of the rows in which the chosen persons come first and each person's rows stand together.

    The rows before the end of a place's person make its same pairs with it, the rows from there on its
    different pairs; every wanted pair is then one of a chosen person's place with a later place.

    Returns:
        The order, the place where each place's person ends, and whether it is one of a chosen person.
    """
    names, codes = np.unique(labels, return_inverse=True)
    chosen = np.ones(len(labels), dtype=bool) if persons is None else np.isin(labels, persons)
    codes = codes + len(names) * ~chosen
    order = np.argsort(codes, kind="stable")
    return order, np.searchsorted(codes[order], codes[order], side="right"), chosen[order]


def _pairs(counts: Labels, first: Labels, max_pairs: int, rng: np.random.Generator) -> Pairs:
    """Pairs of each place with the ``counts`` places from ``first`` on: all of them, or as many drawn."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    numbers = np.arange(total) if total <= max_pairs else np.sort(rng.integers(total, size=max_pairs))
    one = np.searchsorted(ends, numbers, side="right")
    return one, first[one] + numbers - (ends - counts)[one]


def _cosines(unit: Array, pairs: Pairs) -> Array:
    """Cosine of each pair of rows, a block of pairs at a time."""
    step = max(1, _BLOCK // max(unit.shape[1], 1))
    blocks = (slice(start, start + step) for start in range(0, len(pairs[0]), step))
    return rounded(
        np.concatenate(
            [np.einsum("ij,ij->i", unit[pairs[0][block]], unit[pairs[1][block]]) for block in blocks]
        )
    )


class Verification(Evaluated):
    """How well persons are verified, with and without those asked to be removed; see ``COLUMNS``.

    **Removed persons** are the classes of which a training row has been requested so far. Test rows are those
    of classes that some training row has: in a re-identification data set the held-out pictures of persons
    trained on; queries and gallery are for the metric ``reid``. There may be few test rows of one person, so
    that ``verification_auc_identity`` has all their training rows besides, requested yet or not.

    None is what a model that is not ``Embedding`` gets, or one whose embeddings are no longer finite.

    Args:
        every: See ``Evaluated``.
        retrained: Evaluate the retrained model too, which is a training (shared with other metrics).
        max_pairs: See ``verification_auc``.
        seed: Of the drawing of pairs, where there are more.
        gap: Say the difference of ``verification_auc_identity`` from the retrained model's too.
    """

    needs = Embedding
    COLUMNS = with_references(_OWN)

    def __init__(
        self,
        every: int | None = None,
        retrained: bool = True,
        max_pairs: int = 500_000,
        seed: int = 0,
        gap: bool = False,
    ) -> None:
        super().__init__(every)
        self.retrained = require_switch("retrained", retrained)
        self.max_pairs = require_count("max_pairs", max_pairs)
        self.seed = require_seed("seed", seed)
        self.gap = require_switch("gap", gap)
        if self.gap:
            self.COLUMNS = self.COLUMNS | _GAP

    def __call__(self, view: View) -> dict[str, float | None]:
        """One pass over the test rows and the removed persons' training rows for each of the two models."""
        found: dict[str, float | None] = dict.fromkeys(self.COLUMNS)
        if not isinstance(view.model, Embedding):
            return found
        models = {"": view.model, "retrain_": view.reference if self.retrained else None}
        for prefix, model in models.items():
            if isinstance(model, Embedding):
                found |= {prefix + name: value for name, value in self._of(view, model).items()}
        if self.gap:
            own, aim = (found[f"{prefix}verification_auc_identity"] for prefix in models)
            found["verification_gap"] = None if own is None or aim is None else own - aim
            if found["verification_gap"] is None:
                log.warning("verification_gap is not defined: an area of the removed persons' pairs is not")
        return found

    def _of(self, view: View, model: Embedding) -> dict[str, float | None]:
        removed = np.unique(view.y_train[view.requested])
        test = view.known_test
        own = np.flatnonzero(np.isin(view.y_train, removed))
        e, labels = model.embeddings(view.x_test, test), view.y_test[test]
        theirs, rest = model.embeddings(view.x_train, own), ~np.isin(labels, removed)
        if not (np.isfinite(e).all() and np.isfinite(theirs).all()):
            return {}
        more = np.concatenate([e, theirs]), np.concatenate([labels, view.y_train[own]])
        auc = partial(verification_auc, max_pairs=self.max_pairs, seed=view.seed(self.seed))
        return {
            "verification_auc": auc(e, labels),
            "verification_auc_rest": auc(e[rest], labels[rest]),
            "verification_auc_identity": auc(*more, persons=removed),
        }
