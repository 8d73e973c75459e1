"""What a seed draws: which purposes a run's seed has, and which of NumPy's streams is whose.

They are part of what a run folder means: without them nobody could tell which rows a class's subsample has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_PERTURBATION, _REQUESTS, _SUBSAMPLE, _RELEASE = 0, 1, 5, 6
_BLOCK = 1 << 16
_AGAIN = 2**32 - 1  # before the number of another draw of the same


def _stream(seed: int, purpose: int, *index: int, repeat: int = 0) -> np.random.Generator:
    pool = 8 if seed >> 128 else 4
    key = (purpose, *index, *((_AGAIN, repeat) if repeat else ()))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key, pool_size=pool))


def order(seed: int, rows: int | NDArray[np.int64], *index: int) -> NDArray[np.int64]:
    """The order in which rows are asked to leave."""
    return _stream(seed, _REQUESTS, *index).permutation(rows)


def subsample(
    seed: int, labels: NDArray[np.int64], share: float, classes: Sequence[int], places: Sequence[int], of: int
) -> NDArray[np.bool_]:
    """Which rows each class uses, (n, K): its own, and of the others those whose draw is below ``share``.

    Row i has the i-th ``of`` draws, one for each class of the fit; ``places`` are those of ``classes``.
    """
    generator = _stream(seed, _SUBSAMPLE)
    used = labels[:, None] == np.array(classes)
    for start in range(0, len(labels), _BLOCK):
        part = used[start : start + _BLOCK]
        part |= generator.random((len(part), of))[:, list(places)] < share
    return used


def release(seed: int, number: int, shape: tuple[int, int], repeat: int = 0) -> NDArray[np.float64]:
    """The standard normal noise of release ``number``, from 0, that a run with a seed adds, (d, K)."""
    return _stream(seed, _RELEASE, number, repeat=repeat).normal(size=shape[0] * shape[1]).reshape(shape)


def perturbation(
    seed: int,
    epoch: int,
    dim: int,
    columns: int,
    std: float,
    scale: float | None = None,
    repeat: int = 0,
) -> NDArray[np.float64]:
    """The b of published losses, (d, K), drawn column after column; ``epoch``: how often it was redrawn.

    ``scale`` is that of the length's Gamma distribution with ``pure_eps``; None: Gaussian of ``std``. The
    first b is the original's, whatever the ``repeat``.
    """
    generator = _stream(seed, _PERTURBATION, epoch, repeat=repeat if epoch else 0)
    drawn = generator.normal(size=dim * columns)
    if scale is None:
        drawn = std * drawn
    else:
        drawn = drawn * (generator.gamma(dim * columns, scale) / np.linalg.norm(drawn))
    return drawn.reshape(columns, dim).T
