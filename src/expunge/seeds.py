"""One seed, several independent streams of random numbers."""

from __future__ import annotations

import numpy as np

_PURPOSES = ("perturbation", "requests", "study")


def stream(seed: int | None, purpose: str, *index: int) -> np.random.Generator:
    """A generator for one purpose, independent of every other made from the same seed.

    A certificate holds for requests that do not depend on the perturbation: one seed must not tie them.

    Args:
        seed: The run's seed; None takes fresh entropy from the operating system.
        purpose: ``perturbation``, ``requests`` or ``study``.
        index: Distinguishes several streams of one purpose (the epoch of a perturbation).
    """
    key = (_PURPOSES.index(purpose), *index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
