"""A network in float64, and convolutions that are worth their time there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from expunge.curvature.watching import duplicate, known_code, watching

_ENTRIES = 1 << 18  # of unfolded inputs at once: 2 MB, so that they are still in the cache when they are used


def in_float64(module: nn.Module, x: Tensor) -> nn.Module:
    """Return a copy of a network in float64, or the network itself where all of it is that already.

    A network that cannot be run in float64 (its forward makes tensors of float32, or the device has no such
    type) is returned as it is, with a warning.

    Args:
        module: The network; it is left as it is.
        x: Inputs to try the copy with.
    """
    tensors = chain(module.parameters(), module.buffers())
    if all(t.dtype == torch.float64 for t in tensors if t.is_floating_point()):
        return module
    try:
        double = duplicate(module).double()
        with watching(double), torch.no_grad():
            found = double(inputs_in_float64(x))
    except Exception as error:  # whatever its forward, or its copying, makes of it: it is said
        reason = str(error).partition("\n")[0]
        warnings.warn(f"the network is run in its own type, for in float64 it fails: {reason}", stacklevel=2)
        return module
    if isinstance(found, Tensor) and found.is_floating_point() and found.dtype != torch.float64:
        what = f"run in float64 the network still puts out {found.dtype}, which rounds small losses away"
        warnings.warn(f"{what} (its forward asks for it)", stacklevel=2)
    return double


def as_in_float64(module: nn.Module, x: Tensor) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """What ``in_float64`` gives, and how it is called.

    On a GPU a network of known code is not copied, for that takes as long as all copies of an image do: it is
    called itself, with tensors of float64 in place of its own.
    """
    if x.device.type == "cuda" and known_code(module):
        return module, partial(functional_call, module, doubles(module))
    network = in_float64(module, x)
    return network, network


def inputs_in_float64(x: Tensor) -> Tensor:
    """Return real numbers in float64; numbers of tokens as they are."""
    return x.double() if x.is_floating_point() else x


def doubles(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, those of real numbers in float64, without gradients."""
    named = chain(module.named_parameters(), module.named_buffers())
    return {name: t.detach().double() if t.is_floating_point() else t for name, t in named}


class Unfolded(TorchFunctionMode):
    """While it is entered, convolutions in float64 on the CPU are products of large matrices.

    torch has no fast kernel for them there: it multiplies one small matrix for each image. Results are the
    same but for rounding. What is differentiated, and convolutions in groups, are left to torch.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Take over the calls of ``conv2d``."""
        given = kwargs or {}
        found = _convolution(*args, **given) if func is torch.conv2d else None
        return func(*args, **given) if found is None else found


def _convolution(
    input: Tensor,  # torch's names, for callers may use them
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """``torch.conv2d`` with channels last in memory: rows of patches times the filters. None: torch's to do.

    Rows and columns of the filters that meet padding alone are left out: of 3 x 3 on a map of one pixel, all
    but the middle one.
    """
    x, kind = input, input.dtype == weight.dtype == torch.float64 and input.device.type == "cpu"
    if not kind or x.ndim != 4 or groups != 1 or isinstance(padding, str) or torch.is_grad_enabled():
        return None
    steps, pads, gaps = _pair(stride), _pair(padding), _pair(dilation)
    axes = (_Axis(*one) for one in zip(x.shape[2:], weight.shape[2:], steps, pads, gaps, strict=True))
    down, across = axes
    weight = weight[:, :, down.first : down.last + 1, across.first : across.last + 1]
    x = nn.functional.pad(x, (*across.pad, *down.pad)).permute(0, 2, 3, 1).contiguous()
    rows, columns, (height, width) = down.places, across.places, weight.shape[2:]
    filters = weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
    out = x.new_empty(len(x), rows, columns, len(weight))
    size = torch.Size((rows, columns, height, width, x.shape[3]))
    image, line, pixel, one = x.stride()
    strides = (image, line * down.step, pixel * across.step, line * down.gap, pixel * across.gap, one)
    step = max(1, _ENTRIES // max(1, size.numel()))
    for part, found in zip(x.split(step), out.split(step), strict=True):
        patches = part.as_strided((len(part), *size), strides, part.storage_offset())
        torch.mm(patches.reshape(-1, len(filters)), filters, out=found.view(-1, len(weight)))
    return (out if bias is None else out.add_(bias)).permute(0, 3, 1, 2)


class _Axis:
    """One axis of a convolution.

    Attributes:
        places: Number of outputs.
        first, last: Of the filter's places that may meet an input; all where none does.
        pad: Zeros before and after, of inputs that these places see; negative for inputs that they do not.
        step, gap: Stride and dilation.
    """

    def __init__(self, size: int, width: int, step: int, pad: int, gap: int) -> None:
        self.step, self.gap = step, gap
        self.places = (size + 2 * pad - gap * (width - 1) - 1) // step + 1
        reach = (self.places - 1) * step - pad
        seen = [k for k in range(width) if k * gap - pad < size and reach + k * gap >= 0] or range(width)
        self.first, self.last = seen[0], seen[-1]
        before = pad - self.first * gap
        seen_inputs = (self.places - 1) * step + (self.last - self.first) * gap + 1
        self.pad = before, seen_inputs - size - before


def _pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else tuple(value) * (2 if len(value) == 1 else 1)
    return first, second
