"""Fine-tuning with a loss of one's own: what such methods share. Each adds its equation and its settings."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import nn

from expunge.core.errors import InvalidValue
from expunge.core.seeds import torch_draws_from, torch_generator
from expunge.core.signatures import every_setting
from expunge.predictors.network import NetworkModel
from expunge.scrub import ScrubError
from expunge.training import Training
from expunge.training.compute import torch_threads
from expunge.unlearners.guard import Guarded, Update
from expunge.unlearners.tuning import Rows, Tuning

_DROPOUT = 3  # which of the streams of a request


class InPlace(Guarded):
    """A method that changes a network where it is; whatever fails on the way, the network is as it was.

    The guard then looks at what has come out (``Guarded``). Random numbers are the request's own, those of
    layers too: the same seed and requests give the same bytes with the same number of threads.

    Args:
        model: The network.
        name: What the run files call the method.
        val_gap: See ``Guarded``.
        training: How steps are taken, for what takes steps.
    """

    predictor: NetworkModel

    def __init__(
        self, model: NetworkModel, name: str, val_gap: float | None, training: Training | None = None
    ) -> None:
        super().__init__(model, name, val_gap)
        self.training = Training() if training is None else training

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = every_setting(cls)  # type: ignore[attr-defined]

    @abstractmethod
    def change(self, tuning: Tuning) -> dict[str, float]:
        """Change ``tuning.module``; return figures of it (see ``COLUMNS``).

        Raises:
            ScrubError: It cannot be done.
        """

    def update(self, index: Rows) -> Update:
        """Make the change."""
        learner, module, key = self.predictor.learner, self.predictor.module, self.served
        put_back, trained = self.predictor.snapshot(), [(p, p.requires_grad) for p in module.parameters()]
        gpus = [learner.device] if learner.device.type == "cuda" else []
        own = self.predictor
        layers = torch_generator(own.seed, "scrub", _DROPOUT, key, again=own.again)
        try:
            with torch_threads(learner.threads), torch_draws_from(layers, gpus):
                figures = self.change(Tuning(self.predictor, index, self.training, key))
        except BaseException as error:
            put_back()
            if isinstance(error, InvalidValue):  # of a batch, or of rows, that it cannot be done with
                raise ScrubError(str(error)) from None
            raise
        finally:
            _as_it_was(module, trained)
        return figures, put_back


class Descent(InPlace):
    """A method that takes steps of an optimizer.

    Args:
        model: The network.
        name: What the run files call the method.
        optimizer: See ``Training``, as all up to ``max_batches``.
        epochs: Passes over the rows in each request.
        lr: Learning rate, at the beginning.
        momentum: Of SGD; beta_1 of Adam.
        weight_decay: None: that of the network's training.
        batch_size: Rows of a step.
        schedule: ``constant`` or ``cosine``.
        max_batches: The most batches of a pass; None: all.
        val_gap: See ``Guarded``.
    """

    def __init__(
        self,
        model: NetworkModel,
        name: str,
        optimizer: str = "sgd",
        epochs: int = 5,
        lr: float = 0.02,
        momentum: float = 0.9,
        weight_decay: float | None = None,
        batch_size: int = 128,
        schedule: str = "cosine",
        max_batches: int | None = None,
        val_gap: float | None = 0.05,
    ) -> None:
        decay = model.learner.training.weight_decay if weight_decay is None else weight_decay
        how = Training(optimizer, epochs, lr, momentum, decay, batch_size, schedule, max_batches)
        super().__init__(model, name, val_gap, how)


def _as_it_was(module: nn.Module, trained: list[tuple[nn.Parameter, bool]]) -> None:
    """In evaluation mode, without gradients, and with the same parameters to be trained as before."""
    module.eval().zero_grad(set_to_none=True)
    for parameter, was in trained:
        parameter.requires_grad_(was)
