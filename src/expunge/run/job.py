"""One job of the command line: a composed configuration, its run folder, and what is shown at the end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expunge.core.checks import require_switch
from expunge.core.errors import RunFolderError, UserError
from expunge.core.files import require_no_links
from expunge.core.folders import content, empty, names, sweep_up
from expunge.core.folders import finish as finish_deleting
from expunge.core.locks import Taken, exclusive
from expunge.core.mapped import watched
from expunge.core.yaml_text import require_followable
from expunge.record.folders.files import parse_object, read_text
from expunge.record.ledger import FILE as REMOVALS
from expunge.record.ledger import RESULTS
from expunge.record.written import require_not_lost, write_once
from expunge.run.before import Before, noted
from expunge.run.begun import require_begun, require_no_resume
from expunge.run.environment import environment_of, overrides_of, written
from expunge.run.hydra_errors import of_system
from expunge.run.job_cache import JobCache
from expunge.run.known_keys import require_known, require_without
from expunge.run.optimized import names_of, require_numbers
from expunge.run.show import FIGURES, announce, drawn, is_study, show
from expunge.run.sound import (
    CONFIG,
    LAST,
    PARTS,
    RECORD,
    SUMMARY,
    found_damaged,
    ledger_of,
    require_same,
    require_sound,
)

if TYPE_CHECKING:
    from expunge.record.inputs import Inputs

log = logging.getLogger(__name__)

_SUMS = ("removals.sha256", "results.sha256")
_WRITTEN = (RECORD, ".tuning", FIGURES, "wandb", "tensorboard", ".lock", REMOVALS, RESULTS, *_SUMS)
"""What a run writes to where it lies; its other files take the place of what is there."""
TRIALS = ".tuning"
"""Where the trials are by which a run's settings were chosen; ``force`` leaves them."""
RUN_ONLY = ("dataset", "extractor", "model", "training", "unlearner", "removal", "metrics")


@dataclass(frozen=True)
class Swept:
    """What a run knows of the sweep that it is a cell of.

    Attributes:
        sweep: The name of the sweep.
        named: Whether the run folder is named by the settings: what is in it is this run or damaged.
        stays: Whether the folder was there before the sweep.
    """

    sweep: str
    named: bool = False
    stays: bool = False


def run_in(
    folder: Path,
    config: DictConfig,
    cache: JobCache,
    cell: Swept | None = None,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Run one composed configuration in ``folder``, draw its figures, and print its row unless it is a cell.

    A folder that holds the beginning of the run is continued where ``resume`` is set, or in a sweep; with
    ``force`` whatever is there goes first. A run of other inputs (data, weights, plug-ins) is not continued,
    in a sweep it is repeated from its start, as is one whose files are damaged. Bad input leaves no trace.

    Args:
        folder: The run folder; made where it is not there.
        config: The configuration.
        cache: What the jobs of this process have in common.
        cell: The sweep the run is a cell of.
        facts: What the summary says besides of how the settings were found.

    Raises:
        UserError: The input is not one to run, or the folder holds another run, or cannot be used.
    """
    before = noted() if cell is None else _before_cell(folder, cell)
    try:
        require_no_links(folder, _WRITTEN)
        with _held(folder, wait=cell is not None), watched():
            finish_deleting(folder, _of_hydra(), LAST)
            new = not ledger_of(folder)
            try:
                return _run(folder, config, settings_of(config), cache, cell, facts)
            except (UserError, OmegaConfBaseException):
                ledger = ledger_of(folder)
                if new and not (ledger and ledger.stat().st_size):
                    before.restore(folder)
                raise
    except (UserError, OmegaConfBaseException):
        before.unmake()
        raise


@contextmanager
def _held(folder: Path, wait: bool) -> Iterator[None]:
    """Keep other processes out of a run folder, which is made where it is not there."""
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusive(folder, wait))
        except Taken as taken:
            hint = f"; {taken}" if str(taken) else ""
            raise RunFolderError(f"hydra.run.dir: another process is writing to {folder}{hint}") from None
        except OSError as error:
            if of_system(error):
                raise
            reason = f"{error.filename}: {error.strerror}"
            raise RunFolderError(f"hydra.run.dir: {folder} cannot be used ({reason})") from None
        yield


def _run(
    folder: Path,
    config: DictConfig,
    settings: dict[str, Any],
    cache: JobCache,
    cell: Swept | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    damage = None
    if force := require_switch("force", settings["force"]):
        require_no_resume(settings["resume"])
        _require_run(folder)
    elif cell is not None:
        damage = found_damaged(folder, settings, cell.named)
    if not force and damage is None:
        check_folder(folder, settings, resume=settings["resume"] or cell is not None)
        if cell is None and not ledger_of(folder):
            require_begun(folder, settings["resume"], content(folder, _of_hydra()))
    choices = {str(k): str(v) for k, v in HydraConfig.get().runtime.choices.items()}
    overrides = overrides_of(HydraConfig.get())
    typed = {override.lstrip("+").partition("=")[0] for override in overrides}
    tell = partial(announce, folder, written(config), choices, overrides) if cell is None else None
    if early := tell is not None and sys.stdout.isatty():  # what is refused leaves no word in a pipe
        tell()
    run, inputs = prepare(settings, choices, cache, cell.sweep if cell else None, typed, config, facts)
    if damage is not None:
        log.warning("%s; the run is done again from its start", damage)
    if force or damage is not None:  # only now: what is refused must not cost the run that is there
        empty(folder, _of_hydra(), LAST)
    sweep_up(folder)  # a kill amid writing may have left a state with rows that leave now
    if finished := summary_of(folder, settings, inputs, swept=cell is not None):
        log.info("%s is complete; nothing to resume", folder)
        show(folder, settings, cell is not None)
        return finished
    if tell is not None and not (early or is_study(settings) or ledger_of(folder)):  # may be refused yet
        tell()
    from expunge.linear.parallel import set_threads

    set_threads(settings["threads"])
    if not ledger_of(folder):  # a continued run keeps the configuration it began with
        record_config(config, folder)
        inputs.write(folder)  # where requests have been added, the run does so when it is sure to go on
    summary = run(folder=folder)
    show(folder, settings, cell is not None)
    return summary


def _before_cell(folder: Path, cell: Swept) -> Before:
    """What there was of a cell's folder, which Hydra may have made."""
    there = frozenset(names(folder))
    return Before((), there) if cell.stays else Before((folder,), there - _of_hydra())


def _require_run(folder: Path) -> None:
    """Let ``force`` delete what a run has left, and nothing else."""
    there = content(folder, _of_hydra())
    if there and not (folder / CONFIG).is_file() and there != [folder / RECORD]:
        raise RunFolderError(f"force: {folder} is not empty and not a run folder; nothing in it is deleted")


def _of_hydra() -> set[str]:
    """The names of what is no part of a run in its folder: trials, and what Hydra may put there."""
    hydra_config = HydraConfig.get()
    return {TRIALS, f"{hydra_config.job.name}.log", *Path(hydra_config.output_subdir or "").parts[:1]}


def settings_of(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values; a study's must not have groups that mean nothing to it."""
    require_followable(OmegaConf.to_container(config, resolve=False))
    require_known(config, RUN_ONLY)
    if is_study(config):
        require_without(config, RUN_ONLY)
    settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(settings, dict)
    names_of(settings["optimized_metric"])
    return {str(key): value for key, value in settings.items()}


def prepare(
    settings: dict[str, Any],
    choices: dict[str, str],
    cache: JobCache,
    sweep: str | None,
    typed: Collection[str],
    config: DictConfig,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Callable[..., dict[str, Any]], Inputs]:
    """Build and check the run or the study; what is left to do is to call it with its ``folder``.

    ``config`` is what the settings were before references in it were followed: so they are recorded.
    ``facts`` are as of ``run_in``.

    Returns:
        The run, and its inputs.
    """
    from expunge.run.build import build_experiment, build_study, named_inputs

    draw = partial(drawn, settings=settings, swept=sweep is not None)
    hidden = environment_of(config).hidden
    if is_study(settings):
        from expunge.studies.run import run_study

        named = named_inputs(settings)
        study, tracker = build_study(settings)
        inputs = named.of_study(study)
        how: dict[str, Any] = {key: settings[key] for key in ("seed", "progress")}
        how |= {"group": sweep, "inputs": inputs, "hidden": hidden, "draw": draw}
        return partial(run_study, study, written(config), tracker=tracker, **how), inputs
    from expunge.run.runner import run

    experiment = build_experiment(settings, choices, cache, sweep, typed)
    require_numbers(settings["optimized_metric"], experiment)
    experiment.facts["tuned"] = dict(facts)
    experiment = replace(experiment, written=written(config), hidden=hidden, draw=draw)
    return partial(run, experiment), experiment.inputs


def check_folder(folder: Path, settings: dict[str, Any], resume: bool) -> None:
    """Refuse to write over a run of other settings, or over any run unless to ``resume`` it.

    Raises:
        RunFolderError: As said; or a file of a complete run is damaged.
    """
    require_not_lost(folder)
    if not ledger_of(folder):
        return
    if not resume:
        raise RunFolderError(
            f"hydra.run.dir: {folder} already holds a run; "
            "continue it with resume=true, repeat it with force=true, or choose another folder"
        )
    require_same(folder, settings)
    if (folder / SUMMARY).exists():
        require_sound(folder)


def summary_of(folder: Path, settings: dict[str, Any], inputs: Inputs, swept: bool) -> dict[str, Any] | None:
    """Return the summary of a run that is complete with these inputs, or None: it has to go on, or begin.

    A run whose requests have been added to since is not complete any more.

    Raises:
        RunFolderError: The run began with other inputs, and is no cell of a sweep, which is emptied; or
            its summary cannot be read.
    """
    from expunge.record.inputs import read
    from expunge.record.resume import RunCheckpoint, refused

    if not ledger_of(folder):
        return None
    begun = read(folder)
    if difference := inputs.difference(begun):
        if not swept:
            raise RunFolderError(refused(difference))
        log.warning("%s: %s; it is done again from its start", folder, difference)
        empty(folder, _of_hydra(), LAST)
        return None
    if added := inputs.added(begun):
        log.info("%s: %s has grown by %d requests; the run goes on", folder, inputs.asked_by, added)
        return None
    if not (folder / SUMMARY).exists():
        return None
    checkpoint = RunCheckpoint(folder, settings, inputs, settings["checkpoint_every"])
    checkpoint.require_end()
    summary = parse_object(read_text(folder / SUMMARY), folder / SUMMARY)
    # The run may have been killed between its last two files.
    checkpoint.done()
    return summary


def record_config(config: DictConfig, folder: Path) -> None:
    """Write ``.hydra/`` once the run is known to be valid (Hydra itself would write it before).

    Its owner alone may read it: whoever knows the seed can draw the noise again.
    """
    target = folder / RECORD
    target.mkdir(parents=True, exist_ok=True)
    sweep_up(target)
    hydra_config = HydraConfig.get()
    hydra = OmegaConf.create({"hydra": hydra_config})
    parts = config, hydra, OmegaConf.create(overrides_of(hydra_config))
    for name, part in zip(PARTS, parts, strict=True):
        text = environment_of(hydra_config).hidden(OmegaConf.to_yaml(part))
        write_once(target / f"{name}.yaml", text.encode())
