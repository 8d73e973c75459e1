"""How alike unlearned and retrained model represent rows: outputs may change where what is seen does not."""

from __future__ import annotations

import logging

import numpy as np

from expunge.core.checks import require_count
from expunge.core.columns import Column
from expunge.metrics.base import Evaluated, Values, View
from expunge.metrics.cka import linear_cka
from expunge.predictors import Embedding

log = logging.getLogger(__name__)

_ROWS = {"forget": "removed rows", "retain": "rows that stay", "test": "test rows"}
_BIAS = "near 1 for any two models where there are fewer rows than features"


class Representation(Evaluated):
    """Linear CKA between the embeddings of the model and those of the model that ``View.reference`` is.

    The embedding is what the last linear layer is given. ``cka_unbiased_*`` are by an estimate that does not
    grow with the number of features, ``cka_*`` are Kornblith's. Two networks trained with other seeds are not
    at 1 either: the reference has the seed of the model, and retraining alone has exactly 1. The features of
    a linear model are its embedding, whatever its weights, so that it has 1 always.

    Args:
        every: See ``Evaluated``.
        max_rows: Rows of each kind, at most; of more these many, evenly spaced in the data set's order.
    """

    needs = Embedding
    COLUMNS = {
        f"cka_{key}": Column(
            f"CKA, {rows}",
            "↑",
            f"linear CKA between what the last layer of this and of the retrained model is given, {rows}; 1: "
            f"the same but for axes and scale; {_BIAS}",
            beside=f"cka_unbiased_{key}",
            sub="biased / unbiased",
        )
        for key, rows in _ROWS.items()
    } | {
        f"cka_unbiased_{key}": Column(
            f"CKA, unbiased, {rows}",
            "↑",
            f"the same by an unbiased estimate, {rows}; 0 on average of features that have nothing in common",
            shown=False,
        )
        for key, rows in _ROWS.items()
    }

    def __init__(self, every: int | None = None, max_rows: int = 10_000) -> None:
        super().__init__(every)
        self.max_rows = require_count("max_rows", max_rows, least=4)

    def __call__(self, view: View) -> Values:
        """One training, shared with other metrics, and a pass over the rows of each kind by both models."""
        found: dict[str, float | None] = dict.fromkeys(self.COLUMNS)
        model, reference = view.model, view.reference
        if not isinstance(model, Embedding) or not isinstance(reference, Embedding):
            log.warning("cka is not defined: a model with embeddings and a retrained one are needed")
            return found
        sides = {
            "forget": (view.x_train, np.flatnonzero(view.requested)),
            "retain": (view.x_train, np.flatnonzero(~view.requested)),
            "test": (view.x_test, view.known_test),
        }
        for key, (x, rows) in sides.items():
            chosen = view.some(rows, self.max_rows)
            own, aim = (one.embeddings(x, chosen) for one in (model, reference))
            if not (np.isfinite(own).all() and np.isfinite(aim).all()):
                log.warning("cka is not defined on the %s: an embedding is no number", _ROWS[key])
                continue
            found[f"cka_{key}"], found[f"cka_unbiased_{key}"] = linear_cka(own, aim)
            if found[f"cka_unbiased_{key}"] is None:
                reason = "fewer than four, or a model represents them all alike"
                log.warning("cka is not defined on the %s: %s", _ROWS[key], reason)
        return found
