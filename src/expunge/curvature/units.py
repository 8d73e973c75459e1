"""Units: the outputs of a layer that a scrub may choose, each with the weights that are its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from expunge.curvature.attention import attend, opens
from expunge.curvature.watching import first_input

KINDS = "a Conv2d, Linear, LayerNorm, GroupNorm or MultiheadAttention"
_AS_LAYER_NORM = ("timm.layers.norm",)  # where subclasses of it do the same

See = Callable[[Any, Tensor], Tensor | None]
"""What is told of a call of a layer: its inputs, three of attention, and its answers; may give others."""


def is_norm(part: nn.Module) -> bool:
    """Whether ``part`` scales and shifts channels that it has normalised within each example.

    A LayerNorm over the last axis, or a GroupNorm. BatchNorm is none: a half of it is means and variances of
    training rows, removed ones too, which no step changes.
    """
    if isinstance(part, nn.LayerNorm):
        kind = type(part)
        same = kind is nn.LayerNorm or (kind.__name__ == "LayerNorm" and kind.__module__ in _AS_LAYER_NORM)
        return same and len(part.normalized_shape) == 1
    return type(part) is nn.GroupNorm


def has_kind(part: nn.Module) -> bool:
    """Whether ``part`` is of a kind whose outputs are units."""
    return isinstance(part, (nn.Conv2d, nn.Linear)) or is_norm(part) or opens(part)


def own_parameters(part: nn.Module) -> dict[str, nn.Parameter]:
    """Return ``weight`` and ``bias`` of the units of a layer, one row a unit; none where it has no units.

    Those of a Conv2d are its filters, of a Linear the rows of its matrix, of a LayerNorm or GroupNorm scale
    and shift of each channel, of a MultiheadAttention the rows of queries, keys and values, one below the
    other (``out_proj`` is a Linear of its own). Without a weight that is a parameter itself, not computed
    from others, there are none.
    """
    if not has_kind(part):
        return {}
    before = "in_proj_" if isinstance(part, nn.MultiheadAttention) else ""
    own = dict(part.named_parameters(recurse=False))
    found = {kind: own[before + kind] for kind in ("weight", "bias") if before + kind in own}
    return found if "weight" in found else {}


def normalised(part: nn.Module, x: Tensor) -> Tensor:
    """Return what a LayerNorm or GroupNorm scales and shifts, shaped like its input."""
    if isinstance(part, nn.GroupNorm):
        return functional.group_norm(x, part.num_groups, eps=part.eps)
    assert isinstance(part, nn.LayerNorm)
    return functional.layer_norm(x, part.normalized_shape, eps=part.eps)


def channels_last(part: nn.Module, output: Tensor) -> Tensor:
    """Return answers of a layer, (m, positions, units); one position where there are none."""
    if isinstance(part, (nn.Conv2d, nn.GroupNorm)):
        output = output.movedim(1, -1)
    return output[:, None] if output.ndim == 2 else output.flatten(1, -2)


@contextmanager
def answering(module: nn.Module, watched: Mapping[str, tuple[nn.Module, See]]) -> Iterator[None]:
    """Tell of every call of the layers ``watched``, name -> layer and who is told, for a while.

    For as long, attention is written out, so that its projections are called: see ``attend``.
    """
    told = {id(part): see for part, see in watched.values()}
    with ExitStack() as hooks:
        for part in module.modules():
            if opens(part):
                hook = partial(_opened, told.pop(id(part), None))
                hooks.enter_context(part.register_forward_hook(hook, with_kwargs=True))
        for part, see in watched.values():
            if id(part) in told:
                hooks.enter_context(part.register_forward_hook(partial(_called, see), with_kwargs=True))
        yield


def _called(see: See, part: nn.Module, args: Any, kwargs: Any, output: Tensor) -> Tensor | None:
    return see(first_input(args, kwargs) if args or "input" in kwargs else None, output)


def _opened(see: See | None, part: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
    def given(inputs: Any, answers: Tensor) -> Tensor:
        found = None if see is None else see(inputs, answers)
        return answers if found is None else found

    return attend(part, given, *args, **kwargs)  # type: ignore[arg-type]
