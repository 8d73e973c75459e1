"""A trained extractor in a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from expunge.core.errors import DataError
from expunge.core.files import load_tensors, save_tensors
from expunge.models.weights import assign

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedExtractor:
    """What is known of a trained extractor besides its weights.

    Attributes:
        losses: Mean loss of each epoch, as the training met it.
        seconds: That the training took, also where it is taken from a file.
        steps: That the optimizer took.
        train_accuracy: Of its own head.
        test_accuracy: Of its own head.
    """

    losses: tuple[float, ...]
    seconds: float
    steps: int
    train_accuracy: float
    test_accuracy: float

    @classmethod
    def read(cls, path: Path, network: nn.Module, steps: int) -> TrainedExtractor | None:
        """Put the weights of a file into ``network``; without a sound file of this many steps return None."""
        if not path.is_file():
            return None
        try:
            tensors, header = load_tensors(path)
            found = cls(**header["trained"])
            if found.steps != steps:
                raise DataError(f"{found.steps} steps instead of {steps}")
            found = replace(found, losses=tuple(found.losses))
            assign(network, tensors)
        except (DataError, KeyError, TypeError) as error:
            log.warning("%s: cannot be used (%s); the extractor is trained again", path, error)
            return None
        network.eval()
        log.info("trained extractor taken from %s", path)
        return found

    def write(self, path: Path, network: nn.Module, settings: Mapping[str, Any]) -> None:
        """Write the file that ``read`` reads; ``settings`` are for people who read it."""
        header = {"trained": asdict(self), "settings": dict(settings)}
        try:
            save_tensors(path, network.state_dict(), header)
        except OSError as error:
            log.warning("%s: cannot be written (%s); the extractor is not kept", path, error.strerror)
