"""How much memory something takes: how far the resident set rises above its level before, at the most."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET = "5"  # what the kernel takes as: begin to look for the largest resident set anew
_ROUNDED = 1024.0  # KiB: the kernel counts pages of each processor for itself, and adds them up now and then
NOT_TOLD = (
    "the system does not say how much memory was taken at the most (Linux does, where /proc may be written)"
)


class _Highest:
    """The largest resident set of this process before it was looked for anew, KiB."""

    kib = 0.0


def peak_mib() -> float | None:
    """Largest resident set of this process so far, in MiB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kib = peak / 1024 if sys.platform == "darwin" else float(peak)
    return round(max(kib, _Highest.kib) / 1024, 1)


@dataclass
class Rise:
    """What was taken at the most, MiB above what was held before.

    Attributes:
        resident: Of the process on the machine; None where the system does not say. Memory that the process
            had kept from earlier work, and used again, is in no rise.
        gpu: Allocated by torch on its GPU; None where it has not used one.
    """

    resident: float | None = None
    gpu: float | None = None


@contextmanager
def measured() -> Iterator[Rise]:
    """Measure what the block takes; the numbers are there once it has ended.

    It takes some ten microseconds before and after. The system's own record of the largest resident set of
    the process (``ru_maxrss``) begins anew: ``peak_mib`` remembers.
    """
    rise, torch = Rise(), _torch()
    before, on_gpu = _begun(), 0
    if torch is not None:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        on_gpu = torch.cuda.memory_allocated()
    yield rise
    if torch is not None:
        rise.gpu = round((torch.cuda.max_memory_allocated() - on_gpu) / 2**20, 1)
    after = _kib("VmHWM")
    if before is not None and after is not None:
        rise.resident = round(max(0.0, after - before) / 1024, 1)


def _begun() -> float | None:
    """Begin to look for the largest resident set; return its size now in KiB, None where that cannot be."""
    peak = _kib("VmHWM")
    if peak is None:
        return None
    try:
        _CLEAR.write_text(_RESET)
    except OSError:
        return None
    _Highest.kib = max(_Highest.kib, peak)
    now, largest = _kib("VmRSS"), _kib("VmHWM")
    return now if now is not None and largest is not None and largest <= now + _ROUNDED else None


def _kib(name: str) -> float | None:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return float(line.split()[1])
    except OSError:
        pass
    return None


def _torch() -> Any:
    """Torch where it has used a GPU; it is not loaded for that."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None
