"""The folder that generated command lines are given in: small data of every kind, and files that stay."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np

from tests import cli, people
from tests.datasets.test_more_datasets import small_cifar, small_mnist, small_svhn

Seen = dict[str, tuple[int, int, int]]


def made(root: Path) -> Path:
    """Fill an empty folder; returns it."""
    data = root / "data"
    data.mkdir()
    people.folder(data, "people", anna=4, ben=4, carla=3, dora=3, emil=3)
    people.market(data)
    small_cifar(data)
    small_svhn(data)
    for variant in ("MNIST", "FashionMNIST"):
        small_mnist(data, variant)
    random = np.random.default_rng(0)
    np.savez(root / "rows.npz", x=random.normal(size=(40, 5)), y=np.arange(40) % 2)
    (root / "rows.json").write_text("[[1], [2, 3]]")
    (root / "empty.npz").write_bytes(b"")
    (root / "kept.txt").write_text("kept\n")
    (root / "kept.yaml").write_text("seed: 1\n")
    (root / "empty").mkdir()
    (root / "kept").mkdir()
    (root / "kept" / "one.txt").write_text("one\n")
    os.mkfifo(root / "fifo")
    (root / "loop").symlink_to("loop")
    ended = cli.expunge(*cli.SMALL, "removal.count=1", "hydra.run.dir=done", cwd=root)
    assert (ended.code, ended.err) == (0, ""), ended.err
    return root


def seen(root: Path) -> Seen:
    """What there is under a folder: kind and mode, size and time of every file, kind alone of folders."""
    found = {}
    for here, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(here, name)
            of = os.lstat(path)
            plain = not stat.S_ISDIR(of.st_mode)
            found[os.path.relpath(path, root)] = (
                of.st_mode,
                of.st_size if plain else 0,
                of.st_mtime_ns if plain else 0,
            )
    return found


def valid_run(folder: Path) -> str:
    """What is wrong with a folder that a run has left; nothing if it is whole."""
    for name in ("summary.json", "removals.jsonl", "results.jsonl"):
        if (folder / name).exists():
            for line in (
                (folder / name).read_text().splitlines() if name[-1] == "l" else [(folder / name).read_text()]
            ):
                json.loads(line, parse_constant=_no_constant)
    if not (folder / "summary.json").is_file():
        return "no summary.json"
    return "" if (folder / ".hydra" / "config.yaml").is_file() else "no .hydra/config.yaml"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} in a file of JSON")
