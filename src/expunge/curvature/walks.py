"""Walks back through a network from many columns at its end: on a GPU several of them in one walk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from expunge.core.gpu_memory import room_on

_SHARE = 0.125  # of a GPU's free memory, for the graph of the examples repeated


class Graph(NamedTuple):
    """What a run of a network has left: its outputs, and the places in between that slopes are wanted in."""

    outputs: Tensor
    places: Sequence[Tensor]


def walks_back(
    graph: Graph, columns: Iterable[Tensor], together: int, repeated: Callable[[int], Graph]
) -> Iterator[tuple[list[Tensor], int]]:
    """Give out the derivatives of the outputs times columns in the places, and of how many columns they are.

    Several columns are walked back through a run of the examples repeated, one after the other, which asks
    for as many operations as a walk from one of them does. ``torch.autograd.grad(is_grads_batched=True)``
    asks for those of every column where the network has convolutions or BatchNorm.

    Args:
        graph: Of a run of m examples; used until there are several columns.
        columns: Each shaped like the outputs.
        together: The most columns in a walk, see ``together_on``.
        repeated: Makes the graph of the examples so many times, (k m, ...).

    Returns:
        For each walk the slopes of k columns, (k m, ...), and k.
    """
    left, times = iter(columns), 1
    while some := list(islice(left, together)):
        if len(some) != times:
            graph, times = repeated(len(some)), len(some)
        slopes = torch.autograd.grad(
            graph.outputs, graph.places, torch.cat(some), retain_graph=True, materialize_grads=True
        )
        yield list(slopes), times


def together_on(device: torch.device, held: float) -> int:
    """How many columns are walked back at once; ``held``: bytes of the graph of the examples once.

    On the CPU one. On a GPU, where a walk of small products is all waiting, what there is memory for.
    """
    if device.type != "cuda":
        return 1
    return max(1, int(_SHARE * room_on(device) / max(held, 1.0)))
