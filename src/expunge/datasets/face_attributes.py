"""Faces with CelebA's binary attributes: images named by their number in the attribute table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count, require_probability
from expunge.core.errors import DataError, InvalidValue
from expunge.core.seeds import stream
from expunge.datasets.arrays import locate
from expunge.datasets.base import Dataset
from expunge.datasets.celeba_attributes import KINDS, read_celeba_attributes
from expunge.datasets.image_files import Decoding, read_images
from expunge.datasets.image_folders import find_faces, list_identities, require_two

_NAME = "face_attributes"


@dataclass(frozen=True)
class FaceAttributes:
    """Faces, their attributes, and the table of all that the attributes' file is about.

    Attributes:
        faces: The images, labelled by the target attribute; no person is in both parts.
        train: (n_train, p) uint8 of 0 and 1, in the order of the training rows.
        test: (n_test, p).
        table: (N, p) of every image in the file, whether its picture is here or not.
        names: The p attributes.
    """

    faces: Dataset
    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    table: NDArray[np.uint8]
    names: list[str]


def load(
    data_dir: Any,
    folder: Any,
    file: Any,
    target: str,
    image_size: Any = 64,
    test_share: Any = 0.3,
    split_seed: int = 0,
    people: int | None = None,
) -> FaceAttributes:
    """Read faces and attributes.

    Args:
        data_dir: Where folder and file are looked for.
        folder: With one sub-folder of images for each person; an image is called by its number in the table,
            from 1, such as ``7399/000093.jpg``.
        file: A ``list_attr_celeba.txt``, or that as ``.xz``.
        target: The attribute that is to be told.
        image_size: Side of a square in pixels.
        test_share: Share of the people whose images are the test rows.
        split_seed: Of the drawing of these people.
        people: How many of the folder's first are taken; None: all.

    Raises:
        DataError: Folder or file is missing or not as above.
        InvalidValue: A setting is not allowed.
    """
    decoding, share = Decoding(image_size, True), require_probability("test_share", test_share)
    table, names = read_celeba_attributes(locate("file", file, data_dir, KINDS))
    if target not in names:
        raise InvalidValue("target", target, f"one of {', '.join(names)}")
    root = find_faces(data_dir, folder)
    images = list_identities(root)
    if people is not None and not 2 <= require_count("people", people) <= len(images):
        raise InvalidValue("people", people, f"null, or from 2 to {len(images)}, the people in {root}")
    images = dict(list(images.items())[:people])
    require_two(root, list(images))
    paths = [path for own in images.values() for path in own]
    number = np.array([_number(path, len(table)) for path in paths])
    owner = np.repeat(np.arange(len(images)), [len(own) for own in images.values()])
    away = stream(split_seed, "split").permutation(len(images))[: max(1, round(share * len(images)))]
    x, _ = read_images(paths, decoding, _NAME)
    own, test = table[number - 1], np.isin(owner, away)
    y = own[:, names.index(target)].astype(np.int64)
    for part, said in ((~test, "training"), (test, "test")):
        if len(np.unique(y[part])) < 2:
            raise DataError(f"{root}: {target} is the same in all {part.sum()} {said} images", "folder")
    classes = {0: f"not {target}", 1: target}
    faces = Dataset(_NAME, x[~test], y[~test], x[test], y[test], classes, 255.0, 0.5)
    return FaceAttributes(faces, own[~test], own[test], table, names)


def _number(path: Path, images: int) -> int:
    if path.stem.isascii() and path.stem.isdecimal() and 1 <= int(path.stem) <= images:
        return int(path.stem)
    raise DataError(
        f"{path}: got {path.stem!r}, allowed: a number from 1 to {images}, of a line of the attributes"
    )
