"""Faces, or any other images of identities: one sub-folder for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.checks import require_probability, require_seed
from expunge.core.errors import InvalidValue
from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.image_files import Decoding, read_images
from expunge.datasets.image_folders import find_faces, hold_out, list_identities, require_two, warn
from expunge.datasets.names import person, require_several

_NAME = "faces"


def load(
    data_dir: Any,
    folder: Any = None,
    image_size: Any = 64,
    colour: bool | None = None,
    test_share: float = 0.3,
    split_seed: int = 0,
    skip_unreadable: bool = False,
    offset: float = 0.5,
    identities: Any = None,
) -> Dataset:
    """Return images uint8, labelled by identity: 0, 1, ... in the natural order of the folders' names.

    Rows are in natural order too (s2 before s10, 2.pgm before 10.pgm), the training rows without those of the
    test. Which images of an identity are for the test depends on ``split_seed``, the identity's name and its
    number of images alone.

    Args:
        data_dir: Where ``folder`` is looked for first.
        folder: A folder with one sub-folder of images for each identity, or the path of one; None:
            ``data_dir`` itself, or the only such folder in it.
        image_size: Side of a square in pixels, or [height, width]; None keeps the size that all images have.
        colour: Whether images get three channels; None: if any is stored in colour.
        test_share: Share of each identity's images, between 0 and 1; at least one image of two or more is for
            the test and at least one is not; a single image is a training row.
        split_seed: Of the draws of the test rows.
        skip_unreadable: Whether files that cannot be read are left out.
        offset: Subtracted from pixel / 255.
        identities: Names of two or more identities to keep, or how many of the first; None: all.

    Raises:
        DataError: The folder is missing or is not as above, or an image cannot be read.
        InvalidValue: A setting is not allowed.
    """
    decoding = Decoding(image_size, colour, skip_unreadable)
    offset, share = require_offset(offset), require_probability("test_share", test_share)
    seed = require_seed("split_seed", split_seed)
    root = find_faces(data_dir, folder)
    people = list_identities(root)
    require_two(root, list(people))
    people = _chosen(people, identities)
    owners = np.repeat(np.arange(len(people)), [len(images) for images in people.values()])
    x, kept = read_images([image for images in people.values() for image in images], decoding, _NAME)
    owners = owners[kept]
    rows = {name: np.flatnonzero(owners == number) for number, name in enumerate(people)}
    gone = [name for name, own in rows.items() if not len(own)]
    warn(root, "identities without a readable image are skipped", gone)
    rows = {name: own for name, own in rows.items() if len(own)}
    require_two(root, list(rows))
    y = np.unique(owners, return_inverse=True)[1].astype(np.int64)
    test = np.zeros(len(y), dtype=bool)
    test[hold_out(_NAME, rows, share, seed)] = True
    return Dataset(_NAME, x[~test], y[~test], x[test], y[test], dict(enumerate(rows)), 255.0, offset)


def _chosen(people: Mapping[str, list[Path]], identities: Any) -> dict[str, list[Path]]:
    """Return the identities asked for, in the order of the folder."""
    if identities is None:
        return dict(people)
    if isinstance(identities, int) and not isinstance(identities, bool):
        if not 2 <= identities <= len(people):
            allowed = f"from 2 to {len(people)}, the identities with images, or a list of names"
            raise InvalidValue("identities", identities, allowed)
        return dict(list(people.items())[:identities])
    several = "a list of two or more different names, a number of identities, or null"
    given, known = require_several("identities", identities, several), dict(enumerate(people))
    try:
        chosen = {person(known, name) for name in given}
    except InvalidValue as error:
        raise InvalidValue("identities", error.got, error.allowed) from None
    if len(chosen) < len(given):  # one by its name and again by another
        raise InvalidValue("identities", given, several)
    return {name: images for number, (name, images) in enumerate(people.items()) if number in chosen}
