"""A training that was broken off goes on after the last epoch it completed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import DataError
from expunge.training.files import load_tensors, save_tensors

log = logging.getLogger(__name__)

_MODULE, _OPTIMIZER = "module.", "optimizer."


@dataclass
class Progress:
    """How far a training has come: the loss of each completed epoch, and the seconds spent."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


class Checkpoint:
    """State of network and optimizer between two epochs, in a file.

    Args:
        path: The file; None keeps none.
        identity: What the training depends on (JSON values); a file of another training is not used.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path, self.identity = path, dict(identity)

    def save(self, module: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Put the state in place of the last one; a file that cannot be written costs a warning."""
        if self.path is None:
            return
        tensors = {_MODULE + name: tensor for name, tensor in module.state_dict().items()}
        for number, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{_OPTIMIZER}{number}.{key}": v for key, v in values.items() if v is not None}
        header = {"identity": self.identity, "losses": progress.losses, "seconds": progress.seconds}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(self.path, tensors, header)
        except OSError as error:
            log.warning("%s: cannot be written (%s); training goes on without it", self.path, error.strerror)
            self.path = None

    def load(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Put a saved state into ``module`` and ``optimizer``; without a usable one they stay as they are."""
        if self.path is None or not self.path.exists():
            return Progress()
        try:
            tensors, header = load_tensors(self.path)
        except DataError as error:
            log.warning("%s; training begins anew", error)
            return Progress()
        if header.get("identity") != self.identity:
            log.warning("%s: of another training; training begins anew", self.path)
            return Progress()
        module.load_state_dict(_under(tensors, _MODULE))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under(tensors, _OPTIMIZER).items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = tensor.clone()
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        log.info("%s: training goes on after epoch %d", self.path, len(header["losses"]))
        return Progress(header["losses"], header["seconds"])

    def done(self) -> None:
        """The training is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
