"""From settings and rows to a trained network, through the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from expunge.core.checks import require_count
from expunge.core.errors import DataError, InvalidValue
from expunge.core.hashing import sha256_of, sha256_of_tensors
from expunge.core.row_ids import row_ids
from expunge.core.sources import digests_of, files_in, sources_of, targets_in
from expunge.core.versions import version_of
from expunge.curvature.gradients import cross_entropy, mean_gradient
from expunge.curvature.watching import compiled
from expunge.datasets.images import Examples, Images
from expunge.models import Architecture, initialised
from expunge.training.cache import Cache
from expunge.training.compute import code_of, device_named, torch_threads
from expunge.training.history import Trained
from expunge.training.loop import Follow, train
from expunge.training.settings import Training

_FEW = 2  # rows


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
        with self._named():
            return initialised(self.architecture, shape, classes, seed).to(self.device).eval()

    def short(self) -> Learner:
        """One that trains for an epoch at most, from random weights, and keeps nothing."""
        training = replace(self.training, epochs=min(self.training.epochs, 1))
        architecture: Any = replace(self.architecture, weights=None)  # type: ignore[type-var]
        return Learner(architecture, training, self.device.type, progress=False, threads=self.threads)

    def lasting(self, epochs: int, cached: bool = True) -> Learner:
        """One that trains for so many epochs instead, with the same cache or with none."""
        other = copy(self)
        other.training = replace(self.training, epochs=epochs)
        other._cache = self._cache if cached else None
        return other

    def compiles(self, shape: tuple[int, ...], classes: int) -> bool:
        """Whether a part of such a network is run by ``torch.compile``, for each size of a batch anew."""
        gpus = [self.device] if self.device.type == "cuda" else []
        with self._named(), torch.random.fork_rng(devices=gpus):
            return compiled(self.architecture.build(shape, classes))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Complaints of the architecture's own settings name them as the user does."""
        try:
            yield
        except DataError as error:
            raise error.within("model") from None
        except InvalidValue as error:
            raise error.within("model") if hasattr(self.architecture, error.name) else error from None

    def rehearse(self, x: Images, classes: int) -> None:
        """Take a step with a network of this architecture, which is thrown away.

        What torch loads, and compiles, at its first steps is then in no time of training or removal. Neither
        random numbers nor a file of weights are touched.

        Raises:
            InvalidValue: The architecture cannot take such inputs.
        """
        if not self.training.epochs or not len(x):
            return
        gpus = [self.device] if self.device.type == "cuda" else []
        with torch_threads(self.threads), torch.random.fork_rng(devices=gpus):
            with self._named():
                module = self.architecture.build(x.shape, classes).to(self.device)
            optimizer = self.training.new_optimizer(module)
            examples = Examples(
                x, torch.zeros(len(x), dtype=torch.int64), np.arange(len(x)), device=self.device
            )
            sizes = {_FEW}  # enough for BatchNorm
            if compiled(module):  # for each size of a batch
                sizes = {max(_FEW, stop - start) for start, stop in self.training.batches(len(x))}
            for size in sorted(sizes, reverse=True):
                batch = examples.take(np.arange(size) % len(x))
                mean_gradient(module.eval(), cross_entropy, [batch])
                optimizer.zero_grad()
                cross_entropy(module.train()(batch[0]), batch[1]).mean().backward()
                optimizer.step()

    def train(
        self,
        x: Images,
        y: NDArray[np.int64],
        rows: NDArray[np.int64],
        classes: int,
        seed: int,
        reuse: bool = True,
        begin: nn.Module | None = None,
        record: bool = True,
        follow: Follow | None = None,
    ) -> Trained:
        """Train on some rows of a data set, or take from the cache what was trained like this before.

        Args:
            x: Inputs; they must not be changed in place between two calls.
            y: (len(x),) class numbers 0..classes-1.
            rows: Ids of the rows to train on.
            classes: Number of classes.
            seed: Of the first weights, the order of the rows and dropout.
            reuse: False: train even if the cache has the network (its time is wanted, not only its weights).
            begin: The network to go on from, of this architecture and changed in place; None: a new one.
            record: Whether to make the history, as in ``train``.
            follow: Told of every step, as in ``train``: nothing is taken from the cache or put there.

        Raises:
            InvalidValue: The inputs do not fit the network, the training diverges, there are no rows.
            DataError: A target is not a class number, or the file of weights cannot be used.
        """
        rows = np.ascontiguousarray(row_ids(rows, len(x)))
        y = np.ascontiguousarray(y)
        if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
            got = f"{y.dtype} of shape {y.shape}"
            raise InvalidValue("y", got, f"class numbers of shape ({len(x)},), one for each input")
        y = y.astype(np.int64, copy=False)
        wrong = rows[(y[rows] < 0) | (y[rows] >= classes)]
        if len(wrong):
            raise DataError(f"row {wrong[0]} has target {y[wrong[0]]}, which is not one of {classes} classes")
        with torch_threads(self.threads):
            module = self.build(x.shape, classes, seed) if begin is None else begin

            def fit(checkpoint: Path | None) -> Trained:
                targets, size = torch.from_numpy(y), self.training.batch_size
                examples = Examples(x, targets, rows, size, device=self.device)
                how = self.training, cross_entropy, seed, self.device, self.progress, checkpoint, record
                try:
                    return train(module, examples, *how, follow)
                except InvalidValue as error:
                    raise error.within("training") if hasattr(self.training, error.name) else error from None

            if self._cache is None or follow is not None:
                return fit(None)
            ingredients = self._ingredients(module, x, y, rows, classes, seed)
            if not record:
                ingredients["history"] = False
            return self._cache.through(ingredients, module, fit, reuse, part=begin is not None)

    def _ingredients(
        self,
        module: nn.Module,
        x: Images,
        y: NDArray[np.int64],
        rows: NDArray[np.int64],
        classes: int,
        seed: int,
    ) -> dict[str, Any]:
        """All that the trained network depends on, as JSON values."""
        if self._last is None or self._last[0] is not x:
            self._last = x, x.digest()
        architecture: dict[str, Any] = asdict(self.architecture)  # type: ignore[call-overload]
        del architecture["name"], architecture["weights"]  # these count by the state that they give
        kind = type(self.architecture)
        family = f"{kind.__module__}.{kind.__qualname__}"
        code = [family, type(self.training).__module__, *targets_in(architecture), *code_of(module)]
        return {
            "architecture": {"family": family, **architecture},
            "first_weights": sha256_of_tensors(module.state_dict()),
            "files": digests_of(files_in(architecture)),
            "sources": sources_of([*code, str(architecture.get("target", ""))]),
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
