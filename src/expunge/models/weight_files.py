"""Files of weights, known by their content and not by their name: what is in them, by dotted names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from expunge.core.errors import DataError, last_line
from expunge.core.homes import expanded
from expunge.core.records import Record, entries_of
from expunge.core.regular import open_regular
from expunge.core.tensor_files import require_tensors
from expunge.models import torch_files
from expunge.models.torch_files import Damaged, Storages

_HEAD = 512
_LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it
_DEEPEST = 4  # containers around a state
_MOST_TENSORS = 100_000
_MOST_LETTERS = 100_000_000  # of all names
_MOST = 1_000_000  # entries: a small pickle may stand for endlessly many
# What people take for weights, by first bytes.
_OTHERS = {
    b"\x1f\x8b": "packed by gzip; unpack it",
    b"BZh": "packed by bzip2; unpack it",
    b"\xfd7zXZ": "packed by xz; unpack it",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it",
    b"7z\xbc\xaf": "packed by 7-Zip; unpack it",
    b"\x89HDF": "HDF5 (Keras)",
    b"GGUF": "GGUF",
    b"\x93NUMPY": "a single array of NumPy",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch that with git lfs pull",
    b"<": "a page of the web or XML, not what was to be downloaded",
    b"{": "JSON, such as the index of several files; join them into one",
    b"\x80": "a pickle that torch has not written; load it where you trust it, and save its tensors",
}
_ALLOWED = "allowed: a state dict as torch.save writes it, or in safetensors"


@dataclass
class StateFile:
    """What a file holds; valid while it is open.

    Attributes:
        path: As the user gave it.
        shapes: All tensors, perhaps without their numbers, by their names; names of containers around them
            come before, with dots between.
        others: What else it holds, by such names: of which kind.
        take: Gives tensors with their numbers by their names.
    """

    path: Path | str
    shapes: Mapping[str, Tensor]
    take: Callable[[Iterable[str]], dict[str, Tensor]]
    others: dict[str, str] = field(default_factory=dict)


@contextmanager
def opened(path: Path | str) -> Iterator[StateFile]:
    """Open a file of weights: safetensors, or what ``torch.save`` has written.

    Raises:
        DataError: ``weights``: the file is missing or damaged, is of another kind, or holds no named tensors.
    """
    with ExitStack() as files:
        with _complaining(path):
            found = _open(files, path)
        yield found


def read_safetensors(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a file in safetensors, for weights that are kept in no other form.

    Raises:
        DataError: ``weights``: the file is missing or damaged, or is of another kind.
    """
    with _complaining(path):
        file = _file(path)
        if not _is_safetensors(_start(file)):
            raise Damaged("not a safetensors file, allowed: nothing else")
        return _tensors(file)


@contextmanager
def _complaining(path: Path | str) -> Iterator[None]:
    """Name the file in whatever goes wrong with it."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "weights") from None
    except SafetensorError as error:
        raise DataError(f"{path}: not a safetensors file ({last_line(error)})", "weights") from None
    except Damaged as error:
        raise DataError(f"{path}: {error}", "weights") from None
    except Exception as error:  # damaged bytes make the readers of archives and pickles raise all sorts
        raise DataError(f"{path}: damaged, cannot be read ({last_line(error)})", "weights") from None


def _open(files: ExitStack, path: Path | str) -> StateFile:
    file = _file(path)
    head = _start(file)
    if _is_safetensors(head):
        tensors = _tensors(file)
        return StateFile(path, tensors, lambda names: {name: tensors[name] for name in names})
    if not head.startswith(torch_files.ZIP) and torch_files.MAGIC not in head[:64]:
        raise Damaged(_unknown(head))
    return _state(path, *files.enter_context(torch_files.opened(file, head)))


def _file(path: Path | str) -> Path:
    file = expanded(path)
    if file.is_dir():
        raise Damaged(f"a folder, allowed: a file{_inside(file)}")
    return file


def _start(file: Path) -> bytes:
    with open_regular(file) as content:
        return content.read(_HEAD)


def _tensors(file: Path) -> dict[str, Tensor]:
    require_tensors(file)
    tensors = load_file(file)
    _require_few(tensors)
    return tensors


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _LONGEST_HEADER


def _unknown(head: bytes) -> str:
    if not head:
        return f"empty; {_ALLOWED}"
    found = next((what for start, what in _OTHERS.items() if head.startswith(start)), None)
    if head[257:262] == b"ustar":
        found = "a tar archive; unpack it"
    return f"{found}; {_ALLOWED}" if found else f"not a safetensors file, nor one of torch.save; {_ALLOWED}"


def _inside(folder: Path) -> str:
    known = [
        entry.name for entry in sorted(folder.iterdir()) if entry.suffix in (".safetensors", ".bin", ".pt")
    ]
    return f", such as {known[0]} in it" if known else ""


def _state(path: Path | str, saved: Any, storages: Storages) -> StateFile:
    """The tensors of what was saved, in whatever containers they are."""
    records: dict[str, Any] = {}
    shapes: dict[str, Tensor] = {}
    others: dict[str, str] = {}
    for name, value in _walk(saved, _Steps()):
        try:
            if (kind := torch_files.kind_of(value)) is None:
                records[name], shapes[name] = value, torch_files.tensor_of(value)
        except Damaged as error:  # perhaps nobody asks for it
            kind = str(error)
        if kind is not None:
            others[name] = kind
    if not shapes:
        raise Damaged(_no_state(saved, others))
    _require_few(shapes)

    def take(names: Iterable[str]) -> dict[str, Tensor]:
        with _complaining(path):
            return {name: torch_files.tensor_of(records[name], storages) for name in names}

    return StateFile(path, shapes, take, others)


class _Steps:
    """How far a walk has come: a small file may lead round in it for ever, or along very long names."""

    def __init__(self) -> None:
        self._values = self._letters = 0
        self._known: dict[int, Mapping[Hashable, Any] | None] = {}

    def entries_of(self, value: Any) -> Mapping[Hashable, Any] | None:
        """What ``records.entries_of`` says, looked for once; all values live as long as the walk."""
        if id(value) not in self._known:
            self._known[id(value)] = entries_of(value)
        return self._known[id(value)]

    def named(self, within: str, key: Hashable) -> str:
        """The name of a value."""
        name = f"{within}{key}"
        self._values += 1
        self._letters += len(name)
        if self._values > _MOST or self._letters > _MOST_LETTERS:
            raise Damaged(f"it holds more than {_MOST} values, or they have longer names than any network's")
        return name


def _walk(found: Any, steps: _Steps, within: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The values in dictionaries inside one another, by the names that lead to them, joined by dots."""
    inner = steps.entries_of(found)
    if inner is None and not depth and isinstance(found, (list, tuple)):
        inner = {f"[{place}]": value for place, value in enumerate(found) if steps.entries_of(value)}
    for key, value in (inner or {}).items():
        name = steps.named(within, key)
        if depth < _DEEPEST and steps.entries_of(value) is not None:
            yield from _walk(value, steps, f"{name}.", depth + 1)
        else:
            yield name, value


def _require_few(tensors: Collection[str]) -> None:
    if len(tensors) > _MOST_TENSORS:
        raise Damaged(f"it holds {len(tensors):,} tensors, allowed: at most {_MOST_TENSORS:,}")


def _no_state(saved: Any, others: Mapping[str, str]) -> str:
    """Why there are no tensors by name."""
    network = next((value for _, value in [("", saved), *_walk(saved, _Steps())] if _is_network(value)), None)
    if network is not None:
        held = f"it holds a whole network ({network.asked}), which is not read"
        return f"{held}; allowed: its tensors alone, as torch.save(network.state_dict(), FILE) writes them"
    if any(kind.endswith("multiarray._reconstruct") for kind in others.values()):
        return f"its numbers are arrays of NumPy; {_ALLOWED}"
    return f"not a state dict, which maps names to tensors; {_ALLOWED}"


def _is_network(value: Any) -> bool:
    """Whether this is a pickled module of torch."""
    state = value.state if isinstance(value, Record) else None
    return isinstance(state, dict) and {"_parameters", "_modules"} <= state.keys()
