"""The passes over dense rows: what each makes of some units of a cut, whoever has the rows of those.

A pass knows rows, units, and what it is given: nothing of who else sums, and nothing of how sums are joined.
So it runs the same on the one table of a process and on the share of a table that a process has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.linear import kernels
from expunge.linear.cuts import Edges
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.parallel import for_each

_GRAM_BLOCK = 2048  # rows widened at a time
PASSES: list[Pass] = []
"""All of them: a number here is what processes call one."""


class Dense(Protocol):
    """What passes know of rows: they are ``expunge.linear.rows.Rows``."""

    @property
    def raw(self) -> NDArray[Any]:
        """(n, d)."""

    @property
    def scale(self) -> Array:
        """(n,)."""

    @property
    def offset(self) -> float:
        """Subtracted from every entry."""

    @property
    def dim(self) -> int:
        """Features d."""

    @property
    def _walked(self) -> NDArray[np.int64]: ...

    def weighted_blocks(self, weights: Array | None, part: range, dtype: Any) -> Iterator[NDArray[Any]]:
        """``weights_i x_i`` by blocks of places."""


@dataclass(frozen=True)
class Pass:
    """One pass.

    Attributes:
        name: What it is called.
        run: ``run(rows, edges, *rowwise, *args)`` returns its outputs, (units, ...) each.
        number: Where it is in ``PASSES``.
    """

    name: str
    run: Callable[..., list[Any]]
    number: int


def one(name: str) -> Callable[[Callable[..., list[Any]]], Pass]:
    """Make a pass of a function."""

    def made(run: Callable[..., list[Any]]) -> Pass:
        PASSES.append(Pass(name, run, len(PASSES)))
        return PASSES[-1]

    return made


def read_by(rows: Dense, edges: Edges) -> int:
    """How many numbers these units have."""
    return sum(int(unit[-1] - unit[0]) for unit in edges) * rows.dim


def _stored(rows: Dense) -> tuple[Any, ...]:
    return kernels.bits_of(rows.raw), rows._walked, rows.scale, rows.offset


@one("scores")
def SCORES(rows: Dense, edges: Edges, out: Array, w: Array) -> list[Any]:
    """Write ``x_i.w`` to ``out`` (n,)."""
    stored = _stored(rows)
    for_each(lambda k: kernels.score_block(*stored, w, *edges[k], out), len(edges), read_by(rows, edges))
    return []


@one("slopes")
def SLOPES(rows: Dense, edges: Edges, out: Array, y: Array, w: Array) -> list[Any]:
    """Write ``|y_i| s_i (1 - s_i)`` with s_i = sigmoid(x_i.w) to ``out`` (n,)."""
    stored = _stored(rows)

    def work(k: int) -> None:
        lo, hi = edges[k]
        kernels.score_block(*stored, w, lo, hi, out)
        own = rows._walked[lo:hi]
        out[own] = slopes_at(out[own], y[own])

    for_each(work, len(edges), read_by(rows, edges))
    return []


def slopes_at(scores: Array, y: Array) -> Array:
    """``|y| s (1 - s)`` of these scores, s being their sigmoid."""
    return np.asarray(np.abs(y) * (expit(scores) * expit(-scores)))


@one("gradient")
def GRADIENT(rows: Dense, edges: Edges, y: Array, w: Array) -> list[Any]:
    """``sum_i d/dw log(1 + exp(-y_i x_i.w))``, (units, d)."""
    stored, out = _stored(rows), np.zeros((len(edges), rows.dim))
    for_each(
        lambda k: kernels.gradient_block(*stored, y, w, *edges[k], out[k]), len(edges), read_by(rows, edges)
    )
    return [out]


@one("curved")
def CURVED(rows: Dense, edges: Edges, slopes: Array, step: Array) -> list[Any]:
    """``sum_i slopes_i (x_i.step) x_i``, (units, d), and sums of powers of ``x_i.step``, (units, 2)."""
    stored, out, sums = _stored(rows), np.zeros((len(edges), rows.dim)), np.zeros((len(edges), 2))

    def work(k: int) -> None:
        kernels.curvature_block(*stored, slopes, step, *edges[k], out[k], sums[k])

    for_each(work, len(edges), read_by(rows, edges))
    return [out, sums]


@one("squares")
def SQUARES(rows: Dense, edges: Edges, slopes: Array) -> list[Any]:
    """``sum_i slopes_i x_ij^2``, (units, d)."""
    return _summed(rows, edges, np.sqrt(slopes), lambda block: np.einsum("ij,ij->j", block, block))


@one("absolute")
def ABSOLUTE(rows: Dense, edges: Edges, v: Array) -> list[Any]:
    """``|X|^T |X| v`` of the entries' sizes, (units, d)."""
    return _summed(rows, edges, None, lambda block: (np.abs(block) @ v) @ np.abs(block))


def _summed(rows: Dense, edges: Edges, weights: Array | None, of: Callable[[Array], Array]) -> list[Any]:
    sums = np.zeros((len(edges), rows.dim))

    def add_up(k: int) -> None:
        part = range(int(edges[k][0]), int(edges[k][-1]), BLOCK_ROWS)
        for block in rows.weighted_blocks(weights, part, np.float64):
            sums[k] += of(block)

    for_each(add_up, len(edges), read_by(rows, edges))
    return [sums]


@one("gram")
def GRAM(rows: Dense, edges: Edges, weights: Array | None, single: int) -> list[Any]:
    """``X^T diag(weights) X``, (units, d, d), in float32 if ``single``."""
    dtype: Any = np.float32 if single else np.float64
    roots = None if weights is None else np.sqrt(weights)
    sums = np.zeros((len(edges), rows.dim, rows.dim), dtype=dtype)

    def add_up(k: int) -> None:
        part = range(int(edges[k][0]), int(edges[k][-1]), _GRAM_BLOCK)
        for block in rows.weighted_blocks(roots, part, dtype):
            # NumPy knows this product as symmetric (half the work) and lets other threads run meanwhile.
            sums[k] += block.T @ block

    for_each(add_up, len(edges), read_by(rows, edges))
    return [sums]


@one("anchored")
def ANCHORED(rows: Dense, edges: Edges, y: Array, w: Array) -> list[Any]:
    """Sums of second derivatives, and of the sizes of third ones, times ``x_i x_i^T``, (units, 2, d, d).

    Each row counts ``|y_i|``.
    """
    sums, sizes = np.zeros((len(edges), 2, rows.dim, rows.dim)), np.abs(y)

    def add_up(k: int) -> None:
        part = range(int(edges[k][0]), int(edges[k][-1]), BLOCK_ROWS)
        for block, own in sized_blocks(rows, sizes, part):
            for into, weights in zip(sums[k], derivatives(block @ w, own), strict=True):
                weighted = np.sqrt(weights)[:, None] * block
                into += weighted.T @ weighted

    for_each(add_up, len(edges), read_by(rows, edges))
    return [sums]


def sized_blocks(rows: Any, sizes: Array, part: range) -> Iterator[tuple[Array, Array]]:
    """The rows at these places, a block at a time, and what each of them counts."""
    for lo, block in zip(part, rows.weighted_blocks(None, part, np.float64), strict=True):
        yield block, sizes[rows._walked[lo : lo + len(block)]]


def derivatives(scores: Array, sizes: Array) -> tuple[Array, Array]:
    """The second derivatives of the loss at these scores, times ``sizes``, and the size of the third ones."""
    slopes = expit(scores) * expit(-scores) * sizes
    return slopes, slopes * np.abs(np.tanh(scores / 2))
