"""Features from layers that were trained, with differential privacy, upon those of a public network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from torch import nn

from expunge.certificate.composition import Upstream
from expunge.core.checks import require_choice
from expunge.core.seeds import torch_draws_from, torch_generator
from expunge.datasets import Dataset
from expunge.datasets.images import Images
from expunge.extractors.cnn import ACTIVATIONS, WEIGHTS
from expunge.extractors.dp_trained import DpTrained
from expunge.extractors.labelled import Labelled
from expunge.extractors.pretrained import Pretrained
from expunge.models.base import require_room, require_widths


@dataclass(frozen=True)
class Hidden:
    """Linear layers, each with an activation, then a linear head.

    Attributes:
        hidden: Outputs of each layer, the first one first.
        activation: ``relu`` or ``tanh``.

    Raises:
        InvalidValue: A value is not allowed; the message names the key.
    """

    hidden: Sequence[int] = (256,)
    activation: str = "relu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", require_widths("hidden", self.hidden, "[256]"))
        require_choice("activation", self.activation, ACTIVATIONS)

    def build(self, shape: tuple[int, ...], classes: int, seed: int) -> tuple[nn.Sequential, nn.Linear, int]:
        """Return extractor (m, d) -> (m, dim), head (m, dim) -> (m, classes), and dim."""
        sides = list(pairwise((shape[0], *self.hidden)))
        dim = self.hidden[-1]
        require_room(
            "hidden", list(self.hidden), sum(wide * narrow for wide, narrow in sides) + dim * classes
        )
        with torch_draws_from(torch_generator(seed, "training", WEIGHTS)):
            layers = [part for side in sides for part in (nn.Linear(*side), ACTIVATIONS[self.activation]())]
            return nn.Sequential(*layers), nn.Linear(dim, classes), dim


class DpPublic(DpTrained):
    """Private fine-tuning of a public network: its features stay, layers upon them are trained privately.

    A row's features of the public network depend on that row alone, so that what the layers cost is all that
    they cost. The layers get them at a mean square of 1.

    Args:
        architecture, weights, image_size: As in ``Pretrained``.
        trained_on_dataset: Whether these weights have seen training rows: no guarantee covers that.
        hidden, activation: As in ``Hidden``.
        settings: As in ``DpTrained``.

    Raises:
        InvalidValue: A value is not allowed; the message names the key.
    """

    name = "dp_public"

    def __init__(
        self,
        architecture: str = "resnet18",
        weights: str | None = "DEFAULT",
        image_size: int | None = None,
        trained_on_dataset: bool = False,
        hidden: Sequence[int] = (256,),
        activation: str = "relu",
        **settings: Any,
    ) -> None:
        self.architecture = Hidden(hidden, activation)
        super().__init__(**settings)
        self.public = Pretrained(
            architecture,
            weights,
            image_size,
            trained_on_dataset=trained_on_dataset,
            seed=self.seed,
            network=True,
            device=self.device.type,
            cache=self.cache,
            progress=self.progress,
            threads=self.threads,
        )

    def reads(self) -> dict[str, Path]:
        """See ``Pretrained``."""
        return self.public.reads()

    def labelled(self, dataset: Dataset) -> Labelled:
        """The features of the public network, with class numbers."""
        features = cast("tuple[Images, Images]", self.public.extract(dataset))  # it was told: for a network
        return Labelled.of(dataset, features)

    def upstream(self) -> Upstream:
        """What the features have cost the training rows; asked for after ``extract``."""
        public = self.public.upstream()
        return public if public.not_covered else super().upstream()

    def facts(self) -> dict[str, Any]:
        """What was trained upon what, and how good its own head is; asked for after ``extract``."""
        return {**super().facts(), **self.public.named()}
