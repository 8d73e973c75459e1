"""Folders of people's images for tests, and what their readers say of folders that are not in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expunge.datasets import Dataset, faces, reid

MARKET = {
    "bounding_box_train": [
        *("0002_c1s1_000451_03.jpg", "0002_c2s1_000776_01.jpg", "0002_c2s1_000801_01.jpg"),
        *("0007_c3s3_028419_01.jpg", "0010_c6s2_055893_01.png", "0010_c1s2_055900_01.pgm"),
    ],
    "query": ["0001_c1s1_001051_00.jpg", "0003_c2s1_000000_00.jpg"],
    "bounding_box_test": [
        *("0000_c1s1_000151_01.jpg", "0001_c2s1_001976_01.jpg"),
        *("0003_c1s6_015971_02.jpg", "-1_c3s1_000401_03.jpg"),
    ],
}


def draw(path: Path, size: tuple[int, int] = (10, 12), colour: bool = False, seed: int = 0) -> np.ndarray:
    """Write an image of random pixels, (height, width) = ``size``; returns them."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3) if colour else size, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def folder(root: Path, name: str = "people", **counts: int) -> Path:
    """Write a folder with so many images of each identity; returns ``root``."""
    for number, (identity, count) in enumerate(counts.items()):
        for image in range(1, count + 1):
            draw(root / name / identity / f"{image}.png", seed=100 * number + image)
    return root


def market(root: Path, **changed: list[str]) -> Path:
    """Write a small re-identification benchmark to ``root / "Market"``; returns ``root``."""
    for number, (part, names) in enumerate((MARKET | changed).items()):
        (root / "Market" / part).mkdir(parents=True)
        for name in names:
            draw(root / "Market" / part / name, (12, 6), seed=number)
    return root


def load_faces(root: Path, **settings: object) -> Dataset:
    return faces.load(root, **{"folder": "people", "image_size": None, **settings})


def load_market(root: Path, **settings: object) -> Dataset:
    return reid.load(root, **{"folder": "Market", "image_size": None, **settings})


def refusal(error: type[Exception], call: Callable[..., object], *given: object, **settings: object) -> str:
    """Return what ``call`` says in refusing, which is one line."""
    with pytest.raises(error) as caught:
        call(*given, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def warned(caplog: pytest.LogCaptureFixture, part: str) -> str:
    """Return the one logged line that has ``part`` in it."""
    (found,) = [record.getMessage() for record in caplog.records if part in record.getMessage()]
    return found
