"""What the scrub works on: a network, or the linear model as one unit of a Linear layer."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expunge.core.errors import InvalidValue, UserError
from expunge.core.files import State
from expunge.curvature import Block
from expunge.curvature.gradients import cross_entropy
from expunge.curvature.kfac import require_layers, require_memory
from expunge.datasets.images import Examples, Images
from expunge.linear.certified_column import WeightColumn
from expunge.linear.given import Array
from expunge.linear.operations import RowOperations
from expunge.linear.parallel import one_blas_thread
from expunge.linear.solver import train
from expunge.predictors import Predictor
from expunge.predictors.linear import LinearModel
from expunge.predictors.network import NetworkModel
from expunge.scrub import Problem, Proposal, Scrub, ScrubError, work
from expunge.scrub.noisy_copies import all_units, require_watched
from expunge.scrub.scrub import PENALTY, by_module
from expunge.training import History
from expunge.unlearners.guard import Update

log = logging.getLogger(__name__)

_LOOKED_AT = 2  # rows that show how a network runs its layers
_WEIGHT = "weight"
_RECORDED = ("gradient", "gradient_change", "weight_change")


def target_of(model: Predictor) -> NetworkTarget | LinearTarget:
    """Return what the scrub sees of a model."""
    return LinearTarget(model) if isinstance(model, LinearModel) else NetworkTarget(model)


class NetworkTarget:
    """A network and its record of training.

    Args:
        model: The network.
    """

    def __init__(self, model: Any) -> None:
        self.model: NetworkModel = model

    def limits(self) -> AbstractContextManager[None]:
        """Nothing to be limited while the update is computed."""
        return nullcontext()

    def require(self, x: Any, y: NDArray[np.int64], scrub: Scrub) -> None:
        """Look at the layers of the network before it is trained.

        Raises:
            InvalidValue: It has no units, or they cannot be watched, or not changed; the curvature takes more
                memory than there is.
        """
        images, learner, outputs = Images.of(x), self.model.learner, len(np.unique(y))
        module = learner.build(images.shape, outputs, 0)
        first = np.arange(min(_LOOKED_AT, len(images)))
        silent = require_watched(module, images.batch(first, next(module.parameters()).dtype, learner.device))
        if scrub.curvature == "kfac" and scrub.mode != "ascent":
            self._fits(scrub, module, silent, len(y), outputs)

    def trained(self, scrub: Scrub) -> None:
        """Look at the network once it is trained.

        Raises:
            InvalidValue: It was not trained here, and the curvature or the penalty is not known.
        """
        recorded = self.model.history is not None
        if not recorded and scrub.mode == "sekhari" and scrub.curvature in ("fd", "fisher"):
            raise InvalidValue("curvature", scrub.curvature, "exact, ggn or kfac where training.epochs is 0")
        unknown = scrub.penalty is None and self._penalty() is None
        if unknown and (scrub.needs_penalty or scrub.refit_outputs):
            raise InvalidValue("penalty", None, f"{PENALTY} (training.epochs is 0)")

    def _fits(self, scrub: Scrub, module: nn.Module, silent: list[str], rows: int, outputs: int) -> None:
        """Look whether there are factors of ``kfac``, and memory for them; say where they are estimated."""
        columns, block = scrub.curvature_columns, Block.of(module, by_module(all_units(module)))
        require_layers(module, block, silent if scrub.selector in ("all", "one") else ())
        if scrub.selector == "all":
            require_memory(module, block, min(rows, scrub.curvature_rows or rows), columns)
        if columns is not None and outputs > columns:
            line = "kfac: factors are estimated from %s of %s columns a row, drawn (curvature_columns)"
            log.info(line, columns, f"{outputs:,}")

    def problem(self, index: NDArray[np.int64]) -> Problem:
        """What the scrub is told of a request."""
        model, training = self.model, self.model.without(index)
        n = model.there.count
        sample, penalty = training.take(index), self._penalty()
        return Problem(model.module, cross_entropy, sample, training, n, model.history, penalty)

    def share_of_retraining(self, index: NDArray[np.int64], scrub: Scrub, validation: int) -> float | None:
        """A request's multiply-adds, those of the guard's looks included, over those of training again.

        None where the network has not been trained here: nobody knows what that took.
        """
        model, training = self.model, self.model.learner.training
        stay = model.there.count - len(index)
        seen = training.epochs * sum(end - start for start, end in training.batches(stay))
        if not seen:
            return None
        kept = model.codes[model.staying(index)]
        targets = torch.from_numpy(model.codes[index])
        layers = work.layers_of(model.module, model.training(index[:1]).take(index[:1])[0])
        emptied = len(np.setdiff1d(model.codes[index], kept))
        request = work.of_scrub(scrub, layers, targets, len(model.classes_), stay, emptied)
        guard = 2 * validation * work.of_forward(layers)  # before the first update, and after
        return (sum(request.values()) + guard) / work.of_training(layers, seen)

    def _penalty(self) -> float | None:
        """That of the training; None where the weights come from elsewhere."""
        training = self.model.learner.training
        return training.weight_decay if training.epochs else None

    def apply(self, proposal: Proposal) -> Update:
        """Make the update."""
        return proposal.figures, proposal.apply(self.model.module)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Nothing beyond the network's own state."""
        return {}

    def load(self, state: State) -> None:
        """Nothing beyond the network's own state."""


class LinearTarget:
    """The linear model of two classes; what its last Newton step of training leaves is its record.

    Args:
        model: The linear model.
    """

    def __init__(self, model: LinearModel) -> None:
        self.model = model

    def limits(self) -> AbstractContextManager[None]:
        """Keep BLAS to one thread while the update is computed."""
        return one_blas_thread()

    def require(self, x: Any, y: NDArray[np.int64], scrub: Scrub) -> None:
        """Raise ``UserError`` unless there are two classes at most, and no weights."""
        if self.model.weighted:
            allowed = "no class_weight, and no weights of rows, for a scrub of the linear model"
            raise UserError(f"weights: got some, allowed: {allowed}")
        classes = np.unique(y)
        if len(classes) > 2:
            named = ", ".join(map(str, classes[:6])) + (", ..." if len(classes) > 6 else "")
            raise UserError(
                f"labels: got {len(classes)} classes ({named}), allowed: two for a scrub of the linear "
                "model; choose two of them with dataset.classes, or a network with model="
            )

    @one_blas_thread()
    def trained(self, scrub: Scrub) -> None:
        """Record changes of the mean loss's gradient and of w: train once more, all but the last step."""
        model, (report,) = self.model, self.model.fit_reports
        steps = max(1, report.iterations - 1)
        before, after = train(model.problem, tol=model.tol, max_iter=steps).w, model.w
        gradients = [self._mean_gradient(w) for w in (before, after)]
        self.history = History(
            {_WEIGHT: gradients[1]}, {_WEIGHT: gradients[1] - gradients[0]}, {_WEIGHT: _row(after - before)}
        )

    def _mean_gradient(self, w: Array) -> Tensor:
        problem = self.model.problem
        penalty = problem.lam * problem.n * w + problem.b
        return _row((problem.gradient(w) - penalty) / problem.n)

    def problem(self, index: NDArray[np.int64]) -> Problem:
        """What the scrub is told of a request.

        Raises:
            NothingLeft: RowOperations of one class alone would stay.
        """
        model, own = self.model, self.model.problem
        model.without(index)
        targets = torch.from_numpy((own.y > 0).astype(np.int64))
        examples = Examples(RowInputs(own.rows), targets, model.staying(index), dtype=torch.float64)
        module = nn.Linear(own.rows.dim, 1, bias=False, dtype=torch.float64)
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(model.w)[None])
        sample = examples.take(index)
        return Problem(module, logistic_losses, sample, examples, own.n, self.history, own.lam)

    def share_of_retraining(self, index: NDArray[np.int64], scrub: Scrub, validation: int) -> None:
        """None: not counted, for its training ends by itself."""
        return

    def apply(self, proposal: Proposal) -> Update:
        """Make the step."""
        w = self.model.w + proposal.step.numpy()
        if not np.isfinite(w @ w):
            raise ScrubError("the update leaves weights that are not finite")
        undo = self.model.snapshot()
        self.model.try_out([WeightColumn(self.model.problem, w)])
        return proposal.figures, undo

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The record."""
        return {f"history_{key}": getattr(self.history, key)[_WEIGHT].numpy() for key in _RECORDED}

    def load(self, state: State) -> None:
        """Take over the record."""
        parts = ({_WEIGHT: torch.from_numpy(state.arrays[f"history_{key}"])} for key in _RECORDED)
        self.history = History(*parts)


def logistic_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """``log(1 + exp(-y s))`` of each score s, (m,); targets 0 and 1 stand for y = -1 and +1.

    As the cross-entropy of outputs 0 and s, which cancels for neither sign.
    """
    scores = outputs[:, :1]
    return cross_entropy(torch.cat([torch.zeros_like(scores), scores], dim=1), targets)


@dataclass(frozen=True)
class RowInputs:
    """Feature rows as ``Examples`` wants its inputs."""

    rows: RowOperations

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Any, dtype: torch.dtype = torch.float64, device: Any = "cpu") -> Tensor:
        """Return the rows of ``index``, (m, d)."""
        return torch.from_numpy(self.rows.dense(index)).to(device, dtype)


def _row(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))[None]
