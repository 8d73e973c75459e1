"""How figures on a device are taken: numbers drawn there, seconds, and where they go."""

from __future__ import annotations

import cProfile
import io
import pstats
from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

_CHUNK = 2**28  # numbers that are drawn at a time


def synchronised(device: torch.device) -> None:
    """Wait for what the device has been given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(
    call: Callable[[], object], device: torch.device, repeats: int = 5, first: bool = True
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


def normal(rows: int, features: int, kind: torch.dtype, device: torch.device, seed: int) -> Tensor:
    """(rows, features) standard normal numbers, drawn in place."""
    generator = torch.Generator(device).manual_seed(seed)
    found = torch.empty((rows, features), dtype=kind, device=device)
    step = max(1, _CHUNK // features)
    for lo in range(0, rows, step):
        part = found[lo : lo + step]
        part.copy_(torch.randn(part.shape, generator=generator, device=device))
    return found


def profiled(call: Callable[[], object], lines: int = 25) -> list[str]:
    """The functions that a call spends its time in."""
    profile = cProfile.Profile()
    profile.runcall(call)
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("cumulative").print_stats(lines)
    return [line for line in text.getvalue().splitlines() if line.strip()][5:]
