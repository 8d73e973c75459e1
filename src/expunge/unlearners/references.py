"""What updates of networks are compared with: training from scratch, and doing nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.training import Learner
from expunge.unlearners import none, retrain
from expunge.unlearners.base import Outcome
from expunge.unlearners.network import NetworkModel


class NetworkRetrain(NetworkModel):
    """Retraining a network from its first weights, with the same seed, without the requested rows.

    Args:
        model: The learner.
        name: What the run files call it.
    """

    role = "reference"

    def __init__(self, model: Learner, name: str = "retrain") -> None:
        super().__init__(model, name)

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Train again on the rows that stay; never taken from the cache, so that its time is true."""
        index = self._checked(rows)
        stay = self.kept.copy()
        stay[index] = False
        self._learn(np.flatnonzero(stay), reuse=False)
        self.kept = stay
        return Outcome("retrained", tuple(index.tolist()), retrain.REASON)


class NetworkNoOp(NetworkModel):
    """A network like any other; every request is refused.

    Args:
        model: The learner.
        name: What the run files call it.
    """

    role = "baseline"

    def __init__(self, model: Learner, name: str = "none") -> None:
        super().__init__(model, name)

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Leave the network as it is."""
        return Outcome("refused", tuple(self._checked(rows).tolist()), none.REASON)
