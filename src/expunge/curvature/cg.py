"""Conjugate gradients for a curvature that is known only by its products."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from expunge.core.checks import require_count, require_positive
from expunge.curvature.solve_error import SolveError

Product = Callable[[Tensor], Tensor]
"""``product(v) -> A v`` of a symmetric matrix A; both (size,) float64 on the CPU."""

_LEAST, _MOST = 100, 2000  # bounds of the default number of iterations: each is a walk through the examples


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved system: x, (size,) float64, and ||rhs - (A + shift I) x||_2 measured there.

    ``iterations`` cost one product each, and one more for each time the residual is measured.
    """

    x: Tensor
    residual_norm: float
    iterations: int


def conjugate_gradient(
    product: Product, rhs: Tensor, shift: float, tol: float = 1e-8, max_iter: int | None = None
) -> Solution:
    """Solve (A + shift I) x = rhs by conjugate gradients, from x = 0.

    The residual that the iteration carries along drifts from the true one where products are rounded (a
    float32 network). So the true one is measured before it is believed; where it is still too large the
    iteration starts again from there, as long as that helps.

    A is symmetric, A + shift I must be positive definite; ``rhs`` is (size,). ``tol`` bounds the measured
    residual's norm relative to that of ``rhs``; a network in float32 reaches about 1e-7 ||A|| / shift.
    ``max_iter`` None: 2 size, but at least 100 and at most 2000.

    Raises:
        SolveError: Curvature along a step is not positive, a number is not finite, or ``tol`` is not reached.
        InvalidValue: ``tol`` or ``max_iter`` is not positive.

    Source: Hestenes and Stiefel 1952.
    """
    rhs = rhs.double()
    limit = min(max(_LEAST, 2 * len(rhs)), _MOST) if max_iter is None else require_count("max_iter", max_iter)
    size = float(torch.linalg.vector_norm(rhs))
    target = require_positive("tol", tol) * size
    x, residual, taken, measured = torch.zeros_like(rhs), rhs, 0, math.inf
    while True:
        left = float(torch.linalg.vector_norm(residual))
        if not math.isfinite(left):
            raise SolveError("the curvature or the right side holds numbers that are not finite")
        if left <= target:
            return Solution(x, left, taken)
        if left > measured / 2:
            raise SolveError(
                f"conjugate gradients stay at a relative residual of {left / size:.1e}, above {tol:.1e}: "
                "the products are rounded too coarsely for this tolerance"
            )
        measured, direction, squared = left, residual, float(residual @ residual)
        while math.sqrt(squared) > target:
            if taken >= limit:
                found = math.sqrt(squared) / size
                raise SolveError(
                    f"conjugate gradients did not converge in {limit} steps: relative residual {found:.1e}"
                )
            taken += 1
            image = product(direction) + shift * direction
            curvature = float(direction @ image)
            if not math.isfinite(curvature):
                raise SolveError("the curvature or the right side holds numbers that are not finite")
            if curvature <= 0:
                relative = curvature / float(direction @ direction)
                raise SolveError(
                    f"the curvature plus {shift:g} is not positive definite: {relative:.3g} along step "
                    f"{taken} of conjugate gradients"
                )
            length = squared / curvature
            x, residual = x + length * direction, residual - length * image
            before, squared = squared, float(residual @ residual)
            direction = residual + squared / before * direction
        residual = rhs - product(x) - shift * x
