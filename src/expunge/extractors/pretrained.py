"""A classifier of torchvision without its last layer, frozen: features that no training row has shaped.

The weights come from public data. Where they have not seen the training rows, the features of a row depend
on that row alone, and removal from the linear model is all there is to account for.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from expunge.certificate.composition import Upstream
from expunge.core.checks import require_choice, require_count, require_seed, require_switch
from expunge.core.cores import available_cores
from expunge.core.errors import InvalidValue, UserError, last_line
from expunge.core.memory import require_room
from expunge.core.seeds import torch_generator
from expunge.datasets import Dataset
from expunge.datasets.images import Images
from expunge.extractors.classifiers import Classifier
from expunge.extractors.features import extracted
from expunge.extractors.scaling import SCALINGS, cost
from expunge.linear.operations import RowOperations
from expunge.training.compute import device_named, torch_threads


class Pretrained:
    """Inputs of the last linear layer of a torchvision classifier, in evaluation mode.

    ``raw / unit`` of the data set is taken for a pixel's value from 0 to 1. Grey images are repeated in three
    channels; then images are resized (bilinear, the whole image) and normalised by mean and standard
    deviation of the public data, as the weights want it. A file's weights, and random ones, are treated like
    the architecture's default weights, but that images keep their size for random ones.

    Args:
        architecture: A name of ``torchvision.models.list_models()`` that is a classifier's.
        weights: ``DEFAULT`` or another name of torchvision's weights for it, downloaded on first use; the
            path of a file with a state dict, see ``models.load_weights``; None draws random weights.
        image_size: Height and width to resize to; None: that of the weights.
        trained_on_dataset: Whether the weights have seen training rows: no guarantee covers that.
        scaling: See ``extractors.scaling``.
        batch_size: Images that go through the network together.
        seed: Of random weights.
        cache: Folder of features; None keeps none.
        network, device, progress, threads, constant: As in ``extractors.dp.Dp``.

    Raises:
        InvalidValue: A value is not allowed.
        UserError: ``network`` is true.
    """

    name = "pretrained"

    def __init__(
        self,
        architecture: str = "resnet18",
        weights: str | None = "DEFAULT",
        image_size: int | None = None,
        trained_on_dataset: bool = False,
        scaling: str = "row",
        batch_size: int = 64,
        seed: int | None = 0,
        network: bool = False,
        device: str = "auto",
        cache: Path | None = None,
        progress: bool = True,
        threads: int | None = None,
        constant: float = 0.0,
    ) -> None:
        if network:  # no InvalidValue: its name would get the group's in front
            raise UserError(f"extractor: got {self.name!r}, allowed: none with a network as model")
        self.classifier = Classifier(architecture, weights)
        self.image_size = None if image_size is None else require_count("image_size", image_size)
        self.trained_on_dataset = require_switch("trained_on_dataset", trained_on_dataset)
        self.constant = constant
        self.scaling = require_choice("scaling", scaling, SCALINGS)
        self.batch_size = require_count("batch_size", batch_size)
        self.seed = None if seed is None else require_seed("seed", seed)
        self.device, self.cache = device, cache
        self.progress, self.threads = progress, threads
        self._facts: dict[str, Any] = {}

    def extract(self, dataset: Dataset) -> tuple[RowOperations, RowOperations]:
        """Return the features of the training and the test images.

        Raises:
            InvalidValue: The data are not images, or not of a size the architecture takes.
            DataError: The weights cannot be had, are another network's, or yield no finite features.
        """
        started = time.perf_counter()
        with torch_threads(self.threads or available_cores()):
            train, test = self._rows(dataset, device_named(self.device))
        self._facts = {
            "extractor_architecture": self.classifier.architecture,
            "extractor_weights": self.classifier.label,
            "extractor_features": train.dim,
            "extractor_seconds": time.perf_counter() - started,
        }
        return train, test

    def reads(self) -> dict[str, Path]:
        """Files that are read besides those that the settings name; downloaded where they are not there.

        Raises:
            DataError: They cannot be had.
        """
        published = self.classifier.published(self.progress)
        return {} if published is None else {"weights": published}

    def upstream(self) -> Upstream:
        """What the features have cost the training rows: nothing, unless the weights have seen them."""
        if self.trained_on_dataset:
            return Upstream(not_covered="the pretrained weights have seen the training rows")
        return cost(self.scaling)

    def facts(self) -> dict[str, Any]:
        """Architecture, weights, number of features, seconds of this extraction (from the cache, too)."""
        return dict(self._facts)

    def _rows(self, dataset: Dataset, device: torch.device) -> tuple[RowOperations, RowOperations]:
        of, classifier = f"dataset {dataset.name}", self.classifier
        train = Images.of(dataset.x_train, dataset.unit, 0.0, f"{of}: training images")
        test = Images.of(dataset.x_test, dataset.unit, 0.0, f"{of}: test images")
        if len(train.shape) != 3 or train.shape[0] not in (1, 3):
            got = f"{classifier.architecture} on inputs of shape {train.shape}"
            raise InvalidValue("architecture", got, "grey or colour images: (1 or 3, height, width)")
        body = classifier.body(torch_generator(self.seed, "training", 3), self.progress)
        size = self.image_size or (None if classifier.random else classifier.image_size)
        if size is not None:
            need = 4 * len(classifier.moments[0]) * min(self.batch_size, len(train)) * size**2
            require_room("image_size", self.image_size, need, "a batch of images of this size")
        network = _Frozen(body, *classifier.moments, size).eval()
        try:
            with torch.no_grad():
                network(torch.zeros(1, *train.shape))
        except (RuntimeError, ValueError, AssertionError) as error:  # what torchvision's networks raise
            takes = f"a size that {classifier.architecture} takes, such as {classifier.image_size}"
            raise InvalidValue("image_size", self.image_size, f"{takes} ({last_line(error)})") from None
        return extracted(
            network,
            train,
            test,
            identity={
                "extractor": self.name,
                "architecture": classifier.architecture,
                "image_size": size,
                "transform_input": getattr(body, "transform_input", False),
            },
            cache=self.cache,
            device=device,
            scaling=self.scaling,
            batch_size=self.batch_size,
            progress=self.progress,
            what=of,
        )


class _Frozen(nn.Module):
    """Pixels from 0 to 1, (m, 1 or 3, height, width) -> (m, d)."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, body: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], size: int | None
    ) -> None:
        super().__init__()
        self.body, self.size = body, size
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.size is not None and x.shape[2:] != (self.size, self.size):
            side = (self.size, self.size)
            x = nn.functional.interpolate(x, side, mode="bilinear", antialias=True, align_corners=False)
        features: torch.Tensor = self.body((x.expand(-1, 3, -1, -1) - self.mean) / self.std)
        return features
