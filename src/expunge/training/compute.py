"""Where torch computes, with how many threads, and by whose code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import nn

from expunge.core.checks import require_choice
from expunge.core.errors import InvalidValue
from expunge.core.threads import OneOfAll

_SETTING = OneOfAll()


def device_named(name: str) -> torch.device:
    """Return the device called ``cpu``, ``cuda`` or ``auto``.

    Raises:
        InvalidValue: Another name, or ``cuda`` where there is no GPU.
    """
    require_choice("device", name, ("auto", "cpu", "cuda"))
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise InvalidValue("device", name, "auto or cpu: torch finds no GPU here")
    return torch.device("cuda" if found and name != "cpu" else "cpu")


def code_of(module: nn.Module) -> list[str]:
    """Return the names of the Python modules that hold the classes of a network and of its parts."""
    return sorted({type(part).__module__ for part in module.modules()})


@lru_cache(maxsize=1)
def rehearse_optimizer() -> None:
    """Take a step of nothing: at the first one of a process torch loads its compiler, no part of training."""
    nothing = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([nothing], 0.0)
    optimizer.zero_grad()
    nothing.sum().backward()
    optimizer.step()


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch use this many threads on the CPU for a while (None: as many as it has).

    The number is the process's: others that set it wait, or one would put back what another has set.
    """
    if count is None:
        yield
        return
    with _SETTING.lock:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
