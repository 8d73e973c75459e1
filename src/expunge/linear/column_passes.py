"""Passes over dense rows that serve many weight vectors at once: products of blocks of rows with (d, K)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from weakref import ref

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.linear import column_sums
from expunge.linear.cuts import PARTS, Cut
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.logistic import LogisticProblem
from expunge.linear.operations import DenseRows
from expunge.linear.passes import Pass
from expunge.linear.shared_solves import Basis, conjugate_gradients

Single = NDArray[np.float32]

MOST_SLOPES = 2**27
"""Curvatures of the loss that are kept at one time, in float32 (512 MiB): rows times columns."""
_PARTS_BELOW = 2**22  # entries of a sum up to which as many are small


@dataclass(frozen=True)
class ColumnPasses:
    """K one-vs-rest losses over the same dense rows.

    No row is +1 in more than one of them. Blocks are those of ``spans``, each sum is float64 and adds them in
    order, so that ``expunge.linear.rounding`` charges a gradient the same as that of one column: it bounds a
    sum of the terms of a block in any order.

    Attributes:
        rows: n rows.
        own: (n,) the column in which each is +1, -1 for none.
        sizes: (n,) what each counts, in every column, 0 of those that have left; None: 1 each.
        ridge: lam n.
        b: (d, K).
    """

    rows: DenseRows
    own: NDArray[np.int64]
    ridge: float
    b: Array
    sizes: Array | None = None

    @classmethod
    def of(cls, problems: Sequence[LogisticProblem]) -> ColumnPasses:
        """Those of problems that ``groups`` has put together."""
        first = problems[0]
        assert isinstance(first.rows, DenseRows)
        own, plain = _Own.of([problem.y for problem in problems])
        b = np.stack([one.b for one in problems], axis=1)
        sizes = None if plain else first.sizes  # which are those of all
        return cast("ColumnPasses", first.rows.columns(own, first.lam * first.n, b, sizes))

    @property
    def width(self) -> int:
        """Number of columns K."""
        return self.b.shape[1]

    def slopes(self) -> Any:
        """Room for the slopes ``c s (1 - s)`` of every column, (places, K), wherever the rows keep it."""
        return self.rows.room(self.width)

    def gradients(self, w: Array, columns: NDArray[np.int64], slopes: Single) -> tuple[Array, Array]:
        """``sum_i -y_i sigmoid(-sign(y_i) x_i.w) x_i + lam n w + b`` of these columns, in one pass.

        Args:
            w: (d, k) weights of the columns.
            columns: (k,) their numbers.
            slopes: (places, K), in which theirs are written.

        Returns:
            (d, k) gradients, and (k,) sums of the slopes.
        """
        local = np.full(self.width + 1, -1)  # the last is for rows that are +1 nowhere
        local[columns] = np.arange(len(columns))
        rowwise = (self.own, self.sizes, slopes)
        data, sums = self._summed(column_sums.GRADIENTS, rowwise, w, local, columns)
        return data + self.ridge * w + self.b[:, columns], sums

    def look(self, w: Array, slopes: Single) -> Array:
        """Write the slopes of all columns at ``w`` (d, K), in float32; the sum of each, (K,)."""
        every = np.arange(self.width)
        return np.asarray(
            self._summed(column_sums.LOOK, (self.sizes, slopes), w.astype(np.float32), every)[1]
        )

    def curved(self, slopes: Single, step: Array, columns: NDArray[np.int64]) -> Array:
        """``(X^T diag(slopes_k) X + lam n I) step_k`` of these columns, (d, k): in float32, and one pass."""
        sizes = np.linalg.norm(step, axis=0)
        unit = (step / np.where(sizes > 0, sizes, 1.0)).astype(np.float32)  # no square underflows

        return self._summed(column_sums.CURVED, (slopes,), unit, columns)[0] * sizes + self.ridge * step

    def removed(self, w: Array, index: NDArray[np.int64]) -> Array:
        """``sum over index of (c_i d/dw log(1 + exp(-s_i x_i.w_k)) + lam w_k)``, (d, K)."""
        found = (self.ridge * len(index) / max(1, self.rows.count)) * w
        for start in range(0, len(index), BLOCK_ROWS):
            part = index[start : start + BLOCK_ROWS]
            x = self.rows.part(part)
            y = np.where(self.own[part, None] == np.arange(self.width), 1.0, -1.0)
            share = -y * expit(-y * (x @ w))
            found += x.T @ (share if self.sizes is None else self.sizes[part, None] * share)
        return found

    @property
    def total(self) -> float:
        """What the rows that a pass goes through count together."""
        return self.rows.places if self.sizes is None else float(self.sizes[self.rows._walked].sum())

    def diagonals(self, slopes: Single) -> Array:
        """The diagonals of all Hessians, (d, K)."""
        return self._summed(column_sums.DIAGONALS, (slopes,), np.arange(self.width))[0] + self.ridge

    def solved(
        self,
        slopes: Single,
        at: NDArray[np.int64],
        rhs: Array,
        means: Array,
        basis: Basis,
        enough: Array,
        most: int,
    ) -> Array:
        """``H_k^{-1} rhs_k`` of the columns ``at``, (d, k), by ``conjugate_gradients`` with ``basis``.

        Args:
            slopes: Theirs among all, (places, K).
            at: (k,) their numbers.
            rhs: (d, k).
            means: (k,) their mean slopes.
            basis: What preconditions.
            enough: (k,) residual norms to reach.
            most: Products at most.
        """
        return conjugate_gradients(
            lambda p, own: self.curved(slopes, p, at[own]),
            lambda r, own: basis.nearby(r, means[own], self.ridge),
            rhs,
            enough,
            most,
        )

    def _summed(self, work: Pass, rowwise: tuple[Any, ...], *args: Any) -> tuple[Array, Any]:
        """The sums over all blocks of what ``work`` says of them; its last argument are the columns."""
        d, width = self.rows.dim, len(args[-1])
        parts = PARTS if d * width <= _PARTS_BELOW else 2
        # who has written the slopes of some rows is to have them again, whatever the number of columns
        joined = parts // 2 if d * self.width > _PARTS_BELOW else 1
        totals, others = self.rows.partial_sums(work, Cut("runs", parts, joined), rowwise, *args)
        first, *rest = totals
        for total in rest:
            first += total
        return first, sum(others[1:], others[0])


class _Own:
    """In which of several problems each row is +1, as long as it is asked about the same labels."""

    known: tuple[list[ref[Array]], tuple[NDArray[np.int64], bool]] | None = None

    @classmethod
    def of(cls, labels: Sequence[Array]) -> tuple[NDArray[np.int64], bool]:
        """(n,) the number of the problem in which a row is +1, -1 for none; whether each row counts 1.

        To read the labels of a thousand problems takes longer than a pass over rows on a device.
        """
        known = cls.known
        if known is not None and len(known[0]) == len(labels):
            same = [held() is y for held, y in zip(known[0], labels, strict=True)]
            if all(same):
                return known[1]
        own = np.full(len(labels[0]), -1)
        for k, y in enumerate(labels):
            own[y > 0] = k
        own.flags.writeable = False
        found = own, bool((np.abs(labels[0]) == 1).all())
        cls.known = [ref(y, cls.forget) for y in labels], found
        return found

    @classmethod
    def forget(cls, gone: Any) -> None:
        """Let go of what is known of labels that nobody has any more."""
        if cls.known is not None and gone in cls.known[0][:1]:
            cls.known = None


def groups(problems: Sequence[LogisticProblem]) -> list[slice]:
    """Runs of consecutive problems: those that one pass serves, or one alone.

    Together are iterative ones over the same dense rows, as many as ``MOST_SLOPES`` allows, and a device.
    """
    found, start = [], 0
    while start < len(problems):
        first, end = problems[start], start + 1
        if first.iterative and first.rows.together and len(first.rows):
            most = max(1, first.rows.together * MOST_SLOPES // max(1, first.rows.places))
            while end < min(len(problems), start + most) and problems[end].rows is first.rows:
                end += 1
        found.append(slice(start, end))
        start = end
    return found
