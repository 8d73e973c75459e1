"""Command lines by hand, of what the generator does not make: ``python -m tests.fuzz.lines --by-hand``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tests.fuzz.line import Line
from tests.fuzz.scenes import ONE

_OF = {
    "expunge": ONE,
    "two": ("-m", *ONE),
    "leak": ("figures=false", "threads=1", "progress=false", "+experiment=icml2020/leak", "study.draws=5"),
}
"""First word of a line of ``expunge`` -> what it stands for, after ``expunge``."""

REFUSED = (
    # The line, and after `#` what its refusal must name (one of these).
    "expunge unlearner.lam=1e-3 unlearner={lam:nan} # unlearner",
    "expunge '+unlearner={lam: .1, extra: {deep: [nan]}}' # unlearner.extra extra",
    "expunge '+unlearner.lam.deep=1' # unlearner.lam",
    "expunge 'unlearner[lam]=nan' # unlearner[lam] lam",
    "expunge 'seed=${seed}' # seed",
    "expunge 'seed=${removal.count}' 'removal.count=${seed}' # seed removal.count",
    "expunge 'seed=${oc.decode:nan}' # seed",
    "expunge 'unlearner.lam=${oc.env:PATH}' # unlearner.lam",
    "expunge 'unlearner.lam=${oc.create:{a:1}}' # unlearner.lam",
    "expunge 'seed=${hydra:job.num}' # seed hydra",
    "expunge 'seed=${hydra:nope}' # seed nope",
    "expunge 'seed=${hydra:}' # seed hydra",
    "expunge 'seed=${now:%Q%}' # seed",
    "expunge 'removal.count=${len:${removal}}' # removal.count len",
    "expunge 'seed=${' # seed",
    "expunge 'seed=\\${x}' # seed",
    "expunge 'unlearner.name=${oc.env:NOPE,${missing}}' # unlearner.name missing",
    "expunge 'unlearner.name=${unlearner.name}x' # unlearner.name",
    "expunge 'hydra.run.dir=${unlearner.lam' # hydra.run.dir",
    "expunge 'hydra.run.dir=${missing.key}' # hydra.run.dir missing.key",
    "expunge hydra.run.dir=kept.txt/below # hydra.run.dir kept.txt",
    "expunge hydra.run.dir=done # hydra.run.dir done",
    "expunge hydra.run.dir=done force=true unlearner.lam=-1 # unlearner.lam",
    "expunge hydra.run.dir=done resume=true seed=7 # seed hydra.run.dir done",
    "expunge hydra.run.dir=done/../kept force=true # kept",
    "expunge hydra.run.dir=. force=true # force",
    "expunge hydra.run.dir=.. force=true # force ..",
    "expunge resume=checkpoint hydra.run.dir=kept # kept",
    "expunge resume=checkpoint force=true hydra.run.dir=done # resume force",
    "expunge '+unlearner@training=newton' # training unlearner",
    "expunge 'unlearner@model=newton' # unlearner model",
    "expunge +dataset@dataset=mnist # dataset",
    "expunge +unlearner=[newton,retrain] # unlearner",
    "expunge unlearner=newton,retrain # unlearner -m",
    "expunge unlearner=newton+retrain # unlearner",
    "expunge +experiment=icml2020/leak,icml2020/leak # experiment",
    "expunge +experiment=[icml2020/leak,icml2020/mnist_bounds] # unlearner study experiment dataset removal",
    "expunge ++experiment=../dataset/digits # experiment",
    "expunge experiment=icml2020/leak # experiment",
    "expunge +experiment=icml2020/leak +experiment=icml2020/leak # experiment unlearner removal",
    "leak study.draws=0 # study.draws",
    "leak study.draws=nan seeds=2 # study.draws seeds",
    "leak +study.draws=5 # study.draws",
    "leak unlearner=newton # unlearner",
    "leak reduced=nan # reduced",
    "expunge seeds=[0,0] # seeds",
    "expunge seeds=1e9 # seeds",
    "expunge seeds=2 seed=0 # seed seeds",
    "expunge seeds=0..3 # seeds",
    "two seed=0,1 hydra.sweep.dir=kept.txt # hydra.sweep.dir kept.txt",
    "two seed=0,1 'hydra.sweep.subdir=../../x${seed}' # hydra.sweep.subdir",
    "two seed=0,1 hydra.sweep.subdir=/tmp # hydra.sweep.subdir",
    "expunge hydra/sweeper=nan # hydra/sweeper",
    "expunge hydra/output=nan # hydra/output",
    "expunge metrics=[null] # metrics",
    "expunge --config-name=nope # --config-name",
    "two 'seed=range(0,3,-1)' # seed",
    "two 'seed=range(0,1e308)' # seed",
    "two 'hydra.sweeper.params={seed: nan}' # hydra.sweeper.params seed",
    "two seed=0,1 hydra/launcher=joblib hydra.launcher.n_jobs=nan # n_jobs hydra/launcher",
    "two seed=0,1 optimized_metric=nope # optimized_metric nope",
    "expunge 'unlearner.name=\"a\nb\"' # unlearner.name",
    "expunge unlearner.name=\"'; rm -rf x'\" unlearner.lam=0 # unlearner.lam",
    "expunge 'seed=\"1\"' # seed",
    "expunge seed= # seed",
    "expunge seed==1 # seed",
    "expunge =seed # seed override =seed",
    "expunge ' seed=nan' # seed",
    "expunge 'seed =1' # seed",
    "expunge SEED=1 # SEED",
    "expunge ünlearner.lam=1 # ünlearner",
    "expunge -- unlearner.lam=nan # unlearner.lam --",
    "expunge --cfg job --resolve 'seed=${nope}' # seed nope",
    "expunge --cfg job --package unlearner.nope # package nope",
    "expunge --config-name=config --config-dir=data seed=nan # seed",
    "expunge --multirun=1 seed=0,1 # --multirun",
    "expunge --multi seed=nan # --multi seed",
    "expunge threads=1e3 # threads",
    "expunge data_dir=[data] # data_dir",
    "expunge removal=random 'removal.rows=[1]' # removal.rows rows",
    "expunge removal=rows removal.rows=[] # removal.rows",
    "expunge removal=rows removal.rows=[1,1] # removal.rows",
    "expunge removal=rows 'removal.rows=[-1]' # removal.rows",
    "expunge removal=rows removal.rows=rows.npz # removal.rows rows.npz",
    "expunge model=mlp unlearner=newton model.hidden=[1] # unlearner model",
    "expunge 'metrics={accuracy:1}' # metrics",
    "expunge tracker=wandb tracker.mode=[disabled] # tracker.mode",
    "expunge checkpoint_every=nan # checkpoint_every",
    "expunge checkpoint_every=-1 # checkpoint_every",
    "expunge-report # FOLDER RUN folder",
    "expunge-report done --out kept.txt/x # kept.txt --out",
    "expunge-report done --rows 10 # --rows --privacy",
    "expunge-report --out # --out",
    "privacy --batch-size 200 --epochs 1 --noise-multiplier 1 --delta 1e-5 # batch",
    "privacy --batch-size 10 --epochs 1 --noise-multiplier nan --delta 1e-5 # noise-multiplier",
    "privacy --batch-size 10 --epochs 1 --noise-multiplier 1 --delta 2 # delta",
    "expunge-report --privacy --rows 1e2 --batch-size 10 --epochs 1 --noise-multiplier 1 --delta 1e-5 # rows",
    "expunge-report done --out=a --out=kept.txt # kept.txt",
    "expunge-verify done --data-dir # --data-dir",
    "expunge-verify --no-write=1 done # --no-write",
    "expunge-verify done/summary.json # summary.json",
    "expunge-verify done dataset.train_rows=nan # dataset.train_rows done",
    "expunge-verify '' # RUN FOLDER",
    "expunge-report '' # FOLDER",
    "expunge-report done '' # FOLDER",
    "expunge-audit --only nope # --only nope",
    "expunge-audit --seed=-1 --only none # --seed --only",
    "expunge-audit --seed 1e99 --only none # --seed",
    "expunge-audit --minutes=-inf --only none # --minutes",
    "expunge-audit --workers 0 --only none # --workers",
    "expunge-audit --pairs 0 --only none # --pairs",
    "expunge-audit done extra # done extra",
    "expunge-audit kept # kept",
    "expunge-reproduce ../icml2020 # icml2020",
    "expunge-reproduce icml2020 --only nope --reduced # nope",
    "expunge-reproduce icml2020 --only '' --reduced # --only",
    "expunge-reproduce icml2020 --out done --only nope # nope done --out",
    "expunge-reproduce icml2020 extra=1 unlearner.lam=nan --only nope # extra --only nope unlearner.lam",
    "expunge-reproduce --reduced # PAPER",
    "expunge-reproduce icml2020 cvpr2022 # cvpr2022",
)
TAKEN = (
    "expunge unlearner={}",
    "leak study.draws=7",
    "two seed=0,0 hydra.sweep.dir=swept",
    "expunge optimized_metric=[]",
    "expunge 'metrics=[accuracy,accuracy]'",
    "expunge-report done done --out new",
    "expunge-verify done done --no-write",
    "expunge 'seed=${oc.decode:\"1\"}'",
    "expunge unlearner.name=\"'a, b=c # d'\"",
    "expunge 'unlearner.name=${unlearner.lam}-x'",
    "expunge hydra.run.dir=kept/new/deep",
    "expunge hydra.run.dir=empty",
    "expunge 'hydra.run.dir=\"a b/ü\"'",
    "expunge resume=auto hydra.run.dir=new",
    "expunge 'hydra.run.dir=new/${unlearner.name}'",
    "expunge hydra.job.chdir=true",
    "two seed=0,1 'hydra.sweep.subdir=s${seed}'",
    "two seed=0 unlearner.lam=1e-3,1e-2 hydra.sweep.dir=swept",
    "expunge --cfg job",
    "expunge --cfg=all",
    "expunge-report done --out new",
    "expunge-verify done --no-write",
)
"""These do as they say."""


def lines() -> Iterator[Line]:
    """All of them."""
    for text in REFUSED:
        given, _, named = text.rpartition(" # ")
        yield _line(given, tuple(named.split()), True)
    for text in TAKEN:
        yield _line(text, (), False)


def _line(text: str, names: tuple[str, ...], never: bool) -> Line:
    first, *rest = shlex.split(text)
    if first == "privacy":
        return Line("expunge-report", ("--privacy", "--rows", "100", *rest), names, never, "refused")
    program, base = ("expunge", _OF[first]) if first in _OF else (first, ())
    return Line(program, (*base, *rest), names, never, "refused" if never else "taken")
