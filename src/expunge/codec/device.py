"""The same scan in torch, for tensors that live on a GPU: every pair of rows, in blocks, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expunge.codec.scan import Scan

if TYPE_CHECKING:
    import torch

NUMBERS = {"cpu": 2**22, "cuda": 2**25}  # of one block of distances: 32 and 256 MiB, times a few copies


def open_scan(
    columns: NDArray[np.float64],
    ranks: NDArray[np.int64],
    *,
    cyclic: bool,
    threads: int | None,
    like: Any,
) -> Scan | DeviceScan:
    """The scan for data that came as ``like``: on the GPU for a tensor that lives there, else on the CPU."""
    device: Any = getattr(like, "device", None)
    if getattr(device, "type", None) == "cuda":
        return DeviceScan(columns, ranks, cyclic=cyclic, device=device)
    return Scan(columns, ranks, cyclic=cyclic, threads=threads)


class DeviceScan:
    """What ``Scan`` computes, by brute force: sums and products are those of the CPU, and so are the ties.

    Each operation rounds on its own (nothing is fused), and IEEE float64 is the same on every device:
    distances, and with them the sums, agree bit for bit.
    """

    def __init__(
        self,
        columns: NDArray[np.float64],
        ranks: NDArray[np.int64],
        *,
        cyclic: bool,
        device: torch.device | str,
    ) -> None:
        import torch

        self.columns = torch.from_numpy(np.ascontiguousarray(columns)).to(device)
        self.ranks = torch.from_numpy(np.ascontiguousarray(ranks)).to(device)
        self.cyclic = cyclic
        self.chosen: list[int] = []
        self.block = NUMBERS[self.columns.device.type]

    def choose(self, j: int) -> None:
        """Add column ``j`` to the chosen ones."""
        self.chosen.append(j)

    def sums(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """``Q(chosen, column j)`` for each j of ``index`` (c,), (c,) int64."""
        import torch

        n = len(self.ranks)
        every = torch.arange(n, device=self.ranks.device)
        total = torch.zeros(len(index), dtype=torch.int64, device=self.ranks.device)
        height = max(1, min(n, self.block // n))
        width = max(1, self.block // (n * height))
        for low in range(0, n, height):
            rows = every[low : low + height, None]
            base = self._base(rows)
            turn = torch.where(every < rows, every + n, every) if self.cyclic else every.expand(len(rows), n)
            for a in range(0, len(index), width):
                columns = self.columns[torch.from_numpy(index[a : a + width]).to(every.device)]
                difference = columns[:, None, :] - columns[:, rows[:, 0], None]
                distance = base + difference * difference
                least = distance.amin(dim=2, keepdim=True)
                nearest = torch.where(distance == least, turn, 2 * n).argmin(dim=2)
                total[a : a + width] += torch.minimum(self.ranks[rows[:, 0]], self.ranks[nearest]).sum(dim=1)
        return total.cpu().numpy()

    def _base(self, rows: torch.Tensor) -> torch.Tensor:
        """Squared distances (b, n) in the chosen columns; inf from a row to itself."""
        base = self.columns.new_zeros((len(rows), self.columns.shape[1]))
        for j in self.chosen:
            difference = self.columns[j] - self.columns[j][rows]
            base += difference * difference
        return base.scatter_(1, rows, float("inf"))
