"""A folder of drawn faces, and a table of what they have."""

from __future__ import annotations

import lzma

import numpy as np
from PIL import Image

NAMES = ["Bright", "Red", "Wide", "Rare"]
PEOPLE, IMAGES = 12, 20
SETTINGS = {
    "folder": "faces",
    "file": "list.txt.xz",
    "target": "Bright",
    "image_size": 16,
    "repeats": 1,
    "training": {"epochs": 4, "lr": 3e-3, "batch_size": 16, "schedule": "constant"},
}
"""Of a study over them."""


def written(folder, rng):
    """Faces of 12 people: Bright is the mean, Red goes with it nine times of ten, Wide with nothing."""
    table = rng.random((PEOPLE * IMAGES + 300, len(NAMES))) < 0.5
    table[:, 1] = np.where(rng.random(len(table)) < 0.9, table[:, 0], ~table[:, 0])
    table[:, 3] = False
    lines = [
        f"{k:06}.jpg " + " ".join("1" if v else "-1" for v in row) for k, row in enumerate(table, start=1)
    ]
    text = "\n".join([str(len(table)), " ".join(NAMES), *lines, ""])
    (folder / "list.txt").write_text(text)
    (folder / "list.txt.xz").write_bytes(lzma.compress(text.encode()))
    for image in range(PEOPLE * IMAGES):
        pixels = rng.integers(0, 80, (16, 16, 3)) + (100 if table[image, 0] else 0)
        pixels[..., 0] += 70 if table[image, 1] else 0
        (folder / "faces" / f"p{image % PEOPLE}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(
            folder / "faces" / f"p{image % PEOPLE}" / f"{image + 1:06}.png"
        )
    return table
