"""From a composed configuration to the objects of an experiment. Complaints name the configuration key."""

from __future__ import annotations

import inspect
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.core.checks import require_choice, require_count, require_switch
from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.run.job_cache import JobCache, Once
from expunge.run.runner import Experiment
from expunge.studies import Study
from expunge.tracking import Tracker

if TYPE_CHECKING:
    from expunge.training import Learner

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
    target = _locate(group, str(settings["_target_"]))
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    known = inspect.signature(target).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for key in arguments:
        if key not in known and not takes_any:
            raise InvalidValue(group, key, "the keys " + ", ".join(k for k in known if k not in extra))
    arguments |= {key: value for key, value in extra.items() if key in known}
    try:
        return target(**arguments)
    except (InvalidValue, DataError) as error:
        if error.name in extra:  # not a key of the group's own
            raise
        raise error.within(group) from None


def _locate(group: str, path: str) -> Any:
    module, _, name = path.rpartition(".")
    if module.split(".")[0] not in TRUSTED:
        raise InvalidValue(f"{group}._target_", path, "a name in the package " + " or ".join(TRUSTED))
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidValue(f"{group}._target_", path, f"something that can be imported ({error})") from None


def build_experiment(
    settings: dict[str, Any], choices: dict[str, str], cache: JobCache, group: str | None
) -> Experiment:
    """Build and check everything that can be checked before a run begins.

    Args:
        settings: The whole resolved configuration.
        choices: Config group -> the choice made.
        cache: What the experiments of this process have in common: data and features.
        group: Name of the sweep the run belongs to.
    """
    _check_common(settings)
    model = _learner(settings, choices)
    unlearner = _unlearner(settings, choices, model)
    metrics = {name: build(f"metrics.{name}", of) for name, of in (settings.get("metrics") or {}).items()}
    tracker = build("tracker", settings["tracker"])
    removal = build("removal", settings["removal"])
    extractor = _extractor(settings, cache, network=model is not None)
    dataset = _dataset(settings, cache)
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


def _dataset(settings: dict[str, Any], cache: JobCache) -> Any:
    def make() -> Any:
        return build("dataset", settings["dataset"], data_dir=data_dir(settings))

    return cache.get("dataset", _data_of(settings), make)


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

    def make() -> Any:
        return Once(build("extractor", settings["extractor"], **common))

    made_from = {**_data_of(settings), **common, "extractor": settings["extractor"]}
    return cache.get("extractor", {**made_from, "cache": str(common["cache"])}, make)


def _data_of(settings: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": settings["dataset"], "data_dir": str(data_dir(settings))}


def _learner(settings: dict[str, Any], choices: dict[str, str]) -> Learner | None:
    """The network and how it is trained, or None for the linear model, which its unlearner trains itself.

    Raises:
        InvalidValue: The training is not one for this model.
    """
    network, trained = ("_target_" in (settings[group] or {}) for group in ("model", "training"))
    if network != trained:
        allowed = "sgd or adam for a network" if network else "newton with model=logistic"
        raise InvalidValue("training", choices.get("training"), allowed)
    if not network:
        return None
    import torch

    from expunge.core.cores import available_cores
    from expunge.training import Learner

    torch.set_num_threads(settings["threads"] or available_cores())
    architecture, training = build("model", settings["model"]), build("training", settings["training"])
    device, progress = settings["device"], bool(settings["progress"])
    return Learner(architecture, training, device, cache_dir(settings), progress, settings["threads"])


def _unlearner(settings: dict[str, Any], choices: dict[str, str], model: Learner | None) -> Any:
    """The unlearner, if it can work on the model."""
    group, method = settings["unlearner"], f"unlearner={choices.get('unlearner')}"
    if isinstance(group, dict) and "_target_" in group:
        takes = inspect.signature(_locate("unlearner", str(group["_target_"]))).parameters.get("model")
        if model is not None and takes is None:
            raise InvalidValue("model", choices.get("model"), f"logistic with {method}")
        if model is None and takes is not None and takes.default is inspect.Parameter.empty:
            raise InvalidValue("model", choices.get("model"), f"a network with {method}")
    return build(
        "unlearner", group, model=model, threads=settings["threads"], progress=bool(settings["progress"])
    )


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
