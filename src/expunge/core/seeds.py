"""One seed, several independent streams of random numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.core.checks import is_whole
from expunge.core.errors import InvalidValue

if TYPE_CHECKING:
    import torch

_GLOBAL = threading.RLock()
_PURPOSES = ("perturbation", "requests", "study", "training", "scrub", "subsample")


def stream(seed: int | None, purpose: str, *index: int) -> np.random.Generator:
    """A generator for one purpose, independent of every other made from the same seed.

    A certificate holds for requests that do not depend on the perturbation: one seed must not tie them. The
    run's seed None takes fresh entropy from the operating system; ``purpose`` is one of ``_PURPOSES``, whose
    several streams ``index`` tells from each other (the epoch of a perturbation).
    """
    key = (_PURPOSES.index(purpose), *index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def torch_generator(seed: int | None, purpose: str, *index: int) -> torch.Generator:
    """The same for torch: a generator on the CPU, whatever device its numbers are for."""
    import torch

    return torch.Generator().manual_seed(int(stream(seed, purpose, *index).integers(2**63 - 1)))


@contextmanager
def torch_draws_from(generator: torch.Generator, devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Let torch draw its global random numbers from ``generator``, on these GPUs too, for a while.

    They are the process's: another thread that wants them waits, or each would draw the other's.
    """
    import torch

    with _GLOBAL, torch.random.fork_rng(devices=devices):
        torch.set_rng_state(generator.get_state())
        for gpu in devices:
            own = torch.Generator(gpu).manual_seed(generator.initial_seed())
            torch.cuda.set_rng_state(own.get_state(), gpu)
        yield


def seed_from(given: Any) -> int | None:
    """The seed that ``random_state`` stands for, as scikit-learn and NumPy have it; None for None.

    Raises:
        InvalidValue: It is neither a whole number >= 0 nor something to draw one from.
    """
    if given is None:
        return None
    if isinstance(given, np.random.RandomState) or given is np.random:
        return int(given.randint(2**31))
    if isinstance(given, np.random.Generator):
        return int(given.integers(2**63 - 1))
    if not is_whole(given) or given < 0:
        allowed = "None, a whole number >= 0, or a RandomState or Generator of NumPy"
        raise InvalidValue("random_state", given, allowed)
    return int(given)
