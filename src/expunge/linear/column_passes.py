"""Passes over dense rows that serve many weight vectors at once: products of blocks of rows with (d, K)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.linear import column_sums
from expunge.linear.cuts import PARTS, Cut
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.logistic import LogisticProblem
from expunge.linear.passes import Pass
from expunge.linear.rows import Rows

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
        ridge: lam n.
        b: (d, K).
    """

    rows: Rows
    own: NDArray[np.int64]
    ridge: float
    b: Array

    @classmethod
    def of(cls, problems: Sequence[LogisticProblem]) -> ColumnPasses:
        """Those of problems that ``groups`` has put together."""
        first = problems[0]
        assert isinstance(first.rows, Rows)
        own = np.full(len(first.rows), -1)
        for k, problem in enumerate(problems):
            own[problem.y > 0] = k
        return cls(first.rows, own, first.lam * first.n, np.stack([one.b for one in problems], axis=1))

    @property
    def width(self) -> int:
        """Number of columns K."""
        return self.b.shape[1]

    def slopes(self) -> Single:
        """Room for the slopes ``s (1 - s)`` of every column, (places, K)."""
        return self.rows.room(self.width)

    def gradients(self, w: Array, columns: NDArray[np.int64], slopes: Single) -> tuple[Array, Array]:
        """``sum_i -y_i sigmoid(-y_i x_i.w) x_i + lam n w + b`` of these columns, in one pass.

        Args:
            w: (d, k) weights of the columns.
            columns: (k,) their numbers.
            slopes: (places, K), in which theirs are written.

        Returns:
            (d, k) gradients, and (k,) sums of the slopes.
        """
        local = np.full(self.width + 1, -1)  # the last is for rows that are +1 nowhere
        local[columns] = np.arange(len(columns))
        data, sums = self._summed(column_sums.GRADIENTS, (self.own, slopes), w, local, columns)
        return data + self.ridge * w + self.b[:, columns], sums

    def look(self, w: Array, slopes: Single) -> Array:
        """Write the slopes of all columns at ``w`` (d, K), in float32; the sum of each, (K,)."""
        every = np.arange(self.width)
        return np.asarray(self._summed(column_sums.LOOK, (slopes,), w.astype(np.float32), every)[1])

    def curved(self, slopes: Single, step: Array, columns: NDArray[np.int64]) -> Array:
        """``(X^T diag(slopes_k) X + lam n I) step_k`` of these columns, (d, k): in float32, and one pass."""
        sizes = np.linalg.norm(step, axis=0)
        unit = (step / np.where(sizes > 0, sizes, 1.0)).astype(np.float32)  # no square underflows

        return self._summed(column_sums.CURVED, (slopes,), unit, columns)[0] * sizes + self.ridge * step

    def removed(self, w: Array, index: NDArray[np.int64]) -> Array:
        """``sum over index of (d/dw log(1 + exp(-y_i x_i.w_k)) + lam w_k)``, (d, K)."""
        found = (self.ridge * len(index) / max(1, self.rows.count)) * w
        for start in range(0, len(index), BLOCK_ROWS):
            part = index[start : start + BLOCK_ROWS]
            x = self.rows.part(part)
            y = np.where(self.own[part, None] == np.arange(self.width), 1.0, -1.0)
            found += x.T @ (-y * expit(-y * (x @ w)))
        return found

    def diagonals(self, slopes: Single) -> Array:
        """The diagonals of all Hessians, (d, K)."""
        return self._summed(column_sums.DIAGONALS, (slopes,), np.arange(self.width))[0] + self.ridge

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


def groups(problems: Sequence[LogisticProblem]) -> list[slice]:
    """Runs of consecutive problems: those that one pass serves, or one alone.

    Together are iterative ones over the same dense rows, as many as ``MOST_SLOPES`` allows.
    """
    found, start = [], 0
    while start < len(problems):
        first, end = problems[start], start + 1
        if first.iterative and isinstance(first.rows, Rows) and len(first.rows):
            most = max(1, MOST_SLOPES // max(1, first.rows.places))
            while end < min(len(problems), start + most) and problems[end].rows is first.rows:
                end += 1
        found.append(slice(start, end))
        start = end
    return found
