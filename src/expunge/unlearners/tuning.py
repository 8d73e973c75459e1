"""A network that is being changed for one request: its rows, its batches, its steps, its chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expunge.core.seeds import stream
from expunge.curvature.watching import duplicate
from expunge.datasets.images import Examples
from expunge.predictors.network import NetworkModel
from expunge.training import Training
from expunge.training.loop import training_outputs

Rows = NDArray[np.int64]

_ORDER = 2  # which of the streams of a request; 0 and 1 are those of the scrub


@dataclass(frozen=True)
class Batch:
    """Some rows of the training data.

    Attributes:
        x: (m, ...) inputs.
        y: (m,) numbers of their classes; a copy, like ``x``.
        rows: (m,) their ids.
        progress: Share of the steps that have been taken before this one, in [0, 1).
    """

    x: Tensor
    y: Tensor
    rows: Rows
    progress: float = 0.0


class Tuning:
    """One request to a network, and what fine-tunes it.

    Normalisation layers and dropout are in training mode for batches that have a row that stays, and in
    evaluation mode for all others: no statistic is taken from rows that leave alone.

    Args:
        model: The network; ``module`` is changed where it is.
        forget: (m,) ids of the rows that leave.
        training: How to take steps.
        served: Number of the request: each has random numbers of its own.

    Attributes:
        module: The network itself.
        forget, retain: Ids of the rows that leave, and of those that stay.
        rng: What is drawn for this request.
    """

    def __init__(self, model: NetworkModel, forget: Rows, training: Training, served: int) -> None:
        self.model, self.module = model, model.module
        self.forget, self.retain = forget, model.staying(forget)
        self.rng = stream(model.seed, "scrub", _ORDER, served, again=model.again)
        self.examples: Examples = model.training(self.retain)
        self._leaves = np.zeros(len(model.y), dtype=bool)
        self._leaves[forget] = True
        self._frozen: list[nn.Module] = []
        self._held: list[tuple[nn.Parameter, Tensor, Tensor]] = []
        self.use(training)

    def use(self, training: Training) -> None:
        """Take steps like this from here on, with an optimizer that has not yet taken any."""
        self.training = training
        self._optimizer: torch.optim.Optimizer | None = None

    def leaves(self, rows: Rows) -> Tensor:
        """Which of these rows leave, (m,) bool on the network's device."""
        return torch.from_numpy(self._leaves[rows]).to(self.examples.device)

    def labels(self) -> Rows:
        """Numbers of the classes that rows that stay have, in rising order."""
        return np.unique(self.model.codes[self.retain])

    def teacher(self) -> nn.Module:
        """Return the network as it is now: a copy in evaluation mode that is not trained."""
        return duplicate(self.module).eval().requires_grad_(False)

    # -- what moves --------------------------------------------------------------------------------------

    def freeze(self, parts: Iterable[nn.Module]) -> None:
        """Let these layers stay as they are, statistics included, until the request has been served."""
        self._frozen = list(parts)
        for part in self._frozen:
            for parameter in part.parameters(recurse=False):
                parameter.requires_grad_(False)

    def hold(self, moving: Iterable[Tensor]) -> None:
        """Let only the entries move that are true in these masks, one for each trained parameter."""
        pairs = zip(self.trained(), moving, strict=True)
        self._held = [(parameter, mask, parameter.detach().clone()) for parameter, mask in pairs]

    def trained(self) -> list[nn.Parameter]:
        """The parameters that are trained, in the network's order."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    # -- rows --------------------------------------------------------------------------------------------

    def share(self, rows: Rows, share: float) -> Rows:
        """Draw this share of some rows, one at least."""
        if share == 1.0:
            return rows
        return np.sort(self.rng.choice(rows, size=max(1, round(share * len(rows))), replace=False))

    def take(self, rows: Rows, progress: float = 0.0) -> Batch:
        """Return these rows as a batch."""
        x, y = self.examples.take(rows)
        return Batch(x, y, rows, progress)

    def batches(
        self, rows: Rows, epochs: int | None = None, factor: float = 1.0, size: int | None = None
    ) -> Iterator[Batch]:
        """Passes over some rows, each in an order of its own.

        Before each batch the learning rate is set as the schedule has it, times ``factor``. Where ``epochs``
        or ``size``, rows of a batch, is None, the settings say it.
        """
        sized = self.training if size is None else replace(self.training, batch_size=size)
        cuts = sized.batches(len(rows))
        count = self.training.epochs if epochs is None else epochs
        steps = count * len(cuts)
        for epoch in range(count):
            order = self.rng.permutation(rows)
            for step, (start, stop) in enumerate(cuts, start=epoch * len(cuts)):
                for group in self.optimizer.param_groups:
                    group["lr"] = factor * self.training.rate(step, steps)
                yield self.take(order[start:stop], step / steps)

    def beside(self, rows: Rows) -> Iterator[Batch]:
        """Batches of some rows without an end, for what goes over other rows."""
        while True:
            order = self.rng.permutation(rows)
            for start, stop in self.training.batches(len(rows)):
                yield self.take(order[start:stop])

    # -- steps -------------------------------------------------------------------------------------------

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What takes the steps."""
        if self._optimizer is None:
            self._optimizer = self.training.new_optimizer(self.module)
        return self._optimizer

    def logits(self, batch: Batch) -> Tensor:
        """Outputs for a batch, (m, K), in float64: losses are then exact however sure the network is."""
        return self.outputs(batch.x, train=not bool(self._leaves[batch.rows].all()))

    def outputs(self, x: Tensor, train: bool) -> Tensor:
        """Outputs for any inputs, in training or in evaluation mode, (m, K) float64.

        Raises:
            InvalidValue: ``batch_size``: BatchNorm cannot be trained on one row.
        """
        self.module.train(train)
        for part in self._frozen:
            part.train(False)
        return training_outputs(self.module, x, self.training.batch_size).double()

    def step(self, loss: Tensor) -> None:
        """Take one step against the gradient of ``loss``; what is held stays bit by bit."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for parameter, moving, before in self._held:
                parameter.copy_(torch.where(moving, parameter, before))


def kl_divergence(target: Tensor, logits: Tensor) -> Tensor:
    """``KL(t || p) = sum_k t_k (log t_k - log p_k)`` of each row, (m,), nats, with p = softmax(logits).

    0 log 0 is 0. The gradient in the logits is p - t.

    Args:
        target: (m, K) probabilities, constants.
        logits: (m, K).
    """
    return (torch.xlogy(target, target) - target * logits.log_softmax(dim=1)).sum(dim=1)
