"""One seed, several independent streams of random numbers; without one, the operating system's."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import MOST_SEED, is_whole
from expunge.core.errors import InvalidValue
from expunge.core.threads import OneOfAll

if TYPE_CHECKING:
    import torch

_GLOBAL = OneOfAll()
_PURPOSES = (
    "perturbation",
    "requests",
    "study",
    "training",
    "scrub",
    "subsample",
    "release",
    "split",
    "scaling",
    "metrics",
    "corruption",
)
_AGAIN = 2**32 - 1  # before the numbers of another draw: larger than any index

_SECRET_BITS = 256
_POOL, _SECRET_POOL = 4, 8  # words of 32 bits that a seed is mixed into: numpy's own, and all of a secret


class Noise(Protocol):
    """What a perturbation is drawn from; ``numpy.random.Generator`` is one."""

    def normal(self, *, size: int) -> NDArray[np.float64]:
        """Independent standard normal numbers, (size,)."""

    def gamma(self, shape: int, scale: float) -> float:
        """One number with density proportional to ``t^(shape - 1) exp(-t / scale)``, t > 0."""


class SystemNoise:
    """Noise from the operating system's generator, which nobody can replay; see ``Noise``.

    Normal numbers are the inverse distribution function of 63 random bits and a sign: off by about 2^-53 of
    their size, and none beyond 9.1 (of which one in 10^19 would be). Gamma of a whole shape is a sum of
    exponentials.
    """

    def normal(self, *, size: int) -> NDArray[np.float64]:
        """Independent standard normal numbers, (size,)."""
        from scipy.special import ndtri  # which takes its time: not for --help

        bits = self._bits(size)
        half = ((bits >> np.uint64(1)) + 0.5) * 2.0**-64  # uniform in (0, 1/2)
        return np.where(bits & np.uint64(1), 1.0, -1.0) * ndtri(half)

    def gamma(self, shape: int, scale: float) -> float:
        """One number of this distribution."""
        return float(-scale * np.log((self._bits(shape) + 0.5) * 2.0**-64).sum())

    @staticmethod
    def _bits(size: int) -> NDArray[np.uint64]:
        return np.frombuffer(os.urandom(8 * size), dtype=np.uint64)


def fresh_secret() -> int:
    """A seed of 256 bits from the operating system, for what has to be drawn again as it was."""
    return secrets.randbits(_SECRET_BITS)


def stream(seed: int | None, purpose: str, *index: int, again: Sequence[int] = ()) -> np.random.Generator:
    """A generator for one purpose, independent of every other made from the same seed.

    A certificate holds for requests that do not depend on the perturbation: one seed must not tie them. The
    run's seed None takes fresh entropy from the operating system; ``purpose`` is one of ``_PURPOSES``, whose
    several streams ``index`` tells from each other (the epoch of a perturbation). ``again`` are the numbers
    of another draw of the very same, where it is not the first.
    """
    key = (_PURPOSES.index(purpose), *index, *((_AGAIN, *again) if again else ()))
    pool = _SECRET_POOL if seed is not None and int(seed) >> 128 else _POOL
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key, pool_size=pool))


def torch_generator(
    seed: int | None, purpose: str, *index: int, again: Sequence[int] = ()
) -> torch.Generator:
    """The same for torch: a generator on the CPU, whatever device its numbers are for."""
    import torch

    return torch.Generator().manual_seed(int(stream(seed, purpose, *index, again=again).integers(2**63 - 1)))


def seed_again(seed: int, purpose: str, *index: int, again: Sequence[int] = ()) -> int:
    """A seed in the place of this one for another draw (``stream``), below 2^32; the first draw keeps it."""
    return int(stream(seed, purpose, *index, again=again).integers(2**32)) if again else seed


@contextmanager
def torch_draws_from(generator: torch.Generator, devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Let torch draw its global random numbers from ``generator``, on these GPUs too, for a while.

    They are the process's: another thread that wants them waits, or each would draw the other's.
    """
    import torch

    with _GLOBAL.lock, torch.random.fork_rng(devices=devices):
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
    if not is_whole(given) or not 0 <= given <= MOST_SEED:
        allowed = "None, a whole number >= 0 of 256 bits at most, or a RandomState or Generator of NumPy"
        raise InvalidValue("random_state", given, allowed)
    return int(given)
