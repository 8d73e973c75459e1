"""Columns of a tensor on a GPU, checked and jittered there: the numbers are those that the CPU gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expunge.codec.deviations import deviations
from expunge.codec.inputs import columns_of
from expunge.codec.normals import normals
from expunge.core.cores import available_cores

if TYPE_CHECKING:
    import torch


def columns_there(values: Any, name: str, rows: int) -> tuple[torch.Tensor, NDArray[np.int64]]:
    """What ``columns_of`` gives, on the tensor's own device, and which columns are not constant.

    Raises:
        ValueError: As ``columns_of``.
    """
    import torch

    if values.ndim == 2 and values.is_floating_point() and len(values) == rows >= 3 and values.shape[1]:
        columns = values.detach().T.double().contiguous()
        most, least = columns.amax(dim=1), columns.amin(dim=1)
        if bool(torch.isfinite((most - least).square().sum())):  # no NaN, no infinity, no overflow
            return columns, np.flatnonzero((most > least).cpu().numpy())
    found = columns_of(values, name, rows)
    varied = np.flatnonzero(found.max(axis=1) > found.min(axis=1))
    return torch.from_numpy(found).to(values.device), varied


def jittered(
    columns: torch.Tensor, ties: str, noise: float, rng: np.random.Generator, threads: int | None
) -> torch.Tensor:
    """What ``jitter`` gives for ``columns`` (p, n) on a device.

    The noise is drawn by NumPy on the CPU, for no GPU has its numbers, by several threads that send what they
    have drawn.
    """
    import torch

    if ties != "noise":
        return columns
    pieces = normals(
        rng,
        columns.numel(),
        threads or available_cores(),
        lambda drawn: columns.new_empty(len(drawn)).copy_(torch.from_numpy(drawn)),
    )
    return columns + noise * deviations(columns) * torch.cat(pieces).view(columns.shape)
