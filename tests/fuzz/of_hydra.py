"""Command lines about what Hydra does: its own keys and flags, sweeps, folders of runs."""

from __future__ import annotations

import random

from tests.fuzz import values
from tests.fuzz.line import Line, drawn, keys_in, named
from tests.fuzz.scenes import ONE, SCENES, keys_of

_HYDRA = (
    *("run.dir", "sweep.dir", "sweep.subdir", "job.name", "job.chdir", "job.num", "job.id", "output_subdir"),
    *("verbose", "mode", "searchpath", "sweeper.params", "sweeper.max_batch_size", "launcher", "sweeper"),
    *("run", "job", "runtime.cwd", "runtime.output_dir", "callbacks", "job_logging", "job.env_set", "nope"),
    *("job.config.override_dirname.kv_sep", "callbacks.sweep", "hydra_logging", "job.env_copy", "runtime"),
    *(
        "launcher._target_",
        "overrides.task",
        "sweeper._target_",
        "job.override_dirname",
        "env",
        "help.template",
    ),
)


def of_hydra(rng: random.Random) -> Line:
    key = f"hydra.{rng.choice(_HYDRA)}"
    value = drawn(rng, key)
    group = rng.random() < 0.2
    if group:
        key = rng.choice(
            ("hydra/launcher", "hydra/sweeper", "hydra/job_logging", "hydra/output", "hydra/nope")
        )
        value = rng.choice(("nope", "basic", "null", "none", "[a]", "nan", "''", "disabled"))
    many = ("-m", "seed=0,1") if rng.random() < 0.4 else ()
    sign = rng.choice(("", "", "+", "++"))
    return Line(
        "expunge", (*many, *ONE, f"{sign}{key}={value}"), (*named(key, value), "hydra"), False, "hydra"
    )


_FLAGS = (
    *("--cfg", "--cfg=job", "--cfg=nope", "--info", "--info=nope", "-m", "--multirun", "-r", "--config-name"),
    *(
        "--config-name=nope",
        "--config-name=''",
        "--config-dir=nowhere",
        "--config-dir",
        "--config-path=nowhere",
    ),
    *(
        "--config-path=kept",
        "--config-dir=kept.txt",
        "--config-dir=empty",
        "--package",
        "--package=unlearner",
    ),
    *(
        "--package=nope",
        "--resolve",
        "--nope",
        "-x",
        "--",
        "-",
        "---",
        "--help=1",
        "-h",
        "--version",
        "--version=2",
    ),
    *(
        "--shell-completion",
        "--shell-completion=nope",
        "-sc",
        "--experimental-rerun=kept",
        "--experimental-rerun",
    ),
    *(
        "-c",
        "-c job",
        "-p nope",
        "-cd kept",
        "-cn kept",
        "--hydra-help",
        "--run",
        "--lam=1",
        "--seed",
        "-s=1",
    ),
    *("--config-dir=fifo", "--config-dir=loop", "--config-name=../config", "--config-name=unlearner/newton"),
    *("--config-dir=\x00", "-cp=''", "--cfg hydra", "--cfg all", "--info searchpath", "--unlearner.lam=1"),
)
_PRINTS = ("--cfg", "-c", "--info", "-h", "--version", "--hydra-help", "--help")


def flags(rng: random.Random) -> Line:
    given = [rng.choice(_FLAGS) for _ in range(rng.choice((1, 1, 2, 3)))]
    words = [word for flag in given for word in flag.split(" ")]
    rest = [
        *ONE,
        *rng.choice(((), ("seed=0,1",), ("unlearner.lam=nan",), ("seed",), ("=",), ("a=b=c",), ("",))),
    ]
    place = rng.randrange(len(rest) + 1)
    names = (*given, *(flag.partition("=")[0] for flag in words), *(w for w in words if len(w) > 2))
    odd = ("seed", "unlearner.lam", "a=b=c", "not an override", "sweep")
    shown = (
        "job",
        "config",
        "flag",
        "kept",
        "nowhere",
        "=",
        "--package",
        "''",
        "no override",
        "loop",
        "fifo",
    )
    return Line("expunge", (*rest[:place], *words, *rest[place:]), (*names, *odd, *shown), False, "flags")


def swept(rng: random.Random) -> Line:
    scene = rng.choice(("top", "linear newton", "linear newton_corrected", "rows", "class"))
    key, value = rng.choice((*keys_of(scene), "unlearner", "seed")), rng.choice(values.SWEPT)
    flags = rng.choice((("-m",), ("-m",), ()))
    return Line(
        "expunge",
        (*flags, *SCENES[scene].arguments, f"{key}={value}"),
        (*named(key, value), "sweep"),
        False,
        "swept",
    )


def seeded(rng: random.Random) -> Line:
    experiments = (
        "icml2020/mnist_corrected",
        "icml2020/mnist_bounds",
        "icml2020/leak",
        "nope",
        "",
        "icml2020",
    )
    experiment = rng.choice(experiments)
    key = rng.choice(
        ("seeds", "reduced", "seeds", "reduced", "study.n", "unlearner.lam", "experiment", "study.nope")
    )
    value = rng.choice((drawn(rng, key), rng.choice(values.SWEPT), "2", "true", "false"))
    overrides = [f"{rng.choice(('', '+', '++'))}{key}={value}"]
    small = [*ONE[1:3], "progress=false"]
    if rng.random() < 0.5:
        overrides = [f"+experiment={experiment}", "reduced=true", *overrides]
        if key not in ("seeds", "reduced"):
            small += ["hydra.mode=RUN"] if rng.random() < 0.5 else []
        if experiment == "icml2020/mnist_corrected":
            small += ["dataset=digits_3v8", "removal.count=1"]
        if experiment == "icml2020/leak":
            small += ["study.draws=5"]
        if experiment == "icml2020/mnist_bounds":
            small += ["study.removals=2", "study.points=2", "study.batch_sizes=[1]"]
    else:
        small += ["dataset=digits_3v8", "removal.count=1"]
    names = (*named(key, value), "experiment", "reduced", *keys_in(small))
    return Line("expunge", (*overrides, *small), names, False, "seeded")


def resumed(rng: random.Random) -> Line:
    """Folders that hold another run, none, or what is no folder; nothing in them may change."""
    folder = rng.choice(
        ("done", "kept", "kept.txt", "empty", "missing", "missing/a/b", "fifo", "loop", "/dev/null", ".")
    )
    how = rng.choice(("resume=true", "force=true", "resume=maybe", "force=1", "", "resume=true force=true"))
    bad = rng.choice(("unlearner.lam=nan", "seed=-1", "unlearner.lam=0", "nope=1", "removal.count=500"))
    given = tuple(how.split())
    names = ("hydra.run.dir", folder, bad.partition("=")[0], *keys_in(list(given)), bad.partition("=")[2])
    return Line("expunge", (*ONE, *given, bad, f"hydra.run.dir={folder}"), names, True, "resumed")
