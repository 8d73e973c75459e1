"""Passes over dense rows that serve many weight vectors at once: products of blocks of rows with (d, K)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from weakref import ref

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.linear.given import BLOCK_ROWS, Array, spans
from expunge.linear.logistic import LogisticProblem
from expunge.linear.operations import DenseRows
from expunge.linear.parallel import for_each, one_blas_thread
from expunge.linear.shared_solves import Basis, conjugate_gradients

Single = NDArray[np.float32]

MOST_SLOPES = 2**27
"""Curvatures of the loss that are kept at one time, in float32 (512 MiB): rows times columns."""
_PARTS = 4  # partial sums, whatever the number of threads
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

    rows: DenseRows
    own: NDArray[np.int64]
    ridge: float
    b: Array

    @classmethod
    def of(cls, problems: Sequence[LogisticProblem]) -> ColumnPasses:
        """Those of problems that ``groups`` has put together."""
        first = problems[0]
        assert isinstance(first.rows, DenseRows)
        own = _Own.of([problem.y for problem in problems])
        b = np.stack([one.b for one in problems], axis=1)
        return cast("ColumnPasses", first.rows.columns(own, first.lam * first.n, b))

    @property
    def width(self) -> int:
        """Number of columns K."""
        return self.b.shape[1]

    def slopes(self) -> Any:
        """Room for the slopes ``s (1 - s)`` of every column, (places, K)."""
        return np.empty((self.rows.places, self.width), dtype=np.float32)

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
        own, every = local[self.own], len(columns) == self.width

        def term(x: Array, lo: int, hi: int) -> tuple[Array, Array]:
            share = x @ w
            np.negative(share, out=share)
            positive = own[self.rows._walked[lo:hi]]
            at = np.flatnonzero(positive >= 0), positive[positive >= 0]
            share[at] *= -1
            with np.errstate(over="ignore"):  # e^800 is infinite, and a share of 0 is right then
                np.exp(share, out=share)
            share += 1.0
            np.reciprocal(share, out=share)  # sigmoid(-y x.w)
            slope = (share - share * share).astype(np.float32)
            if every:
                slopes[lo:hi] = slope
            else:
                slopes[lo:hi, columns] = slope
            share[at] *= -1
            return x.T @ share, slope.sum(axis=0, dtype=np.float64)

        data, sums = self._summed(term, len(columns), np.float64)
        return data + self.ridge * w + self.b[:, columns], sums

    def look(self, w: Array, slopes: Single) -> Array:
        """Write the slopes of all columns at ``w`` (d, K), in float32; the sum of each, (K,)."""
        narrow = w.astype(np.float32)

        def term(x: Single, lo: int, hi: int) -> tuple[float, Array]:
            share = expit(x @ narrow)
            slopes[lo:hi] = share - share * share
            return 0.0, slopes[lo:hi].sum(axis=0, dtype=np.float64)

        return np.asarray(self._summed(term, self.width, np.float32)[1])

    def curved(self, slopes: Single, step: Array, columns: NDArray[np.int64]) -> Array:
        """``(X^T diag(slopes_k) X + lam n I) step_k`` of these columns, (d, k): in float32, and one pass."""
        sizes = np.linalg.norm(step, axis=0)
        unit = (step / np.where(sizes > 0, sizes, 1.0)).astype(np.float32)  # no square underflows

        def term(x: Single, lo: int, hi: int) -> tuple[Any, float]:
            moved = x @ unit
            moved *= self._of(slopes, lo, hi, columns)
            return x.T @ moved, 0.0

        return self._summed(term, len(columns), np.float32)[0] * sizes + self.ridge * step

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
        every = np.arange(self.width)

        def term(x: Single, lo: int, hi: int) -> tuple[Any, float]:
            return np.square(x).T @ self._of(slopes, lo, hi, every), 0.0

        return self._summed(term, self.width, np.float32)[0] + self.ridge

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

    def _of(self, slopes: Single, lo: int, hi: int, columns: NDArray[np.int64]) -> Single:
        block = slopes[lo:hi]
        return block if len(columns) == self.width else block[:, columns]

    def _summed(
        self, term: Callable[[Any, int, int], tuple[Any, Any]], width: int, dtype: Any
    ) -> tuple[Array, Any]:
        """The sums over all blocks of what ``term(x, lo, hi)`` says of the rows at the places lo..hi."""
        d, blocks = self.rows.dim, spans(self.rows.places)
        parts = _PARTS if d * width <= _PARTS_BELOW else 2
        totals: list[Any] = [0.0] * parts
        others: list[Any] = [0.0] * parts

        def add_up(p: int) -> None:
            total = np.zeros((d, width))
            for lo, hi in blocks[len(blocks) * p // parts : len(blocks) * (p + 1) // parts]:
                (x,) = self.rows.weighted_blocks(None, range(lo, hi, max(1, hi - lo)), dtype) or (None,)
                data, other = term(x, lo, hi)
                total += data
                others[p] = others[p] + other
            totals[p] = total

        with one_blas_thread():
            for_each(add_up, parts, self.rows.places * d)
        first, *rest = totals
        for total in rest:
            first += total
        return first, sum(others[1:], others[0])


class _Own:
    """In which of several problems each row is +1, as long as it is asked about the same labels."""

    known: tuple[list[ref[Array]], NDArray[np.int64]] | None = None

    @classmethod
    def of(cls, labels: Sequence[Array]) -> NDArray[np.int64]:
        """(n,) the number of the problem in which a row is +1, -1 for none.

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
        cls.known = [ref(y, cls.forget) for y in labels], own
        return own

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
