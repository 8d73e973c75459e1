"""How much memory a GPU has to be had."""

from __future__ import annotations

import math

import torch

_SMALL = 2**24  # bytes that nobody needs to ask for


def room_on(device: torch.device) -> float:
    """Bytes that are free on a GPU, with what torch holds in reserve; of anything else infinite."""
    if device.type != "cuda":
        return math.inf
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def has_room(device: torch.device, need: float, share: float) -> bool:
    """Whether ``need`` bytes are at most this share of ``room_on`` a device."""
    return need <= _SMALL or need <= share * room_on(device)


def held_on(device: torch.device) -> int:
    """Bytes of a GPU that tensors hold now; of anything else 0."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
