"""Columns of a tensor on a GPU, checked and jittered there: the numbers are those that the CPU gets."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expunge.codec.inputs import columns_of
from expunge.core.cores import available_cores

if TYPE_CHECKING:
    import torch

_PART = 2**19  # numbers drawn, and sent, at a time: 4 MiB


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

    The noise is drawn by NumPy on the CPU: no GPU has its numbers. Meanwhile other threads send what is drawn
    and compute the deviations, by NumPy too, whose order of summation is its own.
    """
    import torch

    if ties != "noise":
        return columns
    p, n = columns.shape
    there, cuts = torch.empty_like(columns), list(_cuts(p, max(1, _PART // n)))
    with ThreadPoolExecutor(1) as sender, ThreadPoolExecutor(1) as other:
        deviations = other.submit(_deviations, columns, cuts, threads)
        sent = []
        for part in cuts:
            drawn = torch.from_numpy(rng.standard_normal((part.stop - part.start, n)))
            sent.append(sender.submit(there[part].copy_, drawn))
        for one in sent:
            one.result()
        scale = torch.from_numpy(noise * deviations.result()).to(columns.device)
    return columns + scale * there


def _deviations(columns: torch.Tensor, cuts: list[slice], threads: int | None) -> NDArray[np.float64]:
    stored = columns.cpu().numpy()
    with ThreadPoolExecutor(threads or available_cores()) as pool:
        parts = list(pool.map(lambda part: stored[part].std(axis=1, keepdims=True), cuts))
    return np.concatenate(parts)


def _cuts(count: int, size: int) -> Iterator[slice]:
    return (slice(a, min(count, a + size)) for a in range(0, count, size))
