"""Noise at release, and removals that look at no row that stays, but for a pass over them now and then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.certificate import Account, ReleaseGuarantee
from expunge.certificate.release import longest
from expunge.core.checks import require_count
from expunge.core.columns import Column
from expunge.core.errors import InvalidValue
from expunge.linear.anchor import Departing
from expunge.linear.brought import Brought
from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.logistic import LogisticProblem
from expunge.linear.one_vs_rest import signed
from expunge.linear.operations import DenseRows
from expunge.linear.rowless_column import RowlessColumn
from expunge.linear.solver import Fit
from expunge.predictors.remainder import Remainder
from expunge.unlearners.engine import Engine
from expunge.unlearners.release import Release

_HARDLY_FELT = 512  # the longest model is so many times the noise in one weight

PASSES = {
    "passes": Column(
        "passes",
        "↓",
        "passes over the training rows since the model was trained; what lies between them looked at none",
        format="count",
    )
}


class Rowless(Release):
    """``Release`` with ``update=rowless``: what is known at an anchor serves as long as its bound does.

    When the columns together would pass what the noise covers, the one that is farthest off is anchored anew
    where it is. What that depends on are the rows, so ``passes`` is for those who run the program, like the
    time that a request takes.
    """

    def check(self, engine: Engine) -> None:
        """Refuse settings that do not go together.

        Raises:
            InvalidValue: One does not.
        """
        super().check(engine)
        if engine.predictor.solver == "iterative":
            raise InvalidValue(
                "solver", "iterative", "direct or auto with update=rowless, which keeps matrices"
            )
        engine.predictor.inverts = True

    def fit(self, engine: Engine) -> None:
        """Train, anchor every column, and make the first release.

        Raises:
            InvalidValue: The rows are sparse.
        """
        if not isinstance(engine.predictor.x, DenseRows):
            raise InvalidValue("update", engine.update, "corrected with sparse rows")
        engine.passes = 0
        super().fit(engine)

    def _planned(self, engine: Engine, counts: Sequence[int], std: float | None = None) -> ReleaseGuarantee:
        """The noise: where none is asked for as much as is hardly felt, so that passes are rare."""
        plan, usual = super()._planned(engine, counts, std), longest(engine.predictor.lam) / _HARDLY_FELT
        asked = engine.std is not None or engine.residual is not None
        return plan if asked or plan.std >= usual else super()._planned(engine, counts, usual)

    def _column(self, problem: LogisticProblem, fit: Fit, spectral: float, target: float) -> CertifiedColumn:
        return RowlessColumn.anchored(problem, fit.w, target)

    def _updated(
        self,
        engine: Engine,
        index: NDArray[np.int64],
        left: Remainder[CertifiedColumn],
        brought: Brought | None,
    ) -> list[CertifiedColumn]:
        model = engine.predictor
        given = brought or model.brought(index)
        shares = engine.guarantee.shares(model.lam, [problem.n for problem in left.problems])
        labels = left.classes.positive.tolist()
        columns = [
            self._departed(column, problem, share, index, given, label)
            for column, problem, share, label in zip(left.columns, left.problems, shares, labels, strict=True)
        ]
        for _ in columns:  # as many as there are, the farthest off first
            if self._is_covered(engine, columns):
                break
            far = max(range(len(columns)), key=lambda k: columns[k].account.beta / shares[k])
            columns[far], passes = columns[far].passed(shares[far])
            engine.passes += passes
        return list(columns)

    def _departed(
        self,
        column: CertifiedColumn,
        problem: LogisticProblem,
        share: float,
        index: NDArray[np.int64],
        given: Brought,
        label: int,
    ) -> RowlessColumn:
        """The column without those of these rows that it uses."""
        assert isinstance(column, RowlessColumn)
        if problem is column.problem:
            return column
        used = column.problem.rows.uses(index)
        sizes = None if given.sizes is None else given.sizes[used]
        departing = Departing(given.x[used], signed(given.labels[used] == label, sizes))
        return column.departed(problem, departing, share)

    def _is_covered(self, engine: Engine, columns: Any) -> bool:
        """Whether all columns together are within what the noise covers; one may make up for another.

        Of columns of different numbers of rows the norm of the gradient is a second thing: what is recorded
        as its bound is that of columns at their shares.
        """
        account = self.account(engine, columns)
        return account.within_budget and account.beta <= account.budget

    def _figures(self, engine: Engine) -> dict[str, float]:
        return {"passes": engine.passes}

    def values(self, engine: Engine) -> dict[str, Any]:
        """What a state holds besides model and columns."""
        return {**super().values(engine), "passes": engine.passes}

    def opened(self, engine: Engine, values: dict[str, Any]) -> Account:
        """The account that the columns of a state go on with."""
        engine.passes = require_count("passes", values["passes"], least=0)
        return super().opened(engine, values)

    def settle(self, engine: Engine) -> None:
        """Train anew, from zero, on the rows that stay: passes, too."""
        super().settle(engine)
        engine.passes += len(engine.columns) + sum(
            report.iterations for report in engine.predictor.fit_reports
        )
