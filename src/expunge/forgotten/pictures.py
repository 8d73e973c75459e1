"""Small pictures of rows that are images, and beginnings of those that are texts."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.charts.pictures import unit

SIDE = 112
"""Pixels of the longer side of a picture at most."""
EXCERPT = 280
"""Characters of a text at most."""
_CHANNELS = (1, 3, 4)
_QUALITY = 85
_WHITE = 255


def are_images(rows: Any) -> bool:
    """Whether stored rows (n, height, width) or (n, height, width, 1, 3 or 4) are images."""
    shape = rows.shape
    return len(shape) == 3 or (len(shape) == 4 and shape[3] in _CHANNELS)


def address(image: NDArray[Any], full: float = 255.0) -> str:
    """Return a ``data:`` address of an image: itself as PNG where it is small, else made smaller, as JPEG.

    Args:
        image: (height, width) or (height, width, channels), as stored; of channels beyond three only the
            colours are shown, and of what is not of 8 bits the range from its least to its largest value.
        full: The value of 8 bits that is white; one that leaves no shades, as 1, is 255.
    """
    from PIL import Image

    stored = image[..., :3] if image.ndim == 3 and image.shape[2] > 1 else image
    if stored.dtype == np.uint8 and 1 < full < _WHITE:
        stored = np.minimum(np.round(stored * (_WHITE / full)), _WHITE).astype(np.uint8)
    pixels = np.clip(unit(stored[None])[0], 0.0, 1.0)
    made, packed = Image.fromarray(np.round(255 * pixels).astype(np.uint8)), BytesIO()
    if max(made.size) <= SIDE:
        made.save(packed, "PNG", optimize=True)
        kind = "png"
    else:
        made.thumbnail((SIDE, SIDE))
        made.save(packed, "JPEG", quality=_QUALITY)
        kind = "jpeg"
    return f"data:image/{kind};base64,{b64encode(packed.getvalue()).decode()}"


def excerpt(text: str) -> str:
    """Return the beginning of a text, on one line."""
    words = " ".join(text.split())
    return words if len(words) <= EXCERPT else f"{words[:EXCERPT].rpartition(' ')[0] or words[:EXCERPT]} …"
