"""``expunge-report --privacy``: what a DP-SGD recipe costs, from its numbers alone."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isinf
from typing import Any

from expunge.core import text
from expunge.core.checks import require_count
from expunge.core.errors import InvalidValue, UserError
from expunge.core.screen import Page
from expunge.extractors.accounting import ACCOUNTANTS, PRV_ERROR, SAMPLINGS, Accounting, PrvFailed

_NAMES = {"rdp": "RDP", "rdp_wide": "RDP, wide", "prv": "PRV"}


@dataclass(frozen=True)
class Recipe:
    """A DP-SGD training run; by default that of SVHN in Guo et al., ICML 2020; see ``_OPTIONS``."""

    rows: int = 604_388  # SVHN's training and extra images
    batch_size: int = 500
    epochs: int = 20
    noise_multiplier: float = 6.0
    delta: float = 1e-5
    sampling: str = "poisson"
    target_epsilon: float | None = None
    accountant: str = "rdp"

    @property
    def accounting(self) -> Accounting:
        """The accounting, by ``accountant``."""
        return Accounting(self.rows, self.batch_size, self.delta, self.sampling, self.accountant)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return require_count("epochs", self.epochs) * self.accounting.steps_per_epoch

    def solved(self) -> Recipe:
        """Return the recipe with the noise multiplier that its target asks for."""
        if self.target_epsilon is None:
            return self
        return replace(
            self, noise_multiplier=self.accounting.noise_multiplier(self.target_epsilon, self.steps)
        )

    def epsilon(self, accountant: str, sampling: str | None = None) -> float:
        """Return epsilon by this accountant, if need be for another sampling."""
        other = replace(self, accountant=accountant, sampling=sampling or self.sampling)
        return other.accounting.epsilon(self.noise_multiplier, self.steps)


_ALLOWED = {int: "a whole number", float: "a number", str: ""}
_OPTIONS: dict[str, tuple[type[int | float | str], str, str]] = {
    "rows": (int, "N", "training rows"),
    "batch_size": (int, "B", "rows of a batch (the mean under poisson)"),
    "epochs": (int, "E", "passes over the rows"),
    "noise_multiplier": (float, "S", "standard deviation of the noise over the clipping norm"),
    "delta": (float, "D", "of the guarantee"),
    "sampling": (str, "HOW", f"how batches are drawn: {' or '.join(SAMPLINGS)}"),
    "target_epsilon": (float, "X", "compute the smallest noise multiplier that keeps to it"),
    "accountant": (str, "WHICH", f"whose epsilon the target is: {', '.join(ACCOUNTANTS)} (default: rdp)"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--privacy`` and the options that change its recipe, all read by ``given``."""
    group = parser.add_argument_group("what DP-SGD costs, from its numbers alone")
    help_ = (
        "print the (epsilon, delta) of a DP-SGD recipe; without more options that of the published SVHN run"
    )
    group.add_argument("--privacy", action="store_true", help=help_)
    for name, (_, letter, help_) in _OPTIONS.items():
        group.add_argument(option(name), metavar=letter, help=help_)


def given(args: argparse.Namespace) -> dict[str, str]:
    """Return the options of the recipe that the command line holds, as they were typed."""
    return {name: vars(args)[name] for name in _OPTIONS if vars(args)[name] is not None}


def option(name: str) -> str:
    """Return a setting's name as the command line spells it."""
    return "--" + name.replace("_", "-")


def report(values: Mapping[str, str], page: Page) -> None:
    """Put the table of the published recipe, changed by these options, on a page.

    Raises:
        UserError: An option's value cannot be used; the line names the option.
    """
    if {"target_epsilon", "noise_multiplier"} <= values.keys():
        raise UserError(
            "--target-epsilon: computes the noise multiplier, so not together with --noise-multiplier"
        )
    if "accountant" in values and "target_epsilon" not in values:
        raise UserError("--accountant: only with --target-epsilon; the table shows every accountant")
    try:
        _table(Recipe(**{name: _read(name, value) for name, value in values.items()}), bool(values), page)
    except InvalidValue as e:
        raise InvalidValue(option(e.name) if e.name in _OPTIONS else e.name, e.got, e.allowed) from e


def _read(name: str, value: str) -> Any:
    kind = _OPTIONS[name][0]
    try:
        return kind(value)
    except ValueError:
        raise InvalidValue(name, value, _ALLOWED[kind]) from None


def _table(asked: Recipe, changed: bool, page: Page) -> None:
    recipe = asked.solved()
    of = "" if changed else " of the published SVHN recipe (Guo et al., ICML 2020)"
    rows = [*_numbers(recipe), *_epsilons(recipe)]
    page.text(f"What DP-SGD costs: the guarantee{of}, from its numbers alone")
    page.gap()
    page.rows(rows, right=(1,))
    page.gap()
    page.text(_note(recipe))


def _numbers(recipe: Recipe) -> list[tuple[str, str, str]]:
    rows, batch = text.count(recipe.rows), text.count(recipe.batch_size)
    noise = "standard deviation of the noise over the clipping norm"
    if recipe.target_epsilon is not None:
        noise = f"the smallest with ε ≤ {text.setting(recipe.target_epsilon)} by {_NAMES[recipe.accountant]}"
    drawn = {
        "poisson": f"each row by itself, with probability {batch} / {rows}",
        "fixed": "disjoint batches of a shuffled pass",
    }
    return [
        ("rows", rows, ""),
        ("batch size", batch, ""),
        ("epochs", text.count(recipe.epochs), ""),
        ("steps", text.count(recipe.steps), f"{text.count(recipe.epochs)} × ⌈{rows} / {batch}⌉"),
        ("noise multiplier", text.number(recipe.noise_multiplier, 4), noise),
        ("delta", text.number(recipe.delta), ""),
        ("sampling", recipe.sampling, drawn[recipe.sampling]),
    ]


def _epsilons(recipe: Recipe) -> list[tuple[str, str, str]]:
    meaning = {
        "rdp": "Rényi orders up to 63, Opacus's own",
        "rdp_wide": "Rényi orders up to 1,000: as valid, and tighter where ε is small",
        "prv": f"composed numerically: at most {2 * PRV_ERROR:g} above the exact value",
    }
    rows = []
    for accountant, name in _NAMES.items():
        try:
            rows.append((f"ε by {name}", _shown(recipe.epsilon(accountant)), meaning[accountant]))
        except PrvFailed as e:
            rows.append((f"ε by {name}", text.NONE, e.cause))
    return rows


def _note(recipe: Recipe) -> str:
    passes = f"{text.count(recipe.epochs)} {'passes' if recipe.epochs > 1 else 'pass'}"
    if recipe.sampling == "fixed":
        return (
            f"Shuffled fixed batches have no amplification by sampling (Chua et al. 2024): {passes} count as "
            f"{text.count(recipe.epochs)} steps on all rows. Poisson sampling gives "
            f"ε ≤ {_shown(recipe.epsilon('rdp', 'poisson'))} by RDP."
        )
    return (
        "Shuffled fixed batches, which the published code uses, have no amplification by sampling "
        f"(Chua et al. 2024): ε ≤ {_shown(recipe.epsilon('rdp', 'fixed'))} by RDP for {passes}."
    )


def _shown(epsilon: float) -> str:
    return "∞" if isinf(epsilon) else text.number(epsilon)
