"""Features from a convolutional network that was trained with differential privacy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.extractors.cnn import ConvNet
from expunge.extractors.dp_recipe import refuse_mixing
from expunge.extractors.dp_trained import DpTrained


class Dp(DpTrained):
    """A convolutional network trained on the training images, as published.

    Args:
        filters, kernel, norm, activation: As in ``ConvNet``; ``norm`` is not ``batch`` in a private mode.
        settings: As in ``DpTrained``.

    Raises:
        InvalidValue: A value is not allowed; the message names the key.
    """

    name = "dp"

    def __init__(
        self,
        filters: Sequence[int] = (64, 64),
        kernel: int = 5,
        norm: str = "none",
        activation: str = "relu",
        **settings: Any,
    ) -> None:
        self.architecture = ConvNet(filters, kernel, norm, activation)
        super().__init__(**settings)
        refuse_mixing(self.recipe.mode, norm)
