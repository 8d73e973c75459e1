"""How much memory there is to be had, so that what cannot fit is refused in a line and not by the system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expunge.core.errors import InvalidValue

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")
_V2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
_SMALL = 2**28  # bytes that are never asked for
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def available_memory() -> int | None:
    """Bytes that this process may still take at the very most, swap included; None where nobody says.

    The least of what the machine has left, what its control groups leave (memory that holds files counts as
    free: the system takes it back) and what its own limit on addresses leaves.
    """
    known = [room for room in (*_of_the_machine(), *_of_groups(), *_of_the_process()) if room is not None]
    return max(0, min(known)) if known else None


def room_below(need: float) -> str | None:
    """What there is in words where that is less than ``need`` bytes; None where it is enough or not known."""
    room = available_memory()
    return in_words(room) if room is not None and need > room else None


def require_room(name: str, got: Any, need: float, what: str) -> None:
    """Refuse a setting for which ``need`` bytes are taken, at the least, where there are not as many.

    Args:
        name: Of the setting.
        got: Its value.
        need: Bytes.
        what: What takes them, in words.

    Raises:
        InvalidValue: They are not there.
    """
    if need > _SMALL and (room := room_below(need)):
        raise InvalidValue(name, got, f"less: {what} would take {in_words(need)}, and {room} is left")


def in_words(size: float) -> str:
    """A number of bytes as people read it: ``74.5 GiB``."""
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:.3g} {unit}"


def _table(path: Path) -> dict[str, int]:
    """The numbers of a file of names and numbers; none where it cannot be read."""
    try:
        lines = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdecimal()}


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _swap() -> int:
    return _table(_PROC / "meminfo").get("SwapFree", 0) * 1024


def _of_the_machine() -> Iterator[int | None]:
    left = _table(_PROC / "meminfo").get("MemAvailable")
    if left is not None:
        yield left * 1024 + _swap()
    elif "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):  # macOS says what it has, not what is left
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups() -> Iterator[int | None]:
    """What each of the groups leaves that the process is in, inner and outer ones."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, inner = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        top, names = (_GROUPS / "memory", _V1) if kinds else (_GROUPS, _V2)
        folder = top / inner.lstrip("/")
        yield from (_left(group, *names) for group in (folder, *folder.parents) if group.is_relative_to(top))


def _left(group: Path, limit: str, usage: str, files: tuple[str, ...]) -> int | None:
    most, used = _number(group / limit), _number(group / usage)
    if most is None or used is None:
        return None
    held = _table(group / "memory.stat")
    return most - used + sum(held.get(name, 0) for name in files) + _swap()


def _of_the_process() -> Iterator[int | None]:
    try:
        import resource
    except ImportError:  # not a Unix
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY:
        held = _table(_PROC / "self" / "status").get("VmSize", 0) * 1024
        yield most - held
