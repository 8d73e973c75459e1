"""A torch module that was trained elsewhere, as a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from expunge.core.errors import InvalidValue, last_line
from expunge.curvature.watching import PARALLEL, duplicate
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training


@dataclass(frozen=True)
class AsItIs:
    """The family of one network, whose first weights are those that it has.

    Attributes:
        module: The network; what is built are copies of it.
        weights, name: As in ``Architecture``.
    """

    module: nn.Module
    weights: str | None = None
    name: str = "model"

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a copy, whatever the inputs are.

        Raises:
            InvalidValue: It cannot be copied.
        """
        try:
            return duplicate(self.module)
        except (TypeError, RuntimeError, ValueError) as error:
            allowed = f"a network that can be copied ({last_line(error)})"
            raise InvalidValue("model", type(self.module).__name__, allowed) from error


class GivenNetwork(NetworkModel):
    """A copy of a network, whose weights ``fit`` leaves as they are; nothing of its training is known.

    Classes are the numbers of its outputs, whether or not a row has them.

    Args:
        module: The network, (m, ...) -> (m, outputs), on one device.
        outputs: How many it has.

    Raises:
        InvalidValue: ``module`` is not a torch module with parameters, is to run on several devices, or lies
            on several.
    """

    def __init__(self, module: nn.Module, outputs: int) -> None:
        require_module(module)
        learner = Learner(AsItIs(module), Training(epochs=0), "cpu", progress=False)
        learner.device = next(module.parameters()).device
        super().__init__(learner)
        self.outputs = outputs

    def begin(self, x: Any, y: NDArray[np.int64], seed: int | None) -> None:
        """Take over the rows that it was trained on."""
        super().begin(x, y, seed)
        self.classes_, self.codes = np.arange(self.outputs), np.asarray(y, dtype=np.int64)

    def _learn(self, rows: Any, reuse: bool = True, again: Sequence[int] = ()) -> None:
        self.module, self.history, self.seconds_fit = self.built(), None, None


def require_module(module: Any) -> None:
    """Raise ``InvalidValue`` unless this is a torch module with parameters on one device."""
    if not isinstance(module, nn.Module) or next(module.parameters(), None) is None:
        raise InvalidValue("model", type(module).__name__, "a torch module with parameters")
    if isinstance(module, PARALLEL):
        raise InvalidValue("model", type(module).__name__, "the network inside of it, its .module")
    devices = sorted({str(parameter.device) for parameter in module.parameters()})
    if len(devices) > 1:
        raise InvalidValue("model", f"parameters on {' and '.join(devices)}", "a network on one device")
