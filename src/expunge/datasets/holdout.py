"""Which images of an identity are held out from training."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from expunge.datasets.names import listed

log = logging.getLogger(__name__)


def held_out(name: str, images: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Return a mask (images,) of those of one identity that are not to be trained on.

    Of two or more images, ``max(1, round(share * images))`` are held out, but never all of them; a single
    image is not. They are drawn by a generator made of ``seed`` and ``name`` alone: other identities change
    nothing.
    """
    mask = np.zeros(images, dtype=bool)
    count = min(images - 1, max(1, round(share * images)))
    key = np.frombuffer(hashlib.sha256(name.encode(errors="surrogateescape")).digest(), dtype="<u4").tolist()
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    mask[generator.permutation(images)[:count]] = True
    return mask


def split(what: str, images: Mapping[str, NDArray[np.int64]], share: float, seed: int) -> NDArray[np.int64]:
    """Return the rows that are held out, (m,), in the order of the identities and of their images.

    Args:
        what: How the warning about identities with a single image calls the data set.
        images: Name of an identity -> ids of its rows, one at least.
        share: Share of an identity's images, see ``held_out``.
        seed: Of the draws.
    """
    single = [name for name, rows in images.items() if len(rows) == 1]
    if single:
        text = "%s: %d of %d identities have a single image, which is trained on: no test row shows them (%s)"
        log.warning(text, what, len(single), len(images), listed(single))
    chosen = [rows[held_out(name, len(rows), share, seed)] for name, rows in images.items()]
    return np.concatenate(chosen).astype(np.int64)
