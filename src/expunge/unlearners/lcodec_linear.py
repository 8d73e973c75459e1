"""The scrub on the linear model of the certified path, so that the two papers meet in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expunge.core.errors import UserError
from expunge.core.files import State
from expunge.core.seeds import stream, torch_generator
from expunge.curvature import SolveError
from expunge.datasets.images import Examples
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import Array, Rows
from expunge.linear.solver import train
from expunge.scrub import FIGURES, Problem, Scrub, ScrubError
from expunge.training import History
from expunge.unlearners.base import Outcome
from expunge.unlearners.column import Column
from expunge.unlearners.guard import VALIDATION, fall, require_gap
from expunge.unlearners.linear import LinearModel, draw, require_std

_WEIGHT = "weight"


def logistic_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """``log(1 + exp(-y s))`` of each score s, (m,); targets 0 and 1 stand for y = -1 and +1."""
    scores = outputs[:, 0]
    return nn.functional.binary_cross_entropy_with_logits(scores, targets.to(scores), reduction="none")


@dataclass(frozen=True)
class RowInputs:
    """Feature rows as ``Examples`` wants its inputs."""

    rows: Rows

    def batch(self, index: Any, dtype: torch.dtype = torch.float64, device: Any = "cpu") -> Tensor:
        """Return the rows of ``index``, (m, d)."""
        return torch.from_numpy(self.rows.dense(index)).to(device, dtype)


class LcodecLinear(LinearModel):
    """The scrub on ``L_b``: the trained weights are one unit of a Linear layer without bias, in float64.

    Trained and perturbed like the certified model. With ``exact`` curvature over all rows, all units, no
    noise and ``l2 = lam`` the update is the Newton step of Guo et al.; it carries no certificate, and the
    measured residual stands beside that of the certified methods.

    Args:
        scrub: The settings; ``refit_outputs`` has no meaning here, as no label has an output of its own.
        name: What the run files call the method.
        val_gap: See ``expunge.unlearners.guard``.
        lam: Regularisation per example.
        std: Standard deviation of b, >= 0.
        tol: Training stops at ||grad||_2 < tol.
        max_iter: Newton steps at most.
    """

    role = "heuristic"
    COLUMNS = FIGURES | VALIDATION

    def __init__(
        self,
        scrub: Scrub,
        name: str = "lcodec",
        val_gap: float | None = 0.05,
        lam: float = 1e-3,
        std: float = 10.0,
        tol: float = 1e-8,
        max_iter: int = 200,
    ) -> None:
        super().__init__(lam, tol, max_iter)
        self.scrub, self.name, self.std = scrub, name, require_std(std)
        self.val_gap = require_gap(val_gap)
        self._validation: tuple[Rows, NDArray[np.int64]] | None = None

    @one_blas_thread()
    def fit(self, x: Rows, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows."""
        self._begin(y, seed)
        (report,) = self._train(self._problems(x, y, draw(self._secret, x.dim, self.std)))
        self._served = 0
        before = train(self.problem, tol=self.tol, max_iter=max(1, report.iterations - 1)).w
        self.history = self._history(before, self.w)

    def _begin(self, y: NDArray[np.int64], seed: int | None) -> None:
        super()._begin(y, seed)
        if self.width > 1:
            named = ", ".join(map(str, self.classes_[:6])) + (", ..." if len(self.classes_) > 6 else "")
            raise UserError(
                f"labels: got {len(self.classes_)} classes ({named}), allowed: two for a scrub of the linear "
                "model; choose two of them with dataset.classes, or a network with model="
            )

    def _history(self, before: Array, after: Array) -> History:
        """What the last Newton step of training leaves: changes of the mean loss's gradient and of w."""
        gradients = [self._mean_gradient(w) for w in (before, after)]
        return History(
            {_WEIGHT: gradients[1]}, {_WEIGHT: gradients[1] - gradients[0]}, {_WEIGHT: _row(after - before)}
        )

    def _mean_gradient(self, w: Array) -> Tensor:
        penalty = self.problem.lam * self.problem.n * w + self.problem.b
        return _row((self.problem.gradient(w) - penalty) / self.problem.n)

    @one_blas_thread()
    def remove(self, rows: Sequence[int]) -> Outcome:
        """Scrub the rows from the weights.

        Raises:
            InvalidValue: A row is out of range, named twice or gone already, or no row would stay.
        """
        index = self._checked(rows)
        self._served += 1
        try:
            proposal = self.scrub.propose(
                self._problem(index),
                stream(self._secret, "scrub", 0, self._served),
                torch_generator(self._secret, "scrub", 1, self._served),
            )
            w = self.w + proposal.step.numpy()
            if not np.isfinite(w @ w):
                raise ScrubError("the update leaves weights that are not finite")
        except (ScrubError, SolveError) as error:
            return Outcome("refused", tuple(index.tolist()), str(error))
        before, after = self._validation_accuracy(self.w), self._validation_accuracy(w)
        figures = proposal.figures | ({} if after is None else {"validation_accuracy": after})
        reason = fall(before, after, self.val_gap)
        if reason is not None:
            return Outcome("refused", tuple(index.tolist()), reason, figures=figures)
        self.columns = [Column(self.problem.without(index), w)]
        self.kept[index] = False
        return Outcome("removed", tuple(index.tolist()), figures=figures)

    def validate_on(self, x: Rows, y: NDArray[np.int64]) -> None:
        """Take the rows whose accuracy guards updates."""
        self._validation = x, y

    def _validation_accuracy(self, w: Array) -> float | None:
        if self._validation is None:
            return None
        x, y = self._validation
        return float(np.mean(self.classes_[(x.scores(w) > 0).astype(np.int64)] == y))

    def _problem(self, index: NDArray[np.int64]) -> Problem:
        kept = self.kept.copy()
        kept[index] = False
        targets = torch.from_numpy((self.problem.y > 0).astype(np.int64))
        examples = Examples(RowInputs(self.problem.rows), targets, np.flatnonzero(kept), dtype=torch.float64)
        module = nn.Linear(self.problem.rows.dim, 1, bias=False, dtype=torch.float64)
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(self.w)[None])
        sample = examples.take(index)
        return Problem(module, logistic_losses, sample, examples, self.problem.n, self.history)

    def state(self) -> State:
        """Model, removed rows, and what training recorded."""
        state = super().state()
        for key in ("gradient", "gradient_change", "weight_change"):
            state.arrays[f"history_{key}"] = getattr(self.history, key)[_WEIGHT].numpy()
        state.values["served"] = self._served
        return state

    def load_state(self, state: State, x: Rows, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the rows and labels that ``fit`` was given."""
        super().load_state(state, x, y)
        self.history = History(
            *(
                {_WEIGHT: torch.from_numpy(state.arrays[f"history_{key}"])}
                for key in ("gradient", "gradient_change", "weight_change")
            )
        )
        self._served = state.values["served"]


def _row(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))[None]
