"""The scrub of Mehta et al. (CVPR 2022): only the units that a sample's loss depends on are updated."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue
from expunge.core.seeds import stream, torch_generator
from expunge.curvature.gradients import cross_entropy
from expunge.scrub import FIGURES, Problem, Scrub, ScrubError
from expunge.scrub.noisy_copies import unit_modules
from expunge.scrub.outputs import emptied, refit
from expunge.training import Learner
from expunge.unlearners.guard import VALIDATION, GuardedNetwork, Update
from expunge.unlearners.lcodec_linear import LcodecLinear
from expunge.unlearners.worlds import linear_settings

_SETTINGS = [field.name for field in fields(Scrub) if field.name != "threads"]
_OTHERS = ["name", "val_gap", "lam", "std", "tol", "max_iter"]


def lcodec(
    model: Learner | None = None,
    name: str = "lcodec",
    val_gap: float | None = 0.05,
    lam: float | None = None,
    std: float | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    threads: int | None = None,
    **settings: Any,
) -> Lcodec | LcodecLinear:
    """Return the scrub for a network, or for the linear model of the certified path.

    Args:
        model: The network's learner; None for the linear model.
        name: What the run files call the method.
        val_gap: See ``GuardedNetwork``.
        lam: Of the linear model; must be None for a network.
        std: Likewise.
        tol: Likewise.
        max_iter: Likewise.
        threads: Of the selection.
        settings: Those of ``Scrub``.

    Raises:
        InvalidValue: There is no such setting, or it has a value that is not allowed.
    """
    for key in settings:
        if key not in _SETTINGS:
            raise InvalidValue(key, settings[key], "the keys " + ", ".join([*_OTHERS, *_SETTINGS]))
    scrub = Scrub(threads=threads, **settings)
    given = linear_settings(model, lam=lam, std=std, tol=tol, max_iter=max_iter)
    if model is None:
        return LcodecLinear(scrub, name, val_gap, **given)
    return Lcodec(model, scrub, name, val_gap)


class Lcodec(GuardedNetwork):
    """The scrub of a network; see ``Scrub``.

    Args:
        model: The learner.
        scrub: The settings.
        name: What the run files call the method.
        val_gap: See ``GuardedNetwork``.
    """

    COLUMNS = FIGURES | VALIDATION

    def __init__(
        self, model: Learner, scrub: Scrub, name: str = "lcodec", val_gap: float | None = 0.05
    ) -> None:
        super().__init__(model, name, val_gap)
        self.scrub = scrub

    def fit(self, x: Any, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows.

        Raises:
            InvalidValue: The network has no units, or the training recorded nothing for the curvature.
        """
        super().fit(x, y, seed)
        unit_modules(self.module)
        if self.history is None and self.scrub.mode == "sekhari" and self.scrub.curvature in ("fd", "fisher"):
            raise InvalidValue(
                "curvature", self.scrub.curvature, "exact, ggn or kfac where training.epochs is 0"
            )

    def update(self, index: NDArray[np.int64]) -> Update:
        """Scrub the rows from the selected units, and from the outputs of labels that no row has any more."""
        problem = self._problem(index)
        proposal = self.scrub.propose(
            problem,
            stream(self.seed, "scrub", 0, self._served),
            torch_generator(self.seed, "scrub", 1, self._served),
        )
        undo = proposal.apply(self.module)
        labels = emptied(problem.sample[1].tolist(), problem.retained) if self.scrub.refit_outputs else []
        if not labels:
            return proposal.figures, undo
        try:
            undo_outputs = refit(self.module, problem.retained, labels, self.scrub.l2)
        except ScrubError:
            undo()
            raise

        def undo_both() -> None:
            undo_outputs()
            undo()

        return proposal.figures | {"outputs_refitted": len(labels)}, undo_both

    def _problem(self, index: NDArray[np.int64]) -> Problem:
        stay = self.kept.copy()
        stay[index] = False
        training = self._training(np.flatnonzero(stay))
        n = int(self.kept.sum())
        return Problem(self.module, cross_entropy, training.take(index), training, n, self.history)
