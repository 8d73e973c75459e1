"""From settings and rows to a trained network, through the cache."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from expunge.core.checks import require_count
from expunge.core.errors import DataError, InvalidValue
from expunge.core.hashing import sha256_of
from expunge.core.versions import version_of
from expunge.curvature.gradients import cross_entropy
from expunge.datasets.images import Examples, Images
from expunge.models import Architecture, initialised
from expunge.training.cache import Cache
from expunge.training.compute import device_named, torch_threads
from expunge.training.history import Trained
from expunge.training.loop import train
from expunge.training.settings import Training


class Learner:
    """Trains networks of one architecture with one set of settings; the loss is the cross-entropy.

    Args:
        architecture: The family of networks.
        training: How to train.
        device: ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.
        cache: Folder of trained networks and of checkpoints of those in the making; None keeps neither.
        progress: Show a bar (on a terminal only).
        threads: Of torch on the CPU while training (None: as many as it has). Results depend on it.

    Raises:
        InvalidValue: ``device`` or ``threads`` is not allowed.
    """

    def __init__(
        self,
        architecture: Architecture,
        training: Training,
        device: str = "auto",
        cache: Path | None = None,
        progress: bool = True,
        threads: int | None = None,
    ) -> None:
        self.architecture, self.training, self.progress = architecture, training, progress
        self.device = device_named(device)
        self.threads = None if threads is None else require_count("threads", threads)
        self._cache = None if cache is None else Cache(Path(cache))
        self._last: tuple[Images, str] | None = None

    def build(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        """Return the network as it is before training, on the device, in evaluation mode.

        Raises:
            InvalidValue: The architecture cannot take such inputs.
            DataError: Its file of weights cannot be used.
        """
        try:
            return initialised(self.architecture, shape, classes, seed).to(self.device).eval()
        except DataError as error:
            raise error.within("model") from None

    def train(
        self,
        x: Images,
        y: NDArray[np.int64],
        rows: NDArray[np.int64],
        classes: int,
        seed: int,
        reuse: bool = True,
    ) -> Trained:
        """Train on some rows of a data set, or take from the cache what was trained like this before.

        Args:
            x: Inputs; they must not be changed in place between two calls.
            y: (len(x),) class numbers 0..classes-1.
            rows: Ids of the rows to train on.
            classes: Number of classes.
            seed: Of the first weights, the order of the rows and dropout.
            reuse: False: train even if the cache has the network (its time is wanted, not only its weights).

        Raises:
            InvalidValue: The inputs do not fit the network, the training diverges, there are no rows.
            DataError: A target is not a class number, or the file of weights cannot be used.
        """
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        y = np.ascontiguousarray(y, dtype=np.int64)
        wrong = rows[(y[rows] < 0) | (y[rows] >= classes)]
        if len(wrong):
            raise DataError(f"row {wrong[0]} has target {y[wrong[0]]}, which is not one of {classes} classes")
        with torch_threads(self.threads):
            module = self.build(x.shape, classes, seed)

            def fit(checkpoint: Path | None) -> Trained:
                targets, size = torch.from_numpy(y), self.training.batch_size
                examples = Examples(x, targets, rows, size, device=self.device)
                how = self.training, cross_entropy, seed, self.device, self.progress, checkpoint
                try:
                    return train(module, examples, *how)
                except InvalidValue as error:
                    raise error.within("training") if hasattr(self.training, error.name) else error from None

            if self._cache is None:
                return fit(None)
            return self._cache.through(self._ingredients(x, y, rows, classes, seed), module, fit, reuse)

    def _ingredients(
        self, x: Images, y: NDArray[np.int64], rows: NDArray[np.int64], classes: int, seed: int
    ) -> dict[str, Any]:
        """All that the trained network depends on, as JSON values."""
        if self._last is None or self._last[0] is not x:
            self._last = x, x.digest()
        architecture: dict[str, Any] = asdict(self.architecture)  # type: ignore[call-overload]
        del architecture["name"]
        weights = architecture["weights"]
        architecture["weights"] = weights and sha256_of([Path(weights).expanduser().read_bytes()])
        kind = type(self.architecture)
        return {
            "architecture": {"family": f"{kind.__module__}.{kind.__qualname__}", **architecture},
            "training": asdict(self.training),
            "seed": int(seed),
            "inputs": self._last[1],
            "targets": sha256_of([y[rows]]),
            "rows": sha256_of([rows]),
            "n_rows": len(rows),
            "classes": int(classes),
            "versions": {name: version_of(name) for name in ("expunge", "torch", "torchvision")},
            "device": self.device.type,
            "threads": torch.get_num_threads(),
        }
