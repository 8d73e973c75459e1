"""A student of two teachers: one that knows nothing for the rows that leave, the old network for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from expunge.core.checks import LARGEST_SINGLE, require_positive, require_share
from expunge.predictors.network import NetworkModel
from expunge.unlearners.descent import Descent
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Tuning, kl_divergence


class BadTeacher(Descent):
    """``mean KL(softmax(t / T) || softmax(student / T))``, t the incompetent teacher for rows that leave.

    Chundawat et al., *Can Bad Teaching Induce Forgetting?*, AAAI 2023. The incompetent teacher is a network
    of random weights, drawn anew for each request; for rows that stay t is the network as it was.

    Args:
        model: The network.
        temperature: T.
        retain_share: Share of the rows that stay that is trained on, drawn for each request.
        name: What the run files call the method.
        settings: Those of ``Descent``.
    """

    search_space = {
        "lr": Range(1e-3, 0.5, log=True),
        "epochs": Range(1, 10),
        "temperature": (1.0, 2.0, 4.0),
        "retain_share": (0.3, 1.0),
    }

    def __init__(
        self,
        model: NetworkModel,
        temperature: float = 1.0,
        retain_share: float = 1.0,
        *,
        lr: float = 0.2,
        name: str = "bad_teacher",
        **settings: Any,
    ) -> None:
        super().__init__(model, name, lr=lr, **settings)
        self.temperature = require_positive("temperature", temperature, most=LARGEST_SINGLE)
        self.retain_share = require_share("retain_share", retain_share)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Take the steps."""
        competent, ignorant = tuning.teacher(), self.ignorant()
        rows = np.concatenate([tuning.forget, tuning.share(tuning.retain, self.retain_share)])
        for batch in tuning.batches(rows):
            with torch.no_grad():
                leaves = tuning.leaves(batch.rows)[:, None]
                taught = torch.where(leaves, ignorant(batch.x), competent(batch.x)).double()
            target = (taught / self.temperature).softmax(dim=1)
            tuning.step(kl_divergence(target, tuning.logits(batch) / self.temperature).mean())
        return {}

    def ignorant(self) -> nn.Module:
        """A network of the kind that has learned nothing, whatever file the network's weights come from."""
        learner, shape = self.predictor.learner, self.predictor.x.shape
        network = learner.architecture.build(shape, len(self.predictor.classes_))  # draws from the request
        return network.to(learner.device).eval().requires_grad_(False)
