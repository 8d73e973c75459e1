"""What a scrub works on, checked before anything is computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expunge.core.checks import require_count, require_from_zero
from expunge.core.errors import InvalidValue, last_line
from expunge.core.row_ids import row_ids
from expunge.curvature.gradients import require_gradient
from expunge.curvature.losses import Losses, is_cross_entropy, precise
from expunge.curvature.watching import watching
from expunge.datasets.images import Examples, Taken
from expunge.training import History

_TRIED = 2  # rows that the network is tried on
_CLOSE = 1e-3  # how far the loss of a row may be from that of the same row alone: float16 rounds by 5e-4


@dataclass(frozen=True)
class Problem:
    """What a scrub works on.

    The rows that stay and those to be removed are checked against each other, and the network and its loss
    are tried on two rows of either, in evaluation mode.

    Attributes:
        module: The network, which puts out one row an example.
        losses: The loss of each example, without the penalty on the weights: (m,) numbers, not their mean.
        sample: Inputs and targets of the rows to be removed, on the network's device, as ``Examples.take``
            gives them.
        retained: The training rows that stay, all of them and none of the sample.
        n: Training rows before the removal, those to be removed included.
        history: What training recorded; None where it did not.
        penalty: Weight p of the penalty in what training minimised, mean loss + (p / 2) ||w||^2 over every
            parameter: the ``weight_decay`` of torch's SGD and Adam, 0 where there was none. (The decoupled
            decay of AdamW is no penalty, and no p stands for it.) None: not known; whatever needs it says so.

    Raises:
        InvalidValue: An attribute is not as above; the message names it.
    """

    module: nn.Module
    losses: Losses
    sample: tuple[Tensor, Tensor]
    retained: Examples
    n: int
    history: History | None = None
    penalty: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module) or next(self.module.parameters(), None) is None:
            raise InvalidValue("module", type(self.module).__name__, "a torch module with parameters")
        if self.penalty is not None:
            require_from_zero("penalty", self.penalty)
        _require_sample(self.sample)
        if not isinstance(self.retained, Examples) or not len(self.retained):
            got = "no row" if isinstance(self.retained, Examples) else type(self.retained).__name__
            raise InvalidValue("retained", got, "Examples of the training rows that stay, one at least")
        self._require_apart()
        stay, whole = len(self.retained), len(self.retained) + self.m
        if require_count("n", self.n) != whole:
            allowed = (
                f"{whole}, the {stay} rows that stay and the {self.m} to be removed, which are not of them"
            )
            raise InvalidValue("n", self.n, f"{allowed} (curvature_rows takes a share of those that stay)")
        self._require_record()
        for name, (x, y) in (("retained", self._some()), ("sample", self.sample)):
            outputs = _outputs(self.module, name, x[:_TRIED], y[:_TRIED])
            if is_cross_entropy(self.losses):
                _require_labels(name, outputs, self._kept_targets() if name == "retained" else y)
            _require_own_losses(self.losses, outputs, y[:_TRIED])

    @classmethod
    def removing(
        cls,
        module: nn.Module,
        losses: Losses,
        train: Examples,
        rows: Any,
        history: History | None = None,
        penalty: float | None = None,
    ) -> Problem:
        """Return the problem of removing ``rows`` (ids) from the training rows ``train``, in which they are.

        Raises:
            InvalidValue: ``rows``: an id is not in ``train``, or named twice; there is none, or none stays.
        """
        if not isinstance(train, Examples):
            raise InvalidValue("train", type(train).__name__, "Examples of the training rows")
        index = row_ids(rows, 1 + int(train.rows.max(initial=-1)))
        for missing in index[~np.isin(index, train.rows)][:1]:
            raise InvalidValue("rows", int(missing), "ids of the training rows")
        if not 0 < len(index) < len(train):
            raise InvalidValue(
                "rows", f"{len(index)} of {len(train)} rows", "one row at least, and one that stays"
            )
        retained = train.only(train.rows[~np.isin(train.rows, index)])
        return cls(module, losses, train.take(index), retained, len(train), history, penalty)

    @property
    def m(self) -> int:
        """Rows to be removed."""
        return len(self.sample[1])

    def _some(self) -> tuple[Tensor, Tensor]:
        return self.retained.take(self.retained.rows[:_TRIED])

    def _require_apart(self) -> None:
        sample = self.sample
        if not isinstance(sample, Taken):
            return
        for name, rows in (("sample", sample.rows), ("retained", self.retained.rows)):
            row_ids(rows, 1 + int(rows.max(initial=-1)), name)
        common = np.isin(sample.rows, self.retained.rows)
        x, y = self.retained.take(sample.rows[common])
        for place, row in enumerate(sample.rows[common]):  # of other inputs, another row may have the number
            own = np.flatnonzero(common)[place]
            if torch.equal(x[place], sample[0][own]) and torch.equal(y[place], sample[1][own]):
                raise InvalidValue("retained", f"row {row}", "no row that is to be removed")

    def _require_record(self) -> None:
        if self.history is None:
            return
        if not isinstance(self.history, History):
            raise InvalidValue("history", type(self.history).__name__, "what training recorded, or None")
        for name, parameter in self.module.named_parameters():
            for part in (self.history.gradient, self.history.gradient_change, self.history.weight_change):
                if parameter.requires_grad and (name not in part or part[name].shape != parameter.shape):
                    raise InvalidValue("history", f"another network's (by {name})", "that of this network")

    def _kept_targets(self) -> Tensor:
        return self.retained.y[torch.from_numpy(self.retained.rows)]


def _require_sample(sample: Any) -> None:
    """Raise ``InvalidValue`` unless ``sample`` is m >= 1 inputs and targets."""
    allowed = "a pair of tensors: inputs (m, ...) and targets (m,), m >= 1, as Examples.take gives them"
    if not isinstance(sample, Sequence) or len(sample) != 2 or not all(isinstance(t, Tensor) for t in sample):
        raise InvalidValue("sample", type(sample).__name__, allowed)
    x, y = sample
    if y.ndim != 1 or x.ndim < 1 or len(x) != len(y) or not len(y):
        raise InvalidValue("sample", f"tensors of shape {tuple(x.shape)} and {tuple(y.shape)}", allowed)
    if y.dtype == torch.bool or y.is_complex():
        raise InvalidValue("sample", f"targets of {y.dtype}", "class numbers (int64) or real numbers")


def _outputs(module: nn.Module, name: str, x: Tensor, y: Tensor) -> Tensor:
    """Return what the network puts out for some rows.

    Raises:
        InvalidValue: It cannot take them, or does not put out a tensor with one row for each.
    """
    like = next(module.parameters())
    for tensor in (x, y):
        if tensor.device != like.device:
            raise InvalidValue(name, f"tensors on {tensor.device}", f"the network's device, {like.device}")
    if x.is_floating_point() and x.dtype != like.dtype:
        raise InvalidValue(
            name, f"inputs of {x.dtype}", f"the network's type, {like.dtype} (Examples: dtype)"
        )
    with watching(module):
        try:
            with torch.no_grad():
                found: Any = module(x)
            with torch.enable_grad():
                again: Any = module(x)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            got = f"inputs of shape {tuple(x.shape)}"
            raise InvalidValue(name, got, f"inputs that the network takes ({last_line(error)})") from error
    if not isinstance(found, Tensor) or found.ndim < 1 or len(found) != len(x):
        got = f"outputs {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise InvalidValue("module", f"{got} for {len(x)} rows", "a tensor with one row for each")
    if not torch.allclose(found, again.detach(), rtol=0.1, atol=_CLOSE, equal_nan=True):
        got, allowed = "two answers to the same rows", "a network that draws nothing in evaluation mode"
        raise InvalidValue("module", got, allowed)
    require_gradient(module, again)
    return found


def _require_labels(name: str, outputs: Tensor, targets: Tensor) -> None:
    """Raise ``InvalidValue`` unless ``targets`` are numbers of classes that there are outputs of."""
    shape = tuple(outputs.shape)
    if len(shape) != 2 or shape[1] < 2:
        allowed = "one number for each of K >= 2 classes, (m, K), with cross_entropy"
        raise InvalidValue("module", f"outputs {shape}", allowed)
    if targets.is_floating_point():
        raise InvalidValue(name, f"targets of {targets.dtype}", "class numbers (int64) with cross_entropy")
    for wrong in targets[(targets < 0) | (targets >= shape[1])][:1]:
        allowed = f"class numbers from 0 to {shape[1] - 1}, one for each output"
        raise InvalidValue(name, f"target {wrong.item()}", allowed)


def _require_own_losses(losses: Losses, outputs: Tensor, targets: Tensor) -> None:
    """Raise ``InvalidValue`` unless each row has a loss of its own, whatever rows are beside it."""
    try:
        with torch.enable_grad():
            found = precise(losses, outputs.detach().requires_grad_(), targets)
        alone = precise(losses, outputs[:1], targets[:1])
    except (RuntimeError, IndexError, TypeError) as error:
        got = f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} of {targets.dtype}"
        raise InvalidValue("losses", got, f"what the loss takes ({last_line(error)})") from error
    if not found.requires_grad:
        raise InvalidValue(
            "losses", "numbers without a gradient", "a function of the outputs to differentiate"
        )
    if not torch.allclose(found[:1].detach(), alone, rtol=_CLOSE, atol=_CLOSE, equal_nan=True):
        got = f"{found[0].item():.4g} for a row beside another, {alone[0].item():.4g} for the same alone"
        raise InvalidValue("losses", got, "the loss of each example by itself, not divided by their number")
