"""What every ``Outcome`` must be, whoever made it: checked before anything rests on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from numbers import Real
from typing import Any

from expunge.core.checks import require_count
from expunge.core.errors import BrokenInvariant, InvalidValue
from expunge.unlearners.base import OUTCOMES, Outcome

NORMS = ("residual_bound", "residual_measured", "budget", "epsilon_spent")
LAST_BITS = 1 + 1e-12  # c (std epsilon / c) / std is epsilon but for roundings


def require_outcome(outcome: Any, rows: Iterable[int], epsilon: float | None = None) -> Outcome:
    """Return ``outcome`` if it is one for the request ``rows`` and its numbers agree with each other.

    Args:
        outcome: What ``remove`` returned, or is about to.
        rows: The request.
        epsilon: What the method promises, where it does.

    Raises:
        BrokenInvariant: It is not; see ``require_numbers`` for the numbers.
    """
    if not isinstance(outcome, Outcome):
        raise BrokenInvariant("what remove() returns", type(outcome).__name__, "an Outcome")
    asked = sorted(map(int, rows))
    try:
        about = sorted(require_count("rows", row, least=0) for row in outcome.rows)
    except (TypeError, InvalidValue):  # none at all, or something that is no whole number
        about = []
    if about != asked:
        raise BrokenInvariant("rows", outcome.rows, f"those requested, {asked}")
    if not isinstance(outcome.figures, Mapping):
        raise BrokenInvariant("figures", outcome.figures, "numbers by name, of which there may be none")
    require_numbers(vars(outcome), epsilon)
    return outcome


def require_numbers(said: Mapping[str, Any], epsilon: float | None = None) -> None:
    """Check the outcome and the numbers of a release, of an ``Outcome`` or of a record.

    ``residual_measured <= residual_bound`` always; where the request was not refused also ``residual_bound <=
    budget`` and ``epsilon_spent <= epsilon``. Numbers are finite and >= 0, or None where there are none.

    Raises:
        BrokenInvariant: One of these does not hold; both numbers are named.
    """
    if said["outcome"] not in OUTCOMES:
        raise BrokenInvariant("outcome", said["outcome"], f"one of {', '.join(OUTCOMES)}")
    for name in NORMS:
        value = said[name]
        number = isinstance(value, Real) and not isinstance(value, bool)
        if value is not None and not (number and isfinite(value) and value >= 0):
            raise BrokenInvariant(name, value, "a finite number >= 0, or none")
    _at_most(said, "residual_measured", "residual_bound", said["residual_bound"])
    if said["outcome"] != "refused":
        _at_most(said, "residual_bound", "the budget", said["budget"])
        _at_most(said, "epsilon_spent", "epsilon", epsilon, LAST_BITS)


def _at_most(said: Mapping[str, Any], name: str, what: str, most: float | None, slack: float = 1.0) -> None:
    value = said[name]
    if value is not None and most is not None and not value <= most * slack:
        raise BrokenInvariant(name, value, f"at most {what}, which is {most!r}")
