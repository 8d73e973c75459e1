"""What is corrupted: folders as they were left, and the command that goes on from them."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from expunge import CertifiedLogisticRegression
from expunge.certificate import lattice
from expunge.core.errors import UserError
from expunge.core.files import load_state, read_header
from expunge.record.resume import RunCheckpoint
from expunge.report import app as report
from expunge.training.checkpoint import TrainingCheckpoint
from expunge.verify import app as verify
from tests import cli

RUN, DATA, SAID = "run", "data", "said"
CERTIFIED = ("signed_again", "arrays_again")  # where the gradient over the rows is measured
DIGEST_ONLY = ("forms_again",)
_COMMON = ("figures=false", "threads=1", "progress=false", "dataset=digits_3v8", "checkpoint_every=3")
_MLP = ("model=mlp", "model.hidden=[8]", "training.epochs=2", "training.batch_size=64", "unlearner=finetune")
_FINETUNE = (*_MLP, "unlearner.max_batches=2")
_VARYING = re.compile(rb'("(?:seconds\w*|\w*memory_mb|token)": )("\w*"|[-+.0-9e]+)')
_RECORDED = ("removals.jsonl", "removals.sha256", "inputs.json", ".hydra/config.yaml", ".hydra/*.sha256")
_COMPLETE = ("summary.json", "summary.sha256", "state.safetensors", "model.safetensors", *_RECORDED)
_ON_THE_WAY = ("checkpoint.safetensors", *_RECORDED)
STOPPED = 6  # the request after whose record, and before whose checkpoint, a run was ended


@dataclass(frozen=True)
class Subject:
    """A folder, and what is done with a copy of it.

    Attributes:
        make: Fills an empty folder.
        files: What may be corrupted, relative to the folder; those that are there.
        go_on: Does the rest.
    """

    name: str
    make: Callable[[Path], None]
    files: tuple[str, ...]
    go_on: Callable[[Path], cli.Ended]
    forged: tuple[str, ...] = CERTIFIED  # what somebody may have done who signs it again
    compared: str = ""  # how the names of what it makes begin
    by_check: bool = False  # it says which of its checks fails, and not which file it is by
    others: tuple[str, ...] = field(default=())  # files of other runs, which may take the place of these


def _expunge(folder: Path, *arguments: str) -> cli.Ended:
    where = (f"hydra.run.dir={folder / RUN}", f"data_dir={folder}", f"cache_dir={folder / DATA}")
    (folder / "rows.txt").touch()
    return cli.expunge(*_COMMON, *arguments, *where, cwd=folder)


def _ended_early(folder: Path, *arguments: str) -> None:
    """A run that was ended between the record of a request and the checkpoint after it."""
    save = RunCheckpoint.save

    def interrupted(self, state, complete=False):
        if state.values["run"]["served"] == STOPPED:
            raise KeyboardInterrupt
        save(self, state, complete)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunCheckpoint, "save", interrupted)
        assert _expunge(folder, *arguments).code not in (0, 2)
    assert cli.served(folder / RUN) == STOPPED - 3


def _begun(name: str, *arguments: str, last: bool = False, forged: tuple[str, ...] = CERTIFIED) -> Subject:
    def make(folder: Path) -> None:
        other = folder / "other"
        other.mkdir()
        _ended_early(other, *arguments, "seed=1")
        _ended_early(folder, *arguments)
        shutil.copy(other / RUN / "checkpoint.safetensors", folder / "other.safetensors")
        shutil.rmtree(other)

    files = tuple(f"{RUN}/{file}" for file in (*_ON_THE_WAY, *["checkpoint.safetensors.last"] * last))
    others = ("other.safetensors",)
    go_on = lambda f: _expunge(f, *arguments, "resume=true")  # noqa: E731
    return Subject(name, make, files, go_on, forged, others=others)


def _complete(name: str, files: tuple[str, ...], *arguments: str, more: tuple[str, ...] = ()) -> Subject:
    def make(folder: Path) -> None:
        (folder / "rows.txt").write_text("1\n2\n3\n4\n")
        ended = _expunge(folder, *arguments)
        assert (ended.code, ended.err) == (0, ""), ended.err

    def go_on(folder: Path) -> cli.Ended:
        if not more:
            return _expunge(folder, *arguments, "resume=true")
        (folder / "rows.txt").write_text("1\n2\n3\n4\n5\n")
        draws = np.random.default_rng(0)  # the system's would be others each time

        def drawn(size: int, scale: float) -> np.ndarray:
            return np.rint(scale * draws.normal(size=size)).astype(np.int64)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lattice, "discrete_gaussian", drawn)
            return _expunge(folder, *arguments, "resume=true")

    return Subject(name, make, tuple(f"{RUN}/{file}" for file in files), go_on)


def _read(name: str, main: Callable[[list[str]], int], *arguments: str) -> Subject:
    """A complete run, and a command that reads it."""

    def make(folder: Path) -> None:
        assert _expunge(folder, "unlearner=newton_corrected", "removal.count=4").code == 0

    def go_on(folder: Path) -> cli.Ended:
        out, err = io.StringIO(), io.StringIO()
        (folder / SAID).mkdir(exist_ok=True)
        given = (str(folder / RUN), *(f"{folder}/{one}" if "/" in one else one for one in arguments))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*given])
        said = folder / SAID / "verified.json"
        if not said.exists():
            return cli.Ended(code, "", err.getvalue())
        found = json.loads(said.read_text())
        if not found["accepted"]:
            (first,) = [one for one in found["lines"] if one["name"] == found["first"]]
            return cli.Ended(code, "", f"{json.dumps(first)}\n")
        if left := [one for one in found["lines"] if str(one["note"]).startswith("not given")]:
            return cli.Ended(2, "", f"{json.dumps(left[0])}\n")  # said, and left out
        said.write_text(json.dumps({**found, "files": None, "when": None}))
        return cli.Ended(code, "", err.getvalue())

    files = tuple(f"{RUN}/{file}" for file in _COMPLETE)
    return Subject(name, make, files, go_on, compared=SAID, by_check=main is verify.main)


def _trained(name: str, part: bool) -> Subject:
    """A cache with a trained network, or with one whose training was ended amid it."""

    def make(folder: Path) -> None:
        save, seen = TrainingCheckpoint.save, []

        def interrupted(self, *args):
            save(self, *args)
            seen.append(1)
            if part:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainingCheckpoint, "save", interrupted)
            ended = _expunge(folder, *_FINETUNE, "removal.count=2")
        assert (ended.code == 0) != part
        shutil.rmtree(folder / RUN, ignore_errors=True)

    def go_on(folder: Path) -> cli.Ended:
        return _expunge(folder, *_FINETUNE, "removal.count=2")

    return Subject(name, make, (f"{DATA}/**/*.safetensors",), go_on, forged=DIGEST_ONLY)


_RNG = np.random.default_rng(5)
_X = _RNG.normal(size=(60, 5))
_Y = (_X @ _RNG.normal(size=(5, 3)) + 0.5 * _RNG.normal(size=(60, 3))).argmax(axis=1)


def _estimator(name: str, away: bool = False, **settings: object) -> Subject:
    def saved(folder: Path, file: str, rows: np.ndarray) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = CertifiedLogisticRegression(random_state=0, lam=1e-2, **settings).fit(rows, _Y)
        model.remove([3, 4])
        model.save(folder / file)

    def make(folder: Path) -> None:
        saved(folder, "model", _X)
        if not away:  # without rows nobody knows what a file that is whole is of
            saved(folder, "other.safetensors", _X + 1)

    def go_on(folder: Path) -> cli.Ended:
        try:
            rows = () if away else (_X, _Y)
            model = CertifiedLogisticRegression.load(folder / "model", *rows)
            said = [model.predict(_X).tolist(), model.coef_.tolist(), model.certificate_.epsilon_spent]
            for row in (7, 11):
                own = (_X[[row]], _Y[[row]]) if away else ()
                said.append(repr(model.remove([row], *own)))
            model.save(folder / "model", live=away)
        except UserError as error:
            return cli.Ended(2, "", f"{error}\n")
        (folder / "said.json").write_text(json.dumps(said))
        return cli.Ended(0, "", "")

    return Subject(
        *(name, make, ("model",), go_on),
        forged=DIGEST_ONLY if away else CERTIFIED,
        others=() if away else ("other.safetensors",),
    )


_FACTS = {"certificate": "data_dependent", "update": "fresh", "perturbation": "gaussian"}
_LATTICE = ("unlearner=newton_corrected", "unlearner.noise=lattice", "unlearner.std=0.5")
SUBJECTS = {
    one.name: one
    for one in (
        _begun("corrected", "unlearner=newton_corrected", "removal.count=8"),
        _begun("published", "unlearner=newton", "removal.count=8"),
        _begun("rowless", "unlearner=newton_rowless", "removal.count=8"),
        _begun("lattice", *_LATTICE, f"removal.count={STOPPED}", last=True),
        _begun("network", *_FINETUNE, "removal.count=7", forged=DIGEST_ONLY),
        _complete("complete", _COMPLETE, "unlearner=newton_corrected", "removal.count=4"),
        _complete(
            *("grown", ("state.safetensors", *_RECORDED), *_LATTICE),
            *("removal=rows", "removal.rows=rows.txt"),
            more=("5",),
        ),
        _read("reported", report.main, "--out", f"{SAID}/"),
        _read("verified", verify.main, "--out", f"{SAID}/verified.json"),
        _trained("cache", part=False),
        _trained("training", part=True),
        _estimator("estimator", std=0.5),
        _estimator("estimator_published", std=5.0, **_FACTS),
        _estimator("estimator_rowless", std=0.5, update="rowless"),
        _estimator("estimator_away", away=True, std=20.0, update="rowless"),
    )
}


def _is_sum_of(folder: Path, name: str, found: str) -> bool | None:
    file = folder / (name or "summary.json")
    if name == "state.safetensors" and not file.exists():  # whoever made a run may keep it elsewhere
        return True
    return sha256(file.read_bytes()).hexdigest() == found if file.is_file() else None


def outputs(folder: Path, begin: str = "") -> dict[str, bytes]:
    """Every file of a folder without times and the like; of a model's file header and arrays.

    ``begin`` is how their names begin.
    """
    found = {}
    for path, content in cli.contents(folder).items():
        if path.endswith((".log", ".lock")) or not path.startswith(begin):
            continue
        if path in ("model", f"{RUN}/state.safetensors"):
            state = load_state(folder / path)
            state.values.get("version", {})["token"] = None
            state.values.pop("ledger", None)  # of lines with their times
            content = repr((state.values, sorted((k, a.tobytes()) for k, a in state.arrays.items()))).encode()
        elif path.endswith(".safetensors") and path.startswith(DATA):
            content = repr(read_header(folder / path)[0]).encode()
        if path.endswith("removals.sha256"):  # of lines with their times
            ledger = (folder / path).with_suffix(".jsonl").read_bytes().splitlines(keepends=True)
            sums = content.decode("latin-1").splitlines()
            content = repr([sha256(line).hexdigest() for line in ledger] == sums).encode()
        if path.endswith("summary.sha256"):
            lines = [line.partition("  ") for line in content.decode("latin-1").splitlines()]
            content = repr(
                [(name, _is_sum_of(folder / RUN, name, found)) for found, _, name in lines]
            ).encode()
        found[path] = _VARYING.sub(rb"\1*", content)
    return found
