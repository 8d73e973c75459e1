"""State of a network from a file: all of it, or all but the head."""

from __future__ import annotations

import logging
import pickle  # for the name of its error: torch's restricted reader does the reading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import DataError, InvalidValue, last_line
from expunge.models import weight_files
from expunge.models.head import identity_head
from expunge.models.weight_names import Taken, chosen, require_alike

log = logging.getLogger(__name__)


def load_weights(module: nn.Module, path: Path | str) -> None:
    """Put the tensors of a file into ``module``: every name, no other, the same shapes.

    What is around them in the file (``state_dict``, the optimiser, settings, ``module.`` before every name)
    is found and left out, see ``expunge.models.weight_names``. Only the end of the network may differ, for
    one that was trained on other identities. The identity head keeps its values where the file has none, or
    one with another number of outputs, or other layers in its place; so do head and embedding layer together
    where the file has neither. A line in the log says what was taken.

    Args:
        module: Left as it is if anything is wrong.
        path: A state dict in safetensors, such as the ``model.safetensors`` of a run of the same network, or
            as ``torch.save`` writes it, old or new; the file's name does not matter.

    Raises:
        DataError: The file is missing or damaged, holds NaN or infinity, or is another network's.
    """
    with weight_files.opened(path) as file:
        taken = chosen(module, file, partial(_completed, module))
    new = _new_end(module, taken.found)
    _give(module, taken, path, [f"gives all but {new}, which begins with random weights"] if new else [])


def load_body(body: nn.Module, path: Path | str, head: str) -> None:
    """Put the tensors of a file into a network that has lost its layer ``head``, whose tensors are left out.

    Otherwise as ``load_weights``, but that nothing else may be missing.
    """
    gone = partial(_without, head)
    with weight_files.opened(path) as file:
        taken = chosen(body, file, gone)
    _give(body, taken, path, [])


def _without(head: str, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in found.items() if not _within(head, name)}


def _give(module: nn.Module, taken: Taken, path: Path | str, ends: list[str]) -> None:
    """Put what was taken into ``module``, and say so where there is something to say."""
    try:
        assign(module, taken.tensors)
    except DataError as error:
        raise DataError(f"{path}: {error}", "weights") from None
    if said := [*taken.said, *ends]:
        log.info("weights: %s %s", path, "; ".join(said))


def require_tensors_only(path: Path | str) -> None:
    """Raise ``DataError`` unless a file of ``torch.save`` holds a state dict and nothing else.

    For files that somebody else is to read, who would unpickle anything.
    """
    with weight_files.opened(path):
        pass  # a small file may stand for more than torch's reader ever ends with
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        held = "damaged, or it holds more than tensors, which is not read"
        raise DataError(f"{path}: {held}", "weights") from None
    except Exception as error:  # damaged bytes make the readers of archives and pickles raise all sorts
        raise DataError(f"{path}: cannot be read ({last_line(error)})", "weights") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path}: not a state dict, which maps names to tensors", "weights")


def _completed(module: nn.Module, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state that ``module`` would get of these tensors, which bear its names."""
    state, new = module.state_dict(), _new_end(module, found)
    taken = {name: tensor for name, tensor in found.items() if not _within(new, name)}
    kept = {name: tensor for name, tensor in state.items() if _within(new, name)}
    # Old files lack BatchNorm's counters, which nothing reads where there is a momentum.
    counters = {name: tensor for name, tensor in state.items() if name.endswith("num_batches_tracked")}
    return counters | taken | kept


def _new_end(module: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the last part of ``module`` if ``tensors`` may be of the same network but for it."""
    try:
        name, head = identity_head(module)
    except InvalidValue:
        return None
    group, names = name.rpartition(".")[0] or None, module.state_dict().keys()
    if group is not None and not any(_within(group, key) for key in names & tensors.keys()):
        new = group  # such as an embedding layer with the head
    elif not any(f"{name}.{key}" in tensors for key in head.state_dict()):
        new = name  # nothing there, or layers inside of it: a projection head of self-supervised training
    elif _another(head, {key: tensor for key, tensor in tensors.items() if _within(name, key)}):
        new = name
    else:
        return None
    return None if all(_within(new, key) for key in names) else new  # all of it: the file has no part in it


def _another(head: nn.Linear, found: Mapping[str, Tensor]) -> bool:
    """Whether ``found`` is a head like this one with another number of outputs."""
    own = {(key, *tensor.shape[1:]) for key, tensor in head.state_dict().items()}
    outputs = {tensor.shape[:1] for tensor in found.values()}
    alike = {(key.rpartition(".")[2], *tensor.shape[1:]) for key, tensor in found.items()} == own
    return alike and len(outputs) == 1 and outputs != {(head.out_features,)}


def _within(part: str | None, name: str) -> bool:
    """Whether ``name`` is that of a tensor of the part of the network that is called ``part``."""
    return part is not None and name.startswith(f"{part}.")


def assign(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy ``tensors`` into the parameters and buffers of ``module`` that bear their names.

    Raises:
        DataError: A name is missing, is not the network's, has another shape, or a value is not finite;
            nothing has been changed then.
    """
    state = module.state_dict()
    require_alike(state, tensors)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor.to(state[name].dtype)).all()):
            raise DataError(f"{name} holds NaN or infinity")
    module.load_state_dict({name: tensor.reshape(state[name].shape) for name, tensor in tensors.items()})


def require_same_form(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are no state of the very same architecture.

    Raises:
        DataError: A name is missing, is not the network's, has another shape or type, or holds NaN.
    """
    wanted = module.state_dict()
    said = "checkpoint of another architecture:"
    for name in sorted(wanted.keys() ^ tensors.keys()):
        which = "lacks" if name in wanted else "has, beyond the network's,"
        raise DataError(f"{said} it {which} {name}")
    for name, tensor in wanted.items():
        found = tensors[name]
        if (tensor.shape, tensor.dtype) != (found.shape, found.dtype):
            there, own = (f"{one.dtype} of shape {tuple(one.shape)}" for one in (found, tensor))
            raise DataError(f"{said} {name} is {there}, the network's {own}")
        if not bool(torch.isfinite(found).all()):
            raise DataError(f"{name}: holds NaN or infinity")


def require_weights(value: Any) -> None:
    """Raise ``InvalidValue`` unless ``value`` is None or names a file; whether it exists is seen later."""
    if value is not None and not (isinstance(value, (str, Path)) and str(value)):
        raise InvalidValue(
            "weights", value, "the path of a file of weights (safetensors, or of torch.save), or null"
        )
