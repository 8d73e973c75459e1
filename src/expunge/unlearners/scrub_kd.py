"""A student that follows its teacher on the rows that stay, and turns away from it on those that leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expunge.core.checks import (
    LARGEST_SINGLE,
    require_count,
    require_from_zero,
    require_positive,
    require_switch,
)
from expunge.core.columns import Column
from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import cross_entropy
from expunge.predictors.network import NetworkModel
from expunge.unlearners.descent import Descent
from expunge.unlearners.guard import VALIDATION
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Batch, Tuning, kl_divergence

_FALL = 0.1  # of the learning rate, at each epoch of decay_at

REWOUND = {
    "rewound_to": Column(
        "rewound to",
        "",
        "epoch whose network was taken: the one whose error on the removed rows is nearest to that of the "
        "last network on validation rows of the same classes",
        "count",
        shown=False,
    )
}


class ScrubKd(Descent):
    """SCRUB (Kurmanji et al., NeurIPS 2023): max-steps and min-steps against the network as it was.

    ``d = T^2 KL(softmax(teacher / T) || softmax(student / T))``. An epoch is a pass over the rows that leave
    with loss ``-mean d`` (in the first ``max_epochs`` epochs), then one over the rows that stay with
    ``gamma mean CE + alpha mean d``. With ``rewind`` (SCRUB+R) the network after each epoch is kept, and the
    one is taken whose error on the rows that leave is nearest to the error of the last one on the validation
    rows of the same classes: a row that leaves is then no stranger than one that was never there.

    Args:
        model: The network.
        max_epochs: Epochs that begin with a max-pass.
        gamma: Weight of the cross-entropy.
        alpha: Weight of the divergence.
        temperature: T.
        forget_batch: Rows of a max-step; None: ``batch_size``.
        decay_at: Epochs (from 1) after which the learning rate is a tenth of what it was.
        rewind: Whether to rewind; where there are no such validation rows the last network is taken.
        name: What the run files call the method.
        settings: Those of ``Descent``; ``schedule`` is that of a single pass.
    """

    COLUMNS = VALIDATION | REWOUND
    search_space = {
        "lr": Range(1e-4, 1e-2, log=True),
        "max_epochs": Range(1, 5),
        "alpha": Range(1e-3, 1.0, log=True),
        "gamma": Range(0.1, 1.0),
    }

    def __init__(
        self,
        model: NetworkModel,
        max_epochs: int = 3,
        gamma: float = 1.0,
        alpha: float = 0.5,
        temperature: float = 2.0,
        forget_batch: int | None = None,
        decay_at: Sequence[int] = (),
        rewind: bool = False,
        *,
        optimizer: str = "adam",
        epochs: int = 6,
        lr: float = 3e-4,
        weight_decay: float | None = 0.0,
        schedule: str = "constant",
        name: str = "scrub_kd",
        **settings: Any,
    ) -> None:
        super().__init__(
            model, name, optimizer, epochs, lr, weight_decay=weight_decay, schedule=schedule, **settings
        )
        self.max_epochs = require_count("max_epochs", max_epochs, least=0)
        self.gamma = require_from_zero("gamma", gamma, most=LARGEST_SINGLE)
        self.alpha = require_from_zero("alpha", alpha, most=LARGEST_SINGLE)
        self.temperature = require_positive("temperature", temperature, most=LARGEST_SINGLE)
        self.forget_batch = None if forget_batch is None else require_count("forget_batch", forget_batch)
        if isinstance(decay_at, str) or not isinstance(decay_at, Sequence):
            raise InvalidValue("decay_at", decay_at, "a list of epochs")
        self.decay_at = [require_count("decay_at", epoch) for epoch in decay_at]
        self.rewind = require_switch("rewind", rewind)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Take turns."""
        teacher, kept = tuning.teacher(), []
        for epoch in range(self.training.epochs):
            factor = _FALL ** sum(epoch >= fall for fall in self.decay_at)
            if epoch < self.max_epochs:
                for batch in tuning.batches(tuning.forget, 1, factor, self.forget_batch):
                    tuning.step(-self.apart(teacher, batch.x, tuning.logits(batch)).mean())
            for batch in tuning.batches(tuning.retain, 1, factor):
                tuning.step(self.near(teacher, batch, tuning.logits(batch)).mean())
            if self.rewind:
                kept.append({name: value.clone() for name, value in tuning.module.state_dict().items()})
        return self._rewound(tuning, kept)

    def apart(self, teacher: nn.Module, x: Tensor, logits: Tensor) -> Tensor:
        """``d`` of each row, (m,)."""
        with torch.no_grad():
            target = (teacher(x).double() / self.temperature).softmax(dim=1)
        return self.temperature**2 * kl_divergence(target, logits / self.temperature)

    def near(self, teacher: nn.Module, batch: Batch, logits: Tensor) -> Tensor:
        """The loss of each row that stays, (m,)."""
        return self.gamma * cross_entropy(logits, batch.y) + self.alpha * self.apart(teacher, batch.x, logits)

    def _rewound(self, tuning: Tuning, kept: list[dict[str, Tensor]]) -> dict[str, float]:
        """Put the network back to the epoch that suits best."""
        aim = self._held_out_error(tuning) if kept else None
        if aim is None:
            return {}
        model, found = self.predictor, []
        for state in kept:
            tuning.module.load_state_dict(state)
            predicted = model.predict(model.x, tuning.forget)
            found.append(abs(float(np.mean(predicted != model.y[tuning.forget])) - aim))
        best = int(np.argmin(found))
        tuning.module.load_state_dict(kept[best])
        return {"rewound_to": best + 1}

    def _held_out_error(self, tuning: Tuning) -> float | None:
        """Error on the validation rows that have the classes of the rows that leave; None without any."""
        if self._validation is None:
            return None
        x, y = self._validation
        rows = np.flatnonzero(np.isin(y, self.predictor.y[tuning.forget]))
        return float(np.mean(self.predictor.predict(x, rows) != y[rows])) if len(rows) else None
