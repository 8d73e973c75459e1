"""The other end of the scale: a model that forgets nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from expunge.unlearners.base import Outcome
from expunge.unlearners.retrain import Retrain
from expunge.unlearners.worlds import linear_settings

if TYPE_CHECKING:
    from expunge.training import Learner
    from expunge.unlearners.references import NetworkNoOp

REASON = "no-op baseline: nothing is removed"


def none(
    model: Learner | None = None,
    name: str = "none",
    lam: float | None = None,
    std: float | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    subsample_ratio: float | None = None,
    joint_training: bool | None = None,
    progress: bool = False,
) -> NoOp | NetworkNoOp:
    """Return the no-op for a network, or for the linear model of the certified path; see ``retrain``."""
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
        return NoOp(name=name, progress=progress, **given)
    from expunge.unlearners.references import NetworkNoOp

    return NetworkNoOp(model, name)


class NoOp(Retrain):
    """Trained like ``Retrain``, with the same settings; every request is refused."""

    role = "baseline"

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Leave the model as it is."""
        return Outcome("refused", tuple(self._checked(rows).tolist()), REASON)
