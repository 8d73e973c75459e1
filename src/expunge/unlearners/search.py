"""What of a method is to be tuned, and between which values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, tried evenly, or with ``log`` evenly in their logarithms.

    Whole numbers where both ends are.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"{self}: low must be below high, and with log above 0")


SearchSpace = Mapping[str, Range | tuple[str | float | bool | None, ...]]
"""Setting -> the numbers, or the choices, that it may be tried with."""
