"""How the time of one removal grows with the number of rows n and of features d."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks import growth
from experiments.benchmarks.removal.contenders import (
    Clock,
    Contender,
    Ours,
    Published,
    releasing,
    take_turns,
    trained,
)
from expunge.charts import style
from expunge.linear.rows import Rows

ROWS, DIM = (2_000, 8_000, 32_000, 128_000), 256
DIMS, COUNT = (64, 256, 1024), 8_000
SETTING = {"lam": 1e-3, "std": 10.0, "epsilon": 1.0, "delta": 1e-4}
METHODS = {
    "a": "published recipe, float32",
    "e": "fresh, as published, float64",
    "b": "corrected, published certificate",
    "g": "corrected, release by float noise",
    "h": "corrected, release by the lattice",
}
COMPARED = ("g", "b")
SLOW_SHARE = 6


def synthetic(n: int, d: int, seed: int = 0) -> tuple[Rows, NDArray[np.int64]]:
    """Gaussian rows of norm 1, float32, with labels by a noisy linear rule."""
    rng = np.random.default_rng([seed, n, d])
    raw = rng.standard_normal((n, d), dtype=np.float32)
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    scores = raw @ rng.standard_normal(d, dtype=np.float32)
    y = np.where(scores + 0.5 * rng.standard_normal(n) > 0, 1, -1).astype(np.int64)
    return Rows.normalised(raw), y


def measure(
    removals: int,
    repeats: int,
    rows: Sequence[int] = ROWS,
    dims: Sequence[int] = DIMS,
    dim: int = DIM,
    count: int = COUNT,
    processor: bool = False,
) -> dict[str, Any]:
    """Time ``METHODS`` at every size.

    Args:
        removals: Requests of a fast method in each repeat; (a) and (e) get a sixth.
        repeats: Interleaved repeats.
        rows: Numbers of rows, at ``dim`` features.
        dims: Numbers of features, at ``count`` rows.
        dim: Features while n grows.
        count: Rows while d grows.
        processor: Tell the processor's time, on which others on the machine have less influence.
    """
    sizes = list(dict.fromkeys([(n, dim) for n in rows] + [(count, d) for d in dims]))
    clock = process_time if processor else perf_counter
    found = {size: _seconds(*size, removals, repeats, clock) for size in sizes}
    return {
        "setting": SETTING,
        "removals": removals,
        "repeats": repeats,
        "processor": processor,
        "by_rows": growth.series("n", rows, [found[n, dim] for n in rows], {"d": dim}, COMPARED),
        "by_dim": growth.series("d", dims, [found[count, d] for d in dims], {"n": count}, COMPARED),
    }


def _seconds(n: int, d: int, removals: int, repeats: int, clock: Clock) -> dict[str, float]:
    rows, y = synthetic(n, d)
    model = trained(rows, y, SETTING, seed=0, update="corrected", certificate="measured")
    fresh = trained(rows, y, SETTING, seed=0, update="fresh", certificate="data_dependent")
    few = max(2, -(-removals // SLOW_SHARE))
    contenders: list[Contender] = [
        Published(model.predictor.problem, model.predictor.w, model.guarantee.budget, few),
        Ours("e", METHODS["e"], fresh, few),
        Ours("b", METHODS["b"], model, removals),
        Ours("g", METHODS["g"], releasing(rows, y, SETTING, 0, "float"), removals),
        Ours("h", METHODS["h"], releasing(rows, y, SETTING, 0, "lattice"), removals),
    ]
    stream = np.random.default_rng([n, d]).permutation(n)[: removals * repeats + 1]
    seconds = take_turns(contenders, stream.tolist(), repeats, clock)
    return {key: float(np.median(np.concatenate(times))) for key, times in seconds.items()}


def part(options: Namespace, threads: int) -> dict[str, Any]:
    """What ``--growth`` measures."""
    return measure(options.removals, options.repeats, processor=options.processor)


def lines(measured: dict[str, Any]) -> list[str]:
    """Both tables, in Markdown."""
    whose = "Processor time, not wall time." if measured["processor"] else "Wall time."
    heads = "|".join([*(f"({key}) ms" for key in METHODS), "({}) / ({})".format(*COMPARED)])
    return [whose, "", *growth.lines([measured[name] for name in ("by_rows", "by_dim")], heads, 1e3)]


def draw(measured: dict[str, Any], name: str) -> style.Drawn:
    """Time against n and against d."""
    panels = (
        (measured["by_rows"], "training rows n  (d = {d})"),
        (measured["by_dim"], "features d  (n = {n:,})"),
    )
    caption = "Median time of one released removal; the slopes of straight lines are in the table."
    return growth.draw(panels, METHODS, ("ms per removal", 1e-3), name, "Time of one removal", caption)
