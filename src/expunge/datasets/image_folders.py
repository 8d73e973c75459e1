"""Folders of images: where one is, what lies in it, and the identities that its sub-folders stand for."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, InvalidValue
from expunge.core.homes import expanded
from expunge.datasets.image_files import is_image, is_picture, not_read
from expunge.datasets.names import listed, natural, plain

_EXAMPLE = "NAME/1.jpg"
_MARKET = "bounding_box_train"  # whose folders are no identities
log = logging.getLogger(__name__)


@dataclass
class Listing:
    """Images (see ``is_image``), other files and folders in a folder, in natural order; nothing hidden."""

    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)


def find_faces(data_dir: Any, folder: Any) -> Path:
    """Return the folder with one sub-folder of images for each identity; see ``find_fitting``."""
    return find_fitting(data_dir, folder, _has_identities, "identities", "faces", _EXAMPLE, _hidden)


def find_fitting(
    data_dir: Any,
    folder: Any,
    fits: Callable[[Path], bool],
    of: str,
    name: str,
    example: str,
    why: Callable[[Path], str | None] = lambda own: None,
) -> Path:
    """Return ``data_dir / folder``, or ``folder`` itself where that alone exists.

    Without ``folder`` it is ``data_dir`` if that fits, else the only folder in it that does.

    Args:
        data_dir: The folder of all data.
        folder: A name or a path; None: whatever fits.
        fits: Whether a folder is one that is looked for.
        of: What it is a folder of.
        name: What a user would call it.
        example: A file that a user would put there, as seen from it.
        why: What keeps a folder from fitting, where that is likely to be one that is looked for.

    Raises:
        InvalidValue: ``folder`` is no name.
        DataError: There is no such folder, or there are several.
    """
    root = expanded(data_dir)
    if folder is not None:
        if not isinstance(folder, (str, Path)) or not str(folder).strip():
            raise InvalidValue("folder", folder, "the name of a folder in data_dir, or the path of one")
        given = expanded(folder)
        for candidate in (root / given, given):
            if candidate.is_dir():
                return candidate
        raise DataError(
            f"{folder}: no such folder, neither in {data_dir} nor from {Path.cwd()}; put images there: "
            f"{root / given / example} and so on",
            "folder",
        )
    if root.is_dir() and fits(root):
        return root
    inside = list_folder(root).folders if root.is_dir() else []
    found = [own for own in inside if fits(own)]
    if len(found) == 1:
        return found[0]
    if found:
        names = listed([own.name for own in found])
        raise DataError(f"{root} holds {len(found)} folders of {of}: name one of {names}", "folder")
    if reason := next(filter(None, map(why, [root, *inside] if root.is_dir() else [])), None):
        raise DataError(f"no folder of {of} in {root}: {reason}", "folder")
    raise DataError(
        f"no folder of {of} in {root}; put images there: {root / name / example} and so on", "folder"
    )


def _has_identities(folder: Path) -> bool:
    people = list_folder(folder).folders
    return any(list_folder(own).images for own in people) and not (folder / _MARKET).is_dir()


def _hidden(folder: Path) -> str | None:
    """Why a folder holds no identities though it looks as if it should."""
    if (folder / _MARKET).is_dir():
        return None
    people = {own: list_folder(own) for own in list_folder(folder).folders}
    for own, content in people.items():
        if any(map(is_picture, content.others)):
            return not_read(own, content.others)
    for own, content in people.items():
        if any(list_folder(inner).images for inner in content.folders):
            return f"the images lie one folder deeper; if these are the identities, set dataset.folder={own}"
    filled = [own for own, content in people.items() if content.others]
    return not_read(filled[0], people[filled[0]].others) if len(filled) > 1 else None


def list_folder(folder: Path) -> Listing:
    """Return what lies in a folder.

    Raises:
        DataError: It cannot be read.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: natural(plain(entry.name)))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read as a folder ({error.strerror})") from None
    found = Listing()
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            found.folders.append(entry)
        else:
            (found.images if is_image(entry) else found.others).append(entry)
    return found


def list_identities(root: Path) -> dict[str, list[Path]]:
    """Return each identity's name and images, both in natural order; warns of all that is left out.

    Raises:
        DataError: There are no folders, one cannot be read, two names differ only in letter case, or there
            are files in them but no image.
    """
    people = list_folder(root).folders
    if not people:
        raise DataError(f"{root}: no folders in it, allowed: one folder of images for each identity")
    _require_distinct(root, [plain(folder.name) for folder in people])
    content = {plain(folder.name): list_folder(folder) for folder in people}
    if not any(own.images for own in content.values()):
        filled = next((own for own in people if content[plain(own.name)].others), None)
        if filled is not None:
            raise DataError(not_read(filled, content[plain(filled.name)].others))
    others = {f"{name}/{file.name}": file for name, own in content.items() for file in own.others}
    pictures = [name for name, file in others.items() if is_picture(file)]
    nested = [f"{name}/{folder.name}" for name, own in content.items() for folder in own.folders]
    empty = [name for name, own in content.items() if not own.images]
    warn(root, "pictures of types that are not read are ignored; convert them", pictures)
    ignored = [name for name in others if name not in pictures]
    warn(root, "files that are no images by their ending are ignored", ignored)
    warn(root, "folders inside those of identities are ignored", nested)
    warn(root, "identities without images are skipped", empty)
    return {name: own.images for name, own in content.items() if own.images}


def warn(where: Any, what: str, names: list[str]) -> None:
    """Warn of things that are left out, if there are any."""
    if names:
        log.warning("%s: %d %s (%s)", where, len(names), what, listed(names))


def require_two(where: Any, names: list[str]) -> None:
    """Raise ``DataError`` unless there are two identities or more."""
    if len(names) < 2:
        got = f"images of one identity only ({names[0]})" if names else "no images of any identity"
        raise DataError(f"{where}: holds {got}, allowed: two identities or more")


def hold_out(
    what: str, images: Mapping[str, NDArray[np.int64]], share: float, seed: int
) -> NDArray[np.int64]:
    """Return the rows that are not to be trained on, (m,), in the order of the identities and their images.

    ``images`` are the ids of the rows, one at least, by identity; share and seed are as in ``held_out``. The
    warning about identities with a single image calls the data set ``what``.
    """
    single = [name for name, rows in images.items() if len(rows) == 1]
    of = f"of {len(images)} identities have a single image, which is trained on: no test row shows them"
    warn(what, of, single)
    chosen = [rows[held_out(name, len(rows), share, seed)] for name, rows in images.items()]
    return np.concatenate(chosen).astype(np.int64)


def held_out(name: str, images: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Return a mask (images,) of those of one identity that are not to be trained on.

    Of two or more images, ``max(1, round(share * images))`` are held out, but never all of them; a single
    image is not. They are drawn by a generator made of ``seed`` and ``name`` alone: other identities change
    nothing.
    """
    mask = np.zeros(images, dtype=bool)
    count = min(images - 1, max(1, round(share * images)))
    key = np.frombuffer(hashlib.sha256(name.encode(errors="surrogateescape")).digest(), dtype="<u4").tolist()
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    mask[generator.permutation(images)[:count]] = True
    return mask


def _require_distinct(root: Path, names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        key = plain(name.casefold())
        if key in seen:
            raise DataError(
                f"{root}: the identities {seen[key]} and {name} differ only in letter case or in how accents "
                "are stored; rename or join them"
            )
        seen[key] = name
