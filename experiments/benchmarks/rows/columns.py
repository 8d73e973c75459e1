"""Many classes on dense rows: an inverse Hessian for each, or conjugate gradients for all of them at once."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.harness import in_turns, ratio
from experiments.benchmarks.machine import in_own_process, peak_mib, sharing
from experiments.benchmarks.tables import factor, short, table
from expunge import CertifiedLogisticRegression

LAM = 1e-3
ROWS, FEATURES, CLASSES = 20_000, 256, (10, 100, 1000)
_SOLVERS = ("direct", "iterative")


def blobs(classes: int, rows: int, features: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows around a random centre for each class, float32, fixed seed; every class has a row."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(classes, features))
    y = rng.integers(0, classes, rows)
    y[:classes] = np.arange(classes)
    return (centres[y] + 1.5 * rng.normal(size=(rows, features))).astype(np.float32), y


def trained(solver: str, x: Any, y: NDArray[np.int64]) -> CertifiedLogisticRegression:
    """The model, its noise from a seed."""
    return CertifiedLogisticRegression(lam=LAM, random_state=0, solver=solver).fit(x, y)


def cpu(call: Callable[[], object]) -> float:
    """Seconds of the processor that one call takes, of all threads: others on the machine hardly count."""
    begin = process_time()
    call()
    return process_time() - begin


def compare(rows: int, classes: int, repeats: int, removals: int) -> dict[str, Any]:
    """Both ways in turns."""
    x, y = blobs(classes, rows, FEATURES)
    for solver in _SOLVERS:
        trained(solver, x[:200], y[:200] % 3).remove([3])  # compiled
    models: dict[str, CertifiedLogisticRegression] = {}
    order = np.random.default_rng(1).permutation(np.arange(classes, rows))[:removals].tolist()

    def fit(solver: str) -> list[float]:
        found: list[CertifiedLogisticRegression] = []
        seconds = cpu(lambda: found.append(trained(solver, x, y)))
        (models[solver],) = found
        return [seconds]

    ways: dict[tuple[str, str], Callable[[int], list[float]]] = {}
    for solver in _SOLVERS:
        ways[solver, "fit"] = lambda repeat, solver=solver: fit(solver)
        ways[solver, "removal"] = lambda repeat, solver=solver: [
            cpu(lambda row=row: models[solver].remove([row])) for row in order
        ]
    times = in_turns(ways, repeats)
    model, residual = models["iterative"], models["iterative"].residual()
    return {
        "rows": rows,
        "classes": classes,
        "cpu_seconds": {
            " ".join(key): [float(one) for one in np.concatenate(of)] for key, of in times.items()
        },
        "fit": ratio(times["direct", "fit"], times["iterative", "fit"]),
        "removal": ratio(times["direct", "removal"], times["iterative", "removal"]),
        "residual": residual,
        "bound": model.certificate_.beta,
        "budget": model.certificate_.budget,
        "peak_mib": {
            solver: in_own_process(__name__, {"rows": rows, "classes": classes, "solver": solver})["peak_mib"]
            for solver in _SOLVERS
        },
    }


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """All numbers of classes."""
    rows = min(options.rows, ROWS)
    sizes = [
        compare(rows, classes, options.repeats, options.removals) for classes in options.classes or CLASSES
    ]
    return {"lam": LAM, "repeats": options.repeats, "removals": options.removals, "sizes": sizes}


def lines(report: dict[str, Any]) -> Sequence[str]:
    """The table."""
    heads = "rows x features, classes|fit, direct, s|fit, together, s|direct over together"
    heads += "|one removal, direct, s|one removal, together, s|direct over together|peak MiB, direct|together"
    body, facts = [], []
    for size in report["sizes"]:
        seconds = {name: short(float(np.median(of))) for name, of in size["cpu_seconds"].items()}
        name = f"{size['rows']:,} x {FEATURES}, {size['classes']:,}"
        body.append(
            [
                *(name, seconds["direct fit"], seconds["iterative fit"], factor(size["fit"])),
                *(seconds["direct removal"], seconds["iterative removal"], factor(size["removal"])),
                *(f"{size['peak_mib'][solver]:.0f}" for solver in _SOLVERS),
            ]
        )
        facts.append(
            f"{name}: after the last removal the residual is {size['residual']:.1e}, its bound "
            f"{size['bound']:.1e}, what the noise covers {size['budget']:.1e}."
        )
    made = (
        f"lam {report['lam']:g}; {report['repeats']} interleaved repeats of {report['removals']} removals; "
    )
    made += "seconds of the processor, which do not count who waits for it."
    return [made, "", *table(heads, body), "", *(f"- {fact}" for fact in facts)]


def _alone(job: dict[str, Any]) -> None:
    """Fit and remove two rows in this process; print its peak of memory."""
    with sharing(None):
        x, y = blobs(job["classes"], job["rows"], FEATURES)
        model = trained(job["solver"], x, y)
        for row in range(2):
            model.remove([len(y) - 1 - row])
    print(json.dumps({"peak_mib": peak_mib()}))


if __name__ == "__main__":
    _alone(json.loads(sys.argv[1]))
