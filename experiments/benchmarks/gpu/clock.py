"""Seconds of calls on a device, which goes on working after a call has returned."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch


def synchronised(device: torch.device) -> None:
    """Wait for what the device has been given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(
    call: Callable[[], object], device: torch.device, repeats: int, first: bool = True
) -> list[float]:
    """What each of some calls takes, after one that does not count (``first``)."""
    if first:
        call()
    found = []
    for _ in range(repeats):
        synchronised(device)
        begin = perf_counter()
        call()
        synchronised(device)
        found.append(perf_counter() - begin)
    return found
