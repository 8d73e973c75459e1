"""Perturbed copies of a sample, and what each unit of the network answers to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.core.gpu_memory import has_room
from expunge.curvature.double import Unfolded, as_in_float64
from expunge.curvature.embedded import Place
from expunge.curvature.exact import Exact
from expunge.curvature.gradients import Losses
from expunge.curvature.losses import order_of, precise
from expunge.curvature.runs import require_derivatives, runs_of
from expunge.curvature.units import See, answering, own_parameters
from expunge.curvature.watching import require_open, watching
from expunge.datasets.names import listed
from expunge.scrub.coverage import has_units
from expunge.scrub.scrub_error import ScrubError
from expunge.scrub.shared_out import Shares, shares

log = logging.getLogger(__name__)

Unit = tuple[str, int]
"""Module name and number of the output; see ``curvature.units.own_parameters``."""

_BATCH = 200  # copies drawn at a time, and run: a large network's activations take little memory
_TOGETHER = 1 << 21  # numbers of copies run at once on a GPU: others are drawn meanwhile
_SHARE = 0.1  # of a GPU's free memory that the answers may take: the selection makes several of them


@dataclass(frozen=True)
class Observed:
    """Losses of the copies, (n,) float64, and the units' answers to them.

    ``activations``, (n, units) float64, are before the nonlinearity, averaged over positions: an array, or,
    of a network on a GPU with room for them, a tensor there. ``units`` are those that the columns belong to.
    ``order``, (n,) float64, is there where a loss is too small for a number: it rises with the losses, and
    tells such copies apart; see ``curvature.losses.order_of``. ``parts`` are the copies of each selection.
    """

    losses: NDArray[np.float64]
    activations: NDArray[np.float64] | Tensor
    units: list[Unit]
    order: NDArray[np.float64] | None = None
    parts: tuple[slice, ...] = (slice(None),)

    @property
    def ranked(self) -> NDArray[np.float64]:
        """What the copies are ranked by, (n,): ``order``, or the losses where there is none."""
        return self.losses if self.order is None else self.order


def unit_modules(module: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that have units whose weights may change, by name; see ``own_parameters``.

    Raises:
        InvalidValue: There is none, so that nothing can be selected.
    """
    found = {name: part for name, part in module.named_modules() if has_units(part)}
    if not found:
        require_open(module)
        allowed = "a network with Conv2d or Linear layers that are not frozen, pruned or parametrised"
        raise InvalidValue("model", type(module).__name__, allowed)
    return found


def require_watched(module: nn.Module, x: Tensor) -> list[str]:
    """See by inputs (m, ...) whether the layers that have units can be watched; name those that cannot.

    A warning says so, too.

    Raises:
        InvalidValue: None of them is called, or gradients do not pass through one.
    """
    parts = unit_modules(module)
    runs = runs_of(module, parts, x)
    require_derivatives(runs)
    silent = {name: part for name, part in parts.items() if not runs[name].count}
    if not silent:
        return []
    with watching(module), torch.enable_grad():
        every = {name: own_parameters(part)["weight"] for name, part in silent.items()}
        weights = {name: weight for name, weight in every.items() if weight.requires_grad}
        total = module(x).sum()
        reached = bool(weights) and total.requires_grad
        slopes = torch.autograd.grad(total, [*weights.values()], allow_unused=True) if reached else []
    used = {name for name, slope in zip(weights, slopes, strict=False) if slope is not None}
    said = [f"{name} ({'used without being called' if name in used else 'not reached'})" for name in silent]
    if len(silent) == len(parts):
        raise InvalidValue("model", listed(said), "a network that calls one of its Conv2d or Linear layers")
    log.warning("no unit of these layers is selected by what it answers: %s", listed(said))
    return list(silent)


def all_units(module: nn.Module) -> list[Unit]:
    """Return every unit, in the order of ``module.named_modules()``."""
    widths = {name: len(own_parameters(part)["weight"]) for name, part in unit_modules(module).items()}
    return [(name, unit) for name, width in widths.items() for unit in range(width)]


def perturbed(
    x: Tensor,
    copies: int | Tensor,
    std: float,
    generator: torch.Generator,
    moves: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``z' + N(0, std^2)`` batch by batch, with the row of ``x`` that each copy is of.

    ``x`` is (m, ...), the rows to be removed; the ``copies`` (at least one of each row) are shared out among
    them in turn, or are the row of each copy. ``generator`` is on the CPU: the same copies on every device.
    Only what ``moves`` marks gets noise (None: all), see ``Place.moves``.
    """
    of = copies if isinstance(copies, Tensor) else torch.arange(max(copies, len(x))) % len(x)
    for start in range(0, len(of), _BATCH):
        rows = of[start : start + _BATCH]
        noise = torch.randn((len(rows), *x.shape[1:]), generator=generator, dtype=x.dtype)
        added = std * noise.to(x.device)
        yield x[rows] + (added if moves is None else added * moves[rows]), rows


def _grouped(
    batches: Iterator[tuple[Tensor, Tensor]], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same copies, on a GPU more of them at a time."""
    held: list[tuple[Tensor, Tensor]] = []
    for batch in batches:
        held.append(batch)
        if device.type != "cuda" or (len(held) + 1) * batch[0].numel() > _TOGETHER:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(held: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    if len(held) == 1:
        return held[0]
    copies, rows = zip(*held, strict=True)
    return torch.cat(copies), torch.cat(rows)


def observe(
    module: nn.Module,
    losses: Losses,
    sample: tuple[Tensor, Tensor],
    copies: int | Shares,
    std: float,
    generator: torch.Generator,
) -> Observed:
    """Run perturbed copies of a sample through the network, many at a time, in evaluation mode.

    The copies have the network's type, and the network is run on them in float64: the ranks of losses, and
    which copies are neighbours, hang on differences that float32 rounds away. Of inputs that are numbers of
    tokens the copies are those of their embedding, see ``Place``.

    The sample is inputs (m, ...) and targets (m,) of the rows to be removed; for the copies see
    ``perturbed`` (published: 1,000, of standard deviation 0.1), and for how they are shared out ``shares``.

    Raises:
        ScrubError: A loss or an activation is not finite.
        InvalidValue: The network has no Conv2d or Linear layer, or calls none.
    """
    x, y = sample
    shared = shares(y, copies, "together") if isinstance(copies, int) else copies
    unit_modules(module)  # before it is copied: there must be units
    network, run = as_in_float64(module, x[:1])
    found: list[tuple[Tensor, Tensor]] = []
    answers: list[Tensor] = []
    names: dict[str, int] = {}
    with ExitStack() as stack:
        contexts: list[AbstractContextManager[Any]] = [watching(network), torch.no_grad()]
        if x.device.type == "cpu":
            contexts.append(Unfolded())
        if run is network or not _without_log_softmax(network):  # to look at every call takes time
            contexts.append(Exact())
        for context in contexts:
            stack.enter_context(context)
        place = Place.of(network, x[:1])
        points = place.points(x)
        dtype = points.dtype if run is module else torch.float64
        copies_of = perturbed(points, shared.of, std, generator, place.moves(x))
        answer = stack.enter_context(_recording(network))
        for copy, rows in _grouped(copies_of, x.device):
            answer.clear()
            outputs, own = place.run(run, x[rows], copy.to(dtype)), y[rows]
            found.append((precise(losses, outputs, own), order_of(losses, outputs, own)))
            names = names or {name: calls[0].shape[1] for name, calls in answer.items()}
            if not names:
                allowed = "a network that calls its Conv2d or Linear layers"
                raise InvalidValue("model", type(module).__name__, allowed)
            there = torch.cat([_mean(answer[name]) for name in names], dim=1)
            kept = has_room(x.device, there.element_size() * len(shared.of) * there.shape[1], _SHARE)
            answers.append(there if kept else there.cpu())
    if any(part.device.type == "cpu" for part in answers):
        answers = [part.cpu() for part in answers]
    activations = torch.cat(answers)
    loss, order = (torch.cat(parts).double().cpu() for parts in zip(*found, strict=True))
    if not (torch.isfinite(loss).all() and torch.isfinite(activations).all()):
        raise ScrubError("losses or activations of the perturbed copies are not finite")
    units = [(name, unit) for name, width in names.items() for unit in range(width)]
    small = bool((loss.abs() < torch.finfo(torch.float64).tiny).any())
    seen = activations.numpy() if activations.device.type == "cpu" else activations
    return Observed(loss.numpy(), seen, units, order.numpy() if small else None, shared.parts)


def _without_log_softmax(module: nn.Module) -> bool:
    """Whether no layer takes a logarithm of a softmax, of known code, which takes none elsewhere."""
    return not any(
        type(part).__module__.endswith((".activation", ".adaptive")) and "Log" in type(part).__name__
        for part in module.modules()
    )


def _mean(calls: list[Tensor]) -> Tensor:
    """The mean over the calls of a module, wherever each was made, (m, units)."""
    return calls[0] if len(calls) == 1 else torch.stack(calls).mean(dim=0)


@contextmanager
def _recording(network: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Keep, by module name, what each module with units puts out in a forward pass, averaged over positions.

    A module that is called several times in one pass has several entries; one that is not called has none.
    """
    answers: dict[str, list[Tensor]] = {}

    def keep(name: str, part: nn.Module, _: Any, output: Tensor) -> None:
        if isinstance(part, nn.Conv2d) or (isinstance(part, nn.GroupNorm) and output.ndim > 2):
            output = output.flatten(2).mean(dim=2)
        elif output.ndim > 2:  # a layer that is applied to tokens
            output = output.flatten(1, -2).mean(dim=1)
        # A copy: what comes next may work in place. It stays where it is: to fetch it would wait for the GPU.
        answers.setdefault(name, []).append(output.to(torch.float64, copy=True))

    watched: dict[str, tuple[nn.Module, See]] = {
        name: (part, partial(keep, name, part)) for name, part in unit_modules(network).items()
    }
    with answering(network, watched):
        yield answers
