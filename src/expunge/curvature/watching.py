"""Networks whose layers are watched while they run, and what hides a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from expunge.core.errors import InvalidValue, last_line
from expunge.curvature.gradients import evaluating

REENTRANT = "torch.utils.checkpoint with use_reentrant=True"
_KNOWN = ("torch.nn.modules.", "torchvision.models.", "torchvision.ops.misc", "expunge.models.")
_OTHERS = ("expunge.models.ensemble",)  # runs those of its parts that it has heard of
PARALLEL = (nn.DataParallel, DistributedDataParallel)


def compiled(module: nn.Module) -> bool:
    """Whether a part of the network is run by ``torch.compile``."""
    return any(
        hasattr(part, "_orig_mod")
        or getattr(part, "_compiled_call_impl", None) is not None
        or hasattr(part.forward, "_torchdynamo_orig_callable")
        for part in module.modules()
    )


def known_code(module: nn.Module) -> bool:
    """Whether all layers are torch's, torchvision's or ours: what they do, and do not, is known.

    They compute in any type, by the tensors that they are given by name, and ask a GPU nothing.
    """
    kinds = {type(part).__module__ for part in module.modules()}
    others = any(name.startswith(_OTHERS) for name in kinds)
    held = any(isinstance(value, Tensor) for part in module.modules() for value in vars(part).values())
    first = any(part._forward_pre_hooks for part in module.modules())  # weights may be computed there
    return not (others or held or first) and all(name.startswith(_KNOWN) for name in kinds)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Let cuDNN take only ways of convolution that give the same numbers every time, for a while."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    if device.type == "cuda":
        cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


@contextmanager
def watching(module: nn.Module) -> Iterator[nn.Module]:
    """Put ``module`` into evaluation mode, run as it was written, and back afterwards.

    What ``torch.compile`` makes of a network may call no hook that is younger than itself, and has no second
    derivatives: for as long, it is not used.
    """
    eager = torch.compiler.set_stance("force_eager") if compiled(module) else nullcontext()
    with evaluating(module), eager:
        yield module


def require_open(module: nn.Module) -> None:
    """Raise ``InvalidValue`` if the layers of ``module`` cannot be watched, because it is in TorchScript."""
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            got = f"{name or 'a network'} in TorchScript ({type(part).__name__})"
            raise InvalidValue(
                "model", got, "the module that it was made of: its own layers cannot be watched"
            )


@contextmanager
def naming_derivatives() -> Iterator[None]:
    """Turn what torch says of derivatives that there are not into a line."""
    try:
        yield
    except RuntimeError as error:
        if "use_reentrant" in str(error):
            raise InvalidValue("model", f"layers under {REENTRANT}", "use_reentrant=False") from None
        if "derivative for" in str(error):
            allowed = "fd or fisher, which need no second derivative of the network or its loss"
            raise InvalidValue("curvature", last_line(error), allowed) from None
        raise


def first_input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """What a Conv2d or a Linear is called with, by place or by name."""
    found: Tensor = args[0] if args else kwargs["input"]
    return found


def duplicate(module: nn.Module) -> nn.Module:
    """Return a deep copy, which computes anew what weights it computes from others (pruned, normalised)."""
    kept = [value for part in module.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    results = {id(value): value.detach().clone() for value in kept if value.grad_fn is not None}
    copied = deepcopy(module, dict(results))  # torch copies no result of a calculation
    for part, twin in zip(module.modules(), copied.modules(), strict=True):
        # What torch.compile has made of a forward would go on working on the weights of the first.
        own = getattr(vars(part).get("forward"), "_torchdynamo_orig_callable", None)
        if own is not None and getattr(own, "__self__", None) is part:
            twin.forward = MethodType(own.__func__, twin)
    return copied
