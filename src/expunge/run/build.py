"""From a composed configuration to the objects of an experiment. Complaints name the configuration key."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from expunge.core.checks import require_choice, require_count, require_switch
from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.predictors import KINDS, Predictor
from expunge.run.job_cache import JobCache, Once
from expunge.run.linear_settings import OF_THE_MODEL, linear_model
from expunge.run.protocols import require_complete, require_protocol
from expunge.run.runner import Experiment
from expunge.studies import Study
from expunge.tracking import Tracker

TRUSTED = ("expunge", "expunge_plugins")
"""Packages that ``_target_`` may name: a configuration file must not be able to call anything else."""


_HOME = "~/.cache/expunge"


def build(group: str, settings: Any, **extra: Any) -> Any:
    """Call the ``_target_`` of a group's settings with the other keys as arguments.

    Args:
        group: Name of the config group, for messages.
        settings: The group's resolved settings.
        extra: Arguments from elsewhere; passed where the target takes them.

    Raises:
        InvalidValue: The target is not one of ours, or a key has a value it refuses.
    """
    if not isinstance(settings, dict) or "_target_" not in settings:
        raise InvalidValue(group, settings, "a choice of this group (see --help)")
    path = str(settings["_target_"])
    target = _locate(group, path)
    require_complete(group, path, target)
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    known = _parameters(target)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    elsewhere = OF_THE_MODEL if "logistic" in getattr(target, "supports", ()) else ()
    for key in arguments:
        if key not in known and not takes_any:
            allowed = ", ".join([*elsewhere, *(k for k in known if k not in extra)])
            raise InvalidValue(group, key, f"the keys {allowed}")
    arguments |= {key: value for key, value in extra.items() if key in known}
    for key, parameter in known.items():
        optional = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if not optional and parameter.default is parameter.empty and key not in arguments:
            raise UserError(f"{group}.{key}: missing; {path} needs it")
    try:
        made = target(**arguments)
    except (InvalidValue, DataError) as error:
        if error.name in extra:  # not a key of the group's own
            raise
        raise error.within(group) from None
    require_protocol(group, path, made)
    return made


def _parameters(target: Any) -> dict[str, inspect.Parameter]:
    """What a callable takes. A class without a constructor of its own takes nothing.

    A protocol's constructor, which takes anything, stands in for one until the class is first called.
    """
    known = dict(inspect.signature(target).parameters)
    if not isinstance(target, type) or target.__new__ is not object.__new__:
        return known
    protocols = [kind for kind in target.__mro__ if vars(kind).get("_is_protocol")]
    others = [vars(kind).get("__init__") for kind in target.__mro__ if kind not in protocols]
    nobody = (None, object.__init__, *(vars(kind).get("__init__") for kind in protocols))
    return {} if all(one in nobody for one in others) else known


def _locate(group: str, path: str) -> Any:
    module, _, name = path.rpartition(".")
    if module.split(".")[0] not in TRUSTED:
        raise InvalidValue(f"{group}._target_", path, "a name in the package " + " or ".join(TRUSTED))
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidValue(f"{group}._target_", path, f"something that can be imported ({error})") from None


def build_experiment(
    settings: dict[str, Any],
    choices: dict[str, str],
    cache: JobCache,
    group: str | None,
    typed: Collection[str] = (),
) -> Experiment:
    """Build and check everything that can be checked before a run begins.

    Args:
        settings: The whole resolved configuration.
        choices: Config group -> the choice made.
        cache: What the experiments of this process have in common: data and features.
        group: Name of the sweep the run belongs to.
        typed: Dotted keys that the command line gives.
    """
    _check_common(settings)
    network = _is_network(settings, choices)
    unlearner = _unlearner(settings, choices, network, typed)
    metrics = {name: build(f"metrics.{name}", of) for name, of in (settings.get("metrics") or {}).items()}
    tracker = build("tracker", settings["tracker"])
    removal = build("removal", settings["removal"])
    extractor = _extractor(settings, cache, network=network)
    make = partial(build, "dataset", settings["dataset"], data_dir=data_dir(settings))
    dataset = cache.get("dataset", _data_of(settings), make)
    _check_retrieval(metrics, dataset, choices)
    try:
        requests = removal.stream(dataset, settings["seed"])
    except (InvalidValue, DataError) as error:
        raise error.within("removal") from None
    return Experiment(
        settings=settings,
        dataset=dataset,
        extractor=extractor,
        unlearner=unlearner,
        requests=requests,
        metrics=list(metrics.values()),
        tracker=tracker,
        seed=settings["seed"],
        checkpoint_every=settings["checkpoint_every"],
        stop_at_limit=settings["stop_at_limit"],
        progress=bool(settings["progress"]),
        group=group,
        facts={
            "dataset": choices.get("dataset", dataset.name),
            "extractor": choices.get("extractor"),
            "model": choices.get("model"),
            "unlearner": unlearner.name,
            "epsilon": settings["unlearner"].get("epsilon"),
            "delta": settings["unlearner"].get("delta"),
        },
    )


def _check_retrieval(metrics: dict[str, Any], dataset: Any, choices: dict[str, str]) -> None:
    """Refuse to look for people where there are neither queries nor a gallery: nothing would be measured."""
    for name, metric in metrics.items():
        if getattr(metric, "needs_retrieval", False) and dataset.retrieval is None:
            got = f"dataset={choices.get('dataset', dataset.name)}"
            raise InvalidValue(f"metrics.{name}", got, "a re-identification data set (reid, reid_faces)")


def _extractor(settings: dict[str, Any], cache: JobCache, network: bool) -> Any:
    """The extractor, with the features that it has found for the same data already."""
    common = {
        "network": network,
        "device": settings["device"],
        "cache": cache_dir(settings),
        "progress": bool(settings["progress"]),
        "threads": settings["threads"],
    }

    of = settings["extractor"]
    made_from = {**_data_of(settings), **common, "extractor": of, "cache": str(common["cache"])}
    return cache.get("extractor", made_from, lambda: Once(build("extractor", of, **common)))


def _data_of(settings: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": settings["dataset"], "data_dir": str(data_dir(settings))}


def _is_network(settings: dict[str, Any], choices: dict[str, str]) -> bool:
    """Whether the model is a network; the linear model has no class of its own to be named.

    Raises:
        InvalidValue: The training is not one for this model.
    """
    network, trained = ("_target_" in (settings[group] or {}) for group in ("model", "training"))
    if network != trained:
        allowed = "sgd or adam for a network" if network else "newton with model=logistic"
        raise InvalidValue("training", choices.get("training"), allowed)
    return network


def _unlearner(
    settings: dict[str, Any], choices: dict[str, str], network: bool, typed: Collection[str]
) -> Any:
    """The method on its model, if it supports it, or a plug-in that is a model itself, for features."""
    group, how = settings["unlearner"], {key: settings[key] for key in ("threads", "progress")}
    if not isinstance(group, dict) or "_target_" not in group:
        return build("unlearner", group)
    target = _locate("unlearner", str(group["_target_"]))
    supports = getattr(target, "supports", ("logistic",))
    if ("network" if network else "logistic") not in supports:
        allowed = " or ".join(KINDS.get(kind, kind) for kind in supports)
        method = f"unlearner={choices.get('unlearner')}"
        raise InvalidValue("model", choices.get("model"), f"{allowed} with {method}")
    if not hasattr(target, "supports"):
        return build("unlearner", group, **how)
    model = _network(settings) if network else linear_model(settings, typed)
    own = {key: value for key, value in group.items() if key not in OF_THE_MODEL}
    for key in OF_THE_MODEL:
        if network and group.get(key) is not None:
            allowed = "null for a network, whose penalty is training.weight_decay"
            raise InvalidValue(f"unlearner.{key}", group[key], allowed)
    return build("unlearner", own, model=model, **how)


def _network(settings: dict[str, Any]) -> Predictor:
    """The network and how it is trained."""
    import torch

    from expunge.core.cores import available_cores
    from expunge.predictors.network import NetworkModel
    from expunge.training import Learner

    torch.set_num_threads(settings["threads"] or available_cores())
    architecture, training = _architecture(settings["model"]), build("training", settings["training"])
    device, progress = settings["device"], bool(settings["progress"])
    return NetworkModel(
        Learner(architecture, training, device, cache_dir(settings), progress, settings["threads"])
    )


def _architecture(settings: dict[str, Any]) -> Any:
    """The family of networks; a class of torch modules is one with its settings."""
    from torch import nn

    from expunge.models.module_class import ModuleClass

    path = str(settings["_target_"])
    target = _locate("model", path)
    if not (isinstance(target, type) and issubclass(target, nn.Module)):
        return build("model", settings)
    named = {"name": target.__name__, "weights": None, **settings}
    own = {key: value for key, value in settings.items() if key not in ("_target_", "name", "weights")}
    try:
        return ModuleClass(path, own, named["weights"], named["name"])
    except InvalidValue as error:
        raise error.within("model") from None


def build_study(settings: dict[str, Any]) -> tuple[Study, Tracker]:
    """Build and check a study (``study`` in the settings) and its tracker.

    Args:
        settings: The whole resolved configuration.

    Raises:
        UserError: A key has a value that is refused.
    """
    _check_common(settings)
    study = build("study", settings["study"], seed=settings["seed"], threads=settings["threads"])
    return study, build("tracker", settings["tracker"])


def _check_common(settings: dict[str, Any]) -> None:
    require_count("seed", settings["seed"], least=0)
    require_choice("device", settings["device"], ("auto", "cpu", "cuda"))
    require_count("checkpoint_every", settings["checkpoint_every"])
    for switch in ("resume", "force", "stop_at_limit", "progress"):
        require_switch(switch, settings[switch])
    if settings["figures"] != "all" and not isinstance(settings["figures"], bool):
        raise InvalidValue("figures", settings["figures"], "true, false or all")
    if settings["seeds"] is not None:
        raise InvalidValue(
            "seeds", settings["seeds"], "a number on the command line; in a file, sweep over seed"
        )
    if settings["threads"] is not None:
        require_count("threads", settings["threads"])


def data_dir(settings: dict[str, Any]) -> Path:
    """``data_dir``, or ``$EXPUNGE_DATA``, or ``~/.cache/expunge``."""
    return _folder(settings, "data_dir", os.environ.get("EXPUNGE_DATA") or _HOME)


def cache_dir(settings: dict[str, Any]) -> Path:
    """``cache_dir``, or ``$EXPUNGE_CACHE``, or ``~/.cache/expunge/trained``: networks and features."""
    return _folder(settings, "cache_dir", os.environ.get("EXPUNGE_CACHE") or f"{_HOME}/trained")


def _folder(settings: dict[str, Any], key: str, otherwise: str) -> Path:
    given = settings[key] or otherwise
    if not isinstance(given, (str, Path)):
        raise InvalidValue(key, given, "the path of a folder")
    path = Path(given).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise UserError(f"{key}: {path} is not a folder")
    return path
