"""A training that was broken off goes on after the last epoch it completed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import DataError
from expunge.core.files import load_tensors, save_tensors, under
from expunge.core.plain import plain

log = logging.getLogger(__name__)

_MODULE, _OPTIMIZER = "module.", "optimizer."

Optimizers = Sequence[torch.optim.Optimizer]


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        losses: The loss of each completed epoch.
        seconds: Spent so far.
        steps: Of the optimizer, where the training counts them: a privacy accountant asks for it.
    """

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0


class TrainingCheckpoint:
    """State of a network and its optimizers between two epochs, in a file.

    Args:
        path: The file; None keeps none.
        identity: What the training depends on (JSON values); a file of another training is not used.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.identity = plain(identity, "identity")  # as it is read back: JSON has no tuples

    def save(self, module: nn.Module, optimizers: Optimizers, progress: Progress) -> None:
        """Put the state in place of the last one; a file that cannot be written costs a warning."""
        if self.path is None:
            return
        tensors = {_MODULE + name: tensor for name, tensor in module.state_dict().items()}
        for one, first in _numbered(optimizers):
            for number, values in one.state_dict()["state"].items():
                named = {f"{_OPTIMIZER}{first + number}.{key}": v for key, v in values.items()}
                tensors |= {name: tensor for name, tensor in named.items() if tensor is not None}
        header = {"identity": self.identity, **asdict(progress)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(self.path, tensors, header, secret=True)  # the seed is in it
        except OSError as error:
            log.warning("%s: cannot be written (%s); training goes on without it", self.path, error.strerror)
            self.path = None

    def load(self, module: nn.Module, optimizers: Optimizers) -> Progress:
        """Put a saved state into module and optimizers, which stay as they are without a usable one."""
        if self.path is None or not self.path.exists():
            return Progress()
        try:
            tensors, header = load_tensors(self.path)
        except DataError as error:
            log.warning("%s; training starts from scratch", error)
            return Progress()
        if header.get("identity") != self.identity:
            log.warning("%s: of another training; training starts from scratch", self.path)
            return Progress()
        module.load_state_dict(under(tensors, _MODULE))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in under(tensors, _OPTIMIZER).items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = tensor.clone()
        for one, first in _numbered(optimizers):
            groups = one.state_dict()["param_groups"]
            numbers = [number for group in groups for number in group["params"]]
            own = {number: moments[first + number] for number in numbers if first + number in moments}
            one.load_state_dict({"state": own, "param_groups": groups})
        log.info("%s: training goes on after epoch %d", self.path, len(header["losses"]))
        return Progress(header["losses"], header["seconds"], header.get("steps", 0))

    def done(self) -> None:
        """The training is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _numbered(optimizers: Optimizers) -> list[tuple[torch.optim.Optimizer, int]]:
    """Each optimizer with the number that its first parameter has among those of all."""
    found, first = [], 0
    for one in optimizers:
        found.append((one, first))
        first += sum(len(group["params"]) for group in one.param_groups)
    return found
