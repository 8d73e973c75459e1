"""The trials of a method: ordinary runs, each done once whoever asks for it, and kept."""

from __future__ import annotations

import copy
import logging
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from expunge.core.ends import heard
from expunge.core.errors import BrokenInvariant, InvalidValue, UserError
from expunge.core.files import write_json
from expunge.core.hashing import sha256_of_settings
from expunge.core.locks import Taken, exclusive
from expunge.core.system_errors import system_error
from expunge.run.environment import line_of, overrides_of, written
from expunge.run.job import Swept, run_in, settings_of
from expunge.run.job_cache import JobCache
from expunge.run.tuning.choice import FAILED, Trial
from expunge.run.tuning.plan import GROUP, TRIAL, Plan

log = logging.getLogger(__name__)

_RULE = {"_target_": "expunge.metrics.tow.Tow", "every": None}
_PLAIN = {
    **{"figures": False, "progress": False, "resume": False, "force": False, "optimized_metric": None},
    "tracker": {"_target_": "expunge.tracking.none.NoTracker"},
}


def of_trials(config: DictConfig, plan: Plan) -> DictConfig:
    """Return what all trials of a run's method have in common: the run's own settings but for the seed.

    Those on further networks differ from it in their two seeds.

    A data set that the run's seed draws stays the run's, so that what it tests on is nothing a trial trains
    on. What is from the environment stays a reference.
    """
    base = copy.deepcopy(config)
    with read_write(base), open_dict(base):
        base.dataset = written(config)["dataset"]
        base.seed = plan.seed
        base.metrics = {"tow": {**_RULE, "seed": plan.seeds[0][1]}}
        for key, value in _PLAIN.items():
            base[key] = copy.deepcopy(value)
        for key in ("trials", "originals"):  # the first twelve of 24 are those of twelve
            del base[GROUP][key]
        base[GROUP][TRIAL] = 0
    return base


@dataclass(frozen=True)
class Trials:
    """The trials of one method on one problem, in a folder of their own.

    Attributes:
        base: See ``of_trials``.
        folder: Where they are; a sweep's cells have one for each method.
        sampled: Settings of each trial.
        seeds: Of each network that they are tried on, see ``Plan.seeds``.
    """

    base: DictConfig
    folder: Path
    sampled: Sequence[Mapping[str, Any]]
    seeds: Sequence[tuple[int, int]]

    def config(self, number: int, network: int = 0) -> DictConfig:
        """Return the configuration of a trial on one of the networks."""
        config = copy.deepcopy(self.base)
        with read_write(config), open_dict(config):
            config[GROUP][TRIAL] = number
            config.seed, config.metrics.tow.seed = self.seeds[network]
            for key, value in self.sampled[number].items():
                OmegaConf.update(config.unlearner, key, value)
        return config

    def done(self, cache: JobCache) -> list[Trial]:
        """Return all of them, and run first what is missing; others may be at work on them, and are let be.

        Raises:
            UserError: The method, the data or a folder cannot be used.
        """
        networks = range(len(self.seeds))
        inputs = [self._inputs(network, cache) for network in networks]
        found: dict[tuple[int, int], Trial] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        for wait in (False, True):
            for network, number in product(networks, range(len(self.sampled))):
                if (number, network) not in found:
                    try:
                        with exclusive(self.folder / f".{_name(number, network)}.lock", wait):
                            one = self._kept_or_run(number, network, inputs[network], cache)
                            found[number, network] = one
                    except Taken:
                        continue
        return [
            Trial.over([found[number, network] for network in networks])
            for number in range(len(self.sampled))
        ]

    def _inputs(self, network: int, cache: JobCache) -> dict[str, Any]:
        """What the trials on a network are made from besides their settings, by digests."""
        from expunge.run.build import build_experiment

        hydra_config = HydraConfig.get()
        choices = {str(key): str(value) for key, value in hydra_config.runtime.choices.items()}
        typed = {text.lstrip("+").partition("=")[0] for text in overrides_of(hydra_config)}
        settings = settings_of(self.config(0, network))
        return build_experiment(settings, choices, cache, None, typed).inputs.as_json()

    def _kept_or_run(self, number: int, network: int, inputs: Mapping[str, Any], cache: JobCache) -> Trial:
        path = self.folder / f"{_name(number, network)}.json"
        settings = dict(self.sampled[number])
        identity = sha256_of_settings({"inputs": inputs, "settings": settings})
        if (kept := Trial.kept(path, identity)) is not None:
            return kept
        trial = self._run(number, network, settings, cache)
        write_json(path, {**trial.as_json(), "identity": identity}, secret=True)
        said = " ".join(f"{key}={value}" for key, value in settings.items()) or "settings of the YAML"
        score = trial.status if trial.score is None else f"ToW {trial.score:.4f}"
        where = "" if len(self.seeds) == 1 else f" on network {network + 1} of {len(self.seeds)}"
        log.info("trial %d of %d%s: %s: %s", number + 1, len(self.sampled), where, said, score)
        return trial

    def _run(self, number: int, network: int, settings: dict[str, Any], cache: JobCache) -> Trial:
        """Run a trial; what its own settings make fail is its result."""
        folder, config = self.folder / _name(number, network), self.config(number, network)
        started = time.perf_counter()
        try:
            with _quiet():
                run_in(folder, config, cache, Swept(self.folder.name, named=True))
            return Trial.of_run(number, settings, folder)
        except (InvalidValue, BrokenInvariant) as error:
            line = line_of(error, config)
        except (ArithmeticError, ValueError, RuntimeError, TypeError) as error:
            if not _of_the_trial(error):
                raise
            log.error("trial %d failed\n%s", number + 1, traceback.format_exc())
            line = f"{type(error).__name__}: {line_of(error, config)}"
        return Trial(number, settings, FAILED, None, time.perf_counter() - started, line)


def _name(number: int, network: int) -> str:
    """Of a trial's folder: those on the first network are the same however many there are."""
    return f"trial-{number}" + (f"-{network}" if network else "")


@contextmanager
def _quiet() -> Iterator[None]:
    """Say warnings alone of what a trial does: there are many of them, and each has a line of its own."""
    of_all = logging.getLogger("expunge")
    before = of_all.level
    of_all.setLevel(logging.WARNING)
    try:
        yield
    finally:
        of_all.setLevel(before)


def _of_the_trial(error: Exception) -> bool:
    """Whether an error is the method's with these settings: not one of the input, the system or a signal."""
    return not (isinstance(error, (UserError, OmegaConfBaseException)) or heard() or system_error(error))
