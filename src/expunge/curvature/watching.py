"""Networks whose layers are watched while they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from expunge.curvature.gradients import evaluating


def compiled(module: nn.Module) -> bool:
    """Whether a part of the network is run by ``torch.compile``."""
    return any(
        hasattr(part, "_orig_mod")
        or getattr(part, "_compiled_call_impl", None) is not None
        or hasattr(part.forward, "_torchdynamo_orig_callable")
        for part in module.modules()
    )


@contextmanager
def watching(module: nn.Module) -> Iterator[nn.Module]:
    """Put ``module`` into evaluation mode, run as it was written, and back afterwards.

    What ``torch.compile`` makes of a network calls no hook that is younger than itself, and has no second
    derivatives: for as long, it is not used.
    """
    with evaluating(module), torch.compiler.set_stance("force_eager" if compiled(module) else "default"):
        yield module
