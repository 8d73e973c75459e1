"""What the features are worth to a linear classifier that knows nothing of unlearning."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import LARGEST_SINGLE, require_count, require_positive
from expunge.core.columns import Column, Plot
from expunge.linear.operations import RowOperations
from expunge.metrics.base import Evaluated, View
from expunge.metrics.base import evenly_spaced as evenly_spaced  # as it was called from here first

log = logging.getLogger(__name__)

_BLOCK = 4096


class LinearProbe(Evaluated):
    """``linear_probe_accuracy``: test accuracy of multinomial logistic regression on the inputs as they are.

    It is trained on rows that nobody asked to forget, at most ``max_rows`` of them, evenly spaced in the
    order of the data set, and does not depend on the unlearner: it tests the extractor. None where the rows
    it could be trained on are of fewer than two classes.

    Args:
        every: See ``Evaluated``.
        C: Of scikit-learn's ``LogisticRegression``, which minimises C sum_i loss_i + ||W||^2 / 2.
        max_iter: Steps of L-BFGS, at most.
        max_rows: Training rows, at most.
    """

    COLUMNS = {
        "linear_probe_accuracy": Column(
            "linear probe",
            "↑",
            "share of test rows classified correctly by an ordinary linear classifier on the same features, "
            "trained on rows that nobody asked to remove: what the features are worth without unlearning",
            "accuracy",
            plot=Plot("extractors", "features", "linear probe"),
        )
    }

    def __init__(
        self, every: int | None = None, C: float = 1.0, max_iter: int = 1000, max_rows: int = 10_000
    ) -> None:
        super().__init__(every)
        self.max_rows = require_count("max_rows", max_rows)
        self.settings = {
            "C": require_positive("C", C, most=LARGEST_SINGLE),
            "max_iter": require_count("max_iter", max_iter),
        }
        self._said: set[str] = set()

    def __call__(self, view: View) -> dict[str, float | None]:
        """One training, and one pass over the test rows."""
        rows = view.some(np.flatnonzero(~view.requested), self.max_rows)
        labels = view.y_train[rows]
        if len(np.unique(labels)) < 2:
            return {"linear_probe_accuracy": None}
        probe = self._fitted(dense(view.x_train, rows), labels)
        known = view.known_test
        blocks = [known[start : start + _BLOCK] for start in range(0, len(known), _BLOCK)]
        right = [probe.predict(dense(view.x_test, block)) == view.y_test[block] for block in blocks]
        return {"linear_probe_accuracy": float(np.mean(np.concatenate(right))) if right else None}

    def _fitted(self, x: NDArray[np.float64], y: NDArray[np.int64]) -> Any:
        """Train; a warning (of no convergence, say) becomes a line of the log, each but once."""
        from sklearn.linear_model import LogisticRegression

        log.info("linear probe on %d rows of %d features", *x.shape)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            probe = LogisticRegression(solver="lbfgs", **self.settings).fit(x, y)
        for warning in caught:
            line = str(warning.message).partition("\n")[0]
            if line not in self._said:
                log.warning("metrics.linear_probe: %s", line)
            self._said.add(line)
        return probe


def dense(x: Any, rows: NDArray[np.int64]) -> Any:
    """Return some rows of the inputs as (m, d) float64: rows of features, which may be sparse, or images."""
    if isinstance(x, RowOperations):
        return x.part(rows)
    import torch

    return x.batch(rows, torch.float64).flatten(1).numpy()
