"""A classifier of torchvision without its last layer, frozen: features that no training row has shaped.

The weights come from public data. Where they have not seen the training rows, the features of a row depend
on that row alone, and removal from the linear model is all there is to account for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from expunge.core.checks import require_count, require_seed
from expunge.core.errors import InvalidValue, last_line
from expunge.core.memory import require_room
from expunge.core.seeds import torch_generator
from expunge.datasets.images import Images
from expunge.extractors.classifiers import Classifier
from expunge.extractors.frozen import Frozen, Prepared, is_image


class Pretrained(Frozen):
    """Inputs of the last linear layer of a torchvision classifier, in evaluation mode.

    Grey images are repeated in three channels; images are resized (bilinear, the whole image) and normalised
    by mean and standard deviation of the public data, as the weights want it. A file's weights, and random
    ones, are treated like the architecture's default weights, but that images keep their size for random
    ones.

    Args:
        architecture: A name of ``torchvision.models.list_models()`` that is a classifier's.
        weights: ``DEFAULT`` or another name of torchvision's weights for it, downloaded on first use; the
            path of a file with a state dict, see ``models.load_weights``; None draws random weights.
        image_size: Height and width to resize to; None: that of the weights.
        seed: Of random weights.
        settings: As in ``Frozen``.

    Raises:
        InvalidValue: A value is not allowed.
    """

    name = "pretrained"

    def __init__(
        self,
        architecture: str = "resnet18",
        weights: str | None = "DEFAULT",
        image_size: int | None = None,
        seed: int | None = 0,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.classifier = Classifier(architecture, weights)
        self.image_size = None if image_size is None else require_count("image_size", image_size)
        self.seed = None if seed is None else require_seed("seed", seed)

    def named(self) -> dict[str, Any]:
        """See ``Frozen``."""
        return {
            "extractor_architecture": self.classifier.architecture,
            "extractor_weights": self.classifier.label,
        }

    def reads(self) -> dict[str, Path]:
        """Files that are read besides those that the settings name; downloaded where they are not there.

        Raises:
            DataError: They cannot be had.
        """
        published = self.classifier.published(self.progress)
        return {} if published is None else {"weights": published}

    def network(self, images: Images) -> tuple[nn.Module, dict[str, Any]]:
        """See ``Frozen``; the images must be of a size that the architecture takes."""
        classifier = self.classifier
        if not is_image(images):
            got = f"{classifier.architecture} on inputs of shape {images.shape}"
            raise InvalidValue("architecture", got, "grey or colour images: (1 or 3, height, width)")
        body = classifier.body(torch_generator(self.seed, "training", 3), self.progress)
        size = self.image_size or (None if classifier.random else classifier.image_size)
        if size is not None:
            need = 4 * len(classifier.moments[0]) * min(self.batch_size, len(images)) * size**2
            require_room("image_size", self.image_size, need, "a batch of images of this size")
        network = Prepared(body, *classifier.moments, size).eval()
        try:
            with torch.no_grad():
                network(torch.zeros(1, *images.shape))
        except (RuntimeError, ValueError, AssertionError) as error:  # what torchvision's networks raise
            takes = f"a size that {classifier.architecture} takes, such as {classifier.image_size}"
            raise InvalidValue("image_size", self.image_size, f"{takes} ({last_line(error)})") from None
        return network, {
            "architecture": classifier.architecture,
            "image_size": size,
            "transform_input": getattr(body, "transform_input", False),
        }
