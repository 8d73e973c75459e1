"""Where a network looks in images of the removed persons and of others, before and after; for a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count, require_seed
from expunge.core.columns import AIM, Column, with_references
from expunge.metrics.base import Evaluated, View
from expunge.metrics.retrieval import unit_rows
from expunge.predictors import Mapped

Array = NDArray[np.float64]

_KEPT = "mean energy of the last feature maps (sum of squares over channels), over that before any removal"
_SIMILAR = "mean cosine between an image's activation map and that before any removal"

_OWN = {
    "activation_kept_identity": Column(
        "activation kept, person", "", f"{_KEPT}; training rows of the removed persons; {AIM}"
    ),
    "activation_kept_rest": Column(
        "activation kept, rest", "", f"{_KEPT}; training rows of all other persons; {AIM}"
    ),
    "activation_similarity_identity": Column(
        "activation similarity, person", "", f"{_SIMILAR}; training rows of the removed persons; {AIM}"
    ),
    "activation_similarity_rest": Column(
        "activation similarity, rest", "↑", f"{_SIMILAR}; training rows of all other persons"
    ),
}

BEFORE, AFTER, RETRAINED = "before", "after", "retrained"


def energy_kept(before: Array, after: Array) -> float | None:
    """Mean of ``after`` over mean of ``before``, over all images and positions.

    Args:
        before: (m, h, w) activation maps, not normalised.
        after: (m, h, w).

    Returns:
        A number >= 0; None for no images, from no energy at all, and for maps that are not finite.
    """
    if not _defined(before, after) or not before.any():
        return None
    return float(np.mean(after) / np.mean(before))


def map_similarity(before: Array, after: Array) -> float | None:
    """Mean over images of the cosine between the two maps of an image; 0 for a map that is zero everywhere.

    Args:
        before: (m, h, w) activation maps.
        after: (m, h, w).

    Returns:
        Between 0 and 1, where 1 is the same up to scale; None for no images and maps that are not finite.
    """
    if not _defined(before, after):
        return None
    one, other = (unit_rows(maps.reshape(len(maps), -1)) for maps in (before, after))
    return float(np.mean(np.einsum("ij,ij->i", one, other)))


def _defined(before: Array, after: Array) -> bool:
    return len(before) > 0 and bool(np.isfinite(before).all() and np.isfinite(after).all())


class Activation(Evaluated):
    """How activation maps fade and move for the removed persons and for the rest; see ``COLUMNS``.

    **Removed persons** are the classes of which a training row has been requested. For the picture it keeps
    some images of requested rows and of others with their maps: before any removal, after, retrained.

    None is what a model that is not ``Mapped`` gets (a linear model), or a network without convolutions.

    Args:
        every: See ``Evaluated``. Each time is two trainings, both of them shared with other metrics.
        people: Persons in the picture, at most: so many of the removed ones and as many others.
        images: Of each of them, at most.
        max_rows: Training rows on either side that the columns are computed on, at most, evenly spaced.
        seed: Of the draw of others and of images for the picture.
    """

    needs = Mapped
    picture = "maps"
    COLUMNS = with_references(_OWN)

    def __init__(
        self, every: int | None = None, people: int = 1, images: int = 3, max_rows: int = 256, seed: int = 0
    ) -> None:
        super().__init__(every)
        self.people = require_count("people", people)
        self.images, self.max_rows = require_count("images", images), require_count("max_rows", max_rows)
        self.seed = require_seed("seed", seed)
        self._arrays: dict[str, NDArray[Any]] = {}

    def __call__(self, view: View) -> dict[str, float | None]:
        """Two trainings, and a pass over the bounded number of rows for each of the three models."""
        found: dict[str, float | None] = dict.fromkeys(self.COLUMNS)
        models = _models(view)
        self._arrays = self._pictured(view, models) if models else {}
        removed = np.isin(view.y_train, view.y_train[view.requested])
        for side, rows in (("identity", removed), ("rest", ~removed)):
            chosen = view.some(np.flatnonzero(rows), self.max_rows)
            found |= _compared(side, _maps(models, view.x_train, chosen))
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What the picture shows, a row an image; empty where there are no maps.

        ``rows`` (m,) training row ids; ``labels`` (m,); ``removed`` (m,) bool, whether the row was requested;
        ``images`` (m, height, width) or (m, height, width, channels) as stored; ``before``, ``after``,
        ``retrained`` (m, h, w) maps, the last one only where there is a retrained model.
        """
        return dict(self._arrays)

    def _pictured(self, view: View, models: dict[str, Mapped]) -> dict[str, NDArray[Any]]:
        from expunge.datasets.images import Images

        rows = self._rows(view)
        return {
            "rows": rows,
            "labels": view.y_train[rows],
            "removed": view.requested[rows],
            "images": np.asarray(Images.of(view.x_train).raw[rows]),
            **_maps(models, view.x_train, rows),
        }

    def _rows(self, view: View) -> NDArray[np.int64]:
        """Requested rows of removed persons, then rows of others."""
        rng = np.random.default_rng(self.seed)
        gone = np.unique(view.y_train[view.requested])
        others = rng.permutation(np.setdiff1d(view.y_train, gone))[: self.people]
        sides = ((gone[: self.people], view.requested), (np.sort(others), ~view.requested))
        parts = [
            rng.permutation(np.flatnonzero((view.y_train == label) & allowed))[: self.images]
            for labels, allowed in sides
            for label in labels
        ]
        return np.concatenate([np.sort(part) for part in parts])


def _models(view: View) -> dict[str, Mapped]:
    """The models to look at; none where the model has no maps, for which nothing is trained."""
    ours = view.model
    if not isinstance(ours, Mapped) or ours.activation_maps(view.x_train, np.arange(1)) is None:
        return {}
    models = {BEFORE: view.original, AFTER: ours, RETRAINED: view.reference}
    return {name: model for name, model in models.items() if isinstance(model, Mapped)}


def _maps(models: dict[str, Mapped], x: Any, rows: NDArray[np.int64]) -> dict[str, Array]:
    found = {name: model.activation_maps(x, rows) for name, model in models.items()}
    return {name: maps for name, maps in found.items() if maps is not None}


def _compared(side: str, maps: dict[str, Array]) -> dict[str, float | None]:
    """The columns of one side."""
    if BEFORE not in maps:
        return {}
    before, found = maps[BEFORE], dict[str, float | None]()
    for name, prefix in ((AFTER, ""), (RETRAINED, "retrain_")):
        if name in maps:
            found[f"{prefix}activation_kept_{side}"] = energy_kept(before, maps[name])
            found[f"{prefix}activation_similarity_{side}"] = map_similarity(before, maps[name])
    return found
