"""The other end of the scale: a model that forgets nothing."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.unlearners.base import Outcome
from expunge.unlearners.retrain import Retrain


class NoOp(Retrain):
    """Trained like ``Retrain``, with the same settings; every request is refused."""

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Leave the model as it is."""
        index = self._checked(rows)
        return Outcome("refused", tuple(index.tolist()), "no-op baseline: nothing is removed")
