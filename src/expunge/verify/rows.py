"""The rows of a run and the columns of its model: which classes are left, and which rows each column uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.verify import draws
from expunge.verify.sparse import Sparse

BLOCK = 1024
Extended = np.longdouble
"""80 bits on x86: 11 more than float64. Elsewhere it may be float64 itself; bounds go by what it is."""


@dataclass(frozen=True)
class Table:
    """n rows of d features, read a block at a time; ``raw`` (n, d) may be a memory map, or sparse.

    ``x_i = (raw_i - offset) / ||raw_i - offset||``, zero where that is zero; or, with a ``scale`` (n,) of
    an extractor, ``scale_i (raw_i - offset)``. Before that, ``raw_i`` has a ``constant`` as its last entry,
    in float32 where its own type has no more digits, which 0 leaves out.
    """

    raw: Any
    offset: float = 0.0
    scale: NDArray[np.float64] | None = None
    constant: float = 0.0

    @classmethod
    def of(cls, raw: Any, *others: Any, **named: Any) -> Table:
        """Rows of any shape, or a sparse matrix (n, d) in CSR, and the other fields."""
        flat = Sparse.of(raw) if hasattr(raw, "indptr") else raw.reshape(len(raw), -1)
        return cls(flat, *others, **named)

    @property
    def dim(self) -> int:
        """Features d, the constant among them."""
        return int(self.raw.shape[1]) + (self.constant != 0)

    @property
    def is_sparse(self) -> bool:
        """Whether blocks of it are sparse."""
        return isinstance(self.raw, Sparse)

    def _stored(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """These rows less the offset, (m, d)."""
        stored = self.raw[ids].astype(np.float64)
        if self.constant:
            narrow = self.raw.dtype in (np.dtype("uint8"), np.dtype("float32"))
            last = self.constant + self.offset
            stored = np.column_stack([stored, np.full(len(ids), np.float32(last) if narrow else last)])
        return stored - self.offset

    def _sparse(self, ids: NDArray[np.int64], kind: Any) -> Sparse:
        """These rows in numbers of ``kind``; sparse ones have no offset."""
        part = self.raw.take(ids)
        if self.constant:
            part = part.beside(self.constant)
        return part.unit(kind) if self.scale is None else part.scaled(self.scale[ids], kind)

    def extended(self, ids: NDArray[np.int64]) -> Any:
        """These rows, (m, d), with the longest mantissa that there is."""
        if self.is_sparse:
            return self._sparse(ids, Extended)
        stored = self._stored(ids).astype(Extended)
        if self.scale is not None:
            return stored * self.scale[ids, None].astype(Extended)
        norms = np.sqrt(np.einsum("ij,ij->i", stored, stored))
        norms[norms == 0] = 1
        stored /= norms[:, None]
        return stored

    def doubles(self, ids: NDArray[np.int64]) -> Any:
        """The same in float64."""
        if self.is_sparse:
            return self._sparse(ids, np.float64)
        stored = self._stored(ids)
        if self.scale is not None:
            return np.asarray(stored * self.scale[ids, None])
        norms = np.sqrt(np.einsum("ij,ij->i", stored, stored))
        far = ~((norms > 1e-150) & (norms < 1e150))
        if far.any():
            stored[far] = self.extended(ids[far]).astype(np.float64)
        stored /= np.where(far, 1.0, norms)[:, None]
        return stored


@dataclass(frozen=True)
class Columns:
    """The binary problems of a model on the rows that stay.

    Attributes:
        labels: (n,) of all training rows.
        ids: Rows that stay and that some column uses, in rising order.
        positive: The label that is +1, of each of K columns.
        places: The number of each column's class among those of the training.
        uses: (n, K) which rows each uses; None: all of them, all.
        first: How many classes there were.
        weights: (n,) what each row counts in the loss; None: 1.
    """

    labels: NDArray[np.int64]
    ids: NDArray[np.int64]
    positive: list[int]
    places: list[int]
    uses: NDArray[np.bool_] | None
    first: int
    weights: NDArray[np.float64] | None = None

    @classmethod
    def left(
        cls,
        labels: NDArray[np.int64],
        kept: NDArray[np.bool_],
        seed: int,
        share: float,
        weights: NDArray[np.float64] | None = None,
    ) -> Columns:
        """Those of the classes that some row has: of K > 2 one each, of two one, for the larger label."""
        all_classes = np.unique(labels)
        there = np.unique(labels[kept])
        width = len(there) if len(there) > 2 else 1
        positive = [int(label) for label in there[-width:]]
        places = [int(place) for place in np.searchsorted(all_classes, there[-width:])]
        first = len(all_classes)
        uses = draws.subsample(seed, labels, share, positive, places, first) if share < 1 else None
        some = kept if uses is None else kept & uses.any(axis=1)
        return cls(labels, np.flatnonzero(some), positive, places if first > 2 else [0], uses, first, weights)

    @property
    def width(self) -> int:
        """K."""
        return len(self.positive)

    @cached_property
    def counts(self) -> list[int]:
        """Rows that each column uses."""
        if self.uses is None:
            return [len(self.ids)] * self.width
        return [int(count) for count in self.uses[self.ids].sum(axis=0)]

    def blocks(self) -> Iterator[NDArray[np.int64]]:
        """The ids of the rows, a block at a time."""
        for start in range(0, len(self.ids), BLOCK):
            yield self.ids[start : start + BLOCK]

    def counting(self, ids: NDArray[np.int64], shares: NDArray[Any]) -> NDArray[Any]:
        """What each of these rows adds, (m, K), times what it counts."""
        return shares if self.weights is None else shares * self.weights[ids, None].astype(shares.dtype)

    def signs(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """The labels y of these rows in each column, (m, K); 0 where a column does not use the row."""
        found = np.where(self.labels[ids, None] == np.array(self.positive), 1.0, -1.0)
        return found if self.uses is None else found * self.uses[ids]
