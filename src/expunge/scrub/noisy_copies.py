"""Perturbed copies of a sample, and what each unit of the network answers to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import Losses, evaluating
from expunge.scrub.coverage import has_units
from expunge.scrub.scrub_error import ScrubError

Unit = tuple[str, int]
"""Module name and number of the output channel (Conv2d) or output feature (Linear)."""

_BATCH = 200  # copies a forward pass: activations of a large network take little memory, passes few calls


@dataclass(frozen=True)
class Observed:
    """Losses of the copies, (n,) float64, and the units' answers to them.

    ``activations``, (n, units) float64, are before the nonlinearity, averaged over positions; ``units`` are
    those that the columns belong to.
    """

    losses: NDArray[np.float64]
    activations: NDArray[np.float64]
    units: list[Unit]


def unit_modules(module: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return the modules that have units, by name: every Conv2d and every Linear whose weights may change.

    Raises:
        InvalidValue: There is none, so that nothing can be selected.
    """
    found = {name: part for name, part in module.named_modules() if has_units(part)}
    if not found:
        allowed = "a network with Conv2d or Linear layers that are not frozen"
        raise InvalidValue("model", type(module).__name__, allowed)
    return cast("dict[str, nn.Conv2d | nn.Linear]", found)


def all_units(module: nn.Module) -> list[Unit]:
    """Return every unit, in the order of ``module.named_modules()``."""
    return [(name, unit) for name, part in unit_modules(module).items() for unit in range(len(part.weight))]


def perturbed(
    x: Tensor, copies: int, std: float, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``z' + N(0, std^2)`` batch by batch, with the row of ``x`` that each copy is of.

    ``x`` is (m, ...), the rows to be removed; the ``copies`` (at least one of each row) are shared out among
    them in turn. ``generator`` is on the CPU: the same copies on every device.
    """
    of = torch.arange(max(copies, len(x))) % len(x)
    for start in range(0, len(of), _BATCH):
        rows = of[start : start + _BATCH]
        noise = torch.randn((len(rows), *x.shape[1:]), generator=generator, dtype=x.dtype)
        yield x[rows] + std * noise.to(x.device), rows


def observe(
    module: nn.Module,
    losses: Losses,
    sample: tuple[Tensor, Tensor],
    copies: int,
    std: float,
    generator: torch.Generator,
) -> Observed:
    """Run perturbed copies of a sample through the network, many at a time, in evaluation mode.

    The sample is inputs (m, ...) and targets (m,) of the rows to be removed; for the copies see
    ``perturbed`` (published: 1,000, of standard deviation 0.1).

    Raises:
        ScrubError: A loss or an activation is not finite.
        InvalidValue: The network has no Conv2d or Linear layer.
    """
    x, y = sample
    found: list[Tensor] = []
    answers: list[dict[str, Tensor]] = []
    with evaluating(module), torch.no_grad(), _recording(unit_modules(module)) as answer:
        for copy, rows in perturbed(x, copies, std, generator):
            answer.clear()
            found.append(losses(module(copy), y[rows]).double().cpu())
            answers.append({name: torch.stack(calls).mean(dim=0) for name, calls in answer.items()})
    names = list(answers[0])
    activations = torch.cat([torch.cat([part[name] for name in names], dim=1) for part in answers])
    loss = torch.cat(found)
    if not (torch.isfinite(loss).all() and torch.isfinite(activations).all()):
        raise ScrubError("losses or activations of the perturbed copies are not finite")
    units = [(name, unit) for name in names for unit in range(answers[0][name].shape[1])]
    return Observed(loss.numpy(), activations.numpy(), units)


@contextmanager
def _recording(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """Keep, by module name, what each module puts out in a forward pass, averaged over positions.

    A module that is called several times in one pass has several entries; one that is not called has none.
    """
    answers: dict[str, list[Tensor]] = {}

    def keep(name: str, part: nn.Module, inputs: Any, output: Tensor) -> None:
        if isinstance(part, nn.Conv2d):
            output = output.flatten(2).mean(dim=2)
        elif output.ndim > 2:  # a Linear that is applied to tokens
            output = output.flatten(1, -2).mean(dim=1)
        answers.setdefault(name, []).append(output.double().cpu())

    with ExitStack() as hooks:
        for name, part in modules.items():
            hooks.enter_context(part.register_forward_hook(partial(keep, name)))
        yield answers
