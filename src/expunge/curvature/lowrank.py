"""Curvatures of low rank, solved by Woodbury's identity without a |S| x |S| matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from expunge.curvature.solve_error import SolveError


@dataclass(frozen=True, eq=False)
class LowRank:
    """H = sum_k weights_k v_k v_k^T.

    The v_k, rows of ``vectors`` (r, size) float64, need not be independent; ``weights`` (r,) float64 may have
    any sign, or be zero.
    """

    vectors: Tensor
    weights: Tensor

    def __post_init__(self) -> None:
        if self.vectors.dim() != 2 or self.weights.shape != self.vectors.shape[:1]:
            got = f"{tuple(self.vectors.shape)} and {tuple(self.weights.shape)}"
            raise ValueError(f"vectors and weights must be (r, size) and (r,), got {got}")

    def __call__(self, vector: Tensor) -> Tensor:
        """Return H ``vector``, (size,)."""
        return self.vectors.mT @ (self.weights * (self.vectors @ vector))

    def solve(self, rhs: Tensor, shift: float) -> Tensor:
        """Return (H + shift I)^{-1} ``rhs`` in O(r^2 size).

        With the v_k scaled to length 1 (rows of U, Gram matrix G = U U^T), sigma_k the sign of
        weights_k / shift and t_k = |v_k| sqrt(|weights_k / shift|), Woodbury's identity reads

            shift x = rhs - U^T A (sigma E^2 + A G A)^{-1} A U rhs
            A = diag(t / sqrt(1 + t^2)),   E = diag(1 / sqrt(1 + t^2))

        so that no entry of the core passes 1, however large or small vectors and weights are. ``rhs`` is
        (size,) float64, ``shift`` any number but zero (``l2`` > 0 in the scrub).

        Raises:
            SolveError: H + shift I is singular to working precision, or a number is not finite.
        """
        if not shift:
            raise SolveError("a curvature of low rank cannot be solved with shift 0")
        longest = self.vectors.abs().amax(dim=1, keepdim=True)  # first, so that no square overflows
        units = self.vectors / torch.where(longest > 0, longest, 1.0)
        lengths = torch.linalg.vector_norm(units, dim=1, keepdim=True)
        units = units / torch.where(lengths > 0, lengths, 1.0)
        size = (longest * lengths).squeeze(1) * self.weights.abs().sqrt()
        root = torch.tensor(abs(shift), dtype=torch.float64).sqrt()
        whole = torch.hypot(size, root)
        a, e = size / whole, root / whole
        sign = torch.where((self.weights < 0) == (shift < 0), 1.0, -1.0).double()
        core = torch.outer(a, a) * (units @ units.mT) + torch.diag(sign * e.square())
        x = (rhs - units.mT @ (a * _solve_core(core, a * (units @ rhs), sign * e.square()))) / shift
        if not torch.isfinite(x).all():
            raise SolveError("the curvature or the right side holds numbers that are not finite")
        return x


def outer(gradient: Tensor) -> LowRank:
    """Return g g^T for a gradient of (size,): the ``fisher`` curvature."""
    return LowRank(gradient.double()[None], torch.ones(1, dtype=torch.float64))


def secant(gradient_change: Tensor, weight_change: Tensor) -> LowRank:
    """Return dg dg^T / ||dw||_1, the ``fd`` curvature as published: a heuristic without an error bound.

    dg and dw, (size,), are the changes of gradient and weights between the same two states.

    Raises:
        SolveError: dw is zero.

    Source: Mehta, Pal, Singh and Ravi, CVPR 2022, section 4.
    """
    length = float(weight_change.double().abs().sum())
    if not length:
        raise SolveError("finite differences need weights that changed; those of the selected units did not")
    return LowRank(gradient_change.double()[None], torch.tensor([1 / length], dtype=torch.float64))


def combine(n: int, whole: LowRank, m: int, part: LowRank) -> LowRank:
    """Return (n ``whole`` - m ``part``) / (n - m): a mean over n rows becomes that over all but m of them.

    Raises:
        ValueError: m is not below n.
    """
    if not 0 <= m < n:
        raise ValueError(f"got n = {n} and m = {m}, allowed: 0 <= m < n")
    weights = torch.cat([n * whole.weights, -m * part.weights]) / (n - m)
    return LowRank(torch.cat([whole.vectors, part.vectors]), weights)


def _solve_core(core: Tensor, rhs: Tensor, diagonal: Tensor) -> Tensor:
    """Solve with a symmetric core; ``diagonal`` is its part that does not come from the vectors.

    A vanishing eigenvalue is harmless where the vectors have no part in its direction p (they are dependent,
    and p is dropped: U^T A p = 0); otherwise H + shift I itself is singular.
    """
    if not torch.isfinite(core).all():
        raise SolveError("the curvature holds numbers that are not finite")
    values, directions = torch.linalg.eigh(core)
    tiny = 8 * len(core) * torch.finfo(core.dtype).eps
    null = values.abs() <= tiny
    from_vectors = values - (directions.square() * diagonal[:, None]).sum(dim=0)
    if (null & (from_vectors.abs() > tiny)).any():
        raise SolveError("the curvature plus the shift is singular to working precision")
    return directions @ (torch.where(null, 0.0, directions.mT @ rhs) / torch.where(null, 1.0, values))
