"""What was done to rows on purpose before anything was trained on them: which were changed, and from what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.core.hashing import sha256_of, sha256_of_array

POISON, MISLABEL = "poison", "mislabel"
"""Settings of a data set, by which messages call what they do."""


@dataclass(frozen=True)
class Corruption:
    """Which rows were changed, and what they had been. Nothing is ever trained on ``truth``.

    Attributes:
        poisoned: (m,) int64 ids, rising, of training rows that got the trigger and the label ``target``.
        mislabelled: (k,) int64 ids, rising, of training rows that got another label; none is poisoned too.
        truth: (n_train,) int64 labels of all training rows as they had been.
        triggered: (q,) int64 ids of test rows that are copies, with the trigger, of those of other classes
            than ``target``. They follow the test rows proper, and their label is that of no class, so that
            they count in no accuracy (see ``of_known_classes``).
        target: The label that poisoned rows were given; None where none are poisoned.
        pair: The class whose rows were mislabelled, and as what; None: any class as any other, or none.
    """

    poisoned: NDArray[np.int64]
    mislabelled: NDArray[np.int64]
    truth: NDArray[np.int64]
    triggered: NDArray[np.int64]
    target: int | None = None
    pair: tuple[int, int] | None = None

    def rows(self, kind: str) -> NDArray[np.int64]:
        """The rows that ``kind``, one of ``POISON`` and ``MISLABEL``, has changed."""
        return self.poisoned if kind == POISON else self.mislabelled

    def digest(self) -> str:
        """SHA-256 of all of it."""
        arrays = (self.poisoned, self.mislabelled, self.truth, self.triggered)
        named = repr((self.target, self.pair)).encode()
        return sha256_of([named, *(sha256_of_array(array).encode() for array in arrays)])
