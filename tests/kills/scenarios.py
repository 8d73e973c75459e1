"""What is killed: commands, each with what is there before it, and what must be there after it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import vl_convert

from expunge import CertifiedLogisticRegression, app
from expunge.core.errors import InvalidValue
from expunge.report import app as report
from tests.cli import SMALL

_SMALL = (*SMALL, "progress=false", "cache_dir=cache", "checkpoint_every=2")
_MLP = ("model=mlp", "model.hidden=[4]", "training.epochs=2", "training.batch_size=64")
_DP = ("extractor=dp", "extractor.filters=[2]", "extractor.kernel=3", "extractor.epochs=2")
_FIGURES = ("dataset=digits_3v8", "threads=1", "progress=false", "removal.count=2")
_PLAIN = (*_FIGURES, "figures=false")
_CELLS = ("-m", *_FIGURES, "unlearner.lam=1e-2,1e-1,1", "hydra.sweep.dir=sweep")
_RUN = "hydra.run.dir=run"
_X = np.random.default_rng(0).normal(size=(30, 3))
_Y = (_X[:, 0] > 0).astype(int)


@dataclass(frozen=True)
class Scenario:
    """A piece of work in a folder of its own.

    Attributes:
        work: Does it, in the folder that is the current one; returns an exit code.
        before: Lays out what is there already.
        named_alone: Whether what it leaves differs every time, so that only the names of files are compared.
    """

    work: Callable[[], int]
    before: Callable[[], object] = lambda: None
    named_alone: bool = False


def expunge(*arguments: str, main: Callable[[], object] = app.main) -> int:
    """Run the command in this process, which is not used for anything afterwards."""
    sys.argv = ["expunge", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.getLogger().handlers.clear()
    try:
        return int(main() or 0)
    except SystemExit as end:
        return int(end.code or 0)


def _run(*arguments: str) -> Scenario:
    """A run, which is continued where there is anything of it."""
    resumed = (*arguments, _RUN, "resume=true")
    return Scenario(lambda: expunge(*(resumed if Path("run").exists() else resumed[:-1])))


def _same(*arguments: str) -> Scenario:
    """A run whose command is the same, to its last sign, where there is anything of it and where not."""
    return Scenario(lambda: expunge(*arguments, _RUN, "resume=auto"))


def _grown() -> Scenario:
    """A run that is complete, to whose requests one is added."""
    asked = (*_FIGURES, "removal=rows", "removal.rows=rows.txt", _RUN)

    def first() -> None:
        Path("rows.txt").write_text("3\n5\n")
        assert expunge(*asked[:3], *asked[4:]) == 0
        Path("rows.txt").write_text("3\n5\n8\n")

    return Scenario(lambda: expunge(*asked[:3], *asked[4:], "resume=true"), first)


def _estimator() -> int:
    """Fit or load, remove what is still there, and save after each; the file is a whole model at any time."""
    file = Path("model.safetensors")
    if file.exists():
        model = CertifiedLogisticRegression.load(file, _X, _Y)
    else:
        model = CertifiedLogisticRegression(lam=0.5, std=1.0, releases=9).fit(_X, _Y)
        model.save(file)
    for row in (3, 4):
        with contextlib.suppress(InvalidValue):  # it has been removed already
            model.remove([row])
        model.save(file)
    return 0


def _reported() -> int:
    return expunge(main=lambda: report.main(["run", "--out", "deep/out"]))


SCENARIOS = {
    "linear": _run(*_SMALL, "removal.count=5", "unlearner=newton", "unlearner.std=1"),
    "release": _same(*_SMALL, "removal.count=4"),
    "network": _run(*_SMALL, *_MLP, "unlearner=finetune", "unlearner.max_batches=1", "removal.count=2"),
    "scrub": _run(*_SMALL, *_MLP, "unlearner=lcodec", "unlearner.n_perturbations=10", "removal.count=2"),
    "extractor": _run(*_SMALL, *_DP, "extractor.batch_size=100", "removal.count=2"),
    "figures": _same(*_FIGURES),
    "sweep": Scenario(lambda: expunge(*_CELLS)),
    "sweep_forced": Scenario(lambda: expunge(*_CELLS, "force=true"), lambda: expunge(*_CELLS)),
    "forced": Scenario(
        lambda: expunge(*_FIGURES, _RUN, "force=true"), lambda: expunge(*_FIGURES, _RUN, "seed=3")
    ),
    "forced_plain": Scenario(
        lambda: expunge(*_PLAIN, _RUN, "force=true"), lambda: expunge(*_PLAIN, _RUN, "seed=3")
    ),
    "grown": _grown(),
    "report": Scenario(_reported, lambda: expunge(*_FIGURES, _RUN)),
    "estimator": Scenario(_estimator, named_alone=True),
}


def warm(names: Iterable[str]) -> None:
    """Load and compile here what processes then inherit.

    The converter of charts has a thread of its own, which a process that is forked does not inherit: it would
    wait for it for ever. So no chart is converted here.
    """
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name in names:
            place = Path(folder, name)
            place.mkdir()
            patch.chdir(place)
            patch.setattr(vl_convert, "vegalite_to_svg", lambda _: "<svg/>")
            patch.setattr(vl_convert, "javascript_bundle", lambda _: "")
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                SCENARIOS[name].before()
                SCENARIOS[name].work()
