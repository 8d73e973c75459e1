"""Inverse Hessians of many columns in one array: corrected by products of matrices, solved with all at once.

They are float32, half of the memory to go through, and never believed: whoever steps measures where it leads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.core.files import State
from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.column_passes import Single
from expunge.linear.factor import Factor
from expunge.linear.given import Array
from expunge.linear.parallel import for_each
from expunge.linear.rows import Rows
from expunge.linear.solver import build_factor

_COLUMNS = 16  # that are worked on at a time: their inverses stay in the cache
_ROWS = 32  # that leave the inverses at a time
_ENOUGH = 1e-2  # of a step is what the regulariser's share of the rows that left may cost it
_MOST_TERMS = 8
_FOLDED = 0.05  # of the regulariser have left before what is left is put into the inverses
_STEPS_OF_BUILDING = 64  # what making all inverses anew costs


@dataclass(frozen=True)
class Stack:
    """Approximate inverse Hessians of K columns.

    Attributes:
        inverses: (K, d, d) float32, symmetric.
        shift: (K,) what the regulariser has lost since each was made, which is not in it.
        pairs: Steps since, which are not in them either: see ``learned``.
        spent: Steps beyond the usual few since they were made.
    """

    inverses: Single
    shift: Array
    pairs: Sequence[Pair] = ()
    spent: int = 0

    def solve(self, rhs: Array, at: NDArray[np.int64], ridge: float) -> Array:
        """``(P_k^{-1} - shift_k I)^{-1} rhs_k`` of the columns ``at``, (d, k): a short Neumann series."""
        sizes = np.linalg.norm(rhs, axis=0)
        unit = (rhs / np.where(sizes > 0, sizes, 1.0)).T.astype(np.float32)
        shift = self.shift[at].astype(np.float32)
        terms = _terms(float(np.max(self.shift[at], initial=0.0)), ridge)
        found = np.empty_like(unit)

        def work(lo: int, hi: int) -> None:
            inverses = self.inverses[at[lo:hi]] if len(at) < len(self.inverses) else self.inverses[lo:hi]
            term = total = np.matmul(inverses, unit[lo:hi, :, None])
            for _ in range(terms):
                term = shift[lo:hi, None, None] * np.matmul(inverses, term)
                total = total + term
            found[lo:hi] = total[:, :, 0]

        _each(work, len(at), self.inverses[0].size)
        return found.T.astype(np.float64) * sizes


@dataclass(frozen=True)
class Stacked(Factor):
    """``Factor`` of a column whose inverse lies in a ``Stack``, under a number."""

    stack: Stack | None = None
    number: int = 0

    def state(self) -> State:
        """What a state holds of it: that of the column alone, as any other's."""
        return Factor(np.asfortranarray(self.inverse, np.float64), self.v, self.core, self.shift).state()


@dataclass(frozen=True)
class Pair:
    """A step of k columns, what it changed their gradients by, (d, k) both, and 1 over their products."""

    step: Array
    change: Array
    rho: Array

    @classmethod
    def at(cls, step: Array, change: Array, at: NDArray[np.int64], width: int) -> Pair:
        """That of a step of the columns ``at``, of so many; all zeros where the others are.

        A step along which the loss was not seen to be convex, for rounding, is none.
        """
        shape = len(step), width
        made = cls(np.zeros(shape), np.zeros(shape), np.zeros(width))
        along = np.einsum("ij,ij->j", step, change)
        sound = np.isfinite(along) & (along > 0)
        chosen = at[sound]
        made.step[:, chosen], made.change[:, chosen] = step[:, sound], change[:, sound]
        made.rho[chosen] = 1.0 / along[sound]
        return made

    def of(self, which: Any) -> Pair:
        """The same of some of the columns."""
        return Pair(self.step[:, which], self.change[:, which], self.rho[which])


def departed(columns: Sequence[CertifiedColumn], w: Array, index: NDArray[np.int64]) -> Stack:
    """The inverses of the columns, at ``w``, without the rows ``index`` but with their regulariser.

    ``(H_k - U_k^T U_k)^{-1} = P_k + V_k (I - U_k V_k)^{-1} V_k^T``, ``V_k = P_k U_k^T``, some rows at a time.
    """
    problem = columns[0].problem
    old, numbers = _gathered(columns)
    x = cast("Rows", problem.rows).dense(index)
    scores = x @ w
    weight = np.abs(problem.y[index])[:, None]
    roots = np.sqrt(weight * expit(scores) * expit(-scores)).T.astype(np.float32)  # (K, m)
    narrow, d = x.astype(np.float32), x.shape[1]
    new = np.empty((len(columns), d, d), dtype=np.float32)
    shift, pairs = old.shift[numbers], [pair.of(numbers) for pair in old.pairs]
    folds = float(np.max(shift)) > _FOLDED * problem.lam * problem.n

    def work(lo: int, hi: int) -> None:
        inverses = learned(old.inverses[numbers[lo:hi]], [pair.of(slice(lo, hi)) for pair in pairs])
        if folds:  # the first term of the series
            lost = shift[lo:hi, None, None].astype(np.float32)
            inverses = inverses + lost * np.matmul(inverses, inverses)
        for start in range(0, len(index), _ROWS):
            part, root = narrow[start : start + _ROWS], roots[lo:hi, start : start + _ROWS]
            v = (inverses.reshape(-1, d) @ part.T).reshape(hi - lo, d, len(part)) * root[:, None]
            inside = np.matmul(part, v) * root[:, :, None]
            core = _inverted(np.eye(len(part)) - inside)
            inverses = inverses + np.matmul(np.matmul(v, core), v.transpose(0, 2, 1))
        new[lo:hi] = inverses

    _each(work, len(columns), d * d)
    return Stack(new, np.where(folds, 0.0, shift) + problem.lam * len(index), spent=old.spent)


def _inverted(inside: Array) -> Single:
    """Inverses (k, m, m); zeros, which correct nothing, where one is singular to working precision."""
    try:
        return np.linalg.inv(inside).astype(np.float32)
    except np.linalg.LinAlgError:
        return np.zeros(inside.shape, dtype=np.float32)


def learned(inverses: Single, pairs: Sequence[Pair]) -> Single:
    """The inverses after the BFGS updates of these pairs, (k, d, d).

    ``P + [S, P Y] [[R^-T (D + Y^T P Y) R^-1, -R^-T], [-R^-1, 0]] [S, P Y]^T`` with the steps S and changes Y,
    R the upper triangle of ``S^T Y`` and D its diagonal (Byrd, Nocedal and Schnabel 1994, theorem 2.2). A
    column that a pair says nothing of has zeros there, and a 1 in R.
    """
    if not pairs:
        return inverses
    s = np.stack([pair.step.T for pair in pairs], axis=2)
    y = np.stack([pair.change.T for pair in pairs], axis=2)
    told = np.stack([pair.rho > 0 for pair in pairs], axis=1)
    s, y = s * told[:, None], y * told[:, None]
    by = np.matmul(inverses, y.astype(np.float32)).astype(np.float64)
    products = np.matmul(s.transpose(0, 2, 1), y)
    diagonal = np.eye(len(pairs)) * np.where(told, np.einsum("kii->ki", products), 1.0)[:, None]
    r = np.linalg.inv(np.triu(products, 1) + diagonal)
    inner = np.matmul(y.transpose(0, 2, 1), by) + diagonal
    first = np.matmul(s, np.matmul(r.transpose(0, 2, 1), np.matmul(inner, r))) - np.matmul(by, r)
    second = -np.matmul(s, r.transpose(0, 2, 1))
    left, right = (np.concatenate(both, axis=2).astype(np.float32) for both in ((first, second), (s, by)))
    return inverses + np.matmul(left, right.transpose(0, 2, 1))


def _gathered(columns: Sequence[CertifiedColumn]) -> tuple[Stack, NDArray[np.int64]]:
    """The stack that the columns' inverses lie in, or a new one, and the number of each."""
    factors = [cast("Factor", column.factor) for column in columns]
    stacks = [factor.stack if isinstance(factor, Stacked) else None for factor in factors]
    if stacks[0] is not None and all(stack is stacks[0] for stack in stacks):
        if stacks[0].spent <= _STEPS_OF_BUILDING:
            return stacks[0], np.array([cast("Stacked", factor).number for factor in factors])
        factors = [cast("Factor", build_factor(column.problem, column.w)) for column in columns]
    inverses = np.empty((len(factors), *factors[0].inverse.shape), dtype=np.float32)
    for inverse, factor in zip(inverses, factors, strict=True):
        inverse[:] = _whole(factor)
    return Stack(inverses, np.array([factor.shift for factor in factors])), np.arange(len(columns))


def _whole(factor: Factor) -> Single:
    """The inverse of a factor but for its shift, (d, d): both triangles of it."""
    lower = np.tril(factor.inverse)
    found = lower + np.tril(lower, -1).T
    return (found + factor.v @ factor.core @ factor.v.T).astype(np.float32)


def factor_of(stack: Stack, number: int) -> Stacked:
    """The factor of the column that has this number in the stack."""
    d = stack.inverses.shape[1]
    nothing = np.empty((d, 0)), np.empty((0, 0))
    shift = float(stack.shift[number])
    return Stacked(stack.inverses[number], *nothing, shift, stack=stack, number=number)


def _terms(shift: float, ridge: float) -> int:
    """Terms of a Neumann series that leave ``_ENOUGH``; an inverse is at most ``1 / (ridge + shift)``."""
    ratio, left, terms = shift / (shift + ridge), shift / (shift + ridge), 0
    while left > _ENOUGH and terms < _MOST_TERMS:
        left, terms = left * ratio, terms + 1
    return terms


def _each(work: Callable[[int, int], None], count: int, numbers: int) -> None:
    """Call ``work(lo, hi)`` for runs of ``_COLUMNS`` columns, whatever the number of threads."""
    starts = range(0, count, _COLUMNS)
    for_each(lambda k: work(starts[k], min(starts[k] + _COLUMNS, count)), len(starts), numbers * count)
