"""Which units of the network a removal is to touch: one small class a way of choosing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
from torch import nn

from expunge.codec import foci
from expunge.core.checks import require_choice
from expunge.scrub.noisy_copies import Observed, Unit, all_units
from expunge.scrub.scrub_error import ScrubError

Observe = Callable[[], Observed]
"""Runs the perturbed copies; called only by selectors that look at them, since it is most of the work."""


class Selector(Protocol):
    """A way to choose units."""

    def select(self, module: nn.Module, observe: Observe, rng: np.random.Generator) -> Sequence[Unit]:
        """Return the chosen units.

        Raises:
            ScrubError: None is chosen.
        """


class Lfoci:
    """L-FOCI of the copies' losses on the units' activations (Mehta et al., CVPR 2022, Algorithm 1).

    FOCI goes on until no unit adds information about the loss given the chosen ones.

    Args:
        max_units: The most units; None for as many as FOCI takes.
        threads: Of the scan; None: every core. The choice is the same for any number.
    """

    method: Literal["foci", "cheap"] = "foci"

    def __init__(self, max_units: int | None = None, threads: int | None = None) -> None:
        self.max_units, self.threads = max_units, threads

    def select(self, module: nn.Module, observe: Observe, rng: np.random.Generator) -> list[Unit]:
        """Return the chosen units, in the order in which FOCI takes them."""
        return self._chosen(observe(), rng)

    def _chosen(self, observed: Observed, rng: np.random.Generator) -> list[Unit]:
        if np.ptp(observed.losses) == 0:
            raise ScrubError("empty selection: the loss is the same for every perturbed copy")
        found = foci(
            observed.activations,
            observed.losses,
            max_features=self.max_units,
            method=self.method,
            ties="noise",
            rng=rng,
            threads=self.threads,
        )
        if not len(found.columns):
            raise ScrubError("empty selection: no unit says anything about the loss of the perturbed copies")
        return [observed.units[column] for column in found.columns]


class Cheap(Lfoci):
    """The first unit of L-FOCI alone."""

    method = "cheap"


class RandomUnits(Lfoci):
    """As many units as L-FOCI takes, drawn at random: what L-FOCI's choice is compared with."""

    def select(self, module: nn.Module, observe: Observe, rng: np.random.Generator) -> list[Unit]:
        """Return the chosen units, in the network's order."""
        observed = observe()
        count = len(self._chosen(observed, rng))
        drawn = np.sort(rng.choice(len(observed.units), size=count, replace=False))
        return [observed.units[column] for column in drawn]


class One:
    """One unit, drawn at random: what ``Cheap`` is compared with."""

    def select(self, module: nn.Module, observe: Observe, rng: np.random.Generator) -> list[Unit]:
        """Return the chosen unit."""
        units = all_units(module)
        return [units[int(rng.integers(len(units)))]]


class All:
    """Every unit: the whole network, its normalisation layers aside."""

    def select(self, module: nn.Module, observe: Observe, rng: np.random.Generator) -> list[Unit]:
        """Return all units."""
        return all_units(module)


SELECTORS = ("lfoci", "cheap", "random", "one", "all")


def selector(name: str, max_units: int | None = None, threads: int | None = None) -> Selector:
    """Return the selector that the configuration calls ``name``.

    Args:
        name: One of ``SELECTORS``.
        max_units: For ``lfoci`` and ``random``.
        threads: For those that look at perturbed copies.
    """
    require_choice("selector", name, SELECTORS)
    if name in ("one", "all"):
        return One() if name == "one" else All()
    return {"lfoci": Lfoci, "cheap": Cheap, "random": RandomUnits}[name](max_units, threads)
