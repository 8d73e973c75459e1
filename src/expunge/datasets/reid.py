"""Person re-identification in the layout of Market-1501: training persons, queries and a gallery.

Zheng et al., *Scalable Person Re-identification: A Benchmark*, ICCV 2015. A file's name begins with the
person and the camera, as ``0002_c1s1_000451_03.jpg``; person 0 is a distractor and -1 is junk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.checks import require_probability, require_seed
from expunge.core.errors import DataError
from expunge.datasets.base import Dataset, Retrieval, require_offset
from expunge.datasets.image_files import Decoding, not_read, read_images
from expunge.datasets.image_folders import find_fitting, hold_out, list_folder, require_two, warn
from expunge.datasets.names import natural

TRAIN, QUERY, GALLERY = PARTS = ("bounding_box_train", "query", "bounding_box_test")
"""The folders."""

_NAME = re.compile(r"(?P<person>-1|[0-9]{1,18})_c(?P<camera>[0-9]{1,18})(?![0-9])[\w.-]*")
_EXAMPLE = "0002_c1s1_000451_03.jpg"


@dataclass(frozen=True)
class Shot:
    """An image and what its name says.

    Attributes:
        path, name: The file, and its name in the layout.
        person, written: The person's number (0: a distractor, -1: junk), and as it is written in the name.
        camera: The camera's number.
    """

    path: Path
    name: str
    person: int
    written: str
    camera: int

    @classmethod
    def of(cls, path: Path, name: str) -> Shot:
        """Return a file's shot, or raise ``DataError`` if ``name`` is not one of the layout."""
        found = _NAME.fullmatch(Path(name).stem)
        if found is None:
            raise DataError(f"{path}: its name tells no person and camera, allowed: names such as {_EXAMPLE}")
        return cls(path, name, int(found["person"]), found["person"], int(found["camera"]))


@dataclass(frozen=True)
class Reading:
    """The settings of ``load`` but for the folder; ``InvalidValue`` if one is not allowed."""

    decoding: Decoding
    val_share: float
    split_seed: int
    offset: float

    def __post_init__(self) -> None:
        require_probability("val_share", self.val_share)
        require_seed("split_seed", self.split_seed)
        require_offset(self.offset)


def load(
    data_dir: Any,
    folder: Any = None,
    image_size: Any = (128, 64),
    val_share: float = 0.1,
    split_seed: int = 0,
    skip_unreadable: bool = False,
    offset: float = 0.5,
) -> Dataset:
    """Return images uint8 labelled by the persons' numbers, with queries, gallery and cameras.

    Test rows are the held-out images of training persons, then the queries, then the gallery; within each,
    and among the training rows, the order is that of the files' names. Twice the memory of all images is
    needed while they are read (1.8 GB for all of Market-1501 at 128 x 64).

    Args:
        data_dir: Where ``folder`` is looked for first.
        folder: The folder that holds ``bounding_box_train``, ``query`` and ``bounding_box_test``, or the path
            of one; None: ``data_dir`` itself, or the only such folder in it.
        image_size: [height, width], the side of a square, or None for the size that all images have.
        val_share: Share of each training person's images to hold out, between 0 and 1; at least one image of
            two or more is held out and at least one is not.
        split_seed: Of the draws of the held-out images.
        skip_unreadable: Whether files that cannot be read are left out.
        offset: Subtracted from pixel / 255.

    Raises:
        DataError: A folder or its images are missing, a name is not as above, or an image is unreadable.
        InvalidValue: A setting is not allowed.
    """
    reading = Reading(Decoding(image_size, None, skip_unreadable), val_share, split_seed, offset)
    words = "re-identification data", "Market-1501-v15.09.15", f"{TRAIN}/{_EXAMPLE}"
    root = find_fitting(data_dir, folder, lambda own: (own / TRAIN).is_dir(), *words)
    return assemble("reid", root, {part: _shots(root, part) for part in PARTS}, reading)


def assemble(name: str, where: Path, shots: Mapping[str, Sequence[Shot]], reading: Reading) -> Dataset:
    """Return the data set of the shots in each folder of the layout, or raise ``DataError`` as ``load`` does.

    Messages name the folder ``where``.
    """
    chosen = [(part, shot) for part in PARTS for shot in _ordered(part, shots[part])]
    persons = _names(where, [shot for _, shot in chosen])
    _check(where, chosen)
    x, kept = read_images([shot.path for _, shot in chosen], reading.decoding, name)
    chosen = [entry for entry, there in zip(chosen, kept, strict=True) if there]
    _check(where, chosen)  # again: some may have been left out
    y = np.array([shot.person for _, shot in chosen], dtype=np.int64)
    part_of = np.array([part for part, _ in chosen])
    every, query, gallery = (np.flatnonzero(part_of == part) for part in PARTS)
    both = [persons[label] for label in np.intersect1d(y[every], y[query]).tolist()]
    warn(where, "persons are trained on and asked for as well, unlike in the benchmark", both)
    own = {persons[label]: every[y[every] == label] for label in np.unique(y[every]).tolist()}
    held = hold_out(name, own, reading.val_share, reading.split_seed)
    train = np.setdiff1d(every, held)
    order = np.concatenate([train, held, query, gallery])
    x, y = x[order], y[order]
    cameras = np.array([shot.camera for _, shot in chosen], dtype=np.int64)[order]
    n, first = len(train), len(held)
    rows = np.arange(first, len(order) - n)
    retrieval = Retrieval(rows[: len(query)], rows[len(query) :], cameras[n:])
    return Dataset(name, x[:n], y[:n], x[n:], y[n:], persons, 255.0, reading.offset, retrieval)


def _shots(root: Path, part: str) -> list[Shot]:
    if not (root / part).is_dir():
        raise DataError(f"{root / part}: no such folder; {root} must hold the folders {', '.join(PARTS)}")
    found = list_folder(root / part)
    if found.others and not found.images:
        raise DataError(not_read(root / part, found.others))
    ignored = [f"{part}/{path.name}" for path in found.others + found.folders]
    warn(root, "files and folders that are no images by their ending are ignored", ignored)
    return [Shot.of(path, path.name) for path in found.images]


def _ordered(part: str, shots: Sequence[Shot]) -> list[Shot]:
    """Return the shots by name; in training without junk and distractors, which are nobody to be learned."""
    ordered = sorted(shots, key=lambda shot: natural(shot.name))
    if part != TRAIN:
        return ordered
    nobody = [f"{part}/{shot.name}" for shot in ordered if shot.person <= 0]
    warn(part, "images of junk (-1) or distractors (0) are not trained on", nobody)
    return [shot for shot in ordered if shot.person > 0]


def _names(where: Path, shots: Sequence[Shot]) -> dict[int, str]:
    """Return person -> the number as written, for all who are somebody."""
    found: dict[int, str] = {}
    for shot in shots:
        if shot.person > 0 and (known := found.setdefault(shot.person, shot.written)) != shot.written:
            raise DataError(f"{where}: person {shot.person} is written {known} and {shot.written}")
    return dict(sorted(found.items()))


def _check(where: Path, shots: Sequence[tuple[str, Shot]]) -> None:
    """Raise ``DataError`` unless there is something to train on, to ask for, and to be found."""
    persons = {part: {shot.person: shot.written for own, shot in shots if own == part} for part in PARTS}
    require_two(where / TRAIN, list(persons[TRAIN].values()))
    for part in (QUERY, GALLERY):
        if not persons[part]:
            raise DataError(f"{where / part}: holds no images, allowed: one or more, such as {_EXAMPLE}")
    nobody = [shot.name for part, shot in shots if part == QUERY and shot.person <= 0]
    if nobody:
        raise DataError(f"{where / QUERY}: {nobody[0]} is of nobody (junk or a distractor), allowed: persons")
