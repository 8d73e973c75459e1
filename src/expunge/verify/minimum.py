"""Exact retraining by other code than the program's: Newton's method from the rows that stay alone.

A Hessian serves for as many steps as each shortens the gradient to a quarter at least; a step that does not
shorten it is halved. The last gradient is measured with the longest mantissa there is, and says, by strong
convexity, how far the true minimiser can be from what was found.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.verify.gradient import Gradient, Loss, Solve

_STEPS, _HALVINGS = 200, 40
_GOOD = 0.25  # of a gradient's norm at most is left by a step with a Hessian that is to be kept


@dataclass(frozen=True)
class Minimum:
    """As w* (d, K) was found, how far the true one may be from it (Frobenius norm), the gradient there."""

    w: NDArray[np.float64]
    off: float
    gradient: Gradient


def minimum(loss: Loss, start: NDArray[np.float64]) -> Minimum:
    """The minimisers of the K losses; Newton's method begins at ``start`` or at zero, whichever is nearer."""
    w, gradient = _begin(loss, start)
    hessians: dict[int, Solve] = {}
    given_up: set[int] = set()
    for _ in range(_STEPS):
        which = [k for k in range(w.shape[1]) if k not in given_up and _is_long(loss, w, gradient, k)]
        if not which:
            break
        fresh = [k for k in which if k not in hessians]
        hessians |= loss.solvers(w, fresh) if fresh else {}
        w, gradient, shares = _stepped(loss, w, gradient, hessians, which)
        for k in (k for k in which if shares[k] > _GOOD):
            given_up |= {k} if k in fresh and shares[k] == 1 else set()
            del hessians[k]
    measured = loss.gradient(w)
    return Minimum(w, measured.distance(loss.lam, loss.columns.counts), measured)


def _begin(loss: Loss, start: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    at_zero, at_start = loss.quick(np.zeros_like(start)), loss.quick(start)
    nearer = np.linalg.norm(at_start, axis=0) < np.linalg.norm(at_zero, axis=0)
    return np.where(nearer, start, 0.0), np.where(nearer, at_start, at_zero)


def _is_long(loss: Loss, w: NDArray[np.float64], gradient: NDArray[np.float64], k: int) -> bool:
    """Whether a column's gradient is longer than the roundings of float64 that there are in any case."""
    usual = 2.0**-52 * loss.columns.counts[k] * (1 + float(np.linalg.norm(w[:, k])) / 4)
    return float(np.linalg.norm(gradient[:, k])) > usual


def _stepped(
    loss: Loss,
    w: NDArray[np.float64],
    gradient: NDArray[np.float64],
    hessians: dict[int, Solve],
    which: list[int],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A step of these columns; what is left of each gradient's norm comes third."""
    step = np.zeros_like(w)
    for k in which:
        with suppress(np.linalg.LinAlgError):  # no step then, and the bound says how far off this is
            step[:, k] = hessians[k](gradient[:, k])
    norms = np.linalg.norm(gradient, axis=0)
    for _ in range(_HALVINGS):
        tried = w - step
        after = loss.quick(tried)
        left = np.linalg.norm(after, axis=0)
        longer = left > norms
        if not longer.any() or not step[:, longer].any():
            break
        step[:, longer] /= 2
    better = left <= norms
    shares = np.where(norms > 0, left / np.where(norms > 0, norms, 1), 0.0)
    return np.where(better, tried, w), np.where(better, after, gradient), np.where(better, shares, 1.0)
