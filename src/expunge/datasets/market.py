"""A folder of faces laid out like Market-1501: real images with cameras, for want of the benchmark's own.

``python -m expunge.datasets.market FACES OUT`` writes it; ``load`` reads the same without writing it. The
images are the folder's own, byte for byte; which camera took one is made up.
"""

from __future__ import annotations

if __name__ == "__main__":  # first of all: what is imported below takes its time
    from expunge.core.door import market as enter

    enter()

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.arguments import Parser
from expunge.core.checks import require_count
from expunge.core.ends import ended
from expunge.core.errors import DataError
from expunge.datasets import reid
from expunge.datasets.base import Dataset
from expunge.datasets.image_files import Decoding
from expunge.datasets.image_folders import find_faces, list_identities
from expunge.datasets.reid import GALLERY, PARTS, QUERY, TRAIN, Shot

log = logging.getLogger(__name__)

_PROGRAM = "python -m expunge.datasets.market"

Plan = dict[str, list[tuple[str, Path]]]
"""Name of a folder of the layout -> each file's name there, and the image that it is."""


def plan(
    people: Mapping[str, Sequence[Path]],
    cameras: int = 3,
    distractors: int | None = None,
    junk: int | None = None,
) -> Plan:
    """Return what goes where; person k of the layout is the k-th identity, and nothing is drawn at random.

    Every other identity (2, 4, ...) is trained on. Of the others, the last ``distractors`` become person 0
    of the gallery; each of the rest has one query for each of its cameras and its other images in the
    gallery, the last of them as junk (-1) for the first ``junk`` who keep two images for each camera.

    A person of m images is seen by ``min(cameras, m // 2)`` cameras in turn, so that each takes two or more.
    One whom a single camera sees has no query, as no other camera's image could be found.

    Args:
        people: Name -> images.
        cameras: How many there are, two or more.
        distractors: None: one identity in twenty.
        junk: None: one in four of the persons that are not trained on.

    Raises:
        InvalidValue: A setting is not allowed.
        DataError: There are too few identities or images.
    """
    cameras = require_count("cameras", cameras, least=2)
    away = require_count("distractors", len(people) // 20 if distractors is None else distractors, least=0)
    tested = list(range(1, len(people) + 1, 2))
    if len(people) < (least := max(4, 2 * away + 1)):
        got = f"{len(people)} identities cannot be laid out with {away} as distractors"
        raise DataError(f"{got}, allowed: at least {least}")
    nobody = set(tested[len(tested) - away :])
    left = require_count("junk", (len(tested) - away) // 4 if junk is None else junk, least=0)
    found: Plan = {part: [] for part in PARTS}
    frame = 0
    for number, images in enumerate(people.values(), start=1):
        shots = list(_seen(number, images, cameras))
        queries = sum(first for _, first, _ in shots)
        spare = len(shots) > 2 * queries > 0
        for position, (camera, first, image) in enumerate(shots):
            frame += 1
            part, who = TRAIN if number % 2 == 0 else GALLERY, f"{number:04d}"
            if number in nobody:
                who = "0000"
            elif part == GALLERY and first:
                part = QUERY
            elif part == GALLERY and left and spare and position == len(shots) - 1:
                who, left = "-1", left - 1
            found[part].append((f"{who}_c{camera}s1_{frame:06d}_01{image.suffix.lower()}", image))
    if not found[QUERY]:
        raise DataError("no query can be made: nobody who is not trained on has four images or more")
    return found


def _seen(number: int, images: Sequence[Path], cameras: int) -> Iterator[tuple[int, bool, Path]]:
    """Camera of each image of a person, and whether it is that camera's first and others see them too."""
    used = max(1, min(cameras, len(images) // 2))
    for position, image in enumerate(images):
        yield (number + position % used) % cameras + 1, position < used and used > 1, image


def lay_out(
    faces: Path, out: Path, cameras: int = 3, distractors: int | None = None, junk: int | None = None
) -> dict[str, int]:
    """Copy the images of ``faces`` to ``out`` as ``plan`` has it; returns how many each folder there holds.

    Raises:
        DataError: ``faces`` is no such folder, ``out`` holds something, or cannot be written to.
        InvalidValue: A setting is not allowed.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is there already and not an empty folder; name a new one")
    found = plan(list_identities(faces), cameras, distractors, junk)
    try:
        for part, files in found.items():
            (out / part).mkdir(parents=True)
            for name, image in files:
                shutil.copyfile(image, out / part / name)
    except OSError as error:
        raise DataError(f"{error.filename or out}: cannot be copied ({error.strerror})") from None
    return {part: len(files) for part, files in found.items()}


def load(
    data_dir: Any,
    folder: Any = None,
    cameras: int = 3,
    image_size: Any = (128, 64),
    val_share: float = 0.1,
    split_seed: int = 0,
    skip_unreadable: bool = False,
    offset: float = 0.5,
) -> Dataset:
    """Return what ``reid.load`` would of the folder laid out; messages name the folder's own files.

    ``folder`` has one sub-folder of images for each identity, as for ``faces.load``; ``cameras`` is how many
    there are, two or more. The other settings are those of ``reid.load``.

    Raises:
        DataError: The folder is missing or not as above, or an image is unreadable.
        InvalidValue: A setting is not allowed.
    """
    reading = reid.Reading(Decoding(image_size, None, skip_unreadable), val_share, split_seed, offset)
    root = find_faces(data_dir, folder)
    files = plan(list_identities(root), cameras)
    shots = {part: [Shot.of(image, name) for name, image in own] for part, own in files.items()}
    return reid.assemble("reid_faces", root, shots, reading)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return ended(_PROGRAM, lambda: _asked(arguments), lambda: "give another OUT, or delete that one first")


def _asked(arguments: Sequence[str] | None) -> None:
    parser = Parser(
        prog=_PROGRAM,
        description="Lay a folder of faces, one sub-folder for each identity, out like Market-1501.",
    )
    parser.add_argument("faces", metavar="FACES", type=Path, help="the folder of faces")
    parser.add_argument("out", metavar="OUT", type=Path, help="a new or empty folder to write to")
    parser.add_argument("--cameras", type=int, default=3, help="how many cameras; default: %(default)s")
    parser.add_argument("--distractors", type=int, help="identities as person 0; default: one in twenty")
    parser.add_argument("--junk", type=int, help="images as person -1; default: one for four test persons")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    counts = lay_out(options.faces, options.out, options.cameras, options.distractors, options.junk)
    for part, count in counts.items():
        log.info("%s: %d images", options.out / part, count)
