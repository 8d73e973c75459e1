"""Image files of any size and kind, read as arrays of one size and one number of channels."""

from __future__ import annotations

import logging
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count, require_switch
from expunge.core.errors import DataError, InvalidValue, last_line
from expunge.core.memory import in_words, require_room, room_below
from expunge.core.progress import progress_bar
from expunge.core.regular import open_regular
from expunge.datasets.names import listed

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm"}
    | {".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Endings of the files that are taken for images, in lower case; without one the content decides."""

PICTURES = frozenset(
    {
        ".arw",
        ".avif",
        ".cr2",
        ".cr3",
        ".dng",
        ".exr",
        ".hdr",
        ".heic",
        ".heif",
        ".hif",
        ".ico",
        ".j2k",
        ".jp2",
    }
    | {".jpx", ".jxl", ".nef", ".orf", ".psd", ".raf", ".raw", ".rw2", ".svg", ".tga", ".xcf"}
)
"""Endings of pictures that are not read."""

_BEGINNINGS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF",
)
_NETPBM = re.compile(rb"P[1-6]\s")
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
_HEAD = 16

# What a file may hold, whatever its ending: Pillow hands some other formats to programs outside it.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_GREY = ("1", "L", "LA")
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_WHITE = 65535  # of 16-bit greyscale
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoding:
    """How image files become arrays.

    Attributes:
        size: (height, width), or the side of a square, to which images are resized; None: they must all be of
            one size.
        colour: Whether there are three channels; None: if any of the images is in colour.
        skip_unreadable: Whether files that cannot be read are left out, instead of ending with an error.

    Raises:
        InvalidValue: ``image_size``, ``colour`` or ``skip_unreadable`` is not allowed.
    """

    size: Any
    colour: bool | None = None
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.colour is not None and not isinstance(self.colour, bool):
            raise InvalidValue("colour", self.colour, "true, false or null")
        require_switch("skip_unreadable", self.skip_unreadable)
        given, sides = self.size, self.size
        if given is None:
            return
        if isinstance(given, str) or not isinstance(given, Sequence):
            sides = given, given
        try:
            height, width = (require_count("image_size", side) for side in sides)
        except ValueError:  # InvalidValue is one as well
            allowed = "the side of a square in pixels, [height, width], or null"
            raise InvalidValue("image_size", given, allowed) from None
        object.__setattr__(self, "size", (height, width))


def read_images(
    paths: Sequence[Path], decoding: Decoding, what: str
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the images of one file or more, and a mask (len(paths),) of those that were read.

    Returns:
        Images (m, height, width) uint8, or (m, height, width, 3) in colour, in the order of ``paths``.

    Raises:
        DataError: A file is unreadable, or images are of different sizes and none is asked for.
    """
    pixels, first = np.empty(0, np.uint8), paths[0]
    skipped, count, colour = [], 0, False
    kept = np.zeros(len(paths), dtype=bool)
    if decoding.size is not None:
        need = len(paths) * prod(decoding.size) * (3 if decoding.colour else 1)
        require_room("image_size", list(decoding.size), need, f"{len(paths)} images of this size")
    # Nothing is shown of what takes less than two seconds.
    bar = progress_bar(iterable=paths, desc=f"reading {what}", unit="image", delay=2)
    for number, path in enumerate(bar):
        try:
            image, is_colour = decode(path, decoding)
        except DataError as error:
            if not decoding.skip_unreadable:
                raise DataError(f"{error}; mend or remove it, or set dataset.skip_unreadable=true") from None
            skipped.append(f"{path.parent.name}/{path.name}")
            continue
        if not count:
            pixels, first = _room(path, len(paths), image.shape), path
        if image.shape != pixels.shape[1:]:
            own, other = (f"{height} x {width}" for height, width in (image.shape[:2], pixels.shape[1:3]))
            got = f"{own} pixels (height x width), but {first} has {other}"
            raise DataError(f"{path}: {got}; set dataset.image_size, such as 64")
        pixels[count], kept[number] = image, True
        count, colour = count + 1, colour or is_colour
    if skipped:
        log.warning("%s: %d unreadable images skipped (%s)", what, len(skipped), listed(skipped))
    if not count:
        raise DataError(f"{what}: none of the {len(paths)} images can be read")
    if decoding.colour is None and not colour:  # nobody asks for colour and no image has any
        return np.ascontiguousarray(pixels[:count, ..., 0]), kept
    return pixels[:count], kept


def _room(first: Path, count: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A place for as many images as the first one is large, if it fits into memory."""
    need = count * prod(shape)
    if there := room_below(need):
        got = f"{count} images of its {shape[0]} x {shape[1]} pixels are {in_words(need)}"
        raise DataError(f"{first}: {got}, and {there} of memory are left; set dataset.image_size, such as 64")
    return np.empty((count, *shape), np.uint8)


def decode(path: Path, decoding: Decoding) -> tuple[NDArray[np.uint8], bool]:
    """Return one image, upright, and whether it is stored in colour.

    16 bits of grey become 8, transparent parts white, CMYK and palettes red, green and blue. Where an image
    shrinks, all of its pixels count (bilinear, antialiased). Of several frames the first is taken.

    Returns:
        (height, width, 3) uint8, or (height, width) if no colour is asked for.

    Raises:
        DataError: The file is missing, damaged, no image, or larger than Pillow's limit.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; those of sizes are errors
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Opened by us: a pipe would be waited for.
            with open_regular(path) as file, Image.open(file, formats=_FORMATS) as stored:
                image = _eight_bits(ImageOps.exif_transpose(stored))
        colour = image.mode == "RGB"
        image = image.convert("L" if decoding.colour is False else "RGB")
        if decoding.size is not None:
            image = image.resize(decoding.size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(image), colour
    except Exception as error:  # damaged bytes make Pillow's readers raise all sorts
        reason = getattr(error, "strerror", None) or _reason(path) or last_line(error)
        raise DataError(f"{path}: cannot be read as an image ({reason})") from None


def _reason(path: Path) -> str | None:
    """Why Pillow knows no image in a file, where the file says so."""
    head = _head(path)
    if not head:
        return "it is empty"
    kind = _brand(head)
    return kind and f"it is {kind}, which is not read whatever its ending; convert it"


def is_image(path: Path) -> bool:
    """Whether a file is taken for an image: by its ending, or by its first bytes where it has none."""
    if path.suffix:
        return path.suffix.lower() in SUFFIXES
    head = _head(path)
    return head.startswith(_BEGINNINGS) or _NETPBM.match(head) is not None


def is_picture(path: Path) -> bool:
    """Whether a file is an image of a type that is not read."""
    return path.suffix.lower() in PICTURES or _brand(_head(path)) is not None


def not_read(folder: Path, files: Sequence[Path]) -> str:
    """What is said of a folder that holds files of other types and no image."""
    counts = Counter(file.suffix.lower() or "without ending" for file in files)
    (kind, _), *more = counts.most_common()
    of = f"type {kind}" if not more else "types " + ", ".join(f"{k} ({n})" for k, n in counts.most_common())
    allowed = ", ".join(sorted(SUFFIXES))
    return f"{folder}: {len(files)} files of {of} cannot be read; allowed: {allowed}; convert them"


def _head(path: Path) -> bytes:
    """The first bytes; none of what cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _brand(head: bytes) -> str | None:
    return _BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None


def _eight_bits(image: Image) -> Image:
    """Return the same picture in mode L (greyscale) or RGB."""
    from PIL import Image

    if image.mode in _DEEP:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > _WHITE:
            raise ValueError(f"greyscale from {values.min()} to {values.max()}, allowed: 0 to {_WHITE}")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels, allowed: 8 or 16 bits")
    grey = image.mode in _GREY
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    return image.convert("L") if grey else image
