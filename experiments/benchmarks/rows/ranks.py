"""Rows over several processes of torchrun: what as many of them sum in the time of one."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from experiments.benchmarks.harness import in_turns, ratio
from experiments.benchmarks.machine import ROOT
from experiments.benchmarks.tables import factor, short, table, verdict
from expunge.linear.rows import Rows
from expunge.linear.shared_rows import spread
from expunge.predictors.linear import LinearModel
from expunge.ranked import with_ranks
from expunge.unlearners.newton import Newton

FEATURES = 128
_LEAST = 1.7  # times as much by two ranks as by one
_NAMES = {"gradient": "a gradient", "fit": "fit", "removal": "one removal"}


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """In processes of their own: rank 0 does everything alone and with the others, in turns."""
    rows, repeats = options.rank_rows, options.repeats
    job = {"rows": rows, "repeats": repeats, "removals": min(5, options.removals)}
    return {"rows": rows, "repeats": repeats} | {
        "sizes": [{"ranks": size} | _launched(size, job) for size in options.processes or (2,)]
    }


def lines(report: dict[str, Any]) -> Sequence[str]:
    """The table."""
    heads = "ranks|what|alone, s|over the ranks, s|alone over the ranks|processor: alone, s|busiest rank, s"
    heads += "|alone over the busiest"
    body, facts = [], []
    for size in report["sizes"]:
        for key, name in _NAMES.items():
            found = size[key]
            medians = [float(np.median(found[of])) for of in ("alone", "ranks", "cpu_alone", "cpu_busiest")]
            alone, ranks, cpu, busiest = map(short, medians)
            cells = [str(size["ranks"]), name, alone, ranks, factor(found["ratio"]), cpu, busiest]
            body.append([*cells, factor(found["cpu_ratio"])])
        if size["ranks"] == 2:
            met = size["gradient"]["ratio"]["ratio"] >= _LEAST
            facts.append(f"two ranks sum at least {_LEAST:g} times as much as one: {verdict(met)}.")
    made = f"{report['rows']:,} x {FEATURES} float32 rows in memory; a thread a rank; "
    made += f"{report['repeats']} interleaved repeats."
    same = "The sums, the model and the residual are the same bytes, alone and over the ranks."
    return [made, "", *table(heads, body), "", *(f"- {fact}" for fact in (*facts, same))]


def _launched(size: int, job: dict[str, Any]) -> dict[str, Any]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    launch = ["torch.distributed.run", f"--nproc-per-node={size}", f"--master-port={port}"]
    command = [sys.executable, "-m", *launch, "-m", __name__, json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _ranks_cpu() -> list[float]:
    """Seconds of the processor that this process and its siblings, the other ranks, have had."""
    parent, found = os.getppid(), []
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
        found.append(1e-9 * sum(int(task.read_text().split()[0]) for task in tasks))
    return found


def _clocked(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of the processor of the rank that had most."""
    before, begin = _ranks_cpu(), perf_counter()
    work()
    seconds = perf_counter() - begin
    return seconds, max(after - one for after, one in zip(_ranks_cpu(), before, strict=True))


def _compared(job: dict[str, Any]) -> dict[str, Any]:
    rng, n = np.random.default_rng(0), job["rows"]
    x = rng.standard_normal((n, FEATURES), dtype=np.float32)
    y = (x @ rng.normal(size=FEATURES) + 8 * rng.normal(size=n) > 0).astype(np.int64)
    alone = Rows.normalised(x)
    kinds = {"alone": alone, "ranks": spread(alone, 1)}
    w, signs = 10 * rng.normal(size=FEATURES) / FEATURES**0.5, 2.0 * y - 1
    methods = {name: _method() for name in kinds}
    order = iter(rng.permutation(n)[: job["repeats"] * job["removals"]].tolist())
    removals = [[next(order) for _ in range(job["removals"])] for _ in range(job["repeats"])]
    found = {}
    for key in _NAMES:
        for rows in kinds.values():
            rows.rehearse()
            rows.gradient(signs, w)

        def once(name: str, repeat: int, key: str = key) -> list[Any]:
            rows, method = kinds[name], methods[name]
            if key == "gradient":
                return [_clocked(lambda: rows.gradient(signs, w)) for _ in range(5)]
            if key == "fit":
                return [_clocked(lambda: method.fit(rows, y, 0))]
            return [_clocked(lambda row=row: method.remove([row])) for row in removals[repeat]]

        taken = in_turns({name: lambda k, name=name: once(name, k) for name in kinds}, job["repeats"])
        found[key] = _figures(taken)
    weights = [np.asarray(method.predictor.weights).tobytes() for method in methods.values()]
    assert weights[0] == weights[1]
    return found


def _figures(taken: dict[str, list[list[tuple[float, float]]]]) -> dict[str, Any]:
    """Of pairs of seconds, repeat by repeat."""
    wall, cpu = ({name: [[pair[k] for pair in of] for of in taken[name]] for name in taken} for k in (0, 1))
    figures: dict[str, Any] = {"ratio": ratio(wall["alone"], wall["ranks"])}
    figures["cpu_ratio"] = ratio(cpu["alone"], cpu["ranks"])
    for name, times in (("alone", wall["alone"]), ("ranks", wall["ranks"])):
        figures[name] = [one for of in times for one in of]
    for name, times in (("cpu_alone", cpu["alone"]), ("cpu_busiest", cpu["ranks"])):
        figures[name] = [one for of in times for one in of]
    return figures


def _method() -> Newton:
    return Newton(
        LinearModel(lam=1e-3, std=0.0), certificate="measured", update="corrected", perturbation="release"
    )


def _command() -> int:
    print(json.dumps(_compared(json.loads(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(with_ranks(_command))
