"""Which tensors of a file are a network's: containers and prefixes around its names are found by what fits.

Training scripts keep the weights under ``state_dict``, ``model`` and other names, beside the optimiser, and
wrappers put ``module.`` (DataParallel) or ``_orig_mod.`` (``torch.compile``) before the names or into them.
All of it is the same here: something before the names. It is taken away only where what is left fits the
network, and what lies elsewhere in the file is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor, nn

from expunge.core.errors import DataError
from expunge.datasets.names import listed
from expunge.models.weight_files import StateFile

_WRAPPERS = ("module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
# Before torch 0.4 a name could hold a dot: densenet's published weights still have norm.1 for norm1.
_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")
# Running means of the weights and slower copies of the network, kept beside what was trained.
_COPIES = re.compile(r"(?:^|[._])(?:ema|swa|averaged|momentum|encoder_k|target)(?:[._]|$)")
_DEEPER = 8  # dots that wrappers and densenet's old names put into the network's own
_LONGER = 250  # letters, likewise
_PROBED = 40  # prefixes that are tried

Completed = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""Makes the state that a network would get of tensors that bear its names."""


@dataclass(frozen=True)
class Taken:
    """What a file gives a network.

    Attributes:
        found: The file's tensors by the network's names.
        tensors: The whole state that it gets, every name of the network.
        said: What was taken and what was left out, where there is something to say.
    """

    found: dict[str, Tensor]
    tensors: Mapping[str, Tensor]
    said: list[str]


def chosen(module: nn.Module, file: StateFile, completed: Completed) -> Taken:
    """Return what fits ``module``; of several, that which is no running mean or slower copy of another.

    Raises:
        DataError: ``weights``: nothing fits, with what is wrong with the most likely; or several different
            states do.
    """
    own = _canonical(module.state_dict())
    fitting: dict[str, dict[str, str]] = {}
    complaint: DataError | None = None
    for prefix in _prefixes(own, file.shapes):
        inside = _canonical(raw.removeprefix(prefix) for raw in file.shapes if raw.startswith(prefix))
        if _within_a_layer(prefix, len(inside) < len(file.shapes)):
            continue
        there = {own.get(name, name): f"{prefix}{rest}" for name, rest in inside.items()}
        try:
            state = completed({name: file.shapes[raw] for name, raw in there.items()})
            require_alike(module.state_dict(), state, file.others)
        except DataError as error:
            complaint = complaint or DataError(f"{file.path}: {error}{_under(prefix)}", "weights")
            continue
        fitting[prefix] = there
    if not fitting:
        raise complaint or DataError(f"{file.path}: holds no weights of this network", "weights")
    there, found = _only(fitting, file)
    return Taken(found, completed(found), _said(there, file))


def require_alike(
    state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], others: Mapping[str, str] | None = None
) -> None:
    """Raise ``DataError`` unless ``tensors`` have the names, shapes and kinds of numbers of ``state``.

    ``others`` are values that are no such tensors: name -> kind.
    """
    for name in state:
        if name not in tensors:
            held = next((kind for other, kind in (others or {}).items() if other.endswith(name)), None)
            raise DataError(f"{name} is missing" + (f" (the file has a {held})" if held else ""))
    for name, tensor in tensors.items():
        if name not in state:
            raise DataError(f"{name} is not part of the network")
        # An array without dimensions (BatchNorm's counter) is stored by some writers as one of length 1.
        if tensor.shape != state[name].shape and (state[name].ndim or tensor.shape != (1,)):
            got, wanted = tuple(tensor.shape), tuple(state[name].shape)
            raise DataError(f"{name} has shape {got}, the network's has {wanted}")
        if tensor.is_floating_point() != state[name].is_floating_point():
            raise DataError(f"{name} is of type {tensor.dtype}, the network's is {state[name].dtype}")


def _canonical(names: Iterable[str]) -> dict[str, str]:
    """The names without what wrappers put in -> as they are; as they are where two would be the same."""
    raw = list(names)
    found = {_bare(name): name for name in raw}
    return found if len(found) == len(raw) else {name: name for name in raw}


def _bare(name: str) -> str:
    return ".".join(part for part in _DENSENET.sub(r"\1", name).split(".") if part not in _WRAPPERS)


def _prefixes(own: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """What may stand before the network's names in the file: that before most of them first."""
    counts = Counter[str]({"": 0})
    deepest = max((name.count(".") for name in own), default=0) + _DEEPER
    longest = max(map(len, own), default=0) + _LONGER
    for name in names:
        ends = [0, *(found.end() for found in re.finditer(r"\.", name))][-deepest:]
        counts.update(name[:e] for e in ends if len(name) - e <= longest and _bare(name[e:]) in own)
    return sorted(counts, key=lambda prefix: (-counts[prefix], len(prefix)))[:_PROBED]


def _within_a_layer(prefix: str, more: bool) -> bool:
    """Whether a prefix is the place in a sequence of layers, and the file has ``more`` than that layer."""
    return more and prefix[:-1].rpartition(".")[2].isdecimal()


def _only(fitting: Mapping[str, dict[str, str]], file: StateFile) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The one that is meant: the network's names -> the file's, and -> the tensors."""
    meant = {"": fitting[""]} if "" in fitting else dict(fitting)
    kept = {prefix: there for prefix, there in meant.items() if not _COPIES.search(prefix)} or meant
    read = {prefix: file.take(there.values()) for prefix, there in kept.items()}
    found = {
        prefix: {name: read[prefix][raw] for name, raw in there.items()} for prefix, there in kept.items()
    }
    first, *rest = found
    if any(not _equal(found[first], found[other]) for other in rest):
        names = listed([prefix.rstrip(".") for prefix in kept])
        got = f"holds several states that fit ({names})"
        raise DataError(f"{file.path}: {got}; save the one that is meant in a file of its own", "weights")
    return kept[first], found[first]


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _under(prefix: str) -> str:
    return f" (among its names under {prefix.rstrip('.')})" if prefix else ""


def _said(there: Mapping[str, str], file: StateFile) -> list[str]:
    """What a reader of the log is told of the names taken, the network's -> the file's, and of the rest."""
    before = {raw.removesuffix(name) for name, raw in there.items() if raw.endswith(name)} - {""}
    said = [f"names taken without {' or '.join(sorted(before))}"] if before else []
    within = _common(list(there.values()))
    taken = set(there.values())
    left = dict.fromkeys(_part(raw, within) for raw in (*file.shapes, *file.others) if raw not in taken)
    return said + ([f"left out: {listed(left)}"] if left else [])


def _common(names: Sequence[str]) -> list[str]:
    """The parts that all names begin with."""
    first, last = (name.split(".") for name in (min(names), max(names)))
    return [
        part for part, other in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    ]


def _part(name: str, within: Sequence[str]) -> str:
    """The largest part of the file that ``name`` is in and those names are not."""
    parts = name.split(".")
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(parts, within, strict=False)))
    return ".".join(parts[: same + 1])
