"""Command lines that give, delete, add and choose settings."""

from __future__ import annotations

import random

from expunge.run.config_files import config_dir
from tests.fuzz import values
from tests.fuzz.line import Line, drawn, is_never, keys_in, named
from tests.fuzz.scenes import ONE, SCENES, keys_of, numbers_of

_GROUPS = ("dataset", "extractor", "model", "training", "unlearner", "removal", "metrics", "tracker")


def of_values(rng: random.Random, scene: str, key: str) -> Line:
    """One key of a group or of the top with a value, at times with a second or a third."""
    more = rng.choice((0, 0, 0, 1, 2))
    keys = [key, *rng.sample(keys_of(scene), min(more, len(keys_of(scene))))]
    given = {key: drawn(rng, key) for key in keys}
    overrides = tuple(f"{rng.choice(('', '', '', '++'))}{key}={value}" for key, value in given.items())
    names = tuple(name for key, value in given.items() for name in named(key, value))
    never = any(is_never(key, value) for key, value in given.items())
    return Line("expunge", (*SCENES[scene].arguments, *overrides), names, never, "value")


def extreme(rng: random.Random) -> Line:
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


def deleted(rng: random.Random) -> Line:
    scene = rng.choice(list(SCENES))
    key = rng.choice(
        (*keys_of(scene), *_GROUPS, "hydra", "hydra.run", "hydra.run.dir", "nope", "unlearner.nope")
    )
    given = f"~{key}" + rng.choice(("", "", "=nope", "=1", "="))
    return Line("expunge", (*SCENES[scene].arguments, given), (key, key.partition(".")[0]), False, "deleted")


def added(rng: random.Random) -> Line:
    scene = rng.choice(list(SCENES))
    group = rng.choice((*_GROUPS, "hydra", "nope", "study", "metrics.accuracy", "reduced", "seed", ""))
    key = f"{group}.{rng.choice(('x', 'foo', '_x', 'lam', '_target_', 'name', '0'))}".lstrip(".")
    key = rng.choice((key, key, "x", "unlearnr", "expunge", "defaults", "_target_", "study"))
    value = rng.choice(("1", "abc", "{a: 1}", "[1]", "null", "nan", "os.system", "expunge.app.main"))
    given = f"{rng.choice(('+', '++', ''))}{key}={value}"
    names = (*named(key, value), key.rpartition(".")[2], group or key)
    return Line("expunge", (*SCENES[scene].arguments, given), names, False, "added")


def choices(rng: random.Random) -> Line:
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
    if given.get("extractor") == "dp_public":
        small += ["extractor.epochs=1", "extractor.max_batches=1"]
    if given.get("extractor") in ("pretrained", "dp_public"):
        small += ["extractor.weights=null", "extractor.image_size=32"]
    if given.get("unlearner") in ("lcodec", "lcodec_published", "kfac"):
        small += ["unlearner.n_perturbations=20", "unlearner.curvature_rows=8"]
    overrides = [f"{group}={choice}" for group, choice in given.items()]
    names = (
        *given,
        *(choice.strip("[]'") for choice in given.values() if len(choice) > 3),
        *keys_in(small),
        *("data", "removal.count"),
    )
    return Line("expunge", (*overrides, *small), names, False, "choices")


def doubled(rng: random.Random) -> Line:
    """A key twice; the last counts."""
    scene = rng.choice(list(SCENES))
    key = rng.choice(keys_of(scene))
    first, last = drawn(rng, key), drawn(rng, key)
    names = (*named(key, last), *named(key, first))
    never = is_never(key, last)
    return Line(
        "expunge", (*SCENES[scene].arguments, f"{key}={first}", f"{key}={last}"), names, never, "doubled"
    )
