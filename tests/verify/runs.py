"""Runs to check, and copies of them that are changed like somebody who cheats would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import load_file

from expunge.core.files import State, load_header, save_state
from expunge.run.job_cache import JobCache
from expunge.verify.verdict import Verdict, verify
from tests import cli

_TWO = ("dataset=digits_3v8",)
_THREE = ("dataset=digits", "dataset.classes=[3,5,8]")
_LATTICE = "unlearner.noise=lattice"
_RETRAINS = (*_TWO, "unlearner=newton", "unlearner.std=1", "removal.count=12", "seed=3")
SETTINGS: dict[str, tuple[str, ...]] = {
    "figures": (*_TWO, "removal.count=6"),
    "given_std": (*_TWO, "removal.count=3", "unlearner.std=1e-3", "unlearner.releases=4"),
    "exact": (*_THREE, _LATTICE, "removal.count=5", "removal.batch_size=2", "seed=2"),
    "leaving": (
        *(*_THREE, _LATTICE, "unlearner.subsample_ratio=0.6", "removal=class", "removal.class=3"),
        "removal.batch_size=60",
    ),
    "rowless": (*_THREE, _LATTICE, "unlearner=newton_rowless", "removal.count=4", "seed=5"),
    "private": (
        *(*_TWO, "extractor=dp", "extractor.filters=[2]", "extractor.kernel=3", "extractor.epochs=1"),
        *("extractor.batch_size=100", "unlearner.epsilon=0.3", "removal.count=2"),
    ),
    "refused": (*_TWO, _LATTICE, "removal=class", "removal.class=3", "removal.batch_size=50"),
    "nothing_asked": (*_TWO, "removal.count=0"),
    "published": _RETRAINS,
    "stopped": (*_RETRAINS, "stop_at_limit=true"),
    "measured": (*_TWO, "unlearner=newton_corrected", "unlearner.perturbation=gaussian", "removal.count=4"),
    "three_published": (
        *_THREE,
        "unlearner=newton",
        "removal=class",
        "removal.class=5",
        "removal.batch_size=90",
    ),
    "pure_eps": (
        *(*_TWO, "unlearner=newton", "unlearner.perturbation=pure_eps", "unlearner.delta=0"),
        *("unlearner.certificate=third_order", "removal.count=2", "seed=7"),
    ),
    "retrain": (*_THREE, "unlearner=retrain", "removal.count=2", "seed=4"),
    "none": (*_TWO, "unlearner=none", "removal.count=2"),
    "scaled": (*_TWO, _LATTICE, "extractor.scaling=dataset", "removal.count=1"),
}


_READ = JobCache()  # data sets that have been read


class Runs:
    """Runs by name, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> Path:
        """The folder of a run."""
        run = self.folder / name
        if not run.exists():
            cli.completed(*SETTINGS[name], "figures=false", "threads=1", "progress=false", folder=run)
        return run


class Copy:
    """A copy of a run folder, to be changed."""

    def __init__(self, run: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(run, folder)

    def summary(self, **changes: Any) -> Copy:
        """Change what the summary says; a function is called with what it said."""
        path = self.folder / "summary.json"
        found = json.loads(path.read_text())
        found |= {key: new(found.get(key)) if callable(new) else new for key, new in changes.items()}
        path.write_text(json.dumps(found))
        return self

    def records(self, change: Callable[[list[dict[str, Any]]], Any]) -> Copy:
        """Change the ledger's records in place, or return others."""
        path = self.folder / "removals.jsonl"
        found = [json.loads(line) for line in path.read_text().splitlines()]
        found = change(found) or found
        path.write_text("".join(f"{json.dumps(record)}\n" for record in found))
        cli.resum(path)
        return self

    def config(self, dotted: str, value: Any) -> Copy:
        """Change a setting."""
        path = self.folder / ".hydra" / "config.yaml"
        found = yaml.safe_load(path.read_text())
        node, keys = found, dotted.split(".")
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = value
        path.write_text(yaml.safe_dump(found))
        return self

    def arrays(self, change: Callable[[dict[str, np.ndarray]], Any], file: str = "model") -> Copy:
        """Change the arrays of a file as its own program would have written them."""
        path = self.folder / f"{file}.safetensors"
        found = {name: array.copy() for name, array in load_file(path).items()}
        found = change(found) or found
        save_state(path, State(found, load_header(path)))
        return self

    def without_state(self) -> Copy:
        """Take the secret state away, as for somebody else."""
        (self.folder / "state.safetensors").unlink(missing_ok=True)
        return self

    def verified(self) -> Verdict:
        """What the checker says."""
        return verify(self.folder, _READ)

    def first(self) -> str | None:
        """The name of the first line that does not hold."""
        line = self.verified().first
        return None if line is None else line.name


def last(**changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    """Change the last record."""
    return at(-1, **changes)


def at(place: int, **changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    """Change a record; a function is called with what it said."""

    def change(records: list[dict[str, Any]]) -> None:
        record = records[place]
        record |= {key: new(record[key]) if callable(new) else new for key, new in changes.items()}

    return change


def ulp_up(value: float) -> float:
    """One unit in the last place more."""
    return float(np.nextafter(value, np.inf))


def ulp_down(value: float) -> float:
    """One unit in the last place less."""
    return float(np.nextafter(value, -np.inf))
