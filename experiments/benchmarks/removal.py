"""How long one certified removal takes, against the published recipe and against training; see README.md.

Run ``python -m experiments.benchmarks.removal --help`` in the repository root.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from experiments.benchmarks import growth, results
from experiments.benchmarks.contenders import Contender, Ours, Published, take_turns, trained
from expunge.core.files import write_json
from expunge.datasets import mnist_3v8
from expunge.extractors.pixels import Pixels
from expunge.linear.logistic import LogisticProblem
from expunge.linear.parallel import available_cores, set_threads
from expunge.linear.rows import Rows
from expunge.linear.solver import train

HERE = Path(__file__).parent
SETTINGS = (
    {"lam": 1e-3, "std": 10.0, "epsilon": 1.0, "delta": 1e-4},
    {"lam": 1e-4, "std": 0.03, "epsilon": 1.0, "delta": 1e-4},
)
BATCH = 50
SLOW_SHARE = 3  # whatever builds a Hessian per request, and batches, get a third of the requests
TARGETS = {"b": {"at_least": 15, "aim": 40}, "c": {"at_least": 120}}
TRAINING_AT_MOST = 3
TOL = 1e-8
SEED = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the JSON file (and, with ``--write``, the README's results)."""
    options = _parser().parse_args(arguments)
    out = Path(options.out)
    report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    count = options.threads or available_cores()
    torch.set_num_threads(count)
    set_threads(count)
    with threadpool_limits(limits=count):  # the library itself keeps BLAS to one thread
        where = environment(count)
        print(results.environment_line(where), flush=True)
        if options.growth:
            measured = growth.measure(removals=options.removals, repeats=options.repeats)
            report["growth"] = {"environment": where, **measured}
            print("\n".join(results.growth_lines(report["growth"])))
        else:
            rows, y = load(options.rows)
            report["removal"] = {
                "environment": where,
                "removals": options.removals,
                "repeats": options.repeats,
                "batch": BATCH,
                "settings": [],
            }
            for setting in SETTINGS:
                found = compare(rows, y, setting, options.removals, options.repeats)
                report["removal"]["settings"].append(found)
                print("\n".join(["", *results.setting_lines(found)]), flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, report)
    if "growth" in report:
        growth.draw(report["growth"], out.stem).save(out.parent)
    if options.write:
        results.write_into(HERE / "README.md", report)
    return 0


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
    ]
    stream = np.random.default_rng([SEED, 1]).permutation(len(rows))
    seconds = take_turns(contenders, stream.tolist(), repeats)
    problem = replace(first.predictor.problem, rows=rows, b=np.zeros(rows.dim))
    return {
        "setting": {**setting, "budget": budget, "n": len(rows), "d": rows.dim},
        "removal": [{**removal_row(c, seconds[c.key], seconds["a"]), **c.facts()} for c in contenders],
        "training": compare_training(problem, repeats),
    }


def removal_row(contender: Contender, seconds: list[list[float]], base: list[list[float]]) -> dict[str, Any]:
    """Summarise one method; ratios are medians of the published recipe over medians of this method."""
    ratio = float(np.median(np.concatenate(base)) / np.median(np.concatenate(seconds)))
    by_repeat = [float(np.median(a) / np.median(b)) for a, b in zip(base, seconds, strict=True)]
    target = TARGETS.get(contender.key, {})
    return {
        "key": contender.key,
        "method": contender.what,
        "batch": contender.batch,
        "ms": spread(np.concatenate(seconds)),
        "ratio": ratio,
        "ratio_by_repeat": by_repeat,
        **target,
        "met": ratio >= target["at_least"] if target else None,
    }


def spread(seconds: NDArray[np.float64] | Sequence[float]) -> dict[str, Any]:
    """Median, tenth and ninetieth percentile and mean in milliseconds, and how many."""
    p10, median, p90 = (float(q) for q in 1e3 * np.percentile(seconds, (10, 50, 90)))
    return {
        "median": median,
        "p10": p10,
        "p90": p90,
        "mean": 1e3 * float(np.mean(seconds)),
        "count": len(seconds),
    }


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
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    gradients = {
        name: float(np.linalg.norm(problem.gradient(fit()))) for name, fit in trainers.items()
    }  # warm-up
    for _ in range(repeats):
        for name, fit in trainers.items():
            begin = perf_counter()
            fit()
            seconds[name].append(perf_counter() - begin)
    baseline, ours_name = list(trainers)
    ratio = float(np.median(seconds[ours_name]) / np.median(seconds[baseline]))
    found: list[dict[str, Any]] = [
        {"method": name, "ms": spread(seconds[name]), "gradient_norm": gradients[name]} for name in trainers
    ]
    found[0]["iterations"] = int(lbfgs.n_iter_[0])
    found[1] |= {
        "stopped_by": stopped,
        "ratio": ratio,
        "ratio_by_repeat": [a / b for a, b in zip(seconds[ours_name], seconds[baseline], strict=True)],
        "at_most": TRAINING_AT_MOST,
        "met": ratio <= TRAINING_AT_MOST,
    }
    return found


def environment(row_threads: int) -> dict[str, Any]:
    """The machine, library versions and the thread settings in force."""
    pools = {
        f"{pool['internal_api']} {pool.get('version') or ''}".strip(): pool["num_threads"]
        for pool in threadpool_info()
    }
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "torch_threads": torch.get_num_threads(),
        "row_threads": row_threads,
        "library_threads": dict(sorted(pools.items())),
        "torch_matmul_precision": torch.get_float32_matmul_precision(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "scipy", "torch", "scikit-learn", "numba")},
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.removal", description=__doc__)
    parser.add_argument("--removals", type=positive, default=30, help="requests in each repeat (default 30)")
    parser.add_argument("--repeats", type=positive, default=3, help="interleaved repeats (default 3)")
    parser.add_argument(
        "--threads", type=positive, help="for torch, BLAS and compiled passes (default all cores)"
    )
    parser.add_argument("--rows", type=positive, help="only this many training rows (default all)")
    parser.add_argument("--growth", action="store_true", help="measure instead how time grows with n and d")
    parser.add_argument(
        "--out", default=HERE / "removal.json", help="JSON file, kept up to date part by part"
    )
    parser.add_argument("--write", action="store_true", help="write what the JSON file holds into README.md")
    return parser


def positive(text: str) -> int:
    """A whole number of at least 1, from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, allowed: at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
