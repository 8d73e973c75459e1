"""A training that was broken off goes on after the last epoch it completed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.checks import require_count, require_finite, require_from_zero
from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import load_tensors, save_tensors, under
from expunge.core.plain import plain
from expunge.core.read_back import read_as, same
from expunge.models.weights import require_same_form

log = logging.getLogger(__name__)

_MODULE, _OPTIMIZER, _NAMES = "module.", "optimizer.", "tensors"

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
        header = {"identity": self.identity, **asdict(progress), _NAMES: sorted(tensors)}
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
        try:
            with read_as("the state of this training"):
                progress = _progress(header)
                moments = _moments(module, optimizers, tensors, header)
        except (DataError, InvalidValue) as error:
            log.warning("%s: %s; training starts from scratch", self.path, error)
            return Progress()
        module.load_state_dict(under(tensors, _MODULE))
        for one, first in _numbered(optimizers):
            groups = one.state_dict()["param_groups"]
            numbers = [number for group in groups for number in group["params"]]
            own = {number: moments[first + number] for number in numbers if first + number in moments}
            one.load_state_dict({"state": own, "param_groups": groups})
        log.info("%s: training goes on after epoch %d", self.path, len(progress.losses))
        return progress

    def done(self) -> None:
        """The training is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _progress(header: Mapping[str, Any]) -> Progress:
    """How far a training has come, as the header of its file says."""
    losses = [require_finite("losses", loss) for loss in header["losses"]]
    seconds = require_from_zero("seconds", header["seconds"])
    return Progress(losses, seconds, require_count("steps", header.get("steps", 0), least=0))


def _moments(
    module: nn.Module, optimizers: Optimizers, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> dict[int, dict[str, Tensor]]:
    """What the optimizers remember of each parameter, by its number among those of all.

    Raises:
        DataError: That, or the network, is not of this training's form, or holds NaN.
    """
    same("tensors", header.get(_NAMES, sorted(tensors)), sorted(tensors))
    require_same_form(module, under(tensors, _MODULE))
    own = [p for one in optimizers for group in one.param_groups for p in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in under(tensors, _OPTIMIZER).items():
        number, _, key = name.partition(".")
        if tensor.dim() and (tensor.shape, tensor.dtype) != (own[int(number)].shape, own[int(number)].dtype):
            raise DataError(f"{name}: is {tensor.dtype} of shape {tuple(tensor.shape)}, its parameter is not")
        if not bool(torch.isfinite(tensor).all()):
            raise DataError(f"{name}: holds NaN or infinity")
        moments.setdefault(int(number), {})[key] = tensor.clone()
    return moments


def _numbered(optimizers: Optimizers) -> list[tuple[torch.optim.Optimizer, int]]:
    """Each optimizer with the number that its first parameter has among those of all."""
    found, first = [], 0
    for one in optimizers:
        found.append((one, first))
        first += sum(len(group["params"]) for group in one.param_groups)
    return found
