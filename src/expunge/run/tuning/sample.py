"""The settings that the trials of a method have: a pure function of its name, its search space and a seed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.hashing import sha256_of
from expunge.unlearners.search import Range

Value = str | float | bool | None
_DIGITS = 6  # that a number is given with: enough to tell trials apart, and to be typed again


def sampled(space: Mapping[str, Any], trials: int, name: str, seed: int) -> list[dict[str, Value]]:
    """Return the settings of each trial: none of its own for the first, then points of a Halton sequence.

    The sequence is scrambled by name, search space and seed, so that methods with equal spaces are tried at
    different points. More trials begin with those of fewer.

    Args:
        space: Setting -> ``Range`` or values; without any there is the first trial alone.
        trials: Number of trials, >= 1.
        name: Of the method.
        seed: Of the tuning.

    Source: Halton, *Numerische Mathematik* 2, 1960; scrambled as in ``scipy.stats.qmc.Halton``.
    """
    found: list[dict[str, Value]] = [{}]
    if trials == 1 or not space:
        return found
    from scipy.stats import qmc  # which takes its time

    text = json.dumps([name, seed, {key: repr(of) for key, of in space.items()}])
    generator = np.random.default_rng(int(sha256_of([text.encode()])[:32], 16))
    points = qmc.Halton(len(space), scramble=True, seed=generator).random(trials - 1)
    return found + [
        {key: value_at(of, float(u)) for (key, of), u in zip(space.items(), point, strict=True)}
        for point in points
    ]


def value_at(of: Any, u: float) -> Value:
    """Return the value at ``u`` in [0, 1): one of several, each with the same share, or one of a ``Range``.

    ``low + u (high - low)``, with ``log`` ``exp(log low + u (log high - log low))``; between whole numbers
    ``floor`` of that with ``high + 1`` for ``high``. Rounded to 6 digits, and never out of the range.
    """
    if not isinstance(of, Range):
        chosen: Value = of[min(int(u * len(of)), len(of) - 1)]
        return chosen
    whole = isinstance(of.low, int) and isinstance(of.high, int)
    high = of.high + 1 if whole else of.high
    if of.log:
        value = math.exp(math.log(of.low) + u * (math.log(high) - math.log(of.low)))
    else:
        value = of.low + u * (high - of.low)
    if whole:
        return min(max(math.floor(value), int(of.low)), int(of.high))
    return float(min(max(float(f"{value:.{_DIGITS}g}"), of.low), of.high))
