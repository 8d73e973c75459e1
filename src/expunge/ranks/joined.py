"""How processes find each other, and how each hears of the end of another.

Two groups of gloo: by one they talk, in the other each waits for a word that comes at the end alone. A
process that is killed closes its connections, and that wait ends at once, whatever else is done meanwhile. No
time is limited: a process that computes for hours, or is stopped for a while, is not one that is gone.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from expunge.core.errors import UserError
from expunge.ranks.place import Place

_UNTIL_ALL = 300.0  # seconds until all must be there
_LOOK_EVERY = 0.02
_FOR_EVER = timedelta(days=365)


class Watched:
    """The group of the last words; None before ``meet``."""

    group: Any = None


def meet(place: Place) -> None:
    """Wait until all processes are there, and connect them.

    Raises:
        UserError: They are not, within five minutes, or cannot be reached.
    """
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_gloo_available():
        raise UserError("WORLD_SIZE: several processes need a torch with gloo, which this one lacks")
    where, own = f"{place.host}:{place.port}", place.rank == 0 and not place.hosted
    try:
        limit = timedelta(seconds=_UNTIL_ALL)
        store = dist.TCPStore(place.host, place.port, None, own, limit, wait_for_workers=False)
        store.set(f"expunge/{place.rank}", "here")
        _wait_for_all(store, place)
        how: Any = {"rank": place.rank, "world_size": place.size, "timeout": _FOR_EVER}
        dist.init_process_group("gloo", store=store, **how)
        Watched.group = dist.new_group(timeout=_FOR_EVER)
    except (RuntimeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        raise UserError(f"rank {place.rank} cannot join the others at {where}: {said}") from None


def _wait_for_all(store: Any, place: Place) -> None:
    end = time.monotonic() + _UNTIL_ALL
    for rank in range(place.size):
        while not store.check([f"expunge/{rank}"]):
            if time.monotonic() > end:
                late = [f"rank {k}" for k in range(place.size) if not store.check([f"expunge/{k}"])]
                missing = f"{', '.join(late)} did not come within {_UNTIL_ALL / 60:g} minutes"
                raise UserError(f"WORLD_SIZE: got {place.size}, but of these processes {missing}")
            time.sleep(_LOOK_EVERY)


def last_word_to(rank: int) -> None:
    """Tell a process that all is done."""
    import torch
    import torch.distributed as dist

    dist.send(torch.ones(1), rank, group=Watched.group)


def last_word_of(rank: int) -> bool:
    """Wait for that of another; False where it is gone without."""
    import torch
    import torch.distributed as dist

    try:
        dist.recv(torch.zeros(1), rank, group=Watched.group)
    except RuntimeError:
        return False
    return True


def leave() -> None:
    """Close the connections."""
    import torch.distributed as dist

    Watched.group = None
    dist.destroy_process_group()
