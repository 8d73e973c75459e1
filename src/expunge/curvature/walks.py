"""Walks back through one graph from many columns at its end: on a GPU several of them in one walk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from expunge.core.gpu_memory import room_on

_SHARE = 0.125  # of a GPU's free memory, for the largest slopes; others are held beside them


def walks_back(
    outputs: Tensor, places: Sequence[Tensor], columns: Iterable[Tensor]
) -> Iterator[tuple[list[Tensor], int]]:
    """Give out the derivatives of ``outputs`` times columns in ``places``, and of how many columns they are.

    Those of k columns over m examples are (k m, ...). On the CPU k is 1; on a GPU, where a walk of small
    products is all waiting, it is what there is memory for.
    """
    left = iter(columns)
    together = together_on(outputs.device, places)
    while some := list(islice(left, together)):
        if len(some) > 1 and (found := _at_once(outputs, places, some)) is not None:
            yield found, len(some)
        else:
            for column in some:
                yield _one(outputs, places, column), 1


def together_on(device: torch.device, places: Sequence[Tensor]) -> int:
    """How many columns are walked back at once."""
    if device.type != "cuda":
        return 1
    largest = max(place.numel() * place.element_size() for place in places)
    return max(1, int(_SHARE * room_on(device) / largest))


def _one(outputs: Tensor, places: Sequence[Tensor], column: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(outputs, places, column, retain_graph=True, materialize_grads=True))


def _at_once(outputs: Tensor, places: Sequence[Tensor], columns: list[Tensor]) -> list[Tensor] | None:
    """The same of several columns; None where the graph has a step that knows only one."""
    try:
        found = torch.autograd.grad(
            outputs,
            places,
            torch.stack(columns),
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=True,
        )
    except RuntimeError:
        return None
    whole = [
        place.new_zeros(len(columns), *place.shape) if slope is None else slope
        for place, slope in zip(places, found, strict=True)
    ]
    return [slope.flatten(0, 1) for slope in whole]
