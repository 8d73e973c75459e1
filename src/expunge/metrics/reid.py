"""How well a re-identification network still finds people, beside the retrained one."""

from __future__ import annotations

import logging

import numpy as np

from expunge.core.checks import require_choice, require_switch
from expunge.core.columns import Column, beside_references, references
from expunge.datasets.base import Retrieval
from expunge.metrics.base import Evaluated, View
from expunge.metrics.retrieval import AVERAGE_PRECISIONS, DISTANCES, People, retrieve
from expunge.predictors import Embedding

log = logging.getLogger(__name__)

_QUERIES = "share of the queries that have a match"

_OWN = {
    "reid_map": Column(
        "mAP", "↑", "mean average precision of the rankings of the gallery, protocol of Market-1501"
    ),
    "reid_rank1": Column("rank 1", "↑", f"{_QUERIES} whose nearest gallery picture is one"),
    "reid_rank5": Column("rank 5", "↑", f"{_QUERIES} with one among the 5 nearest gallery pictures"),
    "reid_rank10": Column("rank 10", "↑", f"{_QUERIES} with one among the 10 nearest gallery pictures"),
}
_SKIPPED = {
    "reid_skipped": Column(
        "queries skipped",
        "",
        "queries left out: the gallery has no picture of their person by another camera",
        "count",
    )
}


class Reid(Evaluated):
    """Rank-1, 5, 10 and mAP of the query and gallery pictures among the test rows; see ``COLUMNS``.

    None is what a model that is not ``Embedding`` gets, or one whose embeddings are no longer finite.
    Any model gets it on a data set without queries and gallery, which the log then says.

    Args:
        every: See ``Evaluated``.
        retrained: Evaluate the retrained model too, which is a training (shared with other metrics).
        distance: ``cosine``, 1 - cos, or ``euclidean``.
        average_precision: ``trapezoid``, the benchmark's own, or ``matches``; see ``retrieval.evaluate``.
    """

    needs = Embedding
    COLUMNS = {**beside_references(_OWN), **_SKIPPED, **references(_OWN)}
    needs_retrieval = True

    def __init__(
        self,
        every: int | None = None,
        retrained: bool = True,
        distance: str = "cosine",
        average_precision: str = "trapezoid",
    ) -> None:
        super().__init__(every)
        self.retrained = require_switch("retrained", retrained)
        self.distance = require_choice("distance", distance, DISTANCES)
        self.average_precision = require_choice("average_precision", average_precision, AVERAGE_PRECISIONS)
        self._said: set[str] = set()

    def __call__(self, view: View) -> dict[str, float | None]:
        """One pass over queries and gallery for each of the two models."""
        found: dict[str, float | None] = dict.fromkeys(self.COLUMNS)
        if view.retrieval is None:
            self._say("the data set has no queries and no gallery: nothing is measured")
            return found
        if not isinstance(view.model, Embedding):
            return found
        models = {"": view.model, "retrain_": view.reference if self.retrained else None}
        for prefix, model in models.items():
            if isinstance(model, Embedding):
                values = self._of(view, view.retrieval, model)
                found |= {prefix + name: value for name, value in values.items() if prefix + name in found}
        return found

    def _of(self, view: View, retrieval: Retrieval, model: Embedding) -> dict[str, float | None]:
        sides = retrieval.query, retrieval.gallery
        query, gallery = (model.embeddings(view.x_test, rows) for rows in sides)
        if not (np.isfinite(query).all() and np.isfinite(gallery).all()):
            return {}
        asked, offered = (People(view.y_test[rows], retrieval.cameras[rows]) for rows in sides)
        ranking = retrieve(query, gallery, asked, offered, self.distance, self.average_precision)
        if ranking.skipped:
            self._say(
                f"{ranking.skipped} of {len(query)} queries have no match in the gallery and are left out"
            )
        return {
            "reid_map": ranking.mean_average_precision,
            **{f"reid_rank{rank}": ranking.cmc(rank) for rank in (1, 5, 10)},
            "reid_skipped": ranking.skipped,
        }

    def _say(self, line: str) -> None:
        """Warn, of each thing but once."""
        if line not in self._said:
            log.warning("metrics.reid: %s", line)
        self._said.add(line)
