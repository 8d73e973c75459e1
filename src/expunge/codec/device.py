"""The same scan in torch, for tensors that live on a GPU: every pair of rows, in float64."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expunge.codec.scan import Scan
from expunge.core.errors import last_line

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

NUMBERS = {"cpu": 2**22, "cuda": 2**25}  # of one block of distances: 32 and 256 MiB, times a few copies
MANY, PAUSE = 0.3, 3  # share of the rows above which it is better to visit all; scans for which this is so
KEPT = {"cpu": 2**22, "cuda": 2**26}  # distances in the chosen columns that are kept: 512 MiB, 8,192 rows


def device_of(like: Any) -> Any:
    """The GPU that a tensor lives on; None for anything else."""
    device: Any = getattr(like, "device", None)
    return device if getattr(device, "type", None) == "cuda" else None


def open_scan(
    columns: NDArray[np.float64] | torch.Tensor,
    ranks: NDArray[np.int64],
    *,
    cyclic: bool,
    threads: int | None,
    like: Any,
) -> Scan | DeviceScan:
    """The scan for data that came as ``like``: on the GPU for a tensor that lives there, else on the CPU."""
    device = device_of(like)
    if device is None:
        return Scan(np.asarray(columns), ranks, cyclic=cyclic, threads=threads)
    return DeviceScan(columns, ranks, cyclic=cyclic, device=device)


class DeviceScan:
    """What ``Scan`` computes, by brute force: sums and products are those of the CPU, and so are the ties.

    Each operation rounds on its own (nothing is fused), and IEEE float64 is the same on every device:
    distances, and with them the sums, agree bit for bit. On a GPU with Triton one kernel does it all, see
    ``fused``; elsewhere, and of more rows than ``KEPT`` has room for, it is operations of torch on blocks of
    rows and candidates.

    Args:
        columns: (p, n) float64.
        ranks: R, (n,) int64.
        cyclic: Ties go to the next row on the circle (else to the first row).
        device: Where to compute.
        fused: Whether the kernel may be used where it can.
    """

    tries_near = True  # whether rows are visited from the nearest on, once a column is chosen

    def __init__(
        self,
        columns: NDArray[np.float64] | torch.Tensor,
        ranks: NDArray[np.int64],
        *,
        cyclic: bool,
        device: torch.device | str,
        fused: bool = True,
    ) -> None:
        import torch

        self.columns = torch.as_tensor(columns).to(device).contiguous()
        self.ranks = torch.from_numpy(np.ascontiguousarray(ranks)).to(device)
        self.cyclic, self.chosen, n, kind = cyclic, list[int](), len(ranks), self.ranks.device.type
        self.block = NUMBERS[kind]
        self.base = self._base(torch.arange(n, device=device)[:, None]) if n * n <= KEPT[kind] else None
        self.values: torch.Tensor | None = None
        self.near, self.visited = self.tries_near, 0.0
        self.rest = 0  # scans for which near rows are not tried
        if fused and kind == "cuda" and self.base is not None and find_spec("triton") is not None:
            self.values = self.columns.T.contiguous()

    def choose(self, j: int) -> None:
        """Add column ``j`` to the chosen ones."""
        self.chosen.append(j)
        if self.base is not None:
            column = self.columns[j]
            difference = column - column[:, None]
            self.base += difference * difference

    def sums(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """``Q(chosen, column j)`` for each j of ``index`` (c,), (c,) int64."""
        import torch

        there = torch.from_numpy(np.ascontiguousarray(index)).to(self.ranks.device)
        if self.values is not None and self.base is not None:
            try:
                return self._by_kernels(self.values, self.base, there)
            except Exception as error:  # whatever keeps Triton from compiling: no C compiler, an old GPU
                log.warning("operations of torch take the place of a kernel that fails: %s", last_line(error))
                self.values = None
        return np.asarray(self._in_blocks(there).cpu().numpy())

    def _by_kernels(self, values: torch.Tensor, base: torch.Tensor, index: torch.Tensor) -> NDArray[np.int64]:
        """The sums by one of the kernels of ``fused``."""
        from expunge.codec.fused import fused_sums

        if self.chosen and self.near and not self.rest:
            return self._of_near(values, base, index)
        self.rest = max(0, self.rest - 1)
        found = fused_sums(values, base, self.ranks.int(), index, cyclic=self.cyclic)
        return np.asarray(found.cpu().numpy())

    def _of_near(self, values: torch.Tensor, base: torch.Tensor, index: torch.Tensor) -> NDArray[np.int64]:
        """The sums by visits of near rows; where these are many, all rows are visited the next few times."""
        import torch

        from expunge.codec.fused import EIGHT, near_sums

        squared, near = torch.sort(base, dim=1)
        more = -len(base) % EIGHT
        squared = torch.nn.functional.pad(squared, (0, more), value=float("inf"))
        rows = torch.nn.functional.pad(near.int(), (0, more))
        found, visits = near_sums(values, rows, squared, self.ranks.int(), index, cyclic=self.cyclic)
        both = torch.cat([found, visits.long()[None]]).cpu().numpy()
        self.visited = int(both[-1]) / len(base)
        if self.visited > MANY:
            self.rest = PAUSE
        return np.asarray(both[:-1])

    def _in_blocks(self, index: torch.Tensor) -> torch.Tensor:
        """The sums by operations of torch."""
        import torch

        n = len(self.ranks)
        every = torch.arange(n, device=self.ranks.device)
        total = torch.zeros(len(index), dtype=torch.int64, device=self.ranks.device)
        height = max(1, min(n, self.block // n))
        width = max(1, self.block // (n * height))
        for low in range(0, n, height):
            rows = every[low : low + height, None]
            base = self._base(rows) if self.base is None else self.base[low : low + height]
            turn = torch.where(every < rows, every + n, every) if self.cyclic else every.expand(len(rows), n)
            for a in range(0, len(index), width):
                columns = self.columns[index[a : a + width]]
                difference = columns[:, None, :] - columns[:, rows[:, 0], None]
                distance = base + difference * difference
                least = distance.amin(dim=2, keepdim=True)
                nearest = torch.where(distance == least, turn, 2 * n).argmin(dim=2)
                total[a : a + width] += torch.minimum(self.ranks[rows[:, 0]], self.ranks[nearest]).sum(dim=1)
        return total

    def _base(self, rows: torch.Tensor) -> torch.Tensor:
        """Squared distances (b, n) in the chosen columns; inf from a row to itself."""
        base = self.columns.new_zeros((len(rows), self.columns.shape[1]))
        for j in self.chosen:
            difference = self.columns[j] - self.columns[j][rows]
            base += difference * difference
        return base.scatter_(1, rows, float("inf"))
