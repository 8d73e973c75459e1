"""From a composed configuration to the objects of an experiment. Complaints name the configuration key."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from expunge.core.checks import require_choice, require_count, require_seed, require_switch
from expunge.core.errors import DataError, InvalidValue
from expunge.core.sources import digests_of, targets_in
from expunge.datasets import Dataset
from expunge.predictors import KINDS, Predictor
from expunge.record.inputs import Inputs
from expunge.record.resume import FROM_CHECKPOINT, IF_THERE
from expunge.record.settings import AXES, decisive
from expunge.run.declared import located, require_parts
from expunge.run.experiment import Experiment
from expunge.run.folders import cache_dir, data_dir
from expunge.run.job_cache import JobCache, Once
from expunge.run.linear_settings import (
    OF_THE_MODEL,
    as_typed,
    at_release,
    constant_of,
    linear_model,
    release_std,
    weigh,
)
from expunge.run.targets import build
from expunge.run.tuning.held_out import of_trial
from expunge.studies import Study
from expunge.tracking import Tracker


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
    named = named_inputs(settings)
    network = _is_network(settings, choices)
    unlearner = build_unlearner(settings, choices, network, typed)
    _repeat(unlearner, settings, choices)
    metrics = {name: build(f"metrics.{name}", of) for name, of in (settings.get("metrics") or {}).items()}
    tracker = build("tracker", settings["tracker"])
    removal = build("removal", settings["removal"])
    dataset, digests = data_of(settings, cache)
    if (trial := of_trial(settings, dataset, digests, removal, cache)) is not None:
        dataset, digests = trial.dataset, trial.digests
    weigh(unlearner, dataset, typed)
    constant = 0.0 if network else constant_of(settings, dataset)
    extractor, files = extractor_of(settings, cache, digests, network, constant)
    _check_measurable(metrics, dataset, choices)
    try:
        requests = removal.stream(dataset, settings["seed"]) if trial is None else trial.requests
    except (InvalidValue, DataError) as error:
        raise error.within("removal") from None
    _check_releases(unlearner, len(requests))
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
        typed=typed,
        inputs=named.with_files(files).with_data(digests, settings["dataset"]).with_requests(requests),
        facts={
            "dataset": choices.get("dataset", dataset.name),
            "extractor": choices.get("extractor"),
            "model": choices.get("model"),
            "unlearner": unlearner.name,
            "epsilon": settings["unlearner"].get("epsilon"),
            "delta": settings["unlearner"].get("delta"),
        },
    )


def _repeat(unlearner: Any, settings: dict[str, Any], choices: dict[str, str]) -> None:
    """Tell the model which of several unlearnings this is; a plug-in may draw from the seed alone."""
    model = getattr(unlearner, "predictor", None)
    for key in ("repeat", "evaluation"):
        if settings[key] and not isinstance(model, Predictor):
            allowed = f"0 with unlearner={choices.get('unlearner')}, which has no model of this package's"
            raise InvalidValue(key, settings[key], allowed)
    if isinstance(model, Predictor):
        model.repeat = settings["repeat"]


def _check_releases(unlearner: Any, requests: int) -> None:
    """Refuse a run that could not serve its last requests; the first model that leaves counts as well."""
    if getattr(unlearner, "keeps_secret", False) and unlearner.releases <= requests:
        allowed = f"at least {requests + 1}: a model for each of {requests} requests, and the first"
        raise InvalidValue("unlearner.releases", unlearner.releases, allowed)


def _check_measurable(metrics: dict[str, Any], dataset: Dataset, choices: dict[str, str]) -> None:
    """Refuse to look for people without queries and a gallery, or for what no row was changed to show."""
    got = f"dataset={choices.get('dataset', dataset.name)}"
    for name, metric in metrics.items():
        if getattr(metric, "needs_retrieval", False) and dataset.retrieval is None:
            raise InvalidValue(f"metrics.{name}", got, "a re-identification data set (reid, reid_faces)")
        kind = getattr(metric, "needs_corruption", None)
        if kind and (dataset.corruption is None or not len(dataset.corruption.rows(kind))):
            raise InvalidValue(f"metrics.{name}", f"{got} without it", f"images with dataset.{kind}")


def named_inputs(settings: dict[str, Any]) -> Inputs:
    """The inputs that settings name, before any of them is read; see ``Inputs.of``."""
    return Inputs.of(decisive(settings), data_dir(settings))


def data_of(settings: dict[str, Any], cache: JobCache) -> tuple[Dataset, dict[str, str]]:
    """The data set and its digests, read once in a process while its files stay as they are."""
    made_from = {"dataset": settings["dataset"], "data_dir": str(data_dir(settings))}

    def make() -> tuple[Dataset, dict[str, str]]:
        dataset = build("dataset", settings["dataset"], data_dir=data_dir(settings))
        return dataset, dataset.digests()

    # A plug-in may read by ways that are not seen.
    plugin = any(not name.startswith("expunge.") for name in targets_in(settings["dataset"]))
    found: tuple[Dataset, dict[str, str]] = cache.get("dataset", made_from, make, reuse=not plugin)
    return found


def extractor_of(
    settings: dict[str, Any], cache: JobCache, data: dict[str, str], network: bool, constant: float
) -> tuple[Any, dict[str, str]]:
    """The extractor, with the features that it has found for the same data already, and what it is made from.

    ``constant`` is what it puts beside the features, 0 for nothing. A file of ``weights`` is looked for here,
    then in ``data_dir``. An extractor may read files that no setting names, and then ``reads()`` gives them,
    by their keys.
    """
    common = {
        "network": network,
        "device": settings["device"],
        "cache": cache_dir(settings),
        "progress": bool(settings["progress"]),
        "threads": settings["threads"],
        "constant": constant,
    }
    of = settings["extractor"]
    if isinstance(of, dict) and of.get("scaling") == "dp" and of.get("seed") is None:
        of = {**of, "seed": settings["seed"]}
    inputs = Inputs.of({"extractor": of}, data_dir(settings))
    own = inputs.digests
    if (weights := inputs.files.get("extractor.weights")) is not None:
        of = {**of, "weights": str(weights)}  # it may be one in data_dir
    made_from = {**common, "data": data, **own, "cache": str(common["cache"])}

    def make() -> tuple[Any, dict[str, str]]:
        made = build("extractor", of, **common)
        if constant and getattr(made, "constant", 0.0) != constant:
            raise InvalidValue("model.intercept", True, "false with an extractor that takes no constant")
        try:
            files = digests_of(made.reads()) if hasattr(made, "reads") else {}
        except DataError as error:
            raise error.within("extractor") from None
        return Once(made), {f"extractor.{key}": digest for key, digest in files.items()}

    found: tuple[Any, dict[str, str]] = cache.get("extractor", made_from, make, reads=False)
    return found


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


def build_unlearner(
    settings: dict[str, Any], choices: dict[str, str], network: bool, typed: Collection[str]
) -> Any:
    """The method on its model, if it supports it, or a plug-in that is a model itself, for features."""
    group, how = settings["unlearner"], {key: settings[key] for key in ("threads", "progress")}
    if not isinstance(group, dict) or "_target_" not in group:
        return build("unlearner", group)
    target = located("unlearner", str(group["_target_"]))
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
            allowed = "null for a network" if key == "class_weight" else allowed
            raise InvalidValue(f"unlearner.{key}", group[key], allowed)
    if not network and at_release(settings):
        own["std"] = release_std(settings, typed)
    try:
        return build("unlearner", own, model=model, **how)
    except InvalidValue as error:
        raise as_typed(error, typed) from None


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
    target = located("model", path)
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
    for key in ("repeat", "evaluation"):
        if settings[key]:
            raise InvalidValue(key, settings[key], "0 of a study, which removes nothing")
    common = {"seed": settings["seed"], "threads": settings["threads"]}
    common |= {"data_dir": data_dir(settings), "cache": cache_dir(settings)}
    study = build("study", settings["study"], **common)
    return study, build("tracker", settings["tracker"])


def _check_common(settings: dict[str, Any]) -> None:
    require_parts(settings)
    require_seed("seed", settings["seed"])
    require_choice("device", settings["device"], ("auto", "cpu", "cuda"))
    require_count("checkpoint_every", settings["checkpoint_every"])
    for switch in ("force", "stop_at_limit", "progress"):
        require_switch(switch, settings[switch])
    if settings["resume"] not in (FROM_CHECKPOINT, IF_THERE) and not isinstance(settings["resume"], bool):
        raise InvalidValue("resume", settings["resume"], f"true, false, {IF_THERE} or {FROM_CHECKPOINT}")
    if settings["figures"] != "all" and not isinstance(settings["figures"], bool):
        raise InvalidValue("figures", settings["figures"], "true, false or all")
    for key in ("repeat", "evaluation"):
        require_count(key, settings[key], least=0)
    for many, one in AXES.items():
        if settings[many] is not None:
            allowed = f"a number on the command line; in a file, sweep over {one}"
            raise InvalidValue(many, settings[many], allowed)
    if settings["threads"] is not None:
        require_count("threads", settings["threads"])
