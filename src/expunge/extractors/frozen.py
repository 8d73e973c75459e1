"""A frozen network as an extractor: features that depend on no training row, unless its weights do."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from expunge.certificate.composition import Upstream
from expunge.core.checks import require_choice, require_count, require_switch
from expunge.core.cores import available_cores
from expunge.core.signatures import every_setting
from expunge.datasets import Dataset
from expunge.datasets.images import Images
from expunge.extractors.features import extracted
from expunge.extractors.scaling import SCALINGS, cost
from expunge.linear.operations import RowOperations
from expunge.training.compute import device_named, torch_threads


class Frozen(ABC):
    """Outputs of a network with fixed weights, in evaluation mode, as rows.

    ``raw / unit`` of the data set is taken for a pixel's value from 0 to 1.

    Args:
        trained_on_dataset: Whether the weights have seen training rows: no guarantee covers that.
        scaling: See ``extractors.scaling``.
        batch_size: Images that go through the network together.
        cache: Folder of features; None keeps none.
        network: Whether the features are for a network: then they are its inputs, (m, d) of mean square 1
            (the unit rows times the root of d), and have no constant beside them.
        device, progress, threads, constant: As in ``extractors.dp_trained.DpTrained``.

    Raises:
        InvalidValue: A value is not allowed.
    """

    name: str

    def __init__(
        self,
        trained_on_dataset: bool = False,
        scaling: str = "row",
        batch_size: int = 64,
        network: bool = False,
        device: str = "auto",
        cache: Path | None = None,
        progress: bool = True,
        threads: int | None = None,
        constant: float = 0.0,
    ) -> None:
        self.for_network = require_switch("network", network)
        self.trained_on_dataset = require_switch("trained_on_dataset", trained_on_dataset)
        self.scaling = require_choice("scaling", scaling, SCALINGS)
        self.batch_size = require_count("batch_size", batch_size)
        self.device, self.cache = device, cache
        self.progress, self.threads, self.constant = progress, threads, constant
        self._facts: dict[str, Any] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = every_setting(cls)  # type: ignore[attr-defined]

    @abstractmethod
    def network(self, images: Images) -> tuple[nn.Module, dict[str, Any]]:
        """Return what makes features, (m, d), of pixels from 0 to 1, (m, c, height, width), as these are.

        Returns:
            It, in evaluation mode on the CPU, and what it depends on besides its weights (JSON values).

        Raises:
            InvalidValue: It takes no such inputs.
            DataError: Its weights cannot be had, or are another network's.
        """

    @abstractmethod
    def named(self) -> dict[str, Any]:
        """What the summary says of architecture and weights."""

    def extract(self, dataset: Dataset) -> tuple[RowOperations, RowOperations] | tuple[Images, Images]:
        """Return the features of the training and the test images.

        Raises:
            InvalidValue: The data are not images, or not of a size the network takes.
            DataError: The weights cannot be had, are another network's, or yield no finite features.
        """
        started, of = time.perf_counter(), f"dataset {dataset.name}"
        with torch_threads(self.threads or available_cores()):
            device = device_named(self.device)
            train, test = (
                Images.of(x, dataset.unit, 0.0, f"{of}: {part} images")
                for x, part in ((dataset.x_train, "training"), (dataset.x_test, "test"))
            )
            module, identity = self.network(train)
            found = extracted(
                module,
                train,
                test,
                identity={"extractor": self.name, **identity},
                cache=self.cache,
                device=device,
                scaling=self.scaling,
                constant=0.0 if self.for_network else self.constant,
                batch_size=self.batch_size,
                progress=self.progress,
                what=of,
            )
        self._facts = {
            **self.named(),
            "extractor_features": found[0].dim,
            "extractor_seconds": time.perf_counter() - started,
        }
        return (_inputs(found[0]), _inputs(found[1])) if self.for_network else found

    def upstream(self) -> Upstream:
        """What the features have cost the training rows: nothing, unless the weights have seen them."""
        if self.trained_on_dataset:
            return Upstream(not_covered="the pretrained weights have seen the training rows")
        return cost(self.scaling)

    def facts(self) -> dict[str, Any]:
        """Architecture, weights, number of features, seconds of this extraction (from the cache, too)."""
        return dict(self._facts)


def _inputs(rows: RowOperations) -> Images:
    """Unit rows as the inputs of a network, whose first weights are drawn for numbers of the size of 1."""
    return Images(rows.dense().astype(np.float32), unit=rows.dim**-0.5)


def is_image(images: Images) -> bool:
    """Whether these are grey or colour images."""
    return len(images.shape) == 3 and images.shape[0] in (1, 3)


class Prepared(nn.Module):
    """A network after what it wants of its images: (m, 1 or 3, height, width), from 0 to 1 -> (m, d).

    Grey images are repeated in three channels.

    Args:
        body: The network.
        mean, std: Of each colour, taken out.
        size: Height and width to resize to (bilinear, whatever the ratio of the sides); None: as they are.
        crop: Share of either side, around the middle, that is looked at before that; 1 for all.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        body: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        size: int | None,
        crop: float = 1.0,
    ) -> None:
        super().__init__()
        self.body, self.size, self.crop = body, size, crop
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        for axis in (2, 3) if self.crop < 1 else ():
            inner = max(1, round(self.crop * x.shape[axis]))
            x = x.narrow(axis, (x.shape[axis] - inner) // 2, inner)
        if self.size is not None and x.shape[2:] != (self.size, self.size):
            side = (self.size, self.size)
            x = nn.functional.interpolate(x, side, mode="bilinear", antialias=True, align_corners=False)
        features: torch.Tensor = self.body((x.expand(-1, 3, -1, -1) - self.mean) / self.std)
        return features
