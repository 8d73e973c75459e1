"""Which units of the network a removal is to touch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest

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
    many as FOCI takes. Where copies are in several parts, each is looked at by itself, and what any of them
    takes is chosen: the first of each, then the second of each, and so on; ``cheap`` takes the first of each.
    The choice is the same for any number of ``threads``.

    Raises:
        ScrubError: None is chosen.
    """
    require_choice("selector", name, SELECTORS)
    if name not in _LOOKING:
        units = all_units(module)
        return [units[int(rng.integers(len(units)))]] if name == "one" else units
    observed = observe()
    if not any(np.ptp(observed.ranked[part]) for part in observed.parts):
        raise ScrubError("empty selection: the loss is the same for every perturbed copy")
    found = _in_order([_columns(name, observed, part, rng, max_units, threads) for part in observed.parts])
    if name != "cheap":  # one of each part
        found = found[:max_units]
    if not found:
        raise ScrubError("empty selection: no unit says anything about the loss of the perturbed copies")
    if name == "random":
        found = np.sort(rng.choice(len(observed.units), size=len(found), replace=False)).tolist()
    return [observed.units[column] for column in found]


def _columns(
    name: str,
    observed: Observed,
    part: slice,
    rng: np.random.Generator,
    max_units: int | None,
    threads: int | None,
) -> list[int]:
    """What FOCI takes by some of the copies, in its order; nothing where their losses are all the same."""
    most, x, y = 1 if name == "cheap" else max_units, observed.activations[part], observed.ranked[part]
    if np.ptp(y) == 0:
        return []
    return list(foci(x, y, max_features=most, ties="noise", rng=rng, threads=threads).columns)


def _in_order(parts: list[list[int]]) -> list[int]:
    """Return what is in any of the parts: the first of each, then the second of each, ..., each once."""
    return list(dict.fromkeys(c for tier in zip_longest(*parts) for c in tier if c is not None))
