"""Every bound on the gradient residual beside the residual itself, along the very same removals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from expunge.certificate import Account, Guarantee, StepFacts
from expunge.certificate.bounds import INCREMENTS
from expunge.core.checks import LARGEST, require_count, require_positive
from expunge.core.errors import BrokenInvariant, InvalidValue
from expunge.linear.logistic import LogisticProblem
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import Array
from expunge.predictors.linear import LinearModel
from expunge.record.requests import RandomRows
from expunge.studies import two_digits
from expunge.unlearners.newton import Newton

BOUNDS = tuple(INCREMENTS)  # from the loosest to the tightest
UPDATES = ("fresh", "corrected")
TITLES = {
    "worst_case": "worst case (published)",
    "data_dependent": "data-dependent (published)",
    "third_order": "third order (ours)",
    "true": "residual of the published update",
    "corrected": "residual of corrected updates (ours)",
}
ALL = "all"


@dataclass(frozen=True)
class Model:
    """A released model: weights, the loss they are for, and its gradient there, measured."""

    problem: LogisticProblem
    w: Array
    gradient: Array

    @property
    def residual(self) -> float:
        """||grad L_b(w; D)||_2."""
        return float(np.linalg.norm(self.gradient))


class ResidualBounds:
    """Removals one by one, in batches and all at once, by the published step and by ours.

    ``fresh`` is the published update, an exact Newton step for the removed rows at the Hessian of those that
    stay. Each certificate is charged for the same steps, whether or not its budget would allow them, and is
    given the measured residual wherever its formula has that of the model before the step. ``corrected`` is
    ``unlearner=newton_corrected``; its certificate is the residual. Rows leave in the order in which a run of
    the same seed is asked to remove them, and b is the one that such a run draws.

    Args:
        dataset: ``mnist_3v8`` or ``digits_3v8``.
        lam: Regularisation per example.
        std: Standard deviation of the perturbation.
        epsilon: Of the guarantee whose budget is drawn beside the curves.
        delta: Likewise.
        removals: Rows that leave.
        batch_sizes: Rows of a request; ``all``: for each point of the curve, one request of that many rows to
            the model as trained.
        points: Of a curve, at most; evenly spaced on a log axis.

    Raises:
        InvalidValue: A value is not allowed.
    """

    name = "residual_bounds"

    def __init__(
        self,
        dataset: str = "mnist_3v8",
        lam: float = 1e-3,
        std: float = 10.0,
        epsilon: float = 1.0,
        delta: float = 1e-4,
        removals: int = 1000,
        batch_sizes: Sequence[int | str] = (1, 10, ALL),
        points: int = 60,
    ) -> None:
        self.lam = require_positive("lam", lam, most=LARGEST)
        self.std = require_positive("std", std, most=LARGEST)
        self.dataset, self.rows = two_digits.load(dataset)
        self.removals, n = require_count("removals", removals), len(self.rows)
        if self.removals >= n:
            raise InvalidValue("removals", removals, f"at most {n - 1}, so that a row is left")
        self.batch_sizes = _sizes(batch_sizes, self.removals)
        spaced = np.geomspace(1, self.removals, require_count("points", points, least=2, most=10_000))
        self.points = sorted({int(point) for point in spaced.round()})
        self.guarantee = Guarantee(epsilon, delta, self.std, self.rows.dim)

    def cells(self) -> list[dict[str, Any]]:
        """Each size of a request by each update."""
        return [{"batch_size": size, "update": update} for size in self.batch_sizes for update in UPDATES]

    @one_blas_thread()
    def run_cell(self, cell: dict[str, Any], seed: int) -> dict[str, Any]:
        """Remove all rows.

        Returns:
            ``removed``, how many rows had left at each point, and ``true``, the residual there. For
            ``fresh`` also each of ``BOUNDS`` there; ``ordered``, whether at every removal (not only at the
            points) true <= third_order <= data_dependent <= worst_case; and ``supported``, how many removals
            each bound allows within the budget (with ``all``: of the points). For ``corrected`` also
            ``largest``, the largest residual of any removal.
        """
        walk = self._walk(self.order(seed), cell["batch_size"])
        return self._fresh(walk, seed) if cell["update"] == "fresh" else self._corrected(walk, seed)

    def table(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """For each size of a request, a row for each bound and for either residual."""
        numbers = self.summary(records)
        own = {size: numbers[f"batch{size}"] for size in self.batch_sizes}
        return [
            {
                "rows removed": f"{own[size]['removals']:,}, {spelled(size)}: {what}",
                "bound or residual": own[size][column],
                "over the residual": own[size][column] / own[size]["true"] if column in BOUNDS else None,
                f"rows within the budget of {numbers['budget']:.3g}": own[size]["supported"].get(column),
            }
            for size in self.batch_sizes
            for column, what in TITLES.items()
        ]

    def summary(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Bounds, residuals and their ratios after the last removal.

        Returns:
            ``budget``; for each size of a request, as ``batch1``: ``removals``, ``true``, each of ``BOUNDS``,
            ``corrected`` (the residual of our update) and ``corrected_largest`` (of any removal),
            ``ordered_everywhere``, ``worst_case_over_data_dependent``, ``data_dependent_over_true``,
            ``third_order_over_true`` and ``supported`` (see ``run_cell``); ``corrected.largest_residual`` of
            all sizes together.
        """
        found: dict[str, Any] = {"budget": self.guarantee.budget}
        by_cell = {(record["batch_size"], record["update"]): record for record in records}
        for size in self.batch_sizes:
            fresh, ours = by_cell[size, "fresh"], by_cell[size, "corrected"]
            last = {key: fresh[key][-1] for key in ("true", *BOUNDS)}
            found[f"batch{size}"] = {
                "removals": fresh["removed"][-1],
                **last,
                "corrected": ours["true"][-1],
                "corrected_largest": ours["largest"],
                "ordered_everywhere": fresh["ordered"],
                "worst_case_over_data_dependent": last["worst_case"] / last["data_dependent"],
                "data_dependent_over_true": last["data_dependent"] / last["true"],
                "third_order_over_true": last["third_order"] / last["true"],
                "supported": fresh["supported"],
            }
        largest = max(by_cell[size, "corrected"]["largest"] for size in self.batch_sizes)
        return {**found, "corrected": {"largest_residual": largest}}

    def figures(self, records: list[dict[str, Any]], folder: Path) -> None:
        """Write ``residual_bounds.png`` and ``.svg``."""
        from expunge.studies.residual_bounds_figure import draw

        sizes = {record["batch_size"]: spelled(record["batch_size"]) for record in records}
        draw(records, self.guarantee, TITLES, sizes).save(folder)

    def order(self, seed: int) -> NDArray[np.int64]:
        """Ids of the rows that leave, in the order in which a run with this seed is asked to remove them.

        Raises:
            InvalidValue: ``removals``: rows of one class alone would be left, for which there is no model.
        """
        requests = RandomRows(self.removals).stream(self.dataset, seed)
        rows = np.array([row for request in requests for row in request.rows])
        if len(np.unique(np.delete(self.dataset.y_train, rows))) < 2:
            raise InvalidValue("removals", self.removals, "fewer: rows of two classes must stay")
        return rows

    def _walk(self, order: NDArray[np.int64], size: int | str) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """For each request, how many rows have left before it, and its rows."""
        if size == ALL:
            return ((0, order[:point]) for point in self.points)
        starts = range(0, len(order), int(size))
        return ((start, order[start : start + starts.step]) for start in starts)

    def _trained(self, update: str, seed: int) -> Newton:
        how: Any = {"certificate": "measured", "update": update, "at_limit": "refuse"}
        model, asked = LinearModel(self.lam, self.std), (self.guarantee.epsilon, self.guarantee.delta)
        unlearner = Newton(model, *asked, **how)
        unlearner.fit(self.rows, self.dataset.y_train, seed)
        return unlearner

    def _fresh(self, walk: Iterator[tuple[int, NDArray[np.int64]]], seed: int) -> dict[str, Any]:
        trained = self._trained("fresh", seed)
        problem, w = trained.predictor.problem, trained.predictor.w
        first = model = Model(problem, w, problem.gradient(w))
        spectral = problem.rows.gram()[1]  # rows that leave never raise it
        opened = first.residual + problem.rounding(w)
        accounts: dict[str, Account] = {}
        rows: list[dict[str, float]] = []
        supported = dict.fromkeys(BOUNDS, 0)
        for before, index in walk:
            if before == 0:
                model, accounts = first, {b: Account(self.guarantee, b, opened) for b in BOUNDS}
            step = published_step(model, index)
            facts = facts_of(model, step, spectral)
            accounts = {bound: account.after(facts) for bound, account in accounts.items()}
            model, total = step, before + len(index)
            betas = {bound: account.beta for bound, account in accounts.items()}
            rows.append({"removed": total, "true": model.residual, **betas})
            for bound, beta in betas.items():
                if not model.residual <= beta:
                    must = f"at most the bound {bound}, which is {beta!r}"
                    raise BrokenInvariant("residual", model.residual, must, f"removal {total}")
            supported |= {bound: total for bound in BOUNDS if accounts[bound].within_budget}
        falls = np.diff([[row[key] for key in (*BOUNDS, "true")] for row in rows]) <= 0
        return {**self._curves(rows), "ordered": bool(falls.all()), "supported": supported}

    def _corrected(self, walk: Iterator[tuple[int, NDArray[np.int64]]], seed: int) -> dict[str, Any]:
        first = unlearner = self._trained("corrected", seed)
        rows: list[dict[str, float]] = []
        for before, index in walk:
            if before == 0:
                unlearner = deepcopy(first)
            outcome = unlearner.remove(index.tolist())
            if outcome.outcome != "removed" or outcome.residual_measured is None:
                raise InvalidValue("std", self.std, f"a larger value: {outcome.reason}")
            rows.append({"removed": before + len(index), "true": outcome.residual_measured})
        return {**self._curves(rows), "largest": max(row["true"] for row in rows)}

    def _curves(self, rows: list[dict[str, float]]) -> dict[str, list[float]]:
        """Values at the first removal at or beyond each point."""
        at = np.unique(np.searchsorted([row["removed"] for row in rows], self.points)).tolist()
        return {key: [rows[i][key] for i in at] for key in rows[0]}


def published_step(model: Model, index: NDArray[np.int64]) -> Model:
    """Remove rows by ``w' = w + H(w; D')^{-1} g``, solved by Cholesky (Guo et al. 2020, section 3.1)."""
    after = model.problem.without(index)
    hessian = after.hessian(model.w)
    removed = model.problem.removed_gradient(model.w, index)
    w = model.w + cho_solve(cho_factor(hessian, lower=True, overwrite_a=True), removed)
    return Model(after, w, after.gradient(w))


def facts_of(before: Model, after: Model, spectral: float) -> StepFacts:
    """What the certificates ask of a step that removed the rows in which the two problems differ.

    ``spectral`` is an upper bound on ||X||_2 of the rows that stay.
    """
    left = np.flatnonzero((before.problem.rows.scale != 0) & (after.problem.rows.scale == 0))
    removed, step = before.problem.removed_gradient(before.w, left), after.w - before.w
    along, scores, squared = after.problem.curvature(before.w).along(step)
    charged = before.problem.errors.of_removed(before.w, len(left))
    charged += after.problem.errors.of_step(before.w, step, removed)
    return StepFacts(
        removed=len(left),
        retained=after.problem.n,
        lam=after.problem.lam,
        residual=before.residual + before.problem.rounding(before.w),
        aims_at_residual=False,
        perturbation_norm=float(np.linalg.norm(after.problem.b)),
        spectral=spectral,
        step_norm=float(np.linalg.norm(step)),
        scores_norm=scores,
        scores_squared_norm=squared,
        tau=float(np.linalg.norm(along - removed)),
        rounding=max(after.problem.rounding(before.w), charged) + after.problem.rounding(after.w),
    )


def spelled(size: int | str) -> str:
    """How rows leave, in words."""
    return "all at once" if size == ALL else "one by one" if size == 1 else f"{size} at a time"


def _sizes(given: Any, removals: int) -> list[int | str]:
    allowed = f"a list of one or more of whole numbers from 1 to {removals}, and {ALL}, each once"
    distinct = isinstance(given, (list, tuple)) and given and len(set(map(str, given))) == len(given)
    if not distinct or not all(v == ALL or (type(v) is int and 1 <= v <= removals) for v in given):
        raise InvalidValue("batch_sizes", given, allowed)
    return list(given)
