"""How long one certified removal takes, against the published recipe and against training; see README.md."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from experiments.benchmarks.harness import (
    Benchmark,
    Part,
    clock,
    in_turns,
    positive,
    ratio,
    spread,
    threads_option,
)
from experiments.benchmarks.removal import growth, tables
from experiments.benchmarks.removal.contenders import (
    Contender,
    Ours,
    Published,
    releasing,
    take_turns,
    trained,
)
from expunge.datasets import mnist_3v8
from expunge.extractors.pixels import Pixels
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.linear.solver import train

SETTINGS = (
    {"lam": 1e-3, "std": 10.0, "epsilon": 1.0, "delta": 1e-4},
    {"lam": 1e-4, "std": 0.03, "epsilon": 1.0, "delta": 1e-4},
)
RELEASES = (
    ("g", "as (b), noise at release: float", "float"),
    ("h", "as (b), noise at release: the lattice", "lattice"),
)
BATCH = 50
SLOW_SHARE = 3  # whatever builds a Hessian per request, and batches, get a third of the requests
TARGETS = {"b": {"at_least": 15, "aim": 40}, "c": {"at_least": 120}}
RELEASE_AT_MOST = 2.5  # times (b), which holds a far larger residual
TRAINING_AT_MOST = 3
TOL = 1e-8
SEED = 0


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Time every method at every setting."""
    rows, y = load(options.rows)
    return {
        "removals": options.removals,
        "repeats": options.repeats,
        "batch": BATCH,
        "settings": [compare(rows, y, setting, options.removals, options.repeats) for setting in SETTINGS],
    }


def load(count: int | None = None) -> tuple[Rows, NDArray[np.int64]]:
    """Rows (8-bit, norm 1) and labels of the 3s and 8s of MNIST: ``count`` random ones, or all."""
    dataset = mnist_3v8.load()
    if count is not None:
        chosen = np.sort(np.random.default_rng(SEED).permutation(len(dataset.y_train))[:count])
        dataset = replace(dataset, x_train=dataset.x_train[chosen], y_train=dataset.y_train[chosen])
    rows, _ = Pixels().extract(dataset)
    assert isinstance(rows, Rows)
    return rows, dataset.y_train


def compare(
    rows: Rows, y: NDArray[np.int64], setting: Mapping[str, float], removals: int, repeats: int
) -> dict[str, Any]:
    """Time every method at one setting.

    Args:
        rows: Training rows.
        y: (n,) labels of two classes.
        setting: lam, std, epsilon, delta.
        removals: Requests of a fast method in each repeat.
        repeats: Interleaved repeats.
    """
    few = max(2, -(-removals // SLOW_SHARE))

    def model(update: str, certificate: str) -> Any:
        return trained(rows, y, setting, SEED, update=update, certificate=certificate)

    first = model("corrected", "measured")
    budget = first.guarantee.budget
    contenders: list[Contender] = [
        Published(first.predictor.problem, first.predictor.w, budget, few),
        Ours("b", "corrected, residual measured at every release", first, removals),
        Ours("c", f"as (b), {BATCH} requests share a release", model("corrected", "measured"), few, BATCH),
        Ours("d", "frozen Hessian, third_order", model("frozen", "third_order"), removals),
        Ours("e", "fresh Hessian (by CG), data_dependent", model("fresh", "data_dependent"), few),
        *(
            Ours(key, what, releasing(rows, y, setting, SEED, noise), removals)
            for key, what, noise in RELEASES
        ),
    ]
    stream = np.random.default_rng([SEED, 1]).permutation(len(rows))
    seconds = take_turns(contenders, stream.tolist(), repeats)
    problem = replace(first.predictor.problem, rows=rows, b=np.zeros(rows.dim))
    return {
        "setting": {**setting, "budget": budget, "n": len(rows), "d": rows.dim},
        "removal": [{**removal_row(c, seconds), **c.facts()} for c in contenders],
        "training": compare_training(problem, repeats),
    }


def removal_row(contender: Contender, seconds: Mapping[str, list[list[float]]]) -> dict[str, Any]:
    """Summarise one method; ratios are medians of the published recipe over medians of this method.

    Of a release ``of_b`` is its median over that of the same update with the published certificate.
    """
    own = seconds[contender.key]
    found = {
        "key": contender.key,
        "method": contender.what,
        "batch": contender.batch,
        "ms": spread(np.concatenate(own)),
        **ratio(seconds["a"], own),
    }
    if contender.key in {key for key, *_ in RELEASES}:
        of_b = ratio(own, seconds["b"])
        return {
            **found,
            "of_b": of_b,
            "at_most": RELEASE_AT_MOST,
            "met": of_b["ratio"] <= RELEASE_AT_MOST,
        }
    target = TARGETS.get(contender.key, {})
    return {**found, **target, "met": found["ratio"] >= target["at_least"] if target else None}


def compare_training(problem: LogisticProblem, repeats: int) -> list[dict[str, Any]]:
    """Time training from scratch, without perturbation: ours to ||grad|| < 1e-8, and scikit-learn's lbfgs."""
    dense = problem.rows.dense()
    lbfgs = LogisticRegression(
        solver="lbfgs", fit_intercept=False, C=1 / (problem.lam * problem.n), max_iter=10_000
    )
    stopped = ""

    def ours() -> NDArray[np.float64]:
        nonlocal stopped
        fit = train(problem, tol=TOL)
        stopped = fit.report.stopped_by
        return fit.w

    def theirs() -> NDArray[np.float64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(lbfgs.fit(dense, problem.y).coef_[0], dtype=np.float64)

    trainers: dict[str, Callable[[], NDArray[np.float64]]] = {
        "scikit-learn lbfgs, its default tol, float64 rows": theirs,
        f"ours (f), to a gradient norm below {TOL:g}, 8-bit rows": ours,
    }
    gradients = {
        name: float(np.linalg.norm(problem.gradient(fit()))) for name, fit in trainers.items()
    }  # warm-up
    seconds = in_turns({name: lambda _, fit=fit: clock(fit) for name, fit in trainers.items()}, repeats)
    found: list[dict[str, Any]] = [
        {"method": name, "ms": spread(seconds[name]), "gradient_norm": gradients[name]} for name in trainers
    ]
    baseline, ours_name = trainers
    slower = ratio(seconds[ours_name], seconds[baseline])
    found[0]["iterations"] = int(lbfgs.n_iter_[0])
    found[1] |= {
        "stopped_by": stopped,
        **slower,
        "at_most": TRAINING_AT_MOST,
        "met": slower["ratio"] <= TRAINING_AT_MOST,
    }
    return found


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--removals", type=positive, default=30, help="requests in each repeat (default 30)")
    threads_option(parser)
    parser.add_argument("--rows", type=positive, help="only this many training rows (default all)")
    parser.add_argument(
        "--processor", action="store_true", help="with --growth: tell processor time; for a machine in use"
    )


BENCHMARK = Benchmark(
    folder=Path(__file__).parent,
    description=__doc__,
    parts={
        "removal": Part(measure, tables.lines),
        "growth": Part(
            growth.part, growth.lines, "Growth", "Time of one removal against n and d", option="growth"
        ),
    },
    arguments=_arguments,
    options={"growth": "measure instead how time grows with n and d"},
    draw=lambda report, name: growth.draw(report["growth"], name),
)
