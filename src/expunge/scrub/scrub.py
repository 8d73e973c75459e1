"""One scrub: copies, selection, curvature, update, noise. Nothing is changed until the caller says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.core import checks
from expunge.core.checks import (
    require_choice,
    require_count,
    require_from_zero,
    require_positive,
    require_probability,
)
from expunge.core.errors import InvalidValue
from expunge.curvature import Block
from expunge.curvature.kfac import COLUMNS
from expunge.curvature.watching import repeatable
from expunge.scrub import selectors, steps
from expunge.scrub.coverage import Coverage
from expunge.scrub.noisy_copies import Observed, Unit, observe
from expunge.scrub.outputs import Refit
from expunge.scrub.problem import Problem
from expunge.scrub.proposal import Proposal, count_moved
from expunge.scrub.scrub_error import ScrubError
from expunge.scrub.shared_out import SELECTIONS, shares
from expunge.scrub.steps import CURVATURES, MODES, CurvatureChoice

_SIZES = ("perturbation_std", "lr", "smoothness", "lipschitz", "l2", "noise_epsilon", "max_rise")
_MOST_COPIES = 1_000_000  # published: 1,000
_MOST_ROWS = 2048  # of those that stay, however many classes leave; unlearner=kfac always takes so many
_HALVINGS = 20
_L2 = 0.01  # as published
PENALTY = "a number >= 0: the weight of the penalty that the network was trained with, 0 where there was none"


@dataclass(frozen=True)
class Scrub:
    """The settings of a scrub (Mehta et al., CVPR 2022, Algorithm 1); see ``published`` for theirs.

    It carries no certificate: the network is not convex, the step is that of a quadratic model without an
    error bound, and the noise is calibrated by constants that are assumed, not shown.

    Attributes:
        selector: ``lfoci``, ``cheap``, ``random``, ``one`` or ``all``.
        curvature: ``kfac``, ``ggn``, ``exact``, ``fd`` or ``fisher``; see ``CurvatureChoice``.
        mode: ``sekhari``, ``cr`` or ``ascent``; see ``expunge.scrub.steps``.
        n_perturbations: Perturbed copies.
        selection: ``by_class``: a selection in each class of which rows leave, n_perturbations copies in all;
            ``together`` (published): one, with a copy of each row at least. See ``shared_out.shares``.
        perturbation_std: Of each input value.
        max_units: The most units that ``lfoci`` and ``random`` take; None: as many as FOCI finds.
        l2: Damping, added to the curvature (> 0); None: the penalty, and 0.01 where that is 0.
        penalty: Weight of the penalty in what training minimised (0: there was none), whose share leaves with
            the rows; None: that of the ``Problem``. It is needed by mode ``sekhari``, by ``l2`` None and by
            ``refit_outputs``.
        lr: Of mode ``ascent``.
        noise_epsilon: None for no noise; see ``steps.noise_std``.
        noise_delta: Likewise.
        smoothness: Likewise.
        lipschitz: Likewise.
        curvature_rows: See ``CurvatureChoice.rows``; by class, so many for each class of which rows leave, up
            to 2,048: more units move then, by a longer step. ``max_rise`` looks at as many.
        curvature_tol: See ``CurvatureChoice.tol``.
        curvature_columns: See ``CurvatureChoice.columns``.
        max_rise: The step is halved for as long as it raises the mean loss of the rows that stay (of
            ``curvature_rows`` of them) by more than this, or by more than this share of it where it is above
            1; None: never. Longer steps leave the region where the quadratic model holds.
        refit_outputs: Once no row has a label any more, applying the proposal also puts its output unit where
            training without the label would leave it, all else fixed; see ``expunge.scrub.outputs``. Of
            cross-entropy, and networks only: the linear model has no output of a label's own.
        threads: Of the selection; None: every core.
    """

    selector: str = "lfoci"
    curvature: str = "kfac"
    mode: str = "sekhari"
    n_perturbations: int = 1000
    perturbation_std: float = 0.1
    max_units: int | None = None
    l2: float | None = None
    penalty: float | None = None
    lr: float = 1e-3
    noise_epsilon: float | None = None
    noise_delta: float = 0.01
    smoothness: float = 0.25
    lipschitz: float = 1.0
    curvature_rows: int | None = 128
    curvature_tol: float = 1e-2
    max_rise: float | None = 0.01
    refit_outputs: bool = True
    curvature_columns: int | None = COLUMNS
    selection: str = "by_class"
    threads: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        require_choice("selector", self.selector, selectors.SELECTORS)
        require_choice("curvature", self.curvature, CURVATURES)
        require_choice("mode", self.mode, MODES)
        require_choice("selection", self.selection, SELECTIONS)
        require_count("n_perturbations", self.n_perturbations, least=3, most=_MOST_COPIES)
        for name in ("perturbation_std", "lr", "smoothness", "lipschitz"):
            require_positive(name, getattr(self, name))
        for name in ("max_units", "curvature_rows", "curvature_columns"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name))
        for name in ("l2", "noise_epsilon", "max_rise"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        if self.penalty is not None:
            require_from_zero("penalty", self.penalty)
        for name in (*_SIZES, "penalty"):
            if isinstance(getattr(self, name), int):  # torch takes none beyond 64 bits
                object.__setattr__(self, name, float(getattr(self, name)))
        if self.threads is not None:
            require_count("threads", self.threads)
        checks.require_switch("refit_outputs", self.refit_outputs)
        require_probability("noise_delta", self.noise_delta)
        require_probability("curvature_tol", self.curvature_tol)

    @classmethod
    def published(cls, **settings: Any) -> Scrub:
        """Return the published settings, with changes: ``fd``, noise, a step of any length.

        There ``l2`` (0.01) is damping and penalty, whatever the training was; ``penalty`` sets the latter.
        Another curvature instead of ``fd`` is averaged over 2,048 rows and solved to 1e-4.
        """
        theirs = {"curvature": "fd", "noise_epsilon": 0.1, "max_rise": None, "refit_outputs": False}
        others = {"curvature_rows": 2048, "curvature_tol": 1e-4, "l2": _L2, "selection": "together"}
        both = {**theirs, **others, **settings}
        return cls(**{"penalty": both["l2"], **both})

    def rehearse(self) -> None:
        """Compile what the selection runs on so many copies; see ``selectors.rehearse``."""
        selectors.rehearse(self.selector, self.n_perturbations, self.threads)

    def propose(self, problem: Problem, rng: np.random.Generator, noise: torch.Generator) -> Proposal:
        """Compute the update that removes ``problem.sample``; the network is left as it is.

        ``rng`` draws the selection and the rows that curvature is averaged over, ``noise`` the perturbed
        copies and the noise on the weights.

        Raises:
            ScrubError: Nothing is selected, or a number is not finite.
            SolveError: The system with the curvature cannot be solved.
            InvalidValue: The penalty is needed, and neither the settings nor the problem have it; an argument
                is of another type.
        """
        kinds = (
            ("problem", problem, Problem),
            ("rng", rng, np.random.Generator),
            ("noise", noise, torch.Generator),
        )
        for name, given, kind in kinds:
            if not isinstance(given, kind):
                raise InvalidValue(name, type(given).__name__, f"{kind.__module__}.{kind.__name__}")
        if self.needs_penalty:
            self.penalty_of(problem)
        with repeatable(problem.sample[0].device):
            return self._proposed(problem, rng, noise)

    def _proposed(self, problem: Problem, rng: np.random.Generator, noise: torch.Generator) -> Proposal:
        refit = Refit.of(problem, lambda: self.penalty_of(problem)) if self.refit_outputs else None
        units = self.select(problem, rng, noise)
        block = Block.of(problem.module, by_module(units))
        step, share = self.bounded(problem, block, _finite(self.step(problem, block, rng)), rng)
        std = self.noise_std(problem)
        if std:
            step = step + std * torch.randn(block.size, generator=noise, dtype=torch.float64)
        moved = count_moved(problem.module, block, _finite(step), units)
        coverage = Coverage.of(problem.module)
        coverage.say(problem.module, self.selector)
        return Proposal(block, step, units, std, share, moved, coverage, refit)

    @property
    def needs_penalty(self) -> bool:
        """Whether every update needs to know the penalty; ``refit_outputs`` does once a label is gone."""
        damped = self.mode == "cr" or self.noise_epsilon is not None
        return self.mode == "sekhari" or (damped and self.l2 is None)

    def penalty_of(self, problem: Problem) -> float:
        """Return the penalty, that of the settings or else of the problem.

        Raises:
            InvalidValue: Neither has it.
        """
        penalty = problem.penalty if self.penalty is None else self.penalty
        if penalty is None:
            raise InvalidValue("penalty", None, PENALTY)
        return penalty

    def damping(self, problem: Problem) -> float:
        """Return what is added to the curvature."""
        return (self.penalty_of(problem) or _L2) if self.l2 is None else self.l2

    def observe(self, problem: Problem, noise: torch.Generator) -> Observed:
        """Run the perturbed copies."""
        copies, std = shares(problem.sample[1], self.n_perturbations, self.selection), self.perturbation_std
        return observe(problem.module, problem.losses, problem.sample, copies, std, noise)

    def select(self, problem: Problem, rng: np.random.Generator, noise: torch.Generator) -> list[Unit]:
        """Choose the units."""
        observe = partial(self.observe, problem, noise)
        return selectors.select(self.selector, problem.module, observe, rng, self.max_units, self.threads)

    def rows_for(self, targets: Tensor) -> int | None:
        """Return how many retained rows are looked at to remove rows with these targets; None: all."""
        rows, parts = self.curvature_rows, len(shares(targets, self.n_perturbations, self.selection).parts)
        return None if rows is None else max(rows, min(rows * parts, _MOST_ROWS))

    def step(self, problem: Problem, block: Block, rng: np.random.Generator) -> Tensor:
        """Return the update of the selected weights, without noise, (|S|,) float64."""
        if self.mode == "ascent":
            return steps.ascent(problem, block, self.lr)
        how = self.rows_for(problem.sample[1]), self.curvature_tol, self.curvature_columns
        curvature = CurvatureChoice(self.curvature, *how)
        l2 = self.damping(problem)
        if self.mode == "cr":
            return steps.cr(problem, block, curvature, l2)
        return steps.sekhari(problem, block, curvature, l2, rng, self.penalty_of(problem))

    def bounded(
        self, problem: Problem, block: Block, step: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, float]:
        """Return as much of ``step`` as ``max_rise`` allows, and the share that this is.

        Raises:
            ScrubError: Hardly any of it is allowed.
        """
        if self.max_rise is None:
            return step, 1.0
        rows = steps.some_of(problem.retained, self.rows_for(problem.sample[1]), rng)
        before = steps.mean_loss(problem, rows)
        most = before + self.max_rise * max(1.0, before)
        for share in (0.5**halvings for halvings in range(_HALVINGS + 1)):
            if steps.mean_loss(problem, rows, block, share * step) <= most:  # no: NaN
                return share * step, share
        still = f"{0.5**_HALVINGS:.1g} of the step still raises"
        raise ScrubError(f"{still} the loss of the rows that stay by more than {self.max_rise:g}")

    def noise_std(self, problem: Problem) -> float:
        """Return the standard deviation of the noise on every selected weight."""
        if self.noise_epsilon is None:
            return 0.0
        constants = self.noise_epsilon, self.noise_delta, self.smoothness, self.lipschitz
        return steps.noise_std(problem.n, problem.m, self.damping(problem), *constants)


def _finite(step: Tensor) -> Tensor:
    if not torch.isfinite(step).all():
        raise ScrubError("the update is not finite")
    return step


def by_module(units: list[Unit]) -> dict[str, list[int]]:
    """Return the units' numbers by module name."""
    found: dict[str, list[int]] = {}
    for name, unit in units:
        found.setdefault(name, []).append(unit)
    return found
