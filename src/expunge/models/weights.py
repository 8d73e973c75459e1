"""State of a network from a file, all of it or none."""

from __future__ import annotations

import pickle  # for the name of its error: torch's restricted reader does the reading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from expunge.datasets.checks import one_line
from expunge.errors import DataError, InvalidValue

PICKLED = (".pth", ".pt")


def load_weights(module: nn.Module, path: Path | str) -> None:
    """Put the tensors of a ``.safetensors`` file into ``module``: every name, no other, the same shapes.

    Args:
        module: Left as it is if anything is wrong.
        path: A state dict, such as the ``model.safetensors`` of a run of the same network.

    Raises:
        DataError: The file is missing or damaged, holds NaN or infinity, or is another network's.
    """
    tensors = read_safetensors(path)
    try:
        assign(module, tensors)
    except DataError as error:
        raise DataError(f"weights: {path}: {error}") from None


def read_state(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` file, or of a ``.pth`` or ``.pt`` file as torch saves them.

    The latter is a pickle: it is read by torch's restricted reader, which makes tensors and nothing else.

    Raises:
        DataError: The file is missing or damaged, or holds anything but named tensors.
    """
    if Path(path).suffix not in PICKLED:
        return read_safetensors(path)
    try:
        state = torch.load(Path(path).expanduser(), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"weights: {path}: no such file") from None
    except pickle.UnpicklingError:
        raise DataError(
            f"weights: {path}: damaged, or it holds more than tensors, which is not read"
        ) from None
    except Exception as error:  # damaged bytes make the readers of archives and pickles raise all sorts
        raise DataError(f"weights: {path}: cannot be read ({one_line(error)})") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"weights: {path}: not a state dict, which maps names to tensors")
    return {str(name): tensor for name, tensor in state.items()}


def read_safetensors(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` file.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        with safe_open(str(Path(path).expanduser()), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise DataError(f"weights: {path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise DataError(f"weights: {path}: not a safetensors file ({error})") from None


def assign(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy ``tensors`` into the parameters and buffers of ``module`` that bear their names.

    Raises:
        DataError: A name is missing, is not the network's, has another shape, or a value is not finite;
            nothing has been changed then.
    """
    state = module.state_dict()
    for name in state:
        if name not in tensors:
            raise DataError(f"{name} is missing")
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
        raise InvalidValue("weights", value, "the path of a .safetensors file, or null")
