"""From a run whose settings are to be chosen to one that has them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from expunge.core.folders import content, delete
from expunge.run.begun import require_begun
from expunge.run.environment import overrides_of, written
from expunge.run.job import TRIALS, run_in, settings_of
from expunge.run.job_cache import JobCache
from expunge.run.sound import ledger_of
from expunge.run.tuning.plan import CHOSEN, GROUP, Plan, plan_of, space_of

log = logging.getLogger(__name__)

FILE = "choice.json"


@dataclass(frozen=True)
class Tuned:
    """A configuration with the settings that were chosen, and what the summary says of how.

    Attributes:
        facts: Empty where nothing was to be tuned.
    """

    config: DictConfig
    facts: Mapping[str, Any] = field(default_factory=dict)


def run_tuned(folder: Path, config: DictConfig, cache: JobCache) -> dict[str, Any]:
    """Run one configuration in ``folder`` as ``run_in`` does, its settings chosen before if they are to be.

    The trials are in the run folder too, in ``.tuning``; ``force`` does them again.

    Raises:
        UserError: See ``run_in`` and ``tuned``.
    """
    if plan_of(config) is None or (ledger_of(folder) and not (config.resume or config.force)):
        return run_in(folder, config, cache)  # which refuses to write over a run
    if not ledger_of(folder):
        require_begun(folder, config.resume, content(folder, {TRIALS}))
    if config.force is True:
        delete(folder / TRIALS)
    found = tuned(config, folder / TRIALS, cache)
    return run_in(folder, found.config, cache, facts=found.facts)


def tuned(config: DictConfig, place: Path, cache: JobCache) -> Tuned:
    """Choose the settings of a run's method, where they are to be chosen.

    Args:
        config: The run's configuration.
        place: Where trials are kept, in a folder named by all that they have in common: runs that differ in
            their seed or metrics alone have the same.
        cache: What the jobs of this process have in common.

    Raises:
        UserError: The method, the data or a value cannot be used, or no trial comes to anything.
    """
    if (plan := plan_of(config)) is None:
        return Tuned(config)
    settings = settings_of(config)
    space = _space(settings)
    if not space:  # nothing, retraining, certified methods: as they are
        return _with(config, {}, {"trials": 0, CHOSEN: {"trial": 0, "score": None}}, 0, None)
    return _chosen(config, plan, space, place, cache)


def _space(settings: Mapping[str, Any]) -> dict[str, Any]:
    from expunge.run.declared import located
    from expunge.run.linear_settings import OF_THE_MODEL

    hydra_config, group = HydraConfig.get(), settings["unlearner"]
    target = str((group or {}).get("_target_", "")) if isinstance(group, dict) else ""
    choice = str(hydra_config.runtime.choices.get("unlearner", target))
    typed = {text.lstrip("+").partition("=")[0] for text in overrides_of(hydra_config)}
    return space_of(located("unlearner", target), choice, OF_THE_MODEL, typed)


def _chosen(config: DictConfig, plan: Plan, space: Mapping[str, Any], place: Path, cache: JobCache) -> Tuned:
    from expunge.core.files import write_json
    from expunge.core.hashing import sha256_of_settings
    from expunge.record.settings import FREE
    from expunge.run.tuning.choice import chosen
    from expunge.run.tuning.sample import sampled
    from expunge.run.tuning.trials import Trials, of_trials

    base = of_trials(config, plan)
    named = {key: value for key, value in written(base).items() if key not in FREE}
    name = str(config.unlearner.get("name"))
    folder = place / sha256_of_settings(named)[:12]
    log.info("tuning %s: %d trials in %s", name, plan.trials, folder)
    trials = Trials(base, folder, sampled(space, plan.trials, name, plan.seed), plan.seeds).done(cache)
    best = chosen(trials)
    said = {key: str(of) for key, of in space.items()}
    found = {"method": name, "rule": plan.sentence, "search_space": said, "chosen": best.number}
    write_json(folder / FILE, {**found, "trials": [one.as_json() for one in trials]}, secret=True)
    log.info("tuning %s: trial %d is chosen", name, best.number + 1)
    group = {CHOSEN: {"trial": best.number, "score": best.score}}
    return _with(config, best.settings, group, len(trials), sum(one.seconds for one in trials))


def _with(
    config: DictConfig,
    settings: Mapping[str, Any],
    group: Mapping[str, Any],
    trials: int,
    seconds: float | None,
) -> Tuned:
    """A run's configuration with the settings that were chosen, and which trial they are from."""
    made = copy.deepcopy(config)
    with read_write(made), open_dict(made):
        for key, value in settings.items():
            OmegaConf.update(made.unlearner, key, value)
        for key, value in group.items():
            made[GROUP][key] = value
    facts: dict[str, Any] = {"tuning_trials": trials, "tuning_seconds": seconds}
    if trials:
        facts |= {f"tuning_{key}": value for key, value in group[CHOSEN].items()}
        facts["tuned"] = " ".join(f"{key}={value}" for key, value in settings.items()) or "the YAML's own"
    return Tuned(made, facts)
