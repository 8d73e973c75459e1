"""Ten million rows of float16 on disk, mapped: fit and a hundred releases, and the memory that they take."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.machine import in_own_process, peak_mib, sharing
from experiments.benchmarks.tables import short, table, verdict
from expunge import CertifiedLogisticRegression

LAM = 1e-4
FEATURES, RELEASES = 64, 100
_BLOCK = 2**17
_MOST_MIB = 3000.0


def write(path: Path, rows: int) -> NDArray[np.int8]:
    """Write normal rows in blocks, fixed seed; return labels by a plane and noise."""
    rng = np.random.default_rng(0)
    table = np.lib.format.open_memmap(path, "w+", np.float16, (rows, FEATURES))
    plane, y = rng.normal(size=FEATURES).astype(np.float32), np.empty(rows, dtype=np.int8)
    for start in range(0, rows, _BLOCK):
        block = rng.standard_normal((min(_BLOCK, rows - start), FEATURES), dtype=np.float32)
        table[start : start + _BLOCK] = block
        noise = 3 * rng.standard_normal(len(block), dtype=np.float32)
        y[start : start + _BLOCK] = block @ plane + noise > 0
    table.flush()
    return y


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """In a process of its own, which finds the file there."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(Path(folder) / "labels.npy", write(path, options.mapped_rows))
        job = {"folder": folder, "threads": threads}
        return {"rows": options.mapped_rows, "file_mib": path.stat().st_size / 2**20} | in_own_process(
            __name__, job
        )


def lines(report: dict[str, Any]) -> Sequence[str]:
    """The table."""
    heads = f"rows x features|file, MiB|fit, s|{RELEASES} releases, s|peak MiB of the process"
    name = f"{report['rows']:,} x {FEATURES}, float16"
    body = [[name, f"{report['file_mib']:.0f}", short(report["fit"]), short(report["releases"])]]
    body[0].append(f"{report['peak_mib']:.0f}")
    facts = (
        f"lam {LAM:g}; two classes. The peak counts what of the file is in memory.",
        f"After the last removal the residual is {report['residual']:.1e}, its bound {report['bound']:.1e}, "
        f"what the noise covers {report['budget']:.1e}.",
        f"less than {_MOST_MIB / 1000:g} GB: {verdict(report['peak_mib'] < _MOST_MIB)}.",
    )
    return [*table(heads, body), "", *(f"- {fact}" for fact in facts)]


def _alone(job: dict[str, Any]) -> None:
    """Fit and remove row after row."""
    with sharing(job["threads"]):
        folder = Path(job["folder"])
        x, y = np.load(folder / "rows.npy", mmap_mode="r"), np.load(folder / "labels.npy")
        begin = perf_counter()
        model = CertifiedLogisticRegression(lam=LAM).fit(x, y)
        fitted = perf_counter()
        for k in range(RELEASES):
            model.remove([k * len(y) // RELEASES])
        done = perf_counter()
        account = model.certificate_
        found = {"fit": fitted - begin, "releases": done - fitted, "peak_mib": peak_mib()}
        found |= {"residual": model.residual(), "bound": account.beta, "budget": account.budget}
    print(json.dumps(found))


if __name__ == "__main__":
    _alone(json.loads(sys.argv[1]))
