"""Standard deviations of columns on a device, bit for bit those of NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_LEAF, _LANES = 128, 8  # numbers that NumPy sums in one go, in so many sums side by side
_TRIED = 64  # columns that are compared with NumPy's own: another order shows in every second one


def deviations(columns: torch.Tensor) -> torch.Tensor:
    """``columns.std(axis=1, keepdims=True)`` of NumPy for (p, n) float64 on a device, (p, 1).

    Sums are NumPy's, in its order (pairwise, Higham 2002, chapter 4; in leaves of 128 numbers, eight at a
    time). Should another NumPy take another one, which a few columns tell, it computes all of them.
    """
    import torch

    rows = columns.T.contiguous()
    n = rows.new_full((), len(rows))  # a number would be inverted first, and multiplied with
    apart = rows - _sum(rows) / n
    found = np.sqrt((_sum(apart * apart) / n).cpu().numpy())  # torch's roots may be off in the last place
    if not np.array_equal(found[:_TRIED], _plain(columns[:_TRIED])):
        found = _plain(columns)
    return torch.from_numpy(found).to(columns.device)[:, None]


def _plain(columns: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(columns.cpu().numpy().std(axis=1))


def _sum(rows: torch.Tensor) -> torch.Tensor:
    """Sum of (n, p) over the first axis, in the order in which NumPy sums n adjacent numbers."""
    n = len(rows)
    if n > _LEAF:
        half = n // 2 - n // 2 % _LANES
        return _sum(rows[:half]) + _sum(rows[half:])
    if n < _LANES:
        total = rows[0]
        for row in rows[1:]:
            total = total + row
        return total
    lanes, whole = rows[:_LANES], n - n % _LANES
    for low in range(_LANES, whole, _LANES):
        lanes = lanes + rows[low : low + _LANES]
    pairs = lanes[0::2] + lanes[1::2]
    total = (pairs[0] + pairs[1]) + (pairs[2] + pairs[3])
    for row in rows[whole:]:
        total = total + row
    return total
