"""State of a network from a file: all of it, or all but the head."""

from __future__ import annotations

import logging
import pickle  # for the name of its error: torch's restricted reader does the reading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from expunge.core.errors import DataError, InvalidValue, last_line
from expunge.models.head import identity_head

log = logging.getLogger(__name__)

PICKLED = (".pth", ".pt")


def load_weights(module: nn.Module, path: Path | str) -> None:
    """Put the tensors of a file into ``module``: every name, no other, the same shapes.

    Only the end of the network may differ, for one that was trained on other identities. The identity head
    keeps its values where the file has none, or one with another number of outputs; so do head and embedding
    layer together where the file has neither. A line in the log says so.

    Args:
        module: Left as it is if anything is wrong.
        path: A state dict in a ``.safetensors`` file, such as the ``model.safetensors`` of a run of the same
            network, or in a ``.pth`` or ``.pt`` file as torch saves it.

    Raises:
        DataError: The file is missing or damaged, holds NaN or infinity, or is another network's.
    """
    tensors, state = read_state(path), module.state_dict()
    new = _new_end(module, tensors)
    taken = {name: tensor for name, tensor in tensors.items() if not _within(new, name)}
    kept = {name: tensor for name, tensor in state.items() if _within(new, name)}
    # Old files lack BatchNorm's counters, which nothing reads where there is a momentum.
    counters = {name: tensor for name, tensor in state.items() if name.endswith("num_batches_tracked")}
    try:
        assign(module, counters | taken | kept)
    except DataError as error:
        raise DataError(f"{path}: {error}", "weights") from None
    if new is not None:
        log.info("weights: %s gives all but %s, which begins with random weights", path, new)


def _new_end(module: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the last part of ``module`` if ``tensors`` may be of the same network but for it."""
    try:
        name, head = identity_head(module)
    except InvalidValue:
        return None
    group, names = name.rpartition(".")[0] or None, module.state_dict().keys()
    if group is not None and not any(_within(group, key) for key in names & tensors.keys()):
        new = group  # such as an embedding layer with the head
    elif _another(head, {key: tensor for key, tensor in tensors.items() if _within(name, key)}):
        new = name
    else:
        return None
    return None if all(_within(new, key) for key in names) else new  # all of it: the file has no part in it


def _another(head: nn.Linear, found: Mapping[str, Tensor]) -> bool:
    """Whether there is nothing in ``found``, or a head like this one with another number of outputs."""
    own = {(key, *tensor.shape[1:]) for key, tensor in head.state_dict().items()}
    outputs = {tensor.shape[:1] for tensor in found.values()}
    alike = {(key.rpartition(".")[2], *tensor.shape[1:]) for key, tensor in found.items()} == own
    return not found or (alike and len(outputs) == 1 and outputs != {(head.out_features,)})


def _within(part: str | None, name: str) -> bool:
    """Whether ``name`` is that of a tensor of the part of the network that is called ``part``."""
    return part is not None and name.startswith(f"{part}.")


def read_state(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` file, or of a ``.pth`` or ``.pt`` file as torch saves them.

    The latter is a pickle: it is read by torch's restricted reader, which makes tensors and nothing else.

    Raises:
        DataError: The file is missing or damaged, or holds anything but named tensors.
    """
    file = Path(path).expanduser()
    try:
        if file.suffix not in PICKLED:
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "weights") from None
    except SafetensorError as error:
        raise DataError(f"{path}: not a safetensors file ({error})", "weights") from None
    except pickle.UnpicklingError:
        held = "damaged, or it holds more than tensors, which is not read"
        raise DataError(f"{path}: {held}", "weights") from None
    except Exception as error:  # damaged bytes make the readers of archives and pickles raise all sorts
        raise DataError(f"{path}: cannot be read ({last_line(error)})", "weights") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path}: not a state dict, which maps names to tensors", "weights")
    return {str(name): tensor for name, tensor in state.items()}


def assign(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy ``tensors`` into the parameters and buffers of ``module`` that bear their names.

    Raises:
        DataError: A name is missing, is not the network's, has another shape, or a value is not finite;
            nothing has been changed then.
    """
    state = module.state_dict()
    if missing := [name for name in state if name not in tensors]:
        raise DataError(f"{missing[0]} is missing")
    for name, tensor in tensors.items():
        if name not in state:
            raise DataError(f"{name} is not part of the network")
        # An array without dimensions (BatchNorm's counter) is stored by some writers as one of length 1.
        if tensor.shape != state[name].shape and (state[name].ndim or tensor.shape != (1,)):
            got, wanted = tuple(tensor.shape), tuple(state[name].shape)
            raise DataError(f"{name} has shape {got}, the network's has {wanted}")
        if tensor.is_floating_point() != state[name].is_floating_point():
            raise DataError(f"{name} is of type {tensor.dtype}, the network's is {state[name].dtype}")
        if not bool(torch.isfinite(tensor.to(state[name].dtype)).all()):
            raise DataError(f"{name} holds NaN or infinity")
    module.load_state_dict({name: tensor.reshape(state[name].shape) for name, tensor in tensors.items()})


def require_weights(value: Any) -> None:
    """Raise ``InvalidValue`` unless ``value`` is None or names a file; whether it exists is seen later."""
    if value is not None and not (isinstance(value, (str, Path)) and str(value)):
        raise InvalidValue("weights", value, "the path of a .safetensors, .pth or .pt file, or null")
