"""The same problems through the command line: what is recorded, against the truth."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from experiments.truth.check import Found, columns_of, residual, rows_of, signs_of
from experiments.truth.problems import Problem
from expunge.unlearners.base import OUTCOMES

_ORDER = ("residual_measured", "residual_bound", "budget")
_OWN = ("normalize", "random_state", "subsample_ratio")
_KEYS = {"residual_held": "residual"}


def is_for_a_run(problem: Problem) -> bool:
    """Whether the command line has what it asks for: normalised rows, none of them zero, and a seed."""
    seeded = problem.settings["random_state"] is not None
    return seeded and problem.settings["normalize"] and bool((problem.x != 0).any(axis=1).all())


def as_process(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run ``expunge`` in ``folder``; return its exit code and what it said on standard error."""
    command = [sys.executable, "-m", "expunge", *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr.strip()


def check_run(
    problem: Problem, folder: Path, expunge: Callable[[list[str], Path], tuple[int, str]] = as_process
) -> Found:
    """Serve the requests that can be served by one ``expunge`` in ``folder``; compare its files."""
    found = Found()
    _, y = np.unique(problem.y, return_inverse=True)
    np.savez(folder / "data.npz", x=problem.x, y=y, x_test=problem.x[:1], y_test=y[:1])
    requests = problem.possible()
    (folder / "requests.json").write_text(json.dumps(requests))
    settings = {_KEYS.get(key, key): value for key, value in problem.settings.items() if key not in _OWN}
    how = [
        f"unlearner.{key}={'null' if value is None else str(value).lower()}"
        for key, value in settings.items()
    ]
    how += ["dataset=arrays", f"dataset.path={folder / 'data.npz'}", "metrics=[residual]"]
    how += [f"unlearner={'newton_corrected' if _is_release(problem) else 'newton'}"]
    how += ["removal=rows", f"removal.rows={folder / 'requests.json'}", "threads=1", "figures=false"]
    how += [f"seed={problem.settings['random_state']}", "progress=false", f"hydra.run.dir={folder / 'run'}"]
    code, said = expunge(how, folder)
    if code:
        found.outcomes["untrained"] += 1
        least = len(requests) + 1  # models that leave
        many = _is_release(problem) and least > problem.settings["releases"]
        names = ("releases",) if many else ("std", "residual")
        if not any(f"unlearner.{name}: " in said for name in names):
            found.wrong.append(f"the run ended with {code}: {said}")
        return found
    _compare(problem, requests, folder / "run", found)
    return found


def _compare(problem: Problem, requests: list[list[int]], run: Path, found: Found) -> None:
    records = [json.loads(line) for line in (run / "removals.jsonl").read_text().splitlines()]
    kept = np.ones(len(problem.x), dtype=bool)
    for number, (rows, record) in enumerate(zip(requests, records, strict=True), start=1):
        found.outcomes[record["outcome"]] += 1
        if record["outcome"] != "refused":
            kept[rows] = False
        said = {key: record[key] for key in ("request", "rows", "removed_total", "retained")}
        gone = int((~kept).sum())
        right = {"request": number, "rows": rows, "removed_total": gone, "retained": int(kept.sum())}
        if said != right:
            found.wrong.append(f"the ledger says {said}, right is {right}")
        measured, bound, budget = (record[key] for key in _ORDER)
        if (measured is None) != (problem.settings.get("noise") == "lattice"):
            found.wrong.append(f"request {number}: measured is {measured!r}")
        if not (measured or 0) <= bound <= budget or record["epsilon_spent"] > problem.settings["epsilon"]:
            found.wrong.append(f"request {number}: {measured!r}, {bound!r}, {budget!r} are not in this order")
    summary = json.loads((run / "summary.json").read_text())
    counts = {key: sum(record["outcome"] == key for record in records) for key in OUTCOMES}
    if {key: summary[key] for key in counts} != counts or summary["requests"] != len(records):
        found.wrong.append(f"the summary counts {summary}, the ledger {counts}")
    released, x, signs = load_file(run / "model.safetensors"), rows_of(problem.x, True), signs_of(problem.y)
    if _is_release(problem):
        arrays = load_file(run / "state.safetensors")
        if list(released) != ["weight"] or (released["weight"].ravel() != arrays["drawn"].ravel()).any():
            found.wrong.append("model.safetensors holds more than the release that was drawn, or another")
    else:
        arrays = released
    lam, bound, columns = problem.settings["lam"], summary["residual_bound"], columns_of(problem.y, kept)
    true = residual(x, signs[:, columns], kept[:, None], lam, arrays["weight"], arrays["perturbation"])
    found.looked += 1
    if not true <= bound:
        found.wrong.append(f"the run ended at residual {true!r}, above its bound {bound!r}")


def _is_release(problem: Problem) -> bool:
    return bool(problem.settings["perturbation"] == "release")
