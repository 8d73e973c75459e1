"""The scrub of Mehta et al. (CVPR 2022): only the units that a sample's loss depends on are updated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import Signature, signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_choice
from expunge.core.errors import InvalidValue
from expunge.core.files import State
from expunge.core.seeds import stream, torch_generator
from expunge.predictors import Predictor
from expunge.scrub import FIGURES, Scrub
from expunge.unlearners.embedding import FIGURES as REFITTED
from expunge.unlearners.embedding import REFITS, EmbeddingRefit
from expunge.unlearners.guard import VALIDATION, Guarded, Update
from expunge.unlearners.scrub_targets import target_of
from expunge.unlearners.search import Range

_FEW_COPIES = 50
_REFIT_PASS = 3.0  # as measured, over one of training: rows that stay are looked at twice, and pairs


class Lcodec(Guarded):
    """The scrub of a network, or of the linear model of the certified path; see ``Scrub``.

    The weights of the linear model are one unit of a Linear layer without bias, in float64. With ``exact``
    curvature over all rows, all units and no noise the update is the Newton step of Guo et al.;
    it carries no certificate, and the measured residual stands beside that of the certified methods.

    Args:
        model: What is scrubbed.
        name: What the run files call the method.
        val_gap: See ``Guarded``.
        threads: Of the selection.
        refit: ``embedding``: an ``EmbeddingRefit`` follows the scrub, of networks alone; None: nothing does.
        refit_epochs, refit_lr, refit_weight: Those of it.
        settings: Those of ``Scrub``; ``refit_outputs`` has no meaning for the linear model, where no label
            has an output of its own.

    Raises:
        InvalidValue: A setting has a value that is not allowed.
    """

    supports = ("logistic", "network")
    COLUMNS = FIGURES | VALIDATION
    search_space = {
        "l2": Range(1e-4, 0.1, log=True),
        "curvature_rows": (128, 512, 2048),
        "max_rise": (0.003, 0.01, 0.03, None),
    }

    def __init__(
        self,
        model: Predictor,
        name: str = "lcodec",
        val_gap: float | None = 0.05,
        threads: int | None = None,
        refit: str | None = None,
        refit_epochs: int = 5,
        refit_lr: float | None = None,
        refit_weight: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(model, name, val_gap)
        self.scrub = Scrub(threads=threads, **settings)
        self.target = target_of(model)
        self.refit = _refit_of(refit, model, EmbeddingRefit(refit_epochs, refit_lr, refit_weight))
        if self.refit is not None:
            self.COLUMNS = self.COLUMNS | REFITTED

    _own = [p for p in signature(__init__).parameters.values() if p.name not in ("self", "settings")]
    _scrub = [p for p in signature(Scrub).parameters.values() if p.name != "threads"]
    __signature__ = Signature([*_own, *(p.replace(kind=p.KEYWORD_ONLY) for p in _scrub)])
    """With every setting by its name, for those who build it from a file."""

    def fit(self, x: Any, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows.

        Raises:
            UserError: The linear model has more than two classes, or the network no units that can be watched
                (see ``scrub.noisy_copies.require_watched``).
            InvalidValue: The training recorded nothing for the curvature.
        """
        self.target.require(x, y, self.scrub)
        super().fit(x, y, seed)
        self.target.trained(self.scrub)

    def rehearse(self, x: Any, y: NDArray[np.int64]) -> None:
        """Compile what training and selection run."""
        self.scrub.rehearse()
        super().rehearse(x, y)

    def shorten(self) -> None:
        """Choose few copies and one unit."""
        self.scrub = replace(
            self.scrub, n_perturbations=min(self.scrub.n_perturbations, _FEW_COPIES), max_units=1
        )

    def update(self, index: NDArray[np.int64]) -> Update:
        """Scrub the rows from the selected units, and from the outputs of labels that no row has any more."""
        seed, again = self.predictor.seed, self.predictor.again
        with self.target.limits():
            problem = self.target.problem(index)
            proposal = self.scrub.propose(
                problem,
                stream(seed, "scrub", 0, self.served, again=again),
                torch_generator(seed, "scrub", 1, self.served, again=again),
            )
            figures, undo = self.target.apply(proposal)
            return (figures, undo) if self.refit is None else self._refitted(self.refit, index, figures, undo)

    def _refitted(
        self, refit: EmbeddingRefit, index: NDArray[np.int64], figures: dict[str, float], undo: Any
    ) -> Update:
        """Refit the embedding after the step; both are taken back together, or at once where one fails."""
        model: Any = self.predictor
        put_back = model.snapshot()
        try:
            more = refit(model, index, self.served)
        except BaseException:
            put_back()
            undo()
            raise

        def both() -> None:
            put_back()
            undo()

        return figures | more, both

    def share_of_retraining(self, rows: Sequence[int]) -> float | None:
        """See ``Method``: by the multiply-adds of both, see ``scrub.work``; None for the linear model."""
        index = np.asarray(rows, dtype=np.int64)
        validation = len(self._validation[1]) if self._validation is not None else 0
        share = self.target.share_of_retraining(index, self.scrub, validation)
        model: Any = self.predictor
        if share is None or self.refit is None or not model.learner.training.epochs:
            return share
        return share + self.refit.epochs / model.learner.training.epochs * _REFIT_PASS

    def cheaper(self, rows: Sequence[int]) -> str:
        """See ``Method``."""
        scrub, every = self.scrub, self.scrub.selector == "all"
        ways = [] if every else [f"unlearner.n_perturbations={scrub.n_perturbations}"]
        ways += [f"unlearner.curvature_rows={scrub.curvature_rows or 'all'}"]
        ways += [f"removal.batch_size={len(rows)}"] if len(rows) > 1 else []
        return f"less than {', '.join(ways)}" + ("" if every else "; unlearner=kfac") + "; unlearner=retrain"

    def state(self) -> State:
        """Everything needed to continue."""
        state = super().state()
        state.arrays |= self.target.arrays()
        return state

    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the training data that ``fit`` was given."""
        super().load_state(state, x, y)
        self.target.load(state)


def _refit_of(refit: str | None, model: Predictor, how: EmbeddingRefit) -> EmbeddingRefit | None:
    """What ``refit`` asks for.

    Raises:
        InvalidValue: There is no such refit, or the model is linear.
    """
    if refit is None:
        return None
    if model.kind != "network":
        raise InvalidValue("refit", refit, "null for the linear model, whose embedding is its features")
    require_choice("refit", refit, REFITS)
    return how
