"""What is known beforehand of each feature: where its values lie, as a centre and a half width.

It is a setting, not a statistic of the rows: it must not depend on rows that are to be removed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import LARGEST_SINGLE, require_finite
from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import read_text
from expunge.core.homes import expanded
from expunge.core.json_text import parse_json
from expunge.datasets.names import listed

Array = NDArray[np.float64]

_FORMS = {("low", "high"), ("mean", "scale")}
_ALLOWED = (
    "[low, high] for all features, a mapping from features to [low, high] or {mean: M, scale: S}, a list "
    "with one of them for each feature, or a .json or .csv file (column,low,high or column,mean,scale)"
)


@dataclass(frozen=True)
class Ranges:
    """Centre and half width of each feature, (d,); and which are 0 or 1 alone, and stay as they are."""

    centre: Array
    half: Array
    binary: NDArray[np.bool_]

    def of(self, block: NDArray[Any]) -> Array:
        """``(x - centre) / half`` of rows (m, d): a range becomes -1 to 1, and what is outside stays so."""
        return np.asarray((np.asarray(block, dtype=np.float64) - self.centre) / self.half)


def ranges_of(given: Any, features: Mapping[str, bool] | None, dim: int) -> Ranges:
    """Return what the setting ``ranges`` says of ``dim`` features.

    Args:
        given: As ``_ALLOWED`` has it.
        features: Names, and whether a feature is 0 or 1 alone, which may go without a range; None: features
            are called by their numbers, from 0.
        dim: d.

    Raises:
        InvalidValue: It is nothing of the kind, or a feature has none.
        DataError: The file that it names cannot be read.
    """
    known = {str(k): False for k in range(dim)} if features is None else dict(features)
    if isinstance(given, (str, Path)):
        given = _in_file(Path(given))
    if isinstance(given, Sequence) and len(given) == 2 and not any(map(_nested, given)):
        given = {name: given for name, binary in known.items() if not binary}
    elif isinstance(given, Sequence) and not isinstance(given, str) and len(given) == dim:
        given = dict(zip(known, given, strict=True))
    if not isinstance(given, Mapping):
        raise InvalidValue("ranges", given, _ALLOWED)
    named = {str(name): value for name, value in given.items()}
    if unknown := [name for name in named if name not in known]:
        raise InvalidValue("ranges", unknown[0], f"features: {listed(known)}")
    if missing := [name for name, binary in known.items() if name not in named and not binary]:
        raise InvalidValue("ranges", f"none of {missing[0]}", "one of each feature that is not 0 or 1 alone")
    pairs = [_pair(name, named[name]) if name in named else (0.0, 1.0) for name in known]
    centre, half = np.array(pairs).T
    return Ranges(centre, half, np.array([name not in named for name in known]))


def _nested(value: Any) -> bool:
    return isinstance(value, (Mapping, Sequence))


def _pair(name: str, value: Any) -> tuple[float, float]:
    """Centre and half width of one feature."""
    key = f"ranges.{name}"
    if isinstance(value, Mapping) and set(value) == {"mean", "scale"}:
        centre, half = value["mean"], value["scale"]
    elif isinstance(value, Sequence) and len(value) == 2:
        low, high = (require_finite(key, one, most=LARGEST_SINGLE) for one in value)
        centre, half = low / 2 + high / 2, high / 2 - low / 2
    else:
        raise InvalidValue(key, value, "[low, high] or {mean: M, scale: S}")
    centre, half = (require_finite(key, one, most=LARGEST_SINGLE) for one in (centre, half))
    if half < 1 / LARGEST_SINGLE:
        raise InvalidValue(key, value, "low below high, or a scale above 0")
    return centre, half


def _in_file(path: Path) -> Any:
    try:
        text = read_text(expanded(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise DataError(f"{path}: cannot be read as a file of ranges ({reason})", "ranges") from None
    if path.suffix == ".json":
        try:
            return parse_json(text)
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error})", "ranges") from None
    lines = [line for line in csv.reader(text.removeprefix("\ufeff").splitlines()) if line]
    head = tuple(word.strip() for word in lines[0]) if lines else ()
    if path.suffix != ".csv" or head[:1] != ("column",) or head[1:] not in _FORMS:
        allowed = "a .json file, or a .csv file that begins with column,low,high or column,mean,scale"
        raise DataError(f"{path}: not a file of ranges, allowed: {allowed}", "ranges")
    found: dict[str, Any] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            name, first, second = line[0], *map(float, line[1:])
        except ValueError:
            raise DataError(f"{path}:{number}: got {line}, allowed: {','.join(head)}", "ranges") from None
        if name in found:
            raise DataError(f"{path}:{number}: {name} is there twice", "ranges")
        found[name] = [first, second] if "low" in head else {"mean": first, "scale": second}
    return found
