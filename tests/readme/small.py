"""What stands for FOLDER, DIR and NAME of the pages, and how a command is made small without another form."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import cli, people
from tests.datasets.test_more_datasets import small_cifar, small_mnist
from tests.readme.pages import ROOT, python_blocks

NETWORKS = (
    *("softmax", "mlp", "cnn", "vit", "timm", "text_transformer"),
    *("vgg11", "vgg11_bn", "resnet18", "resnet50", "mobilenet_v2", "densenet121", "vggface"),
)
OWN_DATA = ROOT / "docs" / "own_data.md"
BEGUN = ("dataset=digits_3v8", "removal.count=2", "figures=false", "threads=1")
_MADE_UP = {"mnist": small_mnist, "cifar10": small_cifar}
_PEOPLE = {"anna": 4, "ben": 4, **{f"s{number}": 4 for number in range(1, 8)}}


class Left(Exception):
    """A command cannot be run here; the text says why."""


@dataclass(frozen=True)
class Place:
    """Where the commands are run.

    Attributes:
        cwd: The folder that they are given in.
        run: A finished run.
        sweep: A folder with finished runs.
    """

    cwd: Path
    run: Path
    sweep: Path

    def made(self) -> Place:
        """Write what commands read: folders of people, small MNIST and CIFAR-10, a list of rows."""
        (self.cwd / "rows.txt").write_text("3\n8\n")
        people.folder(self.cwd / "faces", "people", **_PEOPLE)
        people.market(self.cwd / "market")
        (self.cwd / "files").mkdir()
        for write in _MADE_UP.values():
            write(self.cwd / "files")
        small_clauses(self.cwd / "files" / "cuad")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.cwd)
            for code in python_blocks(OWN_DATA):  # which write people.csv and payments.csv
                exec(compile(code, OWN_DATA.name, "exec"), {})
        return self


def small_clauses(folder: Path) -> None:
    """Write four clauses of each of eight types, the last of them for the test."""
    types = ("Governing Law", *map(str, range(7)))
    parts = ("train", "train", "train", "test")
    rows = [
        {"text": f"of {name}, number {k}", "label": name, "split": part}
        for name in types
        for k, part in enumerate(parts)
    ]
    folder.mkdir()
    (folder / "clauses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def place_in(cwd: Path) -> Place:
    """The folder with what the commands ask for: a finished run, a sweep, people."""
    run = cli.completed(*BEGUN, folder=cwd / "a_run")
    sweep = cwd / "multirun" / "a_sweep"
    ended = cli.expunge("-m", *BEGUN, "seed=0,1", f"hydra.sweep.dir={sweep}", cwd=cwd)
    assert (ended.code, ended.err) == (0, "")
    return Place(cwd, run, sweep).made()


def full(words: list[str], place: Place) -> list[str]:
    """Return the words of a command with placeholders filled, and nothing else changed.

    Raises:
        Left: A program that it needs is not here.
    """
    given = [_filled(word, place) for word in words]
    keys = dict(word.partition("=")[::2] for word in given if "=" in word)
    if words[0] == "expunge":
        held = ("removal.count", "seeds")  # as many as the page says
        given[1:] = [word if word.startswith(held) else _own(word, keys, place) for word in given[1:]]
        given += BEGUN if "resume" in keys else []
    if words[:3] == ["python", "-m", "expunge.datasets.market"]:
        return small(words, place)
    return given


def small(words: list[str], place: Place) -> list[str]:
    """Return the words of a command with placeholders filled, and with what makes it small.

    Raises:
        Left: A package that it needs is not here.
    """
    program, *given = words
    if program == "expunge":
        return [program, *_of_expunge(given, place)]
    if program == "expunge-report":
        filled = [_filled(word, place) for word in given]
        writes = not {"--privacy", "--out", "--diff"} & set(filled)
        return [program, *filled, *(["--out", "report"] if writes else [])]
    if program == "expunge-verify":
        return [program, *(_filled(word, place) for word in given)]
    if program == "expunge-audit":
        few = ["--pairs", "40", "--noise-pairs", "1000", "--out", "audit"]
        if "FOLDER" in given:
            return [program, str(place.run), *few]
        return [program, "--only", "newton_corrected: lattice, small", *few]
    if program == "expunge-reproduce":
        return [program, *_of_reproduce(given)]
    if words[:3] == ["python", "-m", "expunge.datasets.market"]:
        return [*words[:3], str(place.cwd / "faces" / "people"), "laid_out"]
    return words


def _filled(word: str, place: Place) -> str:
    if word in ("FOLDER...", "FOLDER"):
        return str(place.run)
    return str(place.sweep) if re.fullmatch(r"(multirun|outputs)/(FOLDER|\.\.\.)", word) else word


def _of_reproduce(given: list[str]) -> list[str]:
    """A paper's quickest row in its reduced form, unless one is named."""
    quick = {"icml2020": "mnist_grid", "cvpr2022": "ledgar"}[given[0]]
    only = [] if "--only" in given else ["--only", quick]
    return [*given, *([] if "--reduced" in given else ["--reduced"]), *only, "threads=1"]


def _of_expunge(given: list[str], place: Place) -> list[str]:
    if {"--help", "-h", "--schema"} & set(given):
        return given
    keys = dict(word.partition("=")[::2] for word in given if "=" in word)
    filled = [word for word in map(lambda word: _own(word, keys, place), given) if word]
    if keys.get("resume") == "true":
        return [*filled, *BEGUN]
    more = ["figures=false", "threads=1", f"cache_dir={place.cwd / 'cache'}"]
    if "+experiment" in keys:
        return [*filled, *more, *([] if "reduced" in keys else ["reduced=true"])]
    return [*filled, *more, *_of_data(keys, place), *_of_training(keys), *_of_removal(keys)]


def _own(word: str, keys: dict[str, str], place: Place) -> str:
    """A word of the page as it is, but for placeholders and for numbers that stand for much work."""
    key, _, value = word.partition("=")
    if value == "DIR":
        return f"{key}={place.cwd / ('market' if keys['dataset'] == 'reid' else 'faces')}"
    if word in ("dataset.file=people.csv", "dataset.file=payments.csv", "removal.rows=rows.txt"):
        return f"{key}={place.cwd / value}"
    if value == "slurm":
        raise Left("needs Slurm; tests/sweep/test_launchers.py runs it where there is one")
    if value == "parallel" and not _has("hydra_plugins.hydra_joblib_launcher"):
        raise Left("needs hydra-joblib-launcher")
    own = {"...": "unlearner.lam=1e-3,1e-2", "seeds=5": "seeds=2", "model=resnet50": "model=resnet18"}
    if key == "removal.count":
        return ""
    return own.get(word, f"{key}={place.run}" if value == "FOLDER" else word.replace("=NAME", "=anna"))


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its package is not there either
        return False


def _of_data(keys: dict[str, str], place: Place) -> list[str]:
    data = keys.get("dataset", "mnist_3v8")
    if data == "clauses":
        return [f"data_dir={place.cwd / 'files'}"]
    if data in _MADE_UP:
        return [f"data_dir={place.cwd / 'files'}", "dataset.check_integrity=false"]
    sizes = {"faces": "[32,32]", "reid": "[32,16]"}
    if data in sizes and "dataset.image_size" not in keys:
        return [f"dataset.image_size={sizes[data]}"]
    return ["dataset=digits_3v8"] if data == "mnist_3v8" else []


def _of_training(keys: dict[str, str]) -> list[str]:
    found = []
    if keys.get("model") in NETWORKS:
        found += ["training.epochs=1", "training.max_batches=1"]
    if keys.get("unlearner", "").startswith("lcodec") and "," not in keys["unlearner"]:
        found += ["unlearner.n_perturbations=12", "unlearner.curvature_rows=8", "unlearner.max_units=2"]
    if keys.get("extractor") == "dp":
        found += ["extractor.epochs=1", "extractor.max_batches=2"]
    return found + (["hydra.launcher.n_jobs=1"] if keys.get("hydra/launcher") == "parallel" else [])


def _of_removal(keys: dict[str, str]) -> list[str]:
    said = {"removal.class", "removal.group", "removal.identity", "removal.ids", "removal.rows"} & set(keys)
    return ["removal.count=1"] if keys.get("removal", "random") == "random" and not said else []
