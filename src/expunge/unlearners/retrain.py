"""The gold standard: train from scratch on what is left, for every request."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import Rows
from expunge.unlearners.base import RESIDUAL, Outcome
from expunge.unlearners.linear import LinearModel, draw, require_std
from expunge.unlearners.worlds import linear_settings

if TYPE_CHECKING:
    from expunge.training import Learner
    from expunge.unlearners.references import NetworkRetrain

REASON = "this method retrains for every request"


def retrain(
    model: Learner | None = None,
    name: str = "retrain",
    lam: float | None = None,
    std: float | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    subsample_ratio: float | None = None,
    joint_training: bool | None = None,
    progress: bool = False,
) -> Retrain | NetworkRetrain:
    """Return retraining for a network, or for the linear model of the certified path.

    Args:
        model: The network's learner; None for the linear model.
        name: What the run files call the method.
        lam: Of the linear model, as the next ones; None for a network.
        std: See ``Retrain``.
        tol: See ``Retrain``.
        max_iter: See ``Retrain``.
        subsample_ratio: See ``Retrain``.
        joint_training: See ``Retrain``.
        progress: See ``Retrain``.
    """
    given = linear_settings(
        model,
        lam=lam,
        std=std,
        tol=tol,
        max_iter=max_iter,
        subsample_ratio=subsample_ratio,
        joint_training=joint_training,
    )
    if model is None:
        return Retrain(name=name, progress=progress, **given)
    from expunge.unlearners.references import NetworkRetrain

    return NetworkRetrain(model, name)


class Retrain(LinearModel):
    """Retraining from zero without the requested rows.

    Exact, so it needs no certificate; the perturbation is kept (the same b throughout) so that it differs
    from a certified run by the removal method alone. ``std=0`` leaves it out.

    Args:
        lam: Regularisation per example.
        std: Standard deviation of b, >= 0.
        name: What the run files call it.
        tol: Training stops at ||grad||_2 < tol.
        max_iter: Newton steps at most.
        subsample_ratio: Share of the other classes' rows that a class uses; 1 with two classes.
        joint_training: Whether ``tol`` is for all classes together or for each.
        progress: Show a bar while several classes are trained (on a terminal only).
    """

    role = "reference"
    COLUMNS = RESIDUAL

    def __init__(
        self,
        lam: float = 1e-3,
        std: float = 10.0,
        name: str = "retrain",
        tol: float = 1e-8,
        max_iter: int = 200,
        subsample_ratio: float = 1.0,
        joint_training: bool = True,
        progress: bool = False,
    ) -> None:
        super().__init__(lam, tol, max_iter, subsample_ratio, joint_training, progress)
        self.std = require_std(std)
        self.name = name

    @one_blas_thread()
    def fit(self, x: Rows, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows."""
        self._begin(y, seed)
        self._train(self._problems(x, y, draw(self._secret, x.dim, self.std, self.width)))

    @one_blas_thread()
    def remove(self, rows: Sequence[int]) -> Outcome:
        """Train again, from zero, on the rows that stay."""
        index = self._checked(rows)
        problems = self._left(index)
        if reason := self._without_rows(problems):
            return Outcome("refused", tuple(index.tolist()), reason)
        reports = self._train(problems)
        self.kept[index] = False
        left = hypot(*(report.gradient_norm for report in reports))
        return Outcome("retrained", tuple(index.tolist()), REASON, residual_measured=left)
