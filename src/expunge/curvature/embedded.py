"""Where inputs of a network can be moved: numbers of tokens cannot, but what its embedding makes of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.curvature.watching import first_input, watching


@dataclass(frozen=True)
class Place:
    """What of a network stands for its inputs where these are to be moved by real numbers.

    Of a network that looks its inputs up in an ``nn.Embedding`` these are the vectors found there,
    (m, tokens, d): positions, types of tokens and all else that is not looked up by the inputs themselves
    stay as they are, and so do the vectors of ``padding_idx``. Of any other network they are the inputs.

    Attributes:
        embedding: The layer that the inputs are looked up in; None: the inputs are real numbers.
    """

    embedding: nn.Embedding | None = None

    @classmethod
    def of(cls, module: nn.Module, x: Tensor) -> Place:
        """See which layer inputs (m, ...) are looked up in, in evaluation mode."""
        found: list[nn.Embedding] = []

        def see(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            ids = first_input(args, kwargs)
            if ids.shape == x.shape and torch.equal(ids, x.to(ids)):
                assert isinstance(part, nn.Embedding)
                found.append(part)

        parts = [part for part in module.modules() if isinstance(part, nn.Embedding)]
        if not parts:
            return cls()
        with ExitStack() as hooks, watching(module), torch.no_grad():
            for part in parts:
                hooks.enter_context(part.register_forward_pre_hook(see, with_kwargs=True))
            module(x)
        return cls(found[0] if found else None)

    def points(self, x: Tensor) -> Tensor:
        """Return what stands for inputs (m, ...), without a gradient."""
        if self.embedding is None:
            return x
        with torch.no_grad():
            found: Tensor = self.embedding(x.long())
        return found.to(x.dtype) if x.is_floating_point() else found

    def moves(self, x: Tensor) -> Tensor | None:
        """Return which points of these inputs (m, ...) are to be moved, (m, ..., 1) bool; None: all."""
        if self.embedding is None or self.embedding.padding_idx is None:
            return None
        return (x.long() != self.embedding.padding_idx).unsqueeze(-1)

    def run(self, network: Callable[[Tensor], Tensor], x: Tensor, points: Tensor) -> Tensor:
        """Return what ``network`` puts out for ``points`` in place of those of inputs ``x``.

        It is the module of which this is the place, or calls it; ``points`` may have a gradient.
        """
        if self.embedding is None:
            return network(points)
        with self.embedding.register_forward_hook(lambda *_: points):
            return network(x)
