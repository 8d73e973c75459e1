"""Feature rows with ||x_i||_2 <= 1 on a device of torch: they stay there, in the type they are stored in.

The passes are those of ``expunge.linear.rows``, and are charged the same: every sum is float64, over blocks
of ``BLOCK_ROWS`` rows that are added up, and which rows are in a block depends on nothing but n. How many
blocks are widened at a time is fixed for each kind of device, whatever memory is free. The same call gives
the same bits on the same device; another device may have other last bits, within the bound.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.linear.device_columns import DeviceColumns
from expunge.linear.device_table import NUMBERS, DeviceTable
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.resident import Resident

log = logging.getLogger(__name__)

_TYPES = {np.float32: torch.float32, np.float64: torch.float64}


class DeviceRows(DeviceTable):
    """The passes over a table on a device; with Triton those of one weight vector read each row once."""

    def rehearse(self) -> None:
        """Run every pass once, on a single row: kernels are compiled, libraries are loaded."""
        factor, held = self.factor.new_ones(1), Resident(self.device)
        one = replace(self, raw=self.raw[:1], factor=factor, index=None, held=held)
        w = np.zeros(self.dim)
        one.gradient(np.ones(1), w)
        one.curved(one.slopes(np.ones(1), w), w)
        for kind in (np.float32, np.float64):
            one.weighted_gram(None, kind)

    # -- passes over the rows in use --------------------------------------------------------------------

    def scores(self, w: Array) -> Array:
        """``x_i.w`` for every row, (n,); zero for removed rows and those not in use."""
        return self._scores(w).cpu().numpy()

    def slopes(self, y: Array, w: Array) -> Tensor:
        """``|y_i| s_i (1 - s_i)`` with ``s_i = sigmoid(x_i.w)``, (n,), on the device."""
        scores = self._scores(w)
        return torch.sigmoid(scores).mul_(torch.sigmoid(scores.neg_())).mul_(self._of(y).abs())

    def gradient(self, y: Array, w: Array) -> Array:
        """``sum_i d/dw log(1 + exp(-y_i x_i.w))``, (d,); y (n,) are -1 or +1, or times weights up to 1."""
        labels, along = self._of(y), self.held.copied(w)
        if kernels := self._kernels():
            found, _ = kernels.walk(kernels.GRADIENT, *self._walk, labels, along, self.offset)
            return found.cpu().numpy()

        def of(x: Tensor, part: slice) -> Tensor:
            own = self.chosen(labels, part)
            return torch.sigmoid(torch.sign(own).neg_() * (x @ along)).mul_(own).neg_()

        return self._summed(lambda x, part: _in_blocks(x, of(x, part)), torch.float64).cpu().numpy()

    def curved(self, slopes: Any, step: Array) -> tuple[Array, Array]:
        """``sum_i slopes_i (x_i.step) x_i``, (d,), and the sums of the 2nd and 4th powers of ``x_i.step``."""
        weights, along = self._of(slopes), self.held.copied(step)
        if kernels := self._kernels():
            found, powers = kernels.walk(kernels.CURVED, *self._walk, weights, along, self.offset)
            return found.cpu().numpy(), powers.cpu().numpy()
        powers = self.factor.new_zeros(2)

        def of(x: Tensor, part: slice) -> Tensor:
            moved = x @ along
            squares = moved.square()
            powers[0] += squares.sum()
            powers[1] += squares.square().sum()
            return moved.mul_(self.chosen(weights, part))

        found = self._summed(lambda x, part: _in_blocks(x, of(x, part)), torch.float64)
        return found.cpu().numpy(), powers.cpu().numpy()

    def squares(self, slopes: Any) -> Array:
        """``sum_i slopes_i x_ij^2``, (d,): the diagonal of ``X^T diag(slopes) X``."""
        weights = self._of(slopes)
        found = self._summed(lambda x, part: self.chosen(weights, part) @ x.square_(), torch.float64)
        return found.cpu().numpy()

    def weighted_gram(self, weights: Any = None, dtype: Any = np.float64) -> NDArray[Any]:
        """``X^T diag(weights) X``, (d, d) symmetric in ``dtype``; weights (n,) >= 0, None for all ones."""
        return self._gram_there(weights, _TYPES[np.dtype(dtype).type]).cpu().numpy()

    def absolute(self, v: Array) -> Array:
        """``|X|^T |X| v``, (d,), of the entries' sizes, for v >= 0: every term of the sum is >= 0."""
        along = self.held.copied(v)

        def of(x: Tensor, part: slice) -> Tensor:
            sizes = x.abs_()
            return (sizes @ along) @ sizes

        return self._summed(of, torch.float64).cpu().numpy()

    def spectrum(self, sizes: Array | None = None) -> tuple[Array, Array]:
        """Eigenvalues (d,) and eigenvectors (d, d) of ``X^T diag(sizes) X``, which is summed in float32."""
        values, vectors = torch.linalg.eigh(self._gram_there(sizes, torch.float32).double())
        return values.cpu().numpy(), vectors.contiguous().cpu().numpy()

    def columns(
        self, own: NDArray[np.int64], ridge: float, b: Array, sizes: Array | None = None
    ) -> DeviceColumns:
        """The passes for many columns over these rows."""
        return DeviceColumns(self, own, ridge, b, sizes)

    def weighted_blocks(self, weights: Array | None, part: range, dtype: Any) -> Iterator[NDArray[Any]]:
        """Yield ``weights_i x_i`` in ``dtype`` by blocks of the rows at the places ``part``, in memory."""
        factors = None if weights is None else self._of(weights)
        for lo in part:
            here = slice(lo, min(lo + part.step, part.stop))
            block = self.widened(here, torch.float64)
            if factors is not None:
                block.mul_(self.chosen(factors, here)[:, None])
            yield block.to(_TYPES[np.dtype(dtype).type]).cpu().numpy()

    def times(self, w: Array, rows: NDArray[np.int64] | None = None) -> Array:
        """``x_i.w_k`` of some rows (None: all of them) and several weight vectors ``w`` (d, K), (m, K)."""
        chosen, along = np.arange(len(self)) if rows is None else rows, self.held.copied(w)
        step = max(1, NUMBERS[self.device.type] // self.dim)
        parts = [chosen[lo : lo + step] for lo in range(0, len(chosen), step)]
        scores = [(self.part_there(part) @ along).cpu().numpy() for part in parts]
        return np.concatenate([np.empty((0, w.shape[1])), *scores])

    # -- how it is done ---------------------------------------------------------------------------------

    @property
    def _walk(self) -> tuple[Tensor, Tensor | None, Tensor]:
        return self.raw, self.at, self.factor

    def _of(self, values: Any) -> Tensor:
        return values if isinstance(values, Tensor) else self.held.of(values)

    def _kernels(self) -> Any:
        """The module that has the passes as one kernel, where it works; else None."""
        kernels = compiled(self.device)
        return kernels if kernels is not None and self.dim <= kernels.WIDEST else None

    def _scores(self, w: Array) -> Tensor:
        along = self.held.copied(w)
        if kernels := self._kernels():
            return kernels.walk(kernels.SCORES, *self._walk, None, along, self.offset)[0]
        out = self.factor.new_zeros(len(self))
        for part in self.blocks():
            where = part if self.at is None else self.at[part]
            out[where] = self.widened(part, torch.float64) @ along
        return out

    def _gram_there(self, weights: Any, dtype: torch.dtype) -> Tensor:
        roots = None if weights is None else self._of(weights).sqrt()

        def of(x: Tensor, part: slice) -> Tensor:
            if roots is not None:
                x.mul_(self.chosen(roots, part)[:, None])
            return x.T @ x

        return self._summed(of, dtype, (self.dim, self.dim))

    def _summed(
        self, of: Callable[[Tensor, slice], Tensor], dtype: torch.dtype, shape: tuple[int, ...] | None = None
    ) -> Tensor:
        """The sum of ``of`` (d,) of the widened rows, some blocks at a time, in order."""
        total = torch.zeros(shape or (self.dim,), dtype=dtype, device=self.device)
        for part in self.blocks():
            total += of(self.widened(part, dtype), part)
        return total


def _in_blocks(x: Tensor, weights: Tensor) -> Tensor:
    """``weights @ x`` with a partial sum for every ``BLOCK_ROWS`` rows: what rounding is charged for."""
    whole = len(x) // BLOCK_ROWS * BLOCK_ROWS
    d = x.shape[1]
    parts = torch.bmm(weights[:whole].view(-1, 1, BLOCK_ROWS), x[:whole].view(-1, BLOCK_ROWS, d))
    found = parts.sum(dim=(0, 1))
    return found + weights[whole:] @ x[whole:] if whole < len(x) else found


@lru_cache(maxsize=4)
def compiled(device: torch.device) -> Any:
    """The module of kernels for this device, where they are to be had and run; None: plain torch serves."""
    if device.type != "cuda":
        return None
    try:
        from expunge.linear import device_kernels

        if device_kernels.triton is None:
            return None
        one = torch.ones((1, 1), dtype=torch.float64, device=device)
        found, _ = device_kernels.walk(0, one, None, one[0], one[0], one[0], 0.0)
        found.cpu()
    except Exception as error:  # no Triton, or no compiler for what it writes
        log.info("rows on %s: no kernel of Triton (%s); plain torch does the same", device, error)
        return None
    return device_kernels
