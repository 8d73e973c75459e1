"""How surely single examples are classified as their class: what evaluations over many runs are made of."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count
from expunge.core.columns import Column
from expunge.evaluations.margins import SIDES, phi
from expunge.metrics.base import Evaluated, Values, View, probabilities_of
from expunge.predictors import Probabilistic

_log = logging.getLogger(__name__)


class Margins(Evaluated):
    """``phi`` of removed, retained and test rows: its means, and in the run folder those of every row.

    Runs of other seeds that were asked to forget the same rows look at the same rows: from some tens of them
    the report makes KLOM and the challenge's epsilon.

    Args:
        every: See ``Evaluated``.
        rows: The most removed, retained and test rows each, evenly spaced.
    """

    needs = Probabilistic
    picture = "margins"
    COLUMNS = {
        f"margin_{side}": Column(
            f"margin, {side}",
            "",
            f"mean over {name} rows of log p - log (1 - p), p the probability of the row's own class",
            shown=False,
        )
        for side, name in SIDES.items()
    }

    def __init__(self, every: int | None = None, rows: int = 200) -> None:
        super().__init__(every)
        self.rows = require_count("rows", rows)
        self._arrays: dict[str, NDArray[Any]] = {}

    def __call__(self, view: View) -> Values:
        """A pass over the rows."""
        found: dict[str, float | None] = dict.fromkeys(self.COLUMNS)
        self._arrays = {}
        classes = np.unique(view.y_train)
        if not isinstance(view.model, Probabilistic) or len(classes) < 2:
            _log.warning("margins are not defined: a model with probabilities of several classes is needed")
            return found
        train, test = (view.x_train, view.y_train), (view.x_test, view.y_test)
        sides = {
            "forget": (*train, np.flatnonzero(view.requested)),
            "retain": (*train, np.flatnonzero(~view.requested)),
            "test": (*test, view.known_test),
        }
        for side, (x, y, every) in sides.items():
            rows = view.some(every, self.rows)
            own = probabilities_of(view.model, classes, x, rows)
            self._arrays |= {f"{side}_rows": rows, side: phi(own, np.searchsorted(classes, y[rows]))}
            if len(rows) and not np.isnan(self._arrays[side]).any():
                found[f"margin_{side}"] = float(self._arrays[side].mean())
            else:
                _log.warning("margin_%s is not defined: no rows, or outputs that are no numbers", side)
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Of each side (``SIDES``) the margins, and as ``…_rows`` the ids of the rows."""
        return dict(self._arrays)
