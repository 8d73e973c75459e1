"""Networks on a GPU: training with the data there, a scrub of one image, a feature selection.

``python -m experiments.benchmarks.gpu.networks --json out.json`` takes two minutes on an H100. Each figure is
measured by itself: what one of them fails with is in its place, and the others are there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from experiments.benchmarks.gpu.agreement import agreement
from experiments.benchmarks.gpu.clocks import seconds
from experiments.benchmarks.gpu.parts import Part, failed, run_parts, sizes
from experiments.benchmarks.gpu.scrubs import problem_of, scrubbed, where_time_goes
from expunge.codec import foci
from expunge.codec.device import DeviceScan
from expunge.codec.placed import columns_there, jittered
from expunge.core.cores import available_cores
from expunge.core.errors import UserError
from expunge.datasets import mnist
from expunge.datasets.images import Images
from expunge.models import Mlp
from expunge.training import Learner, Training, loop, replayed

CLASSES = 10


def pictures(args: argparse.Namespace) -> tuple[str, Images, np.ndarray[Any, Any]]:
    """MNIST where it is at hand, else images of its shape: spots at places of their class, and noise."""
    try:
        found = mnist.load(args.data)
        if args.rows >= len(found.y_train):
            return "MNIST", Images.of(found.x_train, found.unit, found.offset), found.y_train
    except (UserError, OSError, TypeError):
        pass
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, args.rows)
    spots = rng.integers(0, 200, (CLASSES, 784))
    x = np.minimum(255, spots[y] // 2 + rng.integers(0, 128, (args.rows, 784))).astype(np.uint8)
    return "random images of MNIST's shape (it was not there)", Images.of(x, 255.0, 0.0), y


def training(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """784-100-10, three epochs: on the device, on the device with batches sent there, on all cores."""
    name, x, y = pictures(args)
    how = Training(epochs=args.epochs, batch_size=128)
    found: dict[str, Any] = {"data": name, "rows": len(y), "epochs": how.epochs, "cores": available_cores()}

    def trained(where: str) -> tuple[float, ...]:
        learner = Learner(Mlp(), how, device=where, progress=False)
        return learner.train(x, y, np.arange(len(y)), CLASSES, 0).losses

    worth = replayed._WORTH
    for name, least in (("seconds_without_replay", 10**9), ("seconds", worth)):
        replayed._WORTH = least
        try:
            trained(device.type)
            repeats = args.repeats if least == worth else 1
            found[name] = seconds(lambda: trained(device.type), device, repeats, first=False)
            found["losses"] = trained(device.type)
        except Exception as error:
            found[name] = failed(error)
        finally:
            replayed._WORTH = worth
    placed = loop.resident
    try:
        loop.resident = lambda examples, where, _: loop.Examples(
            examples.x, examples.y, examples.rows, examples.size, examples.dtype, where
        )
        found["seconds_with_batches_sent"] = seconds(lambda: trained(device.type), device, 1, first=False)
    finally:
        loop.resident = placed
    found["seconds_on_the_cpu"] = seconds(
        lambda: trained("cpu"), torch.device("cpu"), args.cpu_repeats, False
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    found["seconds_on_one_core"] = seconds(lambda: trained("cpu"), torch.device("cpu"), 1, False)
    torch.set_num_threads(before)
    found["losses_on_the_cpu"] = trained("cpu")
    found["ratio"] = (
        None
        if isinstance(found["seconds"], dict)
        else min(found["seconds_on_the_cpu"] + found["seconds_on_one_core"]) / min(found["seconds"])
    )
    return found


def selection(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """FOCI with the noise of L-CODEC: on the device by one kernel, by torch's operations, on all cores."""
    n, p, most = args.foci
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, p)) @ np.diag(rng.uniform(0.1, 2.0, p))
    x[:, 1:] += 0.5 * x[:, :-1]
    y = np.tanh(x[:, 0]) + x[:, 5 % p] * x[:, 9 % p] + x[:, : min(p, 20)].sum(axis=1) + rng.normal(size=n)
    there = torch.from_numpy(x).to(device)
    how: dict[str, Any] = {"ties": "noise", "rng": 0, "stop": False, "max_features": most}
    found: dict[str, Any] = {"rows": n, "columns": p, "chosen": most}
    found["seconds"] = seconds(lambda: foci(there, y, **how), device, args.repeats)
    cpu = torch.device("cpu")
    near, DeviceScan.tries_near = DeviceScan.tries_near, False
    found["seconds_by_all_rows"] = seconds(lambda: foci(there, y, **how), device, args.repeats)
    DeviceScan.tries_near = near
    found["seconds_on_the_cpu"] = seconds(lambda: foci(x, y, **how), cpu, args.cpu_repeats)
    ours, theirs = foci(there, y, **how), foci(x, y, **how)
    found["same_columns"] = bool(np.array_equal(ours.columns, theirs.columns))
    found["same_scores"] = bool(np.array_equal(ours.scores, theirs.scores))
    columns, _ = columns_there(there, "X", n)
    parts = found["parts"] = {}
    parts["columns"] = min(seconds(lambda: columns_there(there, "X", n), device, 2))
    parts["noise"] = min(
        seconds(lambda: jittered(columns, "noise", 1e-6, np.random.default_rng(0), None), device, 2)
    )
    parts["noise drawn alone"] = min(
        seconds(lambda: np.random.default_rng(0).standard_normal((p, n)), cpu, 2)
    )
    ranks, every = rng.permutation(n) + 1, np.arange(p)
    for fused in (True, False):
        scan = DeviceScan(columns, ranks, cyclic=True, device=device, fused=fused)
        scan.choose(0)
        parts[f"one scan, {'one kernel' if fused else 'operations of torch'}"] = min(
            seconds(lambda scan=scan: scan.sums(every), device, 2)
        )
        parts["one choice"] = min(seconds(lambda scan=scan: scan.choose(1), device, 2))
    if args.tune and device.type == "cuda":
        found["tuned"] = tuned(columns, ranks)
    return found


def tuned(columns: torch.Tensor, ranks: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Seconds of one scan for other shapes of the kernel."""
    from expunge.codec import fused

    scan, found = DeviceScan(columns, ranks, cyclic=True, device=columns.device), {}
    every = torch.arange(len(columns), device=columns.device)
    kept = fused._WIDTH, fused._WARPS
    for width, warps in ((32, 1), (64, 1), (64, 2), (128, 1), (128, 2), (128, 4), (256, 2), (256, 4)):
        fused._WIDTH, fused._WARPS = width, warps
        try:
            call = lambda: fused.fused_sums(scan.values, scan.base, scan.ranks.int(), every, cyclic=True)  # noqa: E731
            found[f"{width} {warps}"] = min(seconds(call, columns.device, 3))
        except Exception as error:
            found[f"{width} {warps}"] = repr(error)[:200]
    fused._WIDTH, fused._WARPS = kept
    return found


def scrubs(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """One image from each network, by the published settings and by ours."""
    found: dict[str, Any] = {}
    for family in args.networks:
        begin = perf_counter()
        problem = problem_of(family, device.type, args.images)
        found[family] = {"seconds_made": perf_counter() - begin}
        for name, published in (("published", True), ("ours", False)):
            try:
                found[family][name] = scrubbed(problem, published, args.copies, args.repeats)
            except Exception as error:
                found[family][name] = failed(error)
            if args.profile:
                try:
                    found[family][f"{name}, where time goes"] = where_time_goes(
                        problem, published, args.copies
                    )
                except Exception as error:
                    found[family][f"{name}, where time goes"] = failed(error)
    return found


def checked(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Whether the device gives what the CPU gives."""
    return agreement(device)


PARTS: tuple[Part, ...] = (
    checked,
    selection,
    scrubs,
    training,
)


def main(argv: list[str] | None = None) -> None:
    """Measure, and write or print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal")
    parser.add_argument("--data", default=os.environ.get("EXPUNGE_DATA"), help="folder with MNIST")
    parser.add_argument("--rows", type=int, default=60_000, help="training images")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--foci", type=sizes, default=(1000, 4810, 24), help="rows x columns x chosen")
    parser.add_argument("--networks", nargs="*", default=["resnet18", "resnet50"])
    parser.add_argument("--images", type=int, default=2_000, help="that networks are trained on")
    parser.add_argument("--copies", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cpu-repeats", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=[part.__name__ for part in PARTS])
    parser.add_argument("--profile", action="store_true", help="say where the time of scrubs goes")
    parser.add_argument("--tune", action="store_true", help="try other shapes of the kernel")
    args = parser.parse_args(argv)
    run_parts(PARTS, args)


if __name__ == "__main__":
    main()
