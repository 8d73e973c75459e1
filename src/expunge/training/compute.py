"""Where torch computes, and with how many threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from expunge.core.checks import require_choice
from expunge.core.errors import InvalidValue

_SETTING = threading.RLock()


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


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch use this many threads on the CPU for a while (None: as many as it has).

    The number is the process's: others that set it wait, or one would put back what another has set.
    """
    if count is None:
        yield
        return
    with _SETTING:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
