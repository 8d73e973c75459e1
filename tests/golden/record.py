"""What is kept of a golden run: ledger and summary without times and machine, digests of arrays."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from safetensors.numpy import load_file

from expunge import CertifiedLogisticRegression
from tests import cli
from tests.golden.settings import ESTIMATOR, arguments

FROZEN = Path(__file__).parent / "frozen"
MACHINE = FROZEN / "machine.json"
_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "numba", "scikit-learn", "opacus")
_VARY = ("peak_memory_mb", "memory_mb", "stored_bytes_row", "versions", "columns", "inputs")
"""Of a summary: what a machine adds, words that say what the numbers mean, and digests."""
_TIME = re.compile(r"seconds| s$|^(faster|times|speed)|ratio")


def made(name: str, folder: Path, data: Path) -> dict[str, Any]:
    """Run a golden run in ``folder`` and return what is to be kept of it."""
    if name == ESTIMATOR:
        return estimated(folder)
    with mock.patch.dict(os.environ, {"EXPUNGE_CACHE": str(folder / "cache")}):
        ended = cli.expunge(*arguments(name, data), f"hydra.run.dir={folder / 'run'}", cwd=folder)
    assert (ended.code, ended.err) == (0, ""), ended.err
    return kept(folder / "run")


def estimated(folder: Path) -> dict[str, Any]:
    """Return what is to be kept of the estimator: weights after removals, and the file that it saves."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 7))
    y = np.digitize(x[:, 0] + 0.3 * rng.normal(size=120), (-0.5, 0.5))
    kept: dict[str, Any] = {}
    published = {"perturbation": "gaussian", "std": 1.0}
    for name, labels, settings in (
        *(("two", y > 0, published), ("three", y, published)),
        *(("two_at_release", y > 0, {}), ("three_at_release", y, {})),
    ):
        model = CertifiedLogisticRegression(random_state=0, **settings).fit(x, labels)
        outcomes = [vars(model.remove(rows)) for rows in ([3], [10, 11], [7])]
        model.save(folder / f"{name}.safetensors")
        kept[name] = {"coef": digest(model.coef_), "outcomes": outcomes, "residual": model.residual()}
        kept[name]["arrays"] = digests(folder / f"{name}.safetensors")
    return kept


def kept(run: Path) -> dict[str, Any]:
    """Return what is to be kept of the run folder."""
    (ledger,) = (path for name in ("removals", "results") if (path := run / f"{name}.jsonl").exists())
    return {
        "ledger": [_timeless(json.loads(line)) for line in ledger.read_text().splitlines()],
        "summary": _timeless(json.loads((run / "summary.json").read_text())),
        "arrays": {path.name: digests(path) for path in sorted(run.glob("*.safetensors"))},
    }


def digests(path: Path) -> dict[str, str]:
    """Return name -> type, shape and SHA-256 of every array in a safetensors file."""
    return {name: digest(array) for name, array in sorted(load_file(path).items())}


def digest(array: np.ndarray) -> str:
    """Return type, shape and SHA-256 of an array."""
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{array.dtype} {list(array.shape)} {content}"


def written(value: Any) -> str:
    """Return the text of a golden file: keys in the order in which the program wrote them."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def machine() -> dict[str, str]:
    """Return what the last digits of a number depend on besides the program: processor, python, libraries."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else platform.processor()
    lines = dict(line.partition(":")[::2] for line in info.replace("\t", "").splitlines() if ":" in line)
    wide = [flag for flag in ("avx2", "avx512f", "fma") if f" {flag} " in f"{lines.get('flags', '')} "]
    named = [lines.get(key, "").strip() for key in ("model name", "cpu family", "model")]
    model = " ".join([*named, *wide])
    packages = {package: version(package) for package in _PACKAGES}
    kernel = os.environ.get("OPENBLAS_CORETYPE", "")  # chosen here by some machines
    return {"processor": model, "blas": kernel, "python": platform.python_version(), **packages}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if not _TIME.search(k) and k not in _VARY}
    return [_timeless(one) for one in value] if isinstance(value, list) else value
