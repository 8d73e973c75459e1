"""The kernel that passes over rows on a GPU are: against plain torch, and with other shapes."""

from __future__ import annotations

import argparse
from typing import Any

import torch

from experiments.benchmarks.gpu.clocks import normal, seconds
from expunge.linear.device_rows import DeviceRows, compiled

_OTHERS = (torch.uint8, torch.bfloat16, torch.float32, torch.float64)
_CHECKED = (  # stored type, rows, features, offset, whether a subset, passes: each is compiled, for a second
    *(
        (torch.float16, 70_001, 512, 0.0, subset, ("gradient", "curved", "scores"))
        for subset in (False, True)
    ),
    *((kind, 5_001, 512, 0.0, False, ("gradient",)) for kind in _OTHERS),
    (torch.uint8, 5_001, 3, 127.5, False, ("gradient",)),
    (torch.float16, 3_000, 2048, 0.0, False, ("gradient", "curved")),
    (torch.float16, 2_049, 5_000, 0.0, False, ("gradient",)),
)


def checked(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """The kernel against plain torch: the largest difference of each pass, relative to its largest entry."""
    kernels = compiled(device)
    if kernels is None:
        return {"triton": False}
    found: dict[str, float] = {}
    for kind, n, d, offset, subset, passes_of in _CHECKED:
        raw = normal(n, d, torch.float32, device, 1).mul_(40).add_(128).clamp_(0, 255).to(kind)
        scale = torch.rand(n, device=device, dtype=torch.float64) / d / 100
        scale[::7] = 0.0
        y = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0).double()
        w = torch.randn(d, device=device, dtype=torch.float64)
        places = torch.arange(0, n, 3, device=device) if subset else None
        chosen = slice(None) if places is None else places
        x, own = ((raw.double() - offset) * scale[:, None])[chosen], y[chosen]
        z = x @ w
        walked = raw, places, scale
        for name in passes_of:
            if name == "gradient":
                ours = kernels.walk(kernels.GRADIENT, *walked, y, w, offset)[0]
                plain = (-own * torch.sigmoid(-own * z)) @ x
            elif name == "curved":
                ours = torch.cat(kernels.walk(kernels.CURVED, *walked, y.abs(), w, offset))
                plain = torch.cat([z @ x, torch.stack([(z**2).sum(), (z**4).sum()])])
            else:
                ours, plain = kernels.walk(kernels.SCORES, *walked, None, w, offset)[0][chosen], z
            key = f"{name} {str(kind).removeprefix('torch.')} {n} x {d}" + (", a third" if subset else "")
            found[key] = float((ours - plain).abs().max() / plain.abs().max())
    return {"triton": True, "largest_relative_difference": max(found.values()), "of": found}


def tuned(rows: DeviceRows, y: Any, w: Any, device: torch.device) -> dict[str, float]:
    """Seconds of a pass for other shapes of the kernel."""
    kernels, found = compiled(device), {}
    labels, along = rows.held.of(y), rows.held.copied(w)
    for tile, warps, stages in (
        *((512, 1, 3), (512, 2, 3), (512, 2, 5), (512, 4, 3), (1024, 1, 3), (1024, 2, 2), (1024, 2, 3)),
        *((1024, 2, 5), (1024, 4, 2), (1024, 4, 3), (1024, 4, 4), (1024, 4, 6), (2048, 2, 3), (2048, 4, 3)),
    ):
        try:
            how = tile, warps, stages
            call = lambda how=how: kernels.walk(0, *rows._walk, labels, along, 0.0, how)  # noqa: E731
            found[f"{tile} {warps} {stages}"] = min(seconds(call, device, 2))
        except Exception as error:
            found[f"{tile} {warps} {stages}"] = repr(error)[:200]
    return found
