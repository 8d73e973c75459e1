"""Digests of what settings name without saying what it is: the source of plug-ins, and files.

The source of a module stands for what it does, so that what was trained or measured with it is not taken for
the result of a mended one. What it imports counts as well, wherever in the file it does so: modules that are
neither Python's nor those of an installed package nor ours, for which the version stands. What cannot be
followed: names that are computed, files that code opens without a setting that names them, the environment.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any

from expunge.core.errors import DataError
from expunge.core.hashing import sha256_of, sha256_of_file
from expunge.core.homes import expanded

PLUGINS = "expunge_plugins"
"""The package of a user's own parts; installed or not, its source counts."""

_OTHERS = (*sys.stdlib_module_names, "expunge", "__main__")
_INSTALLED = ("site-packages", "dist-packages")
_OF_FILES = ("path", "file", "weights")


@dataclass(frozen=True)
class _Source:
    digest: str
    imports: tuple[str, ...]


def sources_of(names: Iterable[str]) -> dict[str, str]:
    """Return module -> SHA-256 of its source: modules that hold what is named, and those they import.

    Nothing is imported. A module's source is read once in a process, which goes on with the code that it has
    imported, whatever becomes of the file.

    Args:
        names: Dotted names of modules, or of classes and functions in them; others than a user's own give
            nothing.
    """
    found: dict[str, str] = {}
    todo, seen = list(names), set()
    while todo:
        if (name := todo.pop()) in seen:
            continue
        seen.add(name)
        for module, file in _modules(name):
            if module not in found:
                source = _source(module, file)
                found[module] = source.digest
                todo += source.imports
    return dict(sorted(found.items()))


def targets_in(settings: Any) -> list[str]:
    """Return the names of code in settings: of every ``_target_``, and whatever is called like a plug-in."""
    leaves = _leaves(settings)
    return [v for key, v in leaves if key.endswith("_target_") or v.startswith(f"{PLUGINS}.")]


def files_in(settings: Any, folders: Sequence[Path] = (Path(),)) -> dict[str, Path]:
    """Return dotted key -> the file that its value names, from the first of ``folders`` that has it.

    A mere word, such as ``retrain``, is a choice of ours although a file may be called so; it names one where
    its key is of files, or of a part that is not ours.
    """
    leaves = list(_leaves(settings))
    others = tuple(k.removesuffix("_target_") for k, v in leaves if k.endswith("._target_") and not _ours(v))
    named = (
        (key, value)
        for key, value in leaves
        if not re.fullmatch(r"[\w-]*", value)
        or (last := key.rpartition(".")[2]) in _OF_FILES
        or (last != "name" and key.startswith(others))
    )
    found = ((key, _file(value, folders)) for key, value in named)
    return {key: file for key, file in found if file is not None}


def digests_of(files: Mapping[str, Path]) -> dict[str, str]:
    """Return key -> SHA-256 of its file.

    Raises:
        DataError: A file cannot be read.
    """
    found = {}
    for key, file in files.items():
        try:
            found[key] = sha256_of_file(file)
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror})", key) from None
    return found


def _ours(target: str) -> bool:
    return target.startswith("expunge.")


def _file(value: str, folders: Sequence[Path]) -> Path | None:
    try:
        places = [folder / expanded(value) for folder in folders]
        return next((place for place in places if place.is_file()), None)
    except (OSError, ValueError, RuntimeError):  # no name that a file could have
        return None


def _leaves(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The texts in nested settings, with their dotted keys."""
    if isinstance(settings, (str, Path)):
        yield key, str(settings)
    elif isinstance(settings, (Mapping, list, tuple)):
        items = settings.items() if isinstance(settings, Mapping) else enumerate(settings)
        for name, value in items:
            yield from _leaves(value, f"{key}.{name}" if key else str(name))


def _modules(name: str) -> Iterator[tuple[str, Path]]:
    """The user's own modules and packages that a dotted name leads through, with their files."""
    top, *rest = name.split(".")
    if not top or top in _OTHERS:
        return
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return
    if spec is None:
        return
    places = list(spec.submodule_search_locations or ())
    file = _on_disk(Path(spec.origin)) if spec.has_location and spec.origin else None
    where = [*places, *([] if file is None else [str(file)])]
    if top != PLUGINS and any(part in _INSTALLED for place in where for part in Path(place).parts):
        return
    full = top
    while True:
        if file is not None:
            yield full, file
        if not (rest and places):
            return
        file, places = _within(rest[0], places)
        full = f"{full}.{rest.pop(0)}"


def _within(name: str, places: Iterable[str]) -> tuple[Path | None, list[str]]:
    """The file of a module or package in one of some folders, and the folders of its own modules."""
    spaces = []
    for place in places:
        if (archive := _on_disk(Path(place))) is not None:
            return archive, []
        folder = Path(place, name)
        if (folder / "__init__.py").is_file():
            return folder / "__init__.py", [str(folder)]
        for suffix in all_suffixes():
            if (file := Path(place, name + suffix)).is_file():
                return file, []
        spaces += [str(folder)] if folder.is_dir() else []
    return None, spaces


def _on_disk(file: Path) -> Path | None:
    """The file, or the archive that it is in."""
    return next((path for path in (file, *file.parents) if path.is_file()), None)


@cache
def _source(module: str, file: Path) -> _Source:
    content = file.read_bytes()
    try:
        tree = ast.parse(content) if file.suffix == ".py" else ast.Module([], [])
    except (SyntaxError, ValueError):  # Python says so when it imports it
        tree = ast.Module([], [])
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return _Source(sha256_of([content]), tuple(_imports(tree, package)))


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """The names of all that a module imports, those in its functions and in ``import_module`` included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and (name := _imported_by_name(node)):
            yield _absolute(name, package)


def _imported_by_name(call: ast.Call) -> str | None:
    """What ``import_module("name")``, or ``import_module(name="name")``, imports; None for another call."""
    function = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    first = next(iter([*call.args, *(word.value for word in call.keywords if word.arg == "name")]), None)
    named = function in ("import_module", "__import__") and isinstance(first, ast.Constant)
    value = first.value if named and isinstance(first, ast.Constant) else None
    return value if isinstance(value, str) else None


def _absolute(name: str, package: str) -> str:
    """A name without the dots of a relative import in ``package``."""
    plain = name.lstrip(".")
    dots = len(name) - len(plain)
    if not dots:
        return plain
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - dots + 1], *([plain] if plain else [])])
