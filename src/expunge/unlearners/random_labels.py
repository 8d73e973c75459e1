"""Training with wrong labels for the rows that leave; the data set's own labels are never touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.core.checks import require_share
from expunge.curvature.gradients import cross_entropy
from expunge.predictors.network import NetworkModel
from expunge.scrub import ScrubError
from expunge.unlearners.descent import Descent
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Batch, Tuning


class RandomLabels(Descent):
    """``mean CE(rows, y')`` with y' = y for rows that stay, and another class at random for those that leave.

    The class is drawn anew at every pass, evenly among those that rows that stay have, without the row's own.

    Args:
        model: The network.
        retain_share: Share of the rows that stay that is trained on, drawn for each request.
        name: What the run files call the method.
        settings: Those of ``Descent``.
    """

    search_space = {"lr": Range(1e-3, 0.1, log=True), "epochs": Range(1, 10)}

    def __init__(
        self,
        model: NetworkModel,
        retain_share: float = 1.0,
        *,
        lr: float = 0.05,
        name: str = "random_labels",
        **settings: Any,
    ) -> None:
        super().__init__(model, name, lr=lr, **settings)
        self.retain_share = require_share("retain_share", retain_share)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Take the steps."""
        rows = np.concatenate([tuning.forget, tuning.share(tuning.retain, self.retain_share)])
        for batch in tuning.batches(rows):
            tuning.step(cross_entropy(tuning.logits(batch), wrong_labels(tuning, batch)).mean())
        return {}


def wrong_labels(tuning: Tuning, batch: Batch) -> Tensor:
    """Return the labels of a batch, (m,), with another class drawn for each of the rows that leave.

    Raises:
        ScrubError: The rows that stay have no class but that of a row that leaves.
    """
    there, own = tuning.labels(), batch.y.cpu().numpy()
    leaves = np.flatnonzero(tuning.leaves(batch.rows).cpu().numpy())
    others = [there[there != label] for label in own[leaves]]
    if any(not len(classes) for classes in others):
        raise ScrubError("no class is left that a row could be mistaken for")
    drawn = own.copy()
    drawn[leaves] = [tuning.rng.choice(classes) for classes in others]
    return torch.from_numpy(drawn).to(batch.y.device)
