"""Linear models on a GPU: a pass, a release of one row in 50 million, a head of 1,000 classes.

``python -m experiments.benchmarks.gpu.linear --json out.json`` takes two minutes on an H100. Each figure is
measured by itself: what one of them fails with is in its place, and the others are there.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from math import hypot
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.benchmarks.gpu.clocks import normal, profiled, seconds, synchronised
from experiments.benchmarks.gpu.kernel import checked, tuned
from experiments.benchmarks.gpu.parts import run_parts, sizes
from expunge.linear.column_passes import ColumnPasses
from expunge.linear.device_rows import DeviceRows, compiled
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton

LAM = 1e-4


def ratio(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """The gradient alone: all cores of the processor, and the device."""
    n, d = args.ratio
    raw = normal(n, d, torch.float16, device, 2)
    there = DeviceRows.normalised(raw)
    rows = Rows(raw.cpu().numpy(), there.factor.cpu().numpy())
    rng = np.random.default_rng(0)
    y, w = rng.choice([-1.0, 1.0], n), rng.normal(size=d)
    b = np.zeros(d)
    cpu, gpu = LogisticProblem(rows, y, LAM, b), LogisticProblem(there, y, LAM, b)
    rows.rehearse()
    on_cpu = seconds(lambda: cpu.gradient(w), torch.device("cpu"))
    on_gpu = seconds(lambda: gpu.gradient(w), device)
    off = float(np.linalg.norm(cpu.gradient(w) - gpu.gradient(w)))
    same = bool((gpu.gradient(w) == gpu.gradient(w)).all())
    return {
        "rows": n,
        "features": d,
        "cpu_seconds": on_cpu,
        "gpu_seconds": on_gpu,
        "ratio": min(on_cpu) / min(on_gpu),
        "difference": off,
        "allowed": 2 * cpu.rounding(w),
        "same_bits_twice": same,
    }


def trained(rows: DeviceRows, y: np.ndarray[Any, Any], solver: str = "auto") -> Newton:
    """A certified model: noise at release, exact, ten thousand releases."""
    model = LinearModel(lam=LAM, std=0.0, solver=solver)
    engine = Newton(
        model, certificate="measured", update="corrected", perturbation="release", releases=10_000
    )
    engine.fit(rows, y)
    return engine


def released(engine: Newton, requests: list[list[int]], device: torch.device) -> list[float]:
    """What each release takes."""
    found = []
    for request in requests:
        synchronised(device)
        begin = perf_counter()
        outcome = engine.remove(request)
        synchronised(device)
        found.append(perf_counter() - begin)
        assert outcome.outcome == "removed", outcome
    return found


def measured(engine: Newton, rows: DeviceRows, y: Tensor, gone: Tensor) -> float:
    """The norm of the gradient over the rows that stay, summed by other code than that of the passes."""
    w = torch.from_numpy(np.stack([column.w for column in engine.columns], axis=1)).to(rows.device)
    labels = torch.from_numpy(engine.predictor.out.classes.positive).to(rows.device)
    scale = rows.factor.clone()
    scale[gone] = 0.0
    total = LAM * int(torch.count_nonzero(scale)) * w
    step = max(1, 2**24 // max(rows.dim, w.shape[1]))
    for lo in range(0, len(rows), step):
        part = slice(lo, lo + step)
        x = rows.raw[part].double() * scale[part, None]
        signs = torch.where(y[part, None] == labels, 1.0, -1.0).double()
        total -= x.T @ (signs / (1 + torch.exp(signs * (x @ w))))
    return float(torch.linalg.vector_norm(total))


def certified(engine: Newton) -> tuple[float, float]:
    """The bound on the norm of the gradient of all columns, and what the columns say that they measured."""
    norms = [float(np.linalg.norm(c.gradient)) for c in engine.columns if c.gradient is not None]
    return hypot(*(column.account.beta for column in engine.columns)), hypot(*norms)


def many_rows(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """One binary head over rows that fill the device: its gradient, and certified releases of one row."""
    n, d = args.rows
    begin = perf_counter()
    raw = normal(n, d, torch.float16, device, 3)
    rows = DeviceRows.normalised(raw)
    generator = torch.Generator(device).manual_seed(4)
    along = torch.randn(d, generator=generator, device=device, dtype=torch.float64)
    scores = rows._scores(along.cpu().numpy())
    noise = torch.randn(n, generator=generator, device=device)
    labels = (scores + noise > 0).long()
    y = labels.cpu().numpy()
    del scores, noise
    synchronised(device)
    found: dict[str, Any] = {"rows": n, "features": d, "seconds_made": perf_counter() - begin}
    signs, w = np.where(y == 1, 1.0, -1.0), np.random.default_rng(0).normal(size=d)
    problem = LogisticProblem(rows, signs, LAM, np.zeros(d))
    problem.gradient(w)
    size = raw.element_size() * raw.numel()
    times = seconds(lambda: problem.gradient(w), device)
    found["gradient_seconds"], found["gradient_bytes_a_second"] = times, size / min(times)
    if args.tune and compiled(device):
        found["tuned"] = tuned(rows, signs, w, device)
    with _without_kernel():
        found["gradient_seconds_plain_torch"] = seconds(lambda: problem.gradient(w), device, 2)
        other = problem.gradient(w)
    found["difference"] = float(np.linalg.norm(other - problem.gradient(w)))
    found["allowed"] = 2 * problem.rounding(w)
    begin = perf_counter()
    engine = trained(rows, y)
    found["fit_seconds"] = perf_counter() - begin
    requests = [[k] for k in range(11, 11 + args.releases)]
    found["release_seconds"] = released(engine, requests, device)
    found["bound"], found["own"] = certified(engine)
    gone = torch.tensor([request[0] for request in requests], device=device)
    found["measured"] = measured(engine, rows, labels, gone)
    found["holds"] = found["measured"] <= found["bound"]
    if args.profile:
        found["profile"] = profiled(lambda: engine.remove([5]))
    return found


class _without_kernel:
    """Let plain torch do the passes."""

    def __enter__(self) -> None:
        self.kept = DeviceRows._kernels
        DeviceRows._kernels = lambda rows: None  # type: ignore[method-assign]

    def __exit__(self, *args: object) -> None:
        DeviceRows._kernels = self.kept  # type: ignore[method-assign]


def many_classes(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """A head of the size of ImageNet's: its fit, and certified releases of many rows at once."""
    n, d, width = args.head
    begin = perf_counter()
    raw = normal(n, d, torch.float16, device, 5)
    generator = torch.Generator(device).manual_seed(6)
    labels = torch.randint(0, width, (n,), generator=generator, device=device)
    labels[:width] = torch.arange(width, device=device)
    centres = torch.randn((width, d), generator=generator, device=device).mul_(0.5).half()
    for lo in range(0, n, 2**16):
        raw[lo : lo + 2**16] += centres[labels[lo : lo + 2**16]]
    rows = DeviceRows.normalised(raw)
    y = labels.cpu().numpy()
    synchronised(device)
    found: dict[str, Any] = {
        "rows": n,
        "features": d,
        "classes": width,
        "seconds_made": perf_counter() - begin,
    }
    begin = perf_counter()
    engine = trained(rows, y, args.solver)
    found["fit_seconds"], found["iterations"] = perf_counter() - begin, _iterations(engine)
    order = np.random.default_rng(1).permutation(np.arange(width, n))
    most = min(args.batch, (n - width) // 8)
    requests = [order[k * most : (k + 1) * most].tolist() for k in range(args.batches)]
    found["released_rows"] = most
    found["release_seconds"] = released(engine, requests, device)
    found["bound"], found["own"] = certified(engine)
    gone = torch.tensor(np.concatenate(requests), device=device)
    found["measured"] = measured(engine, rows, labels, gone)
    found["holds"] = found["measured"] <= found["bound"]
    if args.profile:
        found["profile"] = profiled(lambda: engine.remove(order[-most:].tolist()), 40)
        try:
            found["passes"] = passes(engine, rows, device)
        except Exception as error:
            found["passes"] = repr(error)
    return found


def _iterations(engine: Newton) -> dict[str, int]:
    taken = [report.iterations for report in engine.predictor.fit_reports]
    return {"most": max(taken), "all": sum(taken)}


def passes(engine: Newton, rows: DeviceRows, device: torch.device) -> dict[str, float]:
    """Seconds of each pass over all columns."""
    all_of = ColumnPasses.of([column.problem for column in engine.columns])
    w, every = np.stack([column.w for column in engine.columns], axis=1), np.arange(len(engine.columns))
    room = all_of.slopes()
    calls: dict[str, Callable[[], object]] = {
        "gradients": lambda: all_of.gradients(w, every, room),
        "look": lambda: all_of.look(w, room),
        "curved": lambda: all_of.curved(room, w, every),
        "diagonals": lambda: all_of.diagonals(room),
        "gram": lambda: rows.weighted_gram(None, np.float32),
        "spectrum": rows.spectrum,
    }
    return {name: min(seconds(call, device, 1)) for name, call in calls.items()}


def main(argv: list[str] | None = None) -> None:
    """Measure, and write or print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal")
    parser.add_argument("--rows", type=sizes, default=(50_000_000, 512), help="rows x features")
    parser.add_argument(
        "--head", type=sizes, default=(1_281_167, 2048, 1000), help="rows x features x classes"
    )
    parser.add_argument("--ratio", type=sizes, default=(2_000_000, 128), help="rows x features")
    parser.add_argument(
        "--solver", choices=("auto", "direct", "iterative"), default="auto", help="of the head"
    )
    parser.add_argument("--releases", type=int, default=6)
    parser.add_argument("--batch", type=int, default=1000, help="rows of a release from the head")
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="parts")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    parser.add_argument("--tune", action="store_true", help="try other shapes of the kernel")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO)
    run_parts((checked, ratio, many_rows, many_classes), args)


if __name__ == "__main__":
    main()
