"""The parts of a program of figures, each measured by itself: one that fails costs the others nothing."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from experiments.benchmarks.gpu.clocks import synchronised

Part = Callable[[argparse.Namespace, torch.device], dict[str, Any]]


def run_parts(parts: Sequence[Part], args: argparse.Namespace) -> None:
    """Run ``args.only`` of these parts on ``args.device``, and keep ``args.json`` up to date with them.

    Without a path the report is printed; where the device is not there it says so alone.
    """
    if args.device == "cuda" and not torch.cuda.is_available():
        _write(args.json, {"skipped": "torch finds no GPU here"})
        return
    device, report = torch.device(args.device), dict[str, Any]()
    if device.type == "cuda":
        report["device"] = torch.cuda.get_device_name()
        report["versions"] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    for part in parts:
        if args.only and part.__name__ not in args.only:
            continue
        begin = perf_counter()
        try:
            own = part(args, device)
        except Exception as error:
            own = failed(error)
        synchronised(device)
        own["seconds_in_all"] = perf_counter() - begin
        if device.type == "cuda":
            own["most_bytes"] = torch.cuda.max_memory_allocated()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        report[part.__name__] = own
        print(part.__name__, json.dumps(own, indent=1), file=sys.stderr, flush=True)
        _write(args.json, report)


def failed(error: Exception) -> dict[str, Any]:
    """What stands in place of a figure."""
    return {"error": repr(error), "where": traceback.format_exc().splitlines()[-12:]}


def sizes(text: str) -> tuple[int, ...]:
    """``2_000_000x128`` as numbers."""
    return tuple(int(part.replace("_", "").replace(",", "")) for part in text.split("x"))


def _write(path: Path | None, report: dict[str, Any]) -> None:
    text = json.dumps(report, indent=1)
    print(text) if path is None else path.write_text(text + "\n")
