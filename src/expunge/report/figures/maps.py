"""Pictures of images: activation maps of removed persons and of others, a row an image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.charts.pictures import HEAT, overlaid, picture, unit
from expunge.charts.style import Drawn
from expunge.core import text
from expunge.core.errors import DataError
from expunge.core.files import load_state
from expunge.record.folders.runs import Run
from expunge.report.figures import drawing
from expunge.report.read.arrays import files_of
from expunge.report.read.methods import methods

if TYPE_CHECKING:  # slow to import, and most runs have no pictures
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

_MAPS = ("before", "after", "retrained")
_MOST_ROWS = 24
_COLUMN = 1.55  # inches
_SMALL = 128  # pixels
_KINDS = ("other", "removed")
_TITLE = "Activation maps before and after"
_CAPTION = (
    "Sum of squares over the channels of the last feature maps. The colours of a row are one scale, up to "
    "its largest value before any removal; what is larger looks the same. Maps of removed persons that fade "
    "say something where those of others do not."
)
_RETRAINED = " Retrained: the same network trained from scratch without the requested rows."
_FIRST = " Pictures are of the first of the runs that differ only in their seed."


class _Pictures(NamedTuple):
    """What a run kept: m images from 0 to 1, (m,) who is removed and named how, and maps, (m, h, w) each."""

    images: NDArray[np.float64]
    removed: NDArray[np.bool_]
    names: list[str]
    maps: dict[str, NDArray[np.float64]]


def draw_maps(runs: Sequence[Run]) -> list[Drawn]:
    """Draw a figure for each run that kept maps; a damaged file costs a line of the log.

    Of runs that differ only in their seed the first has a figure.
    """
    files = {id(run): paths for run in runs if (paths := files_of(run, "maps", "activation maps"))}
    drawn: list[Drawn] = []
    every = drawing.having(methods(runs), lambda run: id(run) in files)
    many = _FIRST * any(len(method.runs) > 1 for method in every)
    for method in every:
        for path in files[id(method.runs[0])]:
            if (found := _read(path)) is not None:
                again = sum(f"{one.name}_".startswith(f"{path.stem}_") for one in drawn)
                name = path.stem + f"_{again + 1}" * bool(again)
                title = f"{_TITLE}: {method.label}" if len(every) > 1 else _TITLE
                said = _CAPTION + _RETRAINED * ("retrained" in found.maps) + many
                (m, height, width), n = found.images.shape[:3], 1 + len(found.maps)
                row = min(max(_COLUMN * height / width, 0.6), 3.2)
                size = _COLUMN * n + 1.6, 0.75 + row * m
                drawn.append(picture(name, title, said, size, (m, n), partial(_paint, found)))
    return drawn


def _read(path: Path) -> _Pictures | None:
    try:
        state = load_state(path, signed=False)
        return _checked(state.arrays, state.values)
    except (DataError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = str(error) if isinstance(error, DataError) else f"{path}: not the arrays of activation maps"
        log.warning("%s; its activation maps are not drawn", reason)
        return None


def _checked(arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> _Pictures:
    """Return the pictures in a file; a KeyError or ValueError says that they are not as they should be."""
    first = {name: array[:_MOST_ROWS] for name, array in arrays.items()}
    images, labels, removed = first["images"], first["labels"], first["removed"].astype(bool)
    maps = {name: first[name].astype(np.float64) for name in _MAPS if name in first}
    maps = {name: np.nan_to_num(found, posinf=0.0, neginf=0.0) for name, found in maps.items()}
    if not {"before", "after"} <= maps.keys():
        raise KeyError("before, after")
    every = (images, labels, removed, *maps.values())
    flat = labels.ndim == removed.ndim == 1 and all(found.ndim == 3 for found in maps.values())
    alike = {len(array) for array in every} == {len(images)} and images.ndim in (3, 4)
    if not (flat and alike) or any(0 in array.shape for array in every):
        raise ValueError("shapes")
    names = [str(values["class_names"].get(str(label), label)) for label in labels.tolist()]
    return _Pictures(unit(images), removed, names, maps)


def _paint(found: _Pictures, figure: Figure, axes: NDArray[Any]) -> None:
    """Draw each image, beside it its maps over it in grey, and the bar of their colours."""
    from matplotlib.cm import ScalarMappable

    for ax, title in zip(axes[0], ("input", *found.maps), strict=True):
        ax.set_title(title, loc="center")
    for place, (row, image) in enumerate(zip(axes, found.images, strict=True)):
        # Small images go into an SVG as they are, large ones as many pixels as are seen.
        look = {"cmap": "gray", "vmin": 0, "vmax": 1}
        look["interpolation"] = "none" if max(image.shape[:2]) <= _SMALL else "antialiased"
        row[0].imshow(image, **look)
        words = f"{fill(text.plain(found.names[place])[:36], 14)}\n{_KINDS[int(found.removed[place])]}"
        row[0].set_ylabel(words, rotation=0, ha="right", va="center", labelpad=8)
        grey = image if image.ndim == 2 else image.mean(axis=2)
        for ax, energy in zip(row[1:], found.maps.values(), strict=True):
            ax.imshow(overlaid(grey, energy[place] / (found.maps["before"][place].max() or 1.0)), **look)
    mappable = ScalarMappable(cmap=HEAT)
    mappable.set_clim(0, 1)
    bar = figure.colorbar(mappable, ax=list(axes.flat), shrink=0.5, aspect=30, pad=0.02)
    bar.set_label("share of the row's largest energy before")
    bar.outline.set_visible(False)
