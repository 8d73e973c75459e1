"""What a state with noise at release must agree with, beyond the rows: settings, and what is out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from expunge.core.errors import DataError
from expunge.core.read_back import same
from expunge.linear.classes import width_of
from expunge.linear.rows import Array

if TYPE_CHECKING:
    from expunge.unlearners.engine import Engine

_FARTHEST = 64.0  # deviations: no draw comes so far, of as many as there will ever be


def require_plan(engine: Engine) -> None:
    """Refuse noise that is not that of the settings, a perturbed loss, or fewer releases than there were.

    Raises:
        DataError: It is.
    """
    model, plan = engine.predictor, engine.guarantee
    same("release.dim", plan.dim, model.x.dim * width_of(model.out.classes.first))
    for name, asked in (("std", engine.std), ("noise", engine.noise)):
        if asked is not None:
            same(f"release.{name}", getattr(plan, name), asked)
    if not model.seeded and engine.noise is None:
        same("release.noise", plan.noise, "lattice")
    if any(column.problem.b.any() for column in model.out.columns):
        raise DataError("perturbation: is not zero, and the loss of a release has none")
    for column in engine.columns:
        same("epoch", column.account.epoch, 0)  # it counts retrainings, and a release has none
    if model.there.count < model.there.size and engine.released < 2:
        raise DataError(f"release.released: got {engine.released}, and rows have left, each with a release")


def require_drawn(engine: Engine, drawn: Array) -> None:
    """Refuse weights (d, K) that are to be out and cannot have been drawn around the model inside.

    Raises:
        DataError: They are farther off than noise comes, or not on its lattice.
    """
    model, plan = engine.predictor, engine.guarantee
    far = float(np.abs(drawn - model.out.kept("w")).max())
    most = _FARTHEST * plan.std + 4 * (plan.sensitivity + plan.grid)
    if not far <= most:
        raise DataError(f"drawn: is {far:.3g} from the model inside, and noise of std {plan.std:.3g} is not")
    if plan.noise == "lattice" and not np.array_equal(np.rint(drawn / plan.grid) * plan.grid, drawn):
        raise DataError(f"drawn: is not on the lattice of step {plan.grid:.3g}")
