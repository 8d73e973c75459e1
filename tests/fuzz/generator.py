"""Command lines from a seed: each is what somebody may type, most of them wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

from expunge.run.config_files import config_dir
from tests.fuzz import values
from tests.fuzz.scenes import _ONE as ONE
from tests.fuzz.scenes import SCENES, keys_of, numbers_of


@dataclass(frozen=True)
class Line:
    """A command line and what may come of it.

    Attributes:
        program: ``expunge`` or another of our commands.
        arguments: What follows.
        names: A refusal names one of these: keys, flags, or what was given.
        never: It must be refused.
        kind: Which of the kinds below it is.
    """

    program: str
    arguments: tuple[str, ...]
    names: tuple[str, ...]
    never: bool
    kind: str


Maker = Callable[[random.Random], Line]
_GROUPS = ("dataset", "extractor", "model", "training", "unlearner", "removal", "metrics", "tracker")


def lines(count: int, seed: int) -> Iterator[Line]:
    """``count`` command lines; the same ones for the same seed."""
    rng = random.Random(seed)
    pairs = [(name, key) for name in SCENES for key in keys_of(name)]
    rng.shuffle(pairs)
    each = cycle(pairs)
    others: list[tuple[int, Maker]] = [
        *((6, _of_hydra), (4, _deleted), (5, _added), (8, _choices), (8, _flags), (5, _swept), (5, _seeded)),
        *((5, _doubled), (9, _of_another_command), (5, _resumed)),
    ]
    weights, makers = zip(*others, strict=True)
    for _ in range(count):
        part = rng.random()
        if part < 0.5:
            yield _of_values(rng, *next(each))
        elif part < 0.65:
            yield _extreme(rng)
        else:
            yield rng.choices(makers, weights)[0](rng)


def _value(rng: random.Random, key: str) -> str:
    pool = rng.choice((values.NEVER, values.NUMBERS, values.TEXTS, values.PATHS, values.ALL))
    return rng.choice([value for value in pool if values.is_quick(key, value)])


def _never(key: str, value: str) -> bool:
    group = key.partition(".")[0]
    return value in values.NEVER and value not in (*values.MAY.get(key, ()), *values.MAY.get(group, ()))


def _named(key: str, value: str) -> tuple[str, ...]:
    """What a refusal of a value may name: the key, or a file that the value is, or a reference in it."""
    shown = value.strip("'\"")
    parts = [key] if len(shown) < 3 else [key, shown[:60]]
    return (*parts, *(("NOPE", "missing", "nope") if "$" in value else ()))


def _of_values(rng: random.Random, scene: str, key: str) -> Line:
    """One key of a group or of the top with a value, at times with a second or a third."""
    more = rng.choice((0, 0, 0, 1, 2))
    keys = [key, *rng.sample(keys_of(scene), min(more, len(keys_of(scene))))]
    given = {key: _value(rng, key) for key in keys}
    overrides = tuple(f"{rng.choice(('', '', '', '++'))}{key}={value}" for key, value in given.items())
    names = tuple(name for key, value in given.items() for name in _named(key, value))
    never = any(_never(key, value) for key, value in given.items())
    return Line("expunge", (*SCENES[scene].arguments, *overrides), names, never, "value")


def _extreme(rng: random.Random) -> Line:
    """Several numbers of one scene that are large or small."""
    scene = rng.choice([name for name in SCENES if numbers_of(name)])
    keys = rng.sample(numbers_of(scene), min(len(numbers_of(scene)), rng.choice((1, 2, 2, 3, 4))))
    quick = {key: [value for value in values.EXTREMES if values.is_quick(key, value)] for key in keys}
    overrides = tuple(f"++{key}={rng.choice(quick[key])}" for key in keys)
    names = (*keys, *(f"{scene.partition(' ')[0]}.{key}" for key in keys), *_related(keys))
    return Line("expunge", (*SCENES[scene].arguments, *overrides), names, False, "extreme")


def _related(keys: list[str]) -> tuple[str, ...]:
    """What may be named where several numbers do not go together."""
    return (
        ("unlearner", "extractor", "study", "training", "model", "metrics", "dataset", "removal")
        if len(keys) > 1
        else ()
    )


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


def _of_hydra(rng: random.Random) -> Line:
    key = f"hydra.{rng.choice(_HYDRA)}"
    value = _value(rng, key)
    group = rng.random() < 0.2
    if group:
        key = rng.choice(
            ("hydra/launcher", "hydra/sweeper", "hydra/job_logging", "hydra/output", "hydra/nope")
        )
        value = rng.choice(("nope", "basic", "null", "none", "[a]", "nan", "''", "disabled"))
    many = ("-m", "seed=0,1") if rng.random() < 0.4 else ()
    sign = rng.choice(("", "", "+", "++"))
    return Line(
        "expunge", (*many, *ONE, f"{sign}{key}={value}"), (*_named(key, value), "hydra"), False, "hydra"
    )


def _deleted(rng: random.Random) -> Line:
    scene = rng.choice(list(SCENES))
    key = rng.choice(
        (*keys_of(scene), *_GROUPS, "hydra", "hydra.run", "hydra.run.dir", "nope", "unlearner.nope")
    )
    given = f"~{key}" + rng.choice(("", "", "=nope", "=1", "="))
    return Line("expunge", (*SCENES[scene].arguments, given), (key, key.partition(".")[0]), False, "deleted")


def _added(rng: random.Random) -> Line:
    scene = rng.choice(list(SCENES))
    group = rng.choice((*_GROUPS, "hydra", "nope", "study", "metrics.accuracy", "reduced", "seed", ""))
    key = f"{group}.{rng.choice(('x', 'foo', '_x', 'lam', '_target_', 'name', '0'))}".lstrip(".")
    key = rng.choice((key, key, "x", "unlearnr", "expunge", "defaults", "_target_", "study"))
    value = rng.choice(("1", "abc", "{a: 1}", "[1]", "null", "nan", "os.system", "expunge.app.main"))
    given = f"{rng.choice(('+', '++', ''))}{key}={value}"
    names = (*_named(key, value), key.rpartition(".")[2], group or key)
    return Line("expunge", (*SCENES[scene].arguments, given), names, False, "added")


def _choices(rng: random.Random) -> Line:
    """Choices of groups, many of which do not go together."""
    groups = rng.sample(("dataset", "extractor", "model", "unlearner", "removal", "training", "metrics"), 3)
    given = {}
    for group in groups:
        there = sorted(file.stem for file in (config_dir() / group).glob("*.yaml"))
        choice = rng.choice(
            (*there, *there, rng.choice(("nope", "null", "''", "nan", "1", "[]", "a/b", "../config")))
        )
        given[group] = f"[{choice}]" if group == "metrics" and rng.random() < 0.8 else choice
    small = [*ONE[1:-1], "threads=1"]
    if "dataset" not in given or given["dataset"] in ("mnist_3v8", "digits"):
        given.setdefault("dataset", "digits_3v8")
        small += ["dataset.train_rows=30"]
    if given.get("dataset") in ("mnist", "cifar10", "svhn", "fashion_mnist"):
        small += ["dataset.check_integrity=false", "model.std=1"]
    given.setdefault("model", rng.choice(("softmax", "logistic")))
    if given["model"] != "logistic" and given.get("training") != "newton":
        small += ["training.epochs=1", "training.max_batches=1"]
    if given.get("extractor") == "dp":
        small += ["extractor.epochs=1", "extractor.max_batches=1", "extractor.filters=[2]"]
    if given.get("extractor") == "pretrained":
        small += ["extractor.weights=null", "extractor.image_size=32"]
    if given.get("unlearner") in ("lcodec", "lcodec_published", "kfac"):
        small += ["unlearner.n_perturbations=20", "unlearner.curvature_rows=8"]
    overrides = [f"{group}={choice}" for group, choice in given.items()]
    names = (
        *given,
        *(choice.strip("[]'") for choice in given.values() if len(choice) > 3),
        *_parts(small),
        "data",
    )
    return Line("expunge", (*overrides, *small), names, False, "choices")


def _parts(overrides: list[str]) -> tuple[str, ...]:
    return tuple(text.partition("=")[0] for text in overrides)


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


def _flags(rng: random.Random) -> Line:
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


def _swept(rng: random.Random) -> Line:
    scene = rng.choice(("top", "linear newton", "linear newton_corrected", "rows", "class"))
    key, value = rng.choice((*keys_of(scene), "unlearner", "seed")), rng.choice(values.SWEPT)
    flags = rng.choice((("-m",), ("-m",), ()))
    return Line(
        "expunge",
        (*flags, *SCENES[scene].arguments, f"{key}={value}"),
        (*_named(key, value), "sweep"),
        False,
        "swept",
    )


def _seeded(rng: random.Random) -> Line:
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
    value = rng.choice((_value(rng, key), rng.choice(values.SWEPT), "2", "true", "false"))
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
    names = (*_named(key, value), "experiment", "reduced", *_parts(small))
    return Line("expunge", (*overrides, *small), names, False, "seeded")


def _doubled(rng: random.Random) -> Line:
    """A key twice; the last counts."""
    scene = rng.choice(list(SCENES))
    key = rng.choice(keys_of(scene))
    first, last = _value(rng, key), _value(rng, key)
    names = (*_named(key, last), *_named(key, first))
    never = _never(key, last)
    return Line(
        "expunge", (*SCENES[scene].arguments, f"{key}={first}", f"{key}={last}"), names, never, "doubled"
    )


def _resumed(rng: random.Random) -> Line:
    """Folders that hold another run, none, or what is no folder; nothing in them may change."""
    folder = rng.choice(
        ("done", "kept", "kept.txt", "empty", "missing", "missing/a/b", "fifo", "loop", "/dev/null", ".")
    )
    how = rng.choice(("resume=true", "force=true", "resume=maybe", "force=1", "", "resume=true force=true"))
    bad = rng.choice(("unlearner.lam=nan", "seed=-1", "unlearner.lam=0", "nope=1", "removal.count=500"))
    given = tuple(how.split())
    names = ("hydra.run.dir", folder, bad.partition("=")[0], *_parts(list(given)), bad.partition("=")[2])
    return Line("expunge", (*ONE, *given, bad, f"hydra.run.dir={folder}"), names, True, "resumed")


_COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "expunge-report": (
        ("--privacy",),
        *((f"--{name}",) for name in ("out", "rows", "batch-size", "epochs", "noise-multiplier", "delta")),
        *((f"--{name}",) for name in ("target-epsilon", "accountant", "sampling")),
        *(
            ("--nope",),
            ("--privacy", "--rows"),
            ("--privacy", "--noise-multiplier"),
            ("--privacy", "--delta"),
        ),
        *(("--privacy", "--epochs"), ("--privacy", "--target-epsilon"), ("--privacy", "--batch-size"), ()),
    ),
    "expunge-verify": (("--no-write",), ("-o",), ("--data-dir",), ("--nope",), ()),
    "expunge-audit": (
        ("--only",),
        ("--pairs",),
        ("--noise-pairs",),
        ("--minutes",),
        ("--seed",),
        ("--workers",),
    ),
    "expunge-reproduce": (
        ("icml2020", "--only"),
        ("icml2020", "--reduced", "--out", "kept.txt", "--only"),
        ("nope",),
        (),
    ),
}
_SHORT = {
    "expunge-audit": (
        "--pairs",
        "40",
        "--noise-pairs",
        "40",
        "--minutes",
        "0.01",
        "--workers",
        "1",
        "--only",
        "none",
    ),
}


def _of_another_command(rng: random.Random) -> Line:
    """Flags with values, and folders that hold no run."""
    program = rng.choice(list(_COMMANDS))
    flags = rng.choice(_COMMANDS[program])
    value = rng.choice((_value(rng, flags[-1]), "40", "1", "1e-5")) if flags else rng.choice(("kept", ""))
    folder = rng.choice(("kept", "kept.txt", "missing", "empty", "fifo", "loop", "/dev/null", "", "."))
    more = (folder,) if rng.random() < 0.5 and program in ("expunge-verify", "expunge-report") else ()
    given = (*more, *flags, value)
    names = (
        *flags,
        *_named(flags[-1] if flags else "FOLDER", value),
        *more,
        "FOLDER",
        "RUN",
        "PAPER",
        "KEY=VALUE",
    )
    names = (*names, "--only", "--privacy", "arguments", value)
    return Line(program, (*_SHORT.get(program, ()), *given), names, False, "commands")
