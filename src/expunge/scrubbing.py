"""The scrub for those who have a torch module and loaders: what ``unlearner=lcodec`` does, in one call."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expunge import scrub
from expunge.core.checks import require_seed, require_switch
from expunge.core.errors import InvalidValue, last_line
from expunge.core.seeds import fresh_secret, torch_draws_from, torch_generator
from expunge.curvature.watching import watching
from expunge.datasets.images import Examples
from expunge.datasets.loaders import AsGiven, Read, joined, read
from expunge.predictors.given import GivenNetwork, require_module
from expunge.scrub import Proposal
from expunge.scrub.noisy_copies import unit_modules
from expunge.scrub.scrub import PENALTY
from expunge.unlearners.guard import Update
from expunge.unlearners.lcodec import Lcodec
from expunge.unlearners.scrub_targets import NetworkTarget

log = logging.getLogger(__name__)

Rows = NDArray[np.int64]
Given = tuple[AsGiven, Rows, Rows]
"""Inputs and labels of a source, and which of them count."""


@dataclass(frozen=True)
class Accuracies:
    """Shares of rows classified correctly, in evaluation mode.

    Attributes:
        forget: Of the rows that are to leave.
        retain: Of the rows that stay.
        validation: Of the validation rows whose label some row that stays has; None where there is none.
    """

    forget: float
    retain: float
    validation: float | None = None


@dataclass(frozen=True)
class Removal:
    """What ``Scrub.remove`` came to.

    Attributes:
        model: The network: the given one with ``in_place``, else a copy of it; with the weights that it had
            where the request was refused.
        removed: Whether the update was made and kept.
        taken_back: Whether one was made and put back, for it left the network worse than ``val_gap`` allows,
            or with numbers that are not finite.
        reason: Why the request was refused, one line; None where it was not.
        units: The selected units, (name of the layer, number of its output), in the order of their choice;
            these three are of the update that was made, even if it was taken back, and empty where none
            could be.
        refitted: Labels without a row any more, whose outputs were trained again on the rows that stay.
        figures: Units, weights, 2-norm and share of the update, and what else ``expunge.scrub.FIGURES``
            names.
        before: Accuracies of the network that was given.
        after: Of ``model``.
    """

    model: nn.Module = field(repr=False)
    removed: bool
    taken_back: bool
    reason: str | None
    units: list[tuple[str, int]] = field(repr=False)
    refitted: list[int]
    figures: dict[str, float]
    before: Accuracies
    after: Accuracies

    @property
    def step_norm(self) -> float | None:
        """2-norm of the update that was made; None where none could be."""
        return self.figures.get("step_norm")


class Scrub(scrub.Scrub):
    """The settings of a scrub, and the removal of rows from any torch classifier by it.

    Settings are those of ``expunge.scrub.Scrub``. ``penalty``, the ``weight_decay`` that the network was
    trained with by torch's SGD or Adam (0: none), must be given: a network does not show it.
    """

    def remove(
        self,
        model: nn.Module,
        *,
        forget: Any,
        retain: Any,
        validation: Any = None,
        val_gap: float | None = 0.05,
        seed: int | None = 0,
        in_place: bool = False,
    ) -> Removal:
        """Update the units that the loss (cross-entropy) of some training rows depends on, without the rows.

        It is the first request of ``unlearner=lcodec`` to this network with these rows, in their order, and
        this seed, and carries no certificate: see docs/networks.md. The given network keeps weights, modes
        and ``requires_grad``; torch's global random numbers are put back.

        Args:
            model: (m, ...) -> (m, K) logits, K >= 2, with Conv2d or Linear layers that are not frozen.
            forget: The training rows that leave: a ``DataLoader`` of batches (x, y), or a ``Dataset``. x are
                floating-point tensors (m, ...), y class numbers (m,) from 0 to K - 1, on any device. It is
                walked through once and kept in memory; order and augmentation are drawn from ``seed``.
            retain: All training rows that stay, and none that leave, likewise.
            validation: Rows that guard the update, likewise; None: no accuracy does.
            val_gap: Largest fall of validation accuracy; an update that costs more is taken back. None: any.
            seed: Of copies, selection and noise; None draws one from the operating system.
            in_place: Change ``model`` itself, and only once the update is to be kept.

        Raises:
            InvalidValue: An argument is not as above; the message names it.
            DataError: A row holds NaN or infinity.
        """
        require_switch("in_place", in_place)
        require_module(model)
        self._require_known()
        unit_modules(model)
        drawn = fresh_secret() if seed is None else require_seed("seed", seed)
        with _drawing_from(drawn, next(model.parameters()).device):
            stay, leave = read(retain, "retain"), read(forget, "forget")
            held = None if validation is None else joined([read(validation, "validation")])
            _say_common(leave, stay)
            removal = _removed(self, model, (stay, leave), held, val_gap, drawn)
        if not in_place:
            return removal
        if removal.removed:
            with torch.no_grad():
                for own, changed in zip(model.parameters(), removal.model.parameters(), strict=True):
                    own.copy_(changed)
        return replace(removal, model=model)

    def _require_known(self) -> None:
        """Raise ``InvalidValue`` where settings ask for what only the training of a network could tell."""
        if self.mode == "sekhari" and self.curvature in ("fd", "fisher"):
            allowed = "exact, ggn or kfac for a network whose training left no record"
            raise InvalidValue("curvature", self.curvature, allowed)
        if self.penalty is None and (self.needs_penalty or self.refit_outputs):
            raise InvalidValue("penalty", None, PENALTY)


class _Kept(NetworkTarget):
    """The network of a request, and the update that was made, whether or not it is kept."""

    proposal: Proposal | None = None

    def apply(self, proposal: Proposal) -> Update:
        """Make the update."""
        made = super().apply(proposal)
        self.proposal = proposal
        return made


def _removed(
    settings: scrub.Scrub,
    model: nn.Module,
    rows: tuple[Read, Read],
    validation: tuple[AsGiven, Rows] | None,
    val_gap: float | None,
    seed: int,
) -> Removal:
    """Serve the request on a copy of ``model``; ``rows`` are those that stay, and those that leave."""
    (x, y), stay = joined(rows), len(rows[0])
    inside = {"retain": (x, y, np.arange(stay)), "forget": (x, y, np.arange(stay, len(y)))}
    if validation is not None:
        inside["validation"] = (*validation, np.arange(len(validation[1])))
    answers = {name: _answers(model, name, *given) for name, given in inside.items()}
    predicted = {name: found for name, (found, _) in answers.items()}
    network = GivenNetwork(model, answers["retain"][1])
    method, target = Lcodec(network, val_gap=val_gap), _Kept(network)
    method.scrub, method.target = settings, target
    method.fit(x, y, seed)
    if validation is not None:
        method.validate_on(*validation)
        counted = method.validation_rows(inside["forget"][2])
        inside["validation"] = (*validation, counted)
        predicted["validation"] = predicted["validation"][counted]
    before = _accuracies(inside, predicted)
    outcome = method.remove(inside["forget"][2].tolist())
    removed, proposal = outcome.outcome == "removed", target.proposal
    after = before
    if removed:
        again = {name: network.predict(x, rows) for name, (x, _, rows) in inside.items()}
        after = _accuracies(inside, again)
    for part, own in zip(network.module.modules(), model.modules(), strict=True):
        part.training = own.training
    refit = None if proposal is None else proposal.refit
    return Removal(
        network.module,
        removed,
        bool(outcome.figures) and not removed,
        outcome.reason,
        [] if proposal is None else proposal.units,
        [] if refit is None else refit.labels,
        outcome.figures,
        before,
        after,
    )


def _accuracies(inside: dict[str, Given], predicted: dict[str, Rows]) -> Accuracies:
    """Shares that are right; ``predicted`` are those of ``rows`` alone, in their order."""
    found = {
        name: float(np.mean(predicted[name] == y[rows])) for name, (_, y, rows) in inside.items() if len(rows)
    }
    return Accuracies(**found)


def _answers(model: nn.Module, name: str, x: AsGiven, y: Rows, rows: Rows) -> tuple[Rows, int]:
    """Return the predicted labels of some rows, and how many outputs the network has.

    Raises:
        InvalidValue: It cannot take these inputs or does not put out K >= 2 finite numbers for each, or a
            label is not one of 0..K-1.
    """
    like = next(model.parameters())
    found: list[Tensor] = []
    width = 0
    for batch, labels in Examples(x, torch.from_numpy(y), rows, dtype=like.dtype, device=like.device):
        outputs = _outputs(model, name, batch)
        width = outputs.shape[1]
        wrong = labels[(labels < 0) | (labels >= width)]
        if len(wrong):
            allowed = f"class numbers from 0 to {width - 1}, one for each output"
            raise InvalidValue(name, f"label {int(wrong[0])}", allowed)
        found.append(outputs.argmax(dim=1).cpu())
    return torch.cat(found).numpy(), width


def _outputs(model: nn.Module, name: str, x: Tensor) -> Tensor:
    try:
        with watching(model), torch.no_grad():
            found: Any = model(x)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        got = f"inputs of shape {tuple(x.shape[1:])}"
        raise InvalidValue(name, got, f"inputs that the network takes ({last_line(error)})") from error
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(x) or found.shape[1] < 2:
        got = f"outputs {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        allowed = "one number for each of K >= 2 classes, (m, K)"
        raise InvalidValue("model", f"{got} for {len(x)} rows", allowed)
    if not torch.isfinite(found).all():
        got = f"outputs for rows of {name} that are not finite"
        raise InvalidValue("model", got, "a network that puts out finite numbers")
    return found


def _say_common(leave: Read, stay: Read) -> None:
    """Warn of rows that leave and stay at once: those that stay would teach what is to be forgotten."""
    named = set(_keys(leave))
    common = len({key for key in _keys(stay) if key in named})
    if common:
        line = "retain: %s of the %s rows of forget are in it: nothing is forgotten that stays"
        log.warning(line, f"{common:,}", f"{len(leave):,}")


def _keys(rows: Read) -> Iterator[tuple[bytes, int]]:
    for x, y in zip(rows.x, rows.y, strict=True):
        for one, label in zip(x, y.tolist(), strict=True):
            yield one.tobytes(), label


@contextmanager
def _drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """Let what a loader draws come of the seed, and put torch's random numbers back; allow gradients."""
    gpus = [device] if device.type == "cuda" else []
    with torch_draws_from(torch_generator(seed, "requests"), gpus), torch.inference_mode(False):
        yield
