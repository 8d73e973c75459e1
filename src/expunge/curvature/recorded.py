"""Products on a GPU that are recorded once and then replayed."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from expunge.curvature.cg import Product


class Recorded:
    """A product of vectors on a GPU that always asks for the same kernels: a CUDA graph asks for all at once.

    The first call is the product itself, on the stream that the second one is recorded on.

    Args:
        product: Waits for nothing, and makes nothing of the vector but its product.
    """

    def __init__(self, product: Product) -> None:
        self._product, self._called = product, False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, vector: Tensor) -> Tensor:
        """Return the product."""
        if self._graph is None:
            now, side = torch.cuda.current_stream(vector.device), _side(vector.device)
            side.wait_stream(now)
            with torch.cuda.device(vector.device), torch.cuda.stream(side):
                if not self._called:
                    self._called, found = True, self._product(vector)
                    now.wait_stream(side)
                    found.record_stream(now)
                    return found
                self._record(vector)
            now.wait_stream(side)
        assert self._graph is not None
        self._given.copy_(vector)
        self._graph.replay()
        return self._found.clone()

    def _record(self, vector: Tensor) -> None:
        self._given = vector.clone()
        self._graph = torch.cuda.CUDAGraph()
        self._graph.capture_begin(capture_error_mode="thread_local")
        try:
            self._found = self._product(self._given)
        finally:
            self._graph.capture_end()


@lru_cache(maxsize=8)
def _side(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
