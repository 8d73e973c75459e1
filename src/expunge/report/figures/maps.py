"""Activation maps of removed persons and of others: input, before, after and retrained, a row an image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError
from expunge.core.files import load_header, load_state
from expunge.record.columns import picture_of
from expunge.report.figures import drawing, style
from expunge.report.read import text
from expunge.report.read.methods import methods
from expunge.report.read.runs import Run

if TYPE_CHECKING:  # slow to import, and most runs have no pictures
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

_MAPS = ("before", "after", "retrained")
_FIRST = "Pictures are of the first of the runs that differ only in their seed"
_MOST_ROWS = 24
_OPAQUE = 0.75  # where a map is at its row's largest energy before
_COLOURS = "inferno"
_COLUMN = 1.55  # inches
_SMALL = 128  # pixels


@dataclass(frozen=True)
class _Pictures:
    """What a run kept for the picture.

    Attributes:
        images: (m, height, width) or (m, height, width, 3), from 0 to 1.
        removed: (m,) bool.
        names: Of the person in each image.
        maps: Column -> (m, h, w); ``before`` is one of them.
    """

    images: NDArray[np.float64]
    removed: NDArray[np.bool_]
    names: list[str]
    maps: dict[str, NDArray[np.float64]]


def draw_maps(runs: Sequence[Run]) -> list[style.Drawn]:
    """Draw a figure for each run that kept maps; a damaged file costs a line of the log.

    Of runs that differ only in their seed the first has a figure.
    """
    files = {id(run): paths for run in runs if (paths := _files(run))}
    drawn: list[style.Drawn] = []
    every = drawing.having(methods(runs), lambda run: id(run) in files)
    many = f" {_FIRST}." if any(len(method.runs) > 1 for method in every) else ""
    for method in every:
        for path in files[id(method.runs[0])]:
            if (found := _read(path)) is not None:
                label, before = method.label * (len(every) > 1), f"{path.stem}_"
                again = sum(f"{one.name}_".startswith(before) for one in drawn)
                name = path.stem + f"_{again + 1}" * bool(again)
                drawn.append(_draw(found, label, name, many))
    return drawn


def _files(run: Run) -> list[Path]:
    """Return the files of maps in a run folder, by what they say of themselves."""
    return [path for path in sorted(run.folder.glob("*.safetensors")) if _holds_maps(path)]


def _holds_maps(path: Path) -> bool:
    try:
        header = load_header(path)
    except DataError as error:
        if picture_of(path.name, {}) == "maps":
            return True  # by its name; who reads it says what is wrong
        log.warning("%s; if it holds activation maps, they are not drawn", error)
        return False
    return picture_of(path.name, header) == "maps"


def _read(path: Path) -> _Pictures | None:
    try:
        state = load_state(path, signed=False)
        return _checked(state.arrays, state.values)
    except (DataError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = str(error) if isinstance(error, DataError) else f"{path}: not the arrays of activation maps"
        log.warning("%s; its activation maps are not drawn", reason)
        return None


def _checked(arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> _Pictures:
    """Return the pictures in a file.

    Raises:
        KeyError: An array is missing.
        ValueError: One has not the shape it should have.
    """
    images, labels = arrays["images"][:_MOST_ROWS], arrays["labels"][:_MOST_ROWS]
    removed = arrays["removed"][:_MOST_ROWS].astype(bool)
    maps = {name: arrays[name][:_MOST_ROWS].astype(np.float64) for name in _MAPS if name in arrays}
    if "before" not in maps or "after" not in maps:
        raise KeyError("before, after")
    per_image = (images, labels, removed, *maps.values())
    flat = labels.ndim == removed.ndim == 1 and all(found.ndim == 3 for found in maps.values())
    alike = {len(array) for array in per_image} == {len(images)}
    if not (alike and flat and images.ndim in (3, 4)) or any(0 in array.shape for array in per_image):
        raise ValueError("shapes")
    known = values["class_names"]
    names = [str(known.get(str(label), label)) for label in labels.tolist()]
    shown = {name: np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0) for name, found in maps.items()}
    return _Pictures(_unit(images), removed, names, shown)


def _unit(images: NDArray[Any]) -> NDArray[np.float64]:
    """Pixels from 0 to 1: 8-bit ones over 255, others between the least and the largest of an image."""
    if images.dtype == np.uint8:
        pixels = images / 255.0
    else:
        wide = images.astype(np.float64)
        axes = tuple(range(1, wide.ndim))
        low, high = wide.min(axes, keepdims=True), wide.max(axes, keepdims=True)
        pixels = (wide - low) / np.where(high > low, high - low, 1.0)
    return pixels if pixels.ndim == 3 or pixels.shape[3] == 3 else pixels.mean(axis=3)


@style.styled()
def _draw(found: _Pictures, label: str, name: str, many: str) -> style.Drawn:
    columns = ("input", *(key for key in _MAPS if key in found.maps))
    count, (height, width) = len(found.images), found.images.shape[1:3]
    row = min(max(_COLUMN * height / width, 0.6), 3.2)
    figure, axes = style.canvas(
        _COLUMN * len(columns) + 1.6, 0.75 + row * count, len(columns), (len(columns),) * (count - 1)
    )
    grid = np.array(axes).reshape(count, len(columns))
    for place in range(count):
        _row(grid[place], found, place, columns)
    for ax, title in zip(grid[0], columns, strict=True):
        ax.set_title(title, loc="center")
    _bar(figure, axes)
    title = "Activation maps before and after"
    caption = (
        "Sum of squares over the channels of the last feature maps. The colours of a row are one scale, "
        "up to its largest value before any removal; what is larger looks the same. Maps of removed "
        "persons that fade say something where those of others do not."
    )
    if "retrained" in columns:
        caption += " Retrained: the same network trained from scratch without the requested rows."
    return style.render(figure, name, f"{title}: {label}" if label else title, caption + many)


def _row(axes: Sequence[Axes], found: _Pictures, place: int, columns: Sequence[str]) -> None:
    """Draw one image, and its maps over it in grey."""
    image = found.images[place]
    grey = image if image.ndim == 2 else image.mean(axis=2)
    largest = float(found.maps["before"][place].max()) or 1.0
    # Small images go into an SVG as they are, large ones as many pixels as are seen.
    interpolation = "none" if max(grey.shape) <= _SMALL else "antialiased"
    for ax, column in zip(axes, columns, strict=True):
        shown = image if column == "input" else _overlaid(grey, found.maps[column][place] / largest)
        ax.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation=interpolation)
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
    kind = "removed" if found.removed[place] else "other"
    name = fill(text.plain(found.names[place])[:36], 14)
    axes[0].set_ylabel(f"{name}\n{kind}", rotation=0, ha="right", va="center", labelpad=8)


def _overlaid(grey: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """A grey image with a map over it, (height, width, 3): where the map is zero the image is as it was.

    Args:
        grey: (height, width), from 0 to 1.
        shares: (h, w), the map over its row's largest value; linear between the centres of its positions.
    """
    from matplotlib import colormaps
    from scipy.ndimage import zoom

    factors = np.divide(grey.shape, shares.shape)
    heat = np.clip(zoom(shares, factors, order=1, mode="nearest", grid_mode=True), 0, 1)
    alpha = _OPAQUE * np.sqrt(heat)[:, :, None]
    return np.asarray((1 - alpha) * grey[:, :, None] + alpha * colormaps[_COLOURS](heat)[:, :, :3])


def _bar(figure: Figure, axes: Sequence[Axes]) -> None:
    from matplotlib.cm import ScalarMappable

    mappable = ScalarMappable(cmap=_COLOURS)
    mappable.set_clim(0, 1)
    bar = figure.colorbar(mappable, ax=list(axes), shrink=0.5, aspect=30, pad=0.02)
    bar.set_label("share of the row's largest energy before")
    bar.outline.set_visible(False)
