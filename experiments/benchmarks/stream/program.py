"""One run with a long stream of requests: its time and memory all along, whole and killed five times.

See README.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.harness import WHOLE, Benchmark, Part, positive
from experiments.benchmarks.stream.checking import counts, same_but_for_times
from experiments.benchmarks.stream.watching import Look, watched
from experiments.benchmarks.tables import short, table, verdict

PARTS = 10
DIM = 16
METHODS = {
    "noise from a seed, whole": ("float", 0),
    "noise from a seed, killed": ("float", 5),
    "noise drawn anew, killed": ("lattice", 5),
}
AT_MOST = {"memory": 1.05, "time": 1.25}  # the last tenth of the stream against the second


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Run the stream three times: whole, killed, and killed with noise that nobody can draw again."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        data = synthetic(place / "data.npz", options.rows)
        found = {}
        for method, (noise, kills) in METHODS.items():
            kills = min(kills, options.kills)
            found[method] = stream(data, place / noise / str(kills), noise, options, kills)
            print(method, {k: v for k, v in found[method].items() if k != "parts"}, flush=True)
        whole, killed = (place / "float" / str(kills) for kills in (0, options.kills))
        same = same_but_for_times(whole / "removals.jsonl", killed / "removals.jsonl")
    return {
        "requests": options.requests,
        "rows": options.rows,
        "dim": DIM,
        "checkpoint_every": options.every,
        "seed": options.seed,
        "runs": found,
        "same": same,
    }


def synthetic(path: Path, rows: int) -> Path:
    """Rows of norm 1 in ``DIM`` dimensions, two classes that a plane tells apart but for noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows + rows // 100 + 2, DIM))
    y = np.where(x @ rng.normal(size=DIM) + 0.3 * rng.normal(size=len(x)) > 0, 1, -1)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.savez(path, x=x[:rows], y=y[:rows], x_test=x[rows:], y_test=y[rows:])
    return path


def stream(data: Path, folder: Path, noise: str, options: argparse.Namespace, kills: int) -> dict[str, Any]:
    """Serve the stream in ``folder``, killed so often at moments from the seed, and check what it left."""
    arguments = (
        *("dataset=arrays", f"dataset.path={data}", "unlearner=newton_rowless", f"unlearner.noise={noise}"),
        *(f"unlearner.releases={options.requests + 1}", f"removal.count={options.requests}"),
        *(f"metrics.{metric}.every={options.every}" for metric in ("accuracy", "residual")),
        *(f"checkpoint_every={options.every}", "progress=false", "threads=1", "resume=true"),
        f"hydra.run.dir={folder}",
    )
    folder.mkdir(parents=True)  # with nothing in it: `resume=true` begins there
    moments = np.random.default_rng(options.seed).integers(1, options.requests, kills)
    looks: list[Look] = []
    began, spent = time.perf_counter(), 0.0
    for moment in [*sorted(moments.tolist()), None]:
        seen, _ = watched(arguments, folder / "removals.jsonl", moment)
        looks += [Look(look.requests, look.seconds + spent, look.memory) for look in seen]
        spent = time.perf_counter() - began
    with open(folder / "removals.jsonl") as ledger:
        removal = [json.loads(line)["seconds"] for line in ledger]
    return {
        "kills": kills,
        "kill_requests": sorted(moments.tolist()),
        "seconds": spent,
        "parts": parts(looks, removal, options.requests),
        "end": end(looks, options.requests),
        **counts(folder, options.requests),
    }


def parts(looks: Sequence[Look], removal: Sequence[float], requests: int) -> list[dict[str, float]]:
    """Of each tenth of the stream: wall time and median removal time a request (ms), and the most memory.

    Time between a kill and the moment when new requests are served again is in no tenth.
    """
    found = []
    for k in range(PARTS):
        first, last = k * requests // PARTS, (k + 1) * requests // PARTS
        within = [look for look in looks if first <= look.requests < last]
        steps = [
            (after.requests - before.requests, after.seconds - before.seconds)
            for before, after in pairwise(within)
            if after.requests > before.requests
        ]
        served = sum(count for count, _ in steps)
        found.append(
            {
                "wall_ms": 1e3 * sum(seconds for _, seconds in steps) / served if served else float("nan"),
                "removal_ms": 1e3 * float(np.median(removal[first:last])),
                "memory": max((look.memory for look in within), default=float("nan")),
            }
        )
    return found


def end(looks: Sequence[Look], requests: int) -> dict[str, float]:
    """From the last request to the end: summary, figures, table."""
    after = [look for look in looks if look.requests >= requests]
    return {
        "seconds": after[-1].seconds - after[0].seconds if after else 0.0,
        "memory": max((look.memory for look in after), default=0.0),
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    """The tables, in Markdown."""
    said = [
        f"{found['requests']:,} requests of one row, of {found['rows']:,} rows in {found['dim']} dimensions; "
        f"a checkpoint, and metrics, every {found['checkpoint_every']:,} requests; killed at moments drawn "
        f"from seed {found['seed']}. Where the noise is from a seed, killed and whole ledger are "
        f"{'the same' if found['same'] else 'NOT the same'} but for times.",
        "",
    ]
    summary, tenths = [], []
    for name, run in found["runs"].items():
        share = grown(run["parts"])
        summary.append(
            [
                name,
                f"{run['kills']}",
                f"{run['served']:,} + {run['refused']:,}",
                f"{run['released']:,}",
                short(run["seconds"]),
                f"{share['memory']:.3f}x: {verdict(share['memory'] <= AT_MOST['memory'])}",
                f"{share['time']:.3f}x: {verdict(share['time'] <= AT_MOST['time'])}",
                f"{short(run['end']['seconds'])} s, {run['end']['memory']:.0f} MiB",
            ]
        )
        for key, unit in (("wall_ms", "wall time"), ("removal_ms", "removal, median"), ("memory", "memory")):
            tenths.append([name, unit, *(short(part[key]) for part in run["parts"])])
    heads = "run|killed|served + refused|released|seconds|memory, last tenth to second|time, likewise|the end"
    return [
        *said,
        *table(heads, summary),
        "",
        *table("|".join(["run", "ms a request, MiB", *(f"{k + 1}" for k in range(PARTS))]), tenths),
    ]


def grown(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The last tenth of the stream against the second: in the first the process is setting itself up."""
    second, last = parts[1], parts[-1]
    return {
        "memory": last["memory"] / second["memory"],
        "time": last["removal_ms"] / second["removal_ms"],
    }


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=positive, default=100_000, help="(default 100,000)")
    parser.add_argument("--rows", type=positive, default=200_000, help="training rows (default 200,000)")
    parser.add_argument("--every", type=positive, default=1000, help="requests between checkpoints (1,000)")
    parser.add_argument("--kills", type=positive, default=5, help="(default 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (default 0)")


BENCHMARK = Benchmark(
    folder=Path(__file__).parent,
    description=__doc__,
    parts={WHOLE: Part(measure, lines)},
    arguments=_arguments,
)
