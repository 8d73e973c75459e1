"""Passes for many weight vectors at once over rows on a device: all of (rows, K) and (d, K) stays there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.core.errors import InvalidValue
from expunge.core.memory import in_words
from expunge.linear.column_passes import ColumnPasses
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.shared_solves import Basis

Columns = NDArray[np.int64]
_EXACT = (torch.uint8, torch.float16, torch.bfloat16)  # no number of theirs has more than 11 bits
_ELEVEN_BITS = -(2**13)  # of a float32: sign, exponent and the first 10 of 23 that follow


@dataclass(frozen=True)
class DeviceColumns(ColumnPasses):
    """``ColumnPasses`` whose ``rows`` are ``expunge.linear.device_rows.DeviceRows``."""

    rows: Any

    def slopes(self) -> Tensor:
        """Room for the slopes ``c s (1 - s)`` of every column, (places, K), on the device."""
        try:
            return torch.empty((self.rows.places, self.width), dtype=torch.float32, device=self.rows.device)
        except torch.OutOfMemoryError:
            need, free = 4 * self.rows.places * self.width, torch.cuda.mem_get_info(self.rows.device)[0]
            said = f"slopes of {self.width} classes take {in_words(need)}, and {in_words(free)} is free there"
            raise InvalidValue("device", self.rows.device.type, f"auto or cpu: {said}") from None

    def gradients(self, w: Array, columns: Columns, slopes: Any) -> tuple[Array, Array]:
        """``sum_i -y_i sigmoid(-sign(y_i) x_i.w) x_i + lam n w + b`` of these columns, in one pass.

        See ``ColumnPasses``.
        """
        at, along = self._at(columns), self._put(w)
        local = torch.full((self.width + 1,), -1, device=self.rows.device)  # the last: +1 nowhere
        local[self._put(columns)] = torch.arange(len(columns), device=self.rows.device)
        own = local[self._own]
        positive = torch.nonzero(own >= 0).flatten()
        parts = list(self.rows.blocks(len(columns)))
        bounds = torch.searchsorted(positive, self._put(np.array([part.start for part in parts]))).tolist()
        data = torch.zeros((self.rows.dim, len(columns)), dtype=torch.float64, device=self.rows.device)
        sums = data.new_zeros(len(columns))
        for part, lo, hi in zip(parts, bounds, [*bounds[1:], len(positive)], strict=True):
            x = self.rows.widened(part, torch.float64)
            share = x @ along
            there = positive[lo:hi]
            flat = (there - part.start) * len(columns) + own[there]
            known = share.view(-1)[flat]
            share.sigmoid_()  # of rows that are -1: sigmoid(-y x.w)
            slope = share.float()
            slope.addcmul_(slope, slope, value=-1.0)
            if self._counts is not None:
                slope.mul_(self._counts[part].float())
            if at is None:
                slopes[part] = slope
            else:
                slopes[part, at] = slope
            sums += slope.sum(dim=0, dtype=torch.float64)
            share.view(-1)[flat] = torch.sigmoid(known.neg_()).neg_()
            if self._counts is not None:
                share.mul_(self._counts[part])
            _add_blocks(data, x, share)
        return self._back(data) + self.ridge * w + self.b[:, columns], self._back(sums)

    def look(self, w: Array, slopes: Any) -> Array:
        """Write the slopes of all columns at ``w`` (d, K), in float32; the sum of each, (K,)."""
        sums = torch.zeros(self.width, dtype=torch.float64, device=slopes.device)
        with self._narrow() as narrow:
            along = narrow.put(self._put(w))
            for part in self.rows.blocks(self.width):
                x, factor = narrow.rows(part)
                share = narrow.joined(x @ along)
                share = (share if factor is None else share.mul_(factor)).sigmoid_()
                share.addcmul_(share, share, value=-1.0)
                if self._counts is not None:
                    share.mul_(self._counts[part].float())
                slopes[part] = share
                sums += share.sum(dim=0, dtype=torch.float64)
        return self._back(sums)

    def curved(self, slopes: Any, step: Array, columns: Columns) -> Array:
        """``(X^T diag(slopes_k) X + lam n I) step_k`` of these columns, (d, k): in float32, and one pass."""
        return self._back(self._curved(slopes, self._put(step), self._at(columns)))

    def removed(self, w: Array, index: Columns) -> Array:
        """``sum over index of (c_i d/dw log(1 + exp(-s_i x_i.w_k)) + lam w_k)``, (d, K)."""
        along, found = self._put(w), torch.zeros(w.shape, dtype=torch.float64, device=self.rows.device)
        every = torch.arange(self.width, device=self.rows.device)
        for start in range(0, len(index), BLOCK_ROWS):
            part = index[start : start + BLOCK_ROWS]
            x, own = self.rows.part_there(part), self.rows.held.of(self.own)[self._put(part)]
            y = torch.where(own[:, None] == every, 1.0, -1.0).double()
            share = torch.sigmoid((x @ along).mul_(-y)).mul_(-y)
            if self.sizes is not None:
                share.mul_(self.rows.held.of(self.sizes)[self._put(part)][:, None])
            found += x.T @ share
        return self._back(found) + (self.ridge * len(index) / max(1, self.rows.count)) * w

    def diagonals(self, slopes: Any) -> Array:
        """The diagonals of all Hessians, (d, K)."""
        data = torch.zeros((self.rows.dim, self.width), dtype=torch.float64, device=self.rows.device)
        for part in self.rows.blocks(self.width):
            data += self.rows.widened(part, torch.float32).square_().T @ slopes[part]
        return self._back(data) + self.ridge

    def solved(
        self,
        slopes: Any,
        at: Columns,
        rhs: Array,
        means: Array,
        basis: Basis,
        enough: Array,
        most: int,
    ) -> Array:
        """``H_k^{-1} rhs_k`` of the columns ``at``, (d, k), by conjugate gradients; see ``ColumnPasses``.

        They are those of ``expunge.linear.shared_solves``, step by step, on the device.
        """
        near = _Near(self, basis, self._put(means))
        found, r, limit = torch.zeros_like(self._put(rhs)), self._put(rhs), self._put(enough)
        own, columns = torch.arange(len(at), device=r.device), self._put(at)
        x, go = torch.zeros_like(r), torch.linalg.vector_norm(r, dim=0) > limit
        p = z = near(r, own)
        rz = (r * z).sum(dim=0)
        for _ in range(most):
            if not bool(go.all()):
                found[:, own] = x
                x, r, p, own, rz = x[:, go], r[:, go], p[:, go], own[go], rz[go]
            if not len(own):
                break
            whole = len(own) == self.width
            product = self._curved(slopes, p, None if whole else columns[own])
            curvature = (p * product).sum(dim=0)
            sound = (curvature > 0) & (rz > 0)  # else rounding is all there is
            alpha = torch.where(sound, rz / torch.where(sound, curvature, 1.0), 0.0)
            x, r = x.addcmul(alpha, p), r.addcmul(-alpha, product)
            go = sound & (torch.linalg.vector_norm(r, dim=0) > limit[own])
            z = near(r, own)
            before, rz = rz, (r * z).sum(dim=0)
            p = z + (rz / before) * p
        found[:, own] = x
        return self._back(found)

    def _curved(self, slopes: Tensor, step: Tensor, at: Tensor | None) -> Tensor:
        sizes = torch.linalg.vector_norm(step, dim=0)
        unit, data = step / torch.where(sizes > 0, sizes, 1.0), torch.zeros_like(step)  # no square underflows
        with self._narrow() as narrow:
            along = narrow.put(unit)
            for part in self.rows.blocks(self.width):
                x, factor = narrow.rows(part)
                moved = narrow.joined(x @ along)
                moved.mul_(slopes[part] if at is None else slopes[part, at])
                if factor is not None:
                    moved.mul_(factor).mul_(factor)
                data += narrow.joined(x.T @ narrow.put(moved))
        return data * sizes + self.ridge * step

    @contextmanager
    def _narrow(self) -> Iterator[_Narrow]:
        """How products in float32 are taken: while they are, torch may use the fastest that are right."""
        exact = self.rows.device.type == "cuda" and self.rows.raw.dtype in _EXACT and not self.rows.offset
        narrow, before = _Narrow(self.rows, exact), torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if exact else "highest")
        try:
            yield narrow
        finally:
            torch.set_float32_matmul_precision(before)

    @cached_property
    def _own(self) -> Tensor:
        """(places,) the column in which each row in use is +1."""
        return self.rows.chosen(self.rows.held.of(self.own), slice(0, self.rows.places))

    @cached_property
    def _counts(self) -> Tensor | None:
        """What each row in use counts, (places, 1); None: 1 each."""
        if self.sizes is None:
            return None
        found: Tensor = self.rows.chosen(self.rows.held.of(self.sizes), slice(0, self.rows.places))
        return found[:, None]

    def _at(self, columns: Columns) -> Tensor | None:
        return None if len(columns) == self.width else self._put(columns)

    def _put(self, array: NDArray[Any]) -> Tensor:
        found: Tensor = self.rows.held.copied(array)
        return found

    def _back(self, found: Tensor) -> Array:
        return found.cpu().numpy()


@dataclass(frozen=True)
class _Narrow:
    """Products of rows with matrices in float32, as exact as float32 is.

    Tensor cores multiply numbers of 11 bits eight times as fast as others. Stored numbers that are no longer
    (``exact``) are multiplied with the other side in two parts of as many, and with their norms afterwards.
    """

    of: Any
    exact: bool

    def rows(self, part: slice) -> tuple[Tensor, Tensor | None]:
        """The rows at these places, (m, d), and what they are still to be multiplied with, (m, 1)."""
        if not self.exact:
            return self.of.widened(part, torch.float32), None
        return self.of.chosen(self.of.raw, part).float(), self.of.chosen(self.of.factor, part).float()[
            :, None
        ]

    def put(self, other: Tensor) -> Tensor:
        """The other side of a product, (., k), in float32: where rows are exact as two parts, (., 2 k)."""
        other = other.float()
        if not self.exact:
            return other
        high = (other.view(torch.int32) & _ELEVEN_BITS).view(torch.float32)
        return torch.cat([high, other - high], dim=1)

    def joined(self, product: Tensor) -> Tensor:
        """The product, (., k)."""
        k = product.shape[1] // 2
        return product[:, :k] + product[:, k:] if self.exact else product


class _Near:
    """``Basis.nearby`` on the device."""

    def __init__(self, passes: DeviceColumns, basis: Basis, means: Tensor) -> None:
        held = passes.rows.held
        self._vectors = None if basis.vectors is None else held.of(basis.vectors)
        self._values, self._means, self._ridge = held.of(basis.values), means, passes.ridge

    def __call__(self, rhs: Tensor, own: Tensor) -> Tensor:
        weights = self._values[:, None] * self._means[own] + self._ridge
        if self._vectors is None:
            return rhs / weights
        return self._vectors @ ((self._vectors.T @ rhs) / weights)


def _add_blocks(total: Tensor, x: Tensor, share: Tensor) -> None:
    """Add ``x^T share`` with a partial sum for every ``BLOCK_ROWS`` rows: what rounding is charged for."""
    whole = len(x) // BLOCK_ROWS * BLOCK_ROWS
    if whole:
        parts = x[:whole].view(-1, BLOCK_ROWS, x.shape[1]).transpose(1, 2)
        total += torch.bmm(parts, share[:whole].view(-1, BLOCK_ROWS, share.shape[1])).sum(dim=0)
    if whole < len(x):
        total += x[whole:].T @ share[whole:]
