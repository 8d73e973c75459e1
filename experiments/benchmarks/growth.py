"""How the time of one removal grows with the number of rows n and of features d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.contenders import Contender, Ours, Published, take_turns, trained
from expunge.linear.rows import Rows
from expunge.report import style

ROWS, DIM = (2_000, 8_000, 32_000, 128_000), 256
DIMS, COUNT = (64, 256, 1024), 8_000
SETTING = {"lam": 1e-3, "std": 10.0, "epsilon": 1.0, "delta": 1e-4}
METHODS = {"a": "published recipe, float32", "b": "corrected, residual measured"}
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
) -> dict[str, Any]:
    """Time (a) and (b) at every size.

    Args:
        removals: Requests of (b) in each repeat; (a) gets a sixth.
        repeats: Interleaved repeats.
        rows: Numbers of rows, at ``dim`` features.
        dims: Numbers of features, at ``count`` rows.
        dim: Features while n grows.
        count: Rows while d grows.
    """
    sizes = list(dict.fromkeys([(n, dim) for n in rows] + [(count, d) for d in dims]))
    found = {size: _seconds(*size, removals, repeats) for size in sizes}
    return {
        "setting": SETTING,
        "removals": removals,
        "repeats": repeats,
        "by_rows": _series("n", rows, [found[n, dim] for n in rows], {"d": dim}),
        "by_dim": _series("d", dims, [found[count, d] for d in dims], {"n": count}),
    }


def _seconds(n: int, d: int, removals: int, repeats: int) -> dict[str, float]:
    rows, y = synthetic(n, d)
    model = trained(rows, y, SETTING, seed=0, update="corrected", certificate="measured")
    few = max(2, -(-removals // SLOW_SHARE))
    contenders: list[Contender] = [
        Published(model.predictor.problem, model.predictor.w, model.guarantee.budget, few),
        Ours("b", METHODS["b"], model, removals),
    ]
    stream = np.random.default_rng([n, d]).permutation(n)[: removals * repeats + 1]
    seconds = take_turns(contenders, stream.tolist(), repeats)
    return {key: float(np.median(np.concatenate(times))) for key, times in seconds.items()}


def _series(
    name: str, sizes: Sequence[int], seconds: list[dict[str, float]], fixed: dict[str, int]
) -> dict[str, Any]:
    times = {key: [found[key] for found in seconds] for key in METHODS}
    slopes = {key: float(np.polyfit(np.log(sizes), np.log(values), 1)[0]) for key, values in times.items()}
    ratio = [a / b for a, b in zip(times["a"], times["b"], strict=True)]
    return {"name": name, "sizes": list(sizes), **fixed, "seconds": times, "ratio": ratio, "exponent": slopes}


def draw(measured: dict[str, Any], name: str) -> style.Drawn:
    """Time against n and against d, both axes logarithmic."""
    title = "Time of one removal"
    caption = (
        "Median seconds of one released removal; the number in each label is the slope of a straight line."
    )
    with style.styled():
        figure, axes = style.canvas(7.4, 3.6, panels=2)
        panels = (
            (axes[0], measured["by_rows"], "training rows n  (d = {d})"),
            (axes[1], measured["by_dim"], "features d  (n = {n:,})"),
        )
        for ax, series, label in panels:
            panel(ax, series, list(METHODS), label.format(**series), unit=1e-3)
        low, high = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
        for ax in axes:
            ax.set_ylim(low, high)
        axes[0].set_ylabel("ms per removal")
        handles = [
            style.Line2D([], [], color=colour, marker=mark, lw=1.8, label=what)
            for what, colour, mark in zip(METHODS.values(), style.SERIES, "os", strict=False)
        ]
        style.legend(figure, handles, columns=2)
        return style.render(figure, name, title, caption)


def panel(
    ax: style.Axes, series: dict[str, Any], methods: Sequence[str], label: str, unit: float = 1
) -> None:
    """A line for each method against size, both axes logarithmic, with the slope of a straight line.

    Args:
        ax: Where.
        series: ``name``, ``sizes``, ``seconds`` of each method (None: not measured) and ``exponent``.
        methods: Keys of ``seconds``.
        label: Of the axis of sizes.
        unit: Seconds that make one on the other axis.
    """
    for key, colour, mark in zip(methods, style.SERIES, "os", strict=False):
        known = [
            (size, s / unit) for size, s in zip(series["sizes"], series["seconds"][key], strict=True) if s
        ]
        sizes, taken = zip(*known, strict=True)
        ax.loglog(sizes, taken, color=colour, marker=mark, lw=1.8)
        if series["exponent"][key] is not None:
            place = len(sizes) // 2
            ax.annotate(
                f"{series['name']}^{series['exponent'][key]:.2f}",
                (sizes[place], taken[place]),
                (0, 9),
                textcoords="offset points",
                ha="right",
                color=colour,
            )
    ax.set_xlabel(label)
    ax.set_xticks(series["sizes"], [_tick(size) for size in series["sizes"]])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.margins(x=0.1, y=0.12)


def _tick(size: int) -> str:
    return f"{size / 1000:.3g}k" if size >= 1000 else str(size)
