"""Which units of the network a removal is to touch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import nn

from expunge.codec import foci
from expunge.core.checks import require_choice
from expunge.scrub.noisy_copies import Observed, Unit, all_units
from expunge.scrub.scrub_error import ScrubError

_LOOKING = ("lfoci", "cheap", "random")
SELECTORS = (*_LOOKING, "one", "all")

Observe = Callable[[], Observed]
"""Runs the perturbed copies; called only by selectors that look at them, since it is most of the work."""


def rehearse(name: str, copies: int, threads: int | None = None) -> None:
    """Compile the kernels of a selector, by a selection among a few columns of noise.

    They are compiled when they are first called, for some seconds, which are not of a removal.
    """
    if name in _LOOKING:
        x = np.random.default_rng(0).normal(size=(copies, 3))
        foci(x, x.sum(axis=1), ties="noise", rng=0, threads=threads)


def select(
    name: str,
    module: nn.Module,
    observe: Observe,
    rng: np.random.Generator,
    max_units: int | None = None,
    threads: int | None = None,
) -> list[Unit]:
    """Return the units that a selector chooses.

    ``lfoci``: L-FOCI of the copies' losses on the units' activations (Mehta et al., CVPR 2022, Algorithm 1),
    in the order in which FOCI takes them, until no unit adds information about the loss given the chosen
    ones. ``cheap``: the first of these alone. ``random``: as many as ``lfoci`` takes, drawn at random, to
    compare it with. ``one``: one unit, drawn at random, to compare ``cheap`` with. ``all``: the whole
    network, but for what has no units. ``lfoci`` and ``random`` take at most ``max_units``, None for as
    many as FOCI takes. The choice is the same for any number of ``threads``.

    Raises:
        ScrubError: None is chosen.
    """
    require_choice("selector", name, SELECTORS)
    if name not in _LOOKING:
        units = all_units(module)
        return [units[int(rng.integers(len(units)))]] if name == "one" else units
    observed = observe()
    if np.ptp(observed.ranked) == 0:
        raise ScrubError("empty selection: the loss is the same for every perturbed copy")
    most, x, y = 1 if name == "cheap" else max_units, observed.activations, observed.ranked
    found = foci(x, y, max_features=most, ties="noise", rng=rng, threads=threads).columns
    if not len(found):
        raise ScrubError("empty selection: no unit says anything about the loss of the perturbed copies")
    if name == "random":
        found = np.sort(rng.choice(len(observed.units), size=len(found), replace=False))
    return [observed.units[column] for column in found]
