"""How many removals there are between two passes over the rows, against n, lam and the noise."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from experiments.benchmarks.machine import sharing
from experiments.benchmarks.rowless.engines import RELEASES, Served, another, releasing
from experiments.benchmarks.rowless.tasks import DIM, Task, digits, synthetic
from experiments.benchmarks.tables import short, table, verdict
from expunge.linear.parallel import available_cores
from expunge.linear.rows import Array
from expunge.unlearners.newton import Newton

SIZES, MANY = (6_000, 20_000, 60_000), 1_000_000
LAM = 1e-3
LAMS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
STDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
ORDERS = ("random order", "heaviest first", "one class first")
COST = 0.002  # of accuracy that the noise may take, in the mean
DRAWS, _AT_ONCE = 1000, 50  # of the noise, that the mean is told by besides
ENOUGH = 3  # passes after which a run stops
TARGETS = {60_000: 40, MANY: 500}  # requests between passes at n, for lam 1e-3
SEED = 0


def part(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Serve up to 999 requests in every order at every size, strength of regularisation and noise."""
    projected, pixels = digits(options.data_dir, DIM), digits(options.data_dir)
    sizes = [n for n in SIZES if n <= options.most]
    runs = [one for n in sizes for one in at_its_std(projected.first(n))]
    runs += at_its_std(pixels.first(sizes[-1]))
    for n in [n for n in (*SIZES, MANY) if n <= options.most]:
        with tempfile.TemporaryDirectory() as folder:
            runs += at_its_std(synthetic(n, Path(folder)))
    whole = projected.first(sizes[-1])
    std = next(run["std"] for run in runs if run["task"] == whole.name and run["n"] == sizes[-1])
    by_lam = [one for lam in LAMS for one in at(whole, lam, [std])]
    return {"runs": runs, "by_lam": by_lam, "by_std": at(whole, LAM, STDS)}


def at_its_std(task: Task) -> list[dict[str, Any]]:
    """A run in every order with the largest noise that costs at most ``COST`` of accuracy."""
    return at(task, LAM, None)


def at(task: Task, lam: float, stds: Sequence[float] | None) -> list[dict[str, Any]]:
    """A run for every order and noise; where none is given, for the largest that costs at most ``COST``."""
    with sharing(available_cores()):
        model = releasing(task.rows, task.y, lam, std=0.05)
    (column,) = model.columns
    scores, x, signs = task.x_test @ column.w, task.x_test, np.where(task.y_test == 1, 1.0, -1.0)
    lengths, accuracy = np.linalg.norm(x, axis=1), float(np.mean(signs * scores > 0))
    margins = signs * scores / lengths
    chosen = [largest_std(margins, accuracy)] if stds is None else stds
    runs = []
    for std in chosen:
        known = {
            "task": task.name,
            "n": len(task.rows),
            "d": task.rows.dim,
            "lam": lam,
            "std": std,
            "accuracy": accuracy,
            "cost": cost(margins, accuracy, std),
            "cost_of_draws": cost_of_draws(task, column.w, accuracy, std),
        }
        runs += [{**known, "order": order, **run(task, another(model, std=std), order)} for order in ORDERS]
    return runs


def cost(margins: Array, accuracy: float, std: float) -> float:
    """What noise takes of accuracy in the mean over all draws: a score moves by ``std ||x||`` times a normal.

    ``margins`` are (m,) scores of the test rows over their lengths, > 0 where they are right.
    """
    return accuracy - float(np.mean(ndtr(margins / std)))


def largest_std(margins: Array, accuracy: float) -> float:
    """The largest noise, to two digits, that costs at most ``COST``."""
    grid = [m * 10.0**e for e in range(-4, 2) for m in np.arange(10, 100) / 10]
    return float(f"{max(std for std in grid if cost(margins, accuracy, std) <= COST):.2g}")


def cost_of_draws(task: Task, w: Array, accuracy: float, std: float) -> float:
    """The same of ``DRAWS`` draws."""
    rng, right = np.random.default_rng(SEED), []
    for _ in range(DRAWS // _AT_ONCE):
        noisy = w[:, None] + std * rng.normal(size=(len(w), _AT_ONCE))
        right.append(np.mean((task.x_test @ noisy > 0) == (task.y_test == 1)[:, None]))
    return accuracy - float(np.mean(right))


def run(task: Task, model: Newton, order: str) -> dict[str, Any]:
    """Serve requests of one row until there were 999, or ``ENOUGH`` passes.

    Returns:
        ``requests``, after which of them there was a pass (``passes``), how many are ``between`` two in the
        median, or at least where there was none, and the largest share of the bound that was true.
    """
    served = Served(order, order, model, task.rows, task.y)
    passes: list[int] = []
    for number, row in enumerate(ordered(task, served.weights(), order)[: RELEASES - 1].tolist()):
        served.serve([row])
        if served.passed()[-1]:
            passes.append(number)
        if len(passes) == ENOUGH:
            break
    facts = served.facts()
    between = int(np.median(np.diff([0, *passes]))) if passes else facts["served"]
    share = facts["residual"] / facts["bound"]
    return {"requests": facts["served"], "passed_at": passes, "between": between, "residual / bound": share}


def ordered(task: Task, w: Array, order: str) -> NDArray[np.int64]:
    """Row ids: by chance, the largest gradients at the trained weights first, or label 1 first."""
    chance = np.random.default_rng(SEED).permutation(len(task.rows))
    if order == ORDERS[0]:
        return chance
    if order == "one class first":
        return chance[np.argsort(task.y[chance] != 1, kind="stable")]
    scores = task.rows.scores(w) * np.where(task.y == 1, 1.0, -1.0)  # rows are of norm 1
    return np.argsort(scores, kind="stable")


def lines(measured: dict[str, Any]) -> list[str]:
    """What there is between passes, in Markdown."""
    heads = "rows|n|d|std|accuracy|cost of noise|" + "|".join(ORDERS) + "|target, random order"
    found = [
        "(1, 1e-5), 1,000 releases, lam 1e-3, the largest noise that costs at most .002 of accuracy:",
        "",
    ]
    found += table(heads, [_row(group, target=True) for group in _grouped(measured["runs"])])
    for key, what in (("by_lam", "lam"), ("by_std", "std")):
        groups = _grouped(measured[key])
        heads = f"{what}|accuracy|cost of noise|" + "|".join(ORDERS)
        one = groups[0][0]
        other = f"std {one['std']:g}" if key == "by_lam" else f"lam {one['lam']:g}"
        found += ["", f"{one['task']}, n = {one['n']:,}, {other}:", ""]
        found += table(heads, [[f"{group[0][what]:g}", *_row(group, target=False)[4:]] for group in groups])
    return found


def _grouped(runs: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [list(runs[k : k + len(ORDERS)]) for k in range(0, len(runs), len(ORDERS))]


def _row(group: Sequence[dict[str, Any]], target: bool) -> list[str]:
    one = group[0]
    told = [told_between(run) for run in group]
    least = TARGETS.get(one["n"])
    verdicts = [f"at least {least}: {verdict(one['between'] >= least)}"] if least else [""]
    numbers = [one["task"], f"{one['n']:,}", str(one["d"]), f"{one['std']:g}"]
    costs = f"{one['cost']:.4f} (drawn {one['cost_of_draws']:.4f})"
    return [*numbers, f"{one['accuracy']:.4f}", costs, *told, *(verdicts if target else [])]


def told_between(run: dict[str, Any]) -> str:
    """Requests between passes; at least so many where there was no pass."""
    return short(run["between"]) if run["passed_at"] else f">= {run['between']:,}"
