"""The places of a line that a picture can show: all of few, of many those that it bends at, or stretches."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.intervals import interval

_PLACES = 100  # of a line that is drawn through its places
_STRETCHES = 50  # of another, each shown by what it has in the middle and at its ends
_FINE = 0.004  # of a line's span: what is off by less, of the height of a panel a pixel, is not seen
_FEW = 24  # places of a line, up to which each has a mark
Array = NDArray[np.float64]


def places(curve: Mapping[float, Sequence[float]], log: bool = False) -> list[dict[str, Any]]:
    """Return what is drawn of a curve: the places that its line bends at, as far as these are not too many.

    Else there are its ends, and the median of each stretch with its ``least`` and ``most``. On a log axis a
    mean of zero is a gap. What is alone between gaps, and no line, has a mark and a bar.
    """
    x, values = np.array(list(curve)), np.array(list(curve.values()))
    y = values.mean(axis=1)
    known = (y > 0) | (not log)
    whole = np.arange(len(x))
    kept = _bends(x, _heights(y, known) if log else y)
    found = []
    for at in whole[kept, None] if kept else [whole[:1], *np.array_split(whole, _STRETCHES), whole[-1:]]:
        place: dict[str, Any] = {"x": short(x[at[len(at) // 2]]), "y": None}
        if some := known[at].any():
            middle = np.median(values[at[known[at]]], axis=0)
            mean, low, high = map(short, interval(middle.tolist()))
            place |= {"y": mean, **({"low": low, "high": high} if low < high else {})}
        if not kept:
            least, most = short(values[at].min()), short(values[at].max())
            place |= {"least": least, "most": most, "value": f"{place['y']}, all from {least} to {most}"}
        if some and not any((*known[max(at[0] - 1, 0) : at[0]], *known[at[-1] + 1 : at[-1] + 2])):
            place["alone"] = True
        if some and (len(x) <= _FEW or "alone" in place):
            place["mark"] = "full"
        found.append(place)
    return found


def thinned(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the sentence that says what stretches of a line are; none where none is drawn by them."""
    words = f" A line that varies at more than {_PLACES} places is drawn through the medians of"
    return f"{words} {_STRETCHES} stretches of it; the palest band has all its values." * any(
        "least" in row for row in rows
    )


def _heights(y: Array, known: NDArray[np.bool_]) -> Array:
    """Return values as a log axis has them, with gaps well below all of them."""
    logs = np.log10(y, out=np.zeros_like(y), where=known)
    low, high = (logs[known].min(), logs[known].max()) if known.any() else (0.0, 0.0)
    return np.where(known, logs, 2 * low - high - 1)


def _bends(x: Array, y: Array) -> list[int]:
    """Return the places through which a line can be drawn so that nobody sees a difference; too many: none.

    One after the other they are those that are furthest off the line so far.
    """
    if len(y) <= _PLACES:
        return list(range(len(y)))
    kept, fine = [0, len(y) - 1], _FINE * (y.max() - y.min())
    while len(kept) <= _PLACES:
        off = np.abs(np.interp(x, x[kept], y[kept]) - y)
        if off.max() <= fine:
            return kept
        insort(kept, int(off.argmax()))
    return []


def short(value: float) -> float:
    """Return a number as exactly as a picture can show it, so that the page stays small."""
    return float(f"{value:.6g}")


def thin(values: list[Any], most: int) -> list[Any]:
    """Return at most ``most`` values, evenly picked, the first and the last among them."""
    if len(values) <= most:
        return values
    return [values[i] for i in np.linspace(0, len(values) - 1, most).round().astype(int)]
