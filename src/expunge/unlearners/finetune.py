"""Fine-tuning on the rows that stay, in the hope that the others fade."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import cross_entropy
from expunge.predictors.network import NetworkModel
from expunge.scrub import ScrubError
from expunge.training import Training, train
from expunge.unlearners.guard import Guarded, Update


class Finetune(Guarded):
    """A little more training, on the retained rows alone.

    Args:
        model: The network.
        optimizer: See ``Training``, like ``momentum``, ``batch_size`` and ``max_batches``.
        epochs: Passes over the retained rows in each request.
        lr: See ``Training``; it stays constant.
        weight_decay: None: that of the network's training.
        val_gap: See ``Guarded``.
        name: What the run files call the method.
    """

    predictor: NetworkModel

    def __init__(
        self,
        model: NetworkModel,
        optimizer: str = "sgd",
        epochs: int = 1,
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float | None = None,
        batch_size: int = 128,
        max_batches: int | None = None,
        val_gap: float | None = 0.05,
        name: str = "finetune",
    ) -> None:
        super().__init__(model, name, val_gap)
        decay = model.learner.training.weight_decay if weight_decay is None else weight_decay
        self.training = Training(
            optimizer=optimizer,
            epochs=epochs,
            lr=lr,
            momentum=momentum,
            weight_decay=decay,
            batch_size=batch_size,
            schedule="constant",
            max_batches=max_batches,
        )

    def update(self, index: NDArray[np.int64]) -> Update:
        """Train on without the rows."""
        put_back = self.predictor.snapshot()
        try:
            train(
                self.predictor.module,
                self.predictor.without(index),
                self.training,
                cross_entropy,
                seed=self.predictor.seed + self.served,
                device=self.predictor.learner.device,
                record=False,
            )
        except InvalidValue as error:  # the loss is not finite any more
            put_back()
            raise ScrubError(str(error)) from None
        return {}, put_back
