"""One job of the command line: a composed configuration, its run folder, and what is shown at the end."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expunge.core.checks import require_switch
from expunge.core.errors import RunFolderError, UserError, one_line, say
from expunge.core.files import read_text, require_no_links, sweep_up
from expunge.core.json_text import parse_json
from expunge.core.locks import Taken, exclusive
from expunge.core.mapped import watched
from expunge.core.yaml_text import require_followable
from expunge.record.ledger import DONE, RESULTS
from expunge.record.ledger import FILE as REMOVALS
from expunge.record.written import require_as_written, require_complete, require_not_lost, write_once
from expunge.run.begun import require_begun
from expunge.run.environment import environment_of, overrides_of, written
from expunge.run.job_cache import JobCache
from expunge.run.known_keys import require_known
from expunge.run.optimized import names_of, require_numbers
from expunge.run.yaml_files import load_yaml

if TYPE_CHECKING:
    from expunge.record.inputs import Inputs

log = logging.getLogger(__name__)

PARTS = ("config", "hydra", "overrides")
RECORD = ".hydra"
"""Folder of the configuration in a run folder."""
_WRITTEN = (RECORD, "figures", "wandb", ".lock", REMOVALS, RESULTS, "removals.sha256", "results.sha256")
"""What a run writes to where it lies; its other files take the place of what is there."""
RUN_ONLY = ("dataset", "extractor", "model", "training", "unlearner", "removal", "metrics")


def run_in(folder: Path, config: DictConfig, cache: JobCache, sweep: str | None = None) -> dict[str, Any]:
    """Run one composed configuration in ``folder``, draw its figures, and print its row unless it is a cell.

    A folder that holds the beginning of the run is continued where ``resume`` is set, or in a sweep; with
    ``force`` whatever is there goes first. A run of other inputs (data, weights, plug-ins) is not continued,
    in a sweep it is repeated from its start. Bad input leaves no trace.

    Args:
        folder: The run folder; made where it is not there.
        config: The configuration.
        cache: What the jobs of this process have in common.
        sweep: Name of the sweep the run is a cell of.

    Raises:
        UserError: The input is not one to run, or the folder holds another run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = not _there(folder)
    try:
        require_no_links(folder, _WRITTEN)
        settings = settings_of(config)
        with exclusive(folder, wait=sweep is not None), watched():
            return _run(folder, config, settings, cache, sweep)
    except Taken:
        raise RunFolderError(f"hydra.run.dir: another process is writing to {folder}") from None
    except (UserError, OmegaConfBaseException):
        ledger = ledger_of(folder)
        if new and not (ledger and ledger.stat().st_size):
            if folder.samefile(Path.cwd()):  # hydra.run.dir=. was there before
                _empty(folder)
            else:
                shutil.rmtree(folder)
        raise


def _run(
    folder: Path, config: DictConfig, settings: dict[str, Any], cache: JobCache, sweep: str | None
) -> dict[str, Any]:
    if force := require_switch("force", settings["force"]):
        _require_run(folder)
    else:
        check_folder(folder, settings, resume=settings["resume"] or sweep is not None)
        if sweep is None and not ledger_of(folder):
            require_begun(folder, settings["resume"], _there(folder))
    from expunge.linear.parallel import set_threads

    choices = {str(k): str(v) for k, v in HydraConfig.get().runtime.choices.items()}
    typed = {override.lstrip("+").partition("=")[0] for override in overrides_of(HydraConfig.get())}
    run, inputs = prepare(settings, choices, cache, sweep, typed, config)
    if force:  # only now: what is refused must not cost the run that is there
        _empty(folder)
    if finished := summary_of(folder, settings, inputs, swept=sweep is not None):
        log.info("%s is complete; nothing to resume", folder)
        if not (folder / "figures").exists():
            show(folder, settings, sweep is not None)
        return finished
    set_threads(settings["threads"])
    if not ledger_of(folder):  # a continued run keeps the configuration it began with
        record_config(config, folder)
    sweep_up(folder)  # a kill amid writing may have left a state with rows that leave now
    inputs.write(folder)
    summary = run(folder=folder)
    show(folder, settings, sweep is not None)
    return summary


def _require_run(folder: Path) -> None:
    """Let ``force`` delete what a run has left, and nothing else."""
    if _there(folder) and not (folder / RECORD / "config.yaml").is_file():
        raise RunFolderError(f"force: {folder} is not empty and not a run folder; nothing in it is deleted")


def _empty(folder: Path) -> None:
    for path in _there(folder):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _there(folder: Path) -> list[Path]:
    """What a folder holds, without what Hydra, where it is asked to, has put there for this very command."""
    hydra_config = HydraConfig.get()
    own = {f"{hydra_config.job.name}.log", *Path(hydra_config.output_subdir or "").parts[:1]}
    return [path for path in folder.iterdir() if path.name not in own]


def settings_of(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values; a study's must not have groups that mean nothing to it."""
    require_followable(OmegaConf.to_container(config, resolve=False))
    require_known(config, RUN_ONLY)
    if is_study(config):
        for group in RUN_ONLY:
            if config.get(group) is not None:
                raise UserError(
                    f"{group}: got a setting, allowed: none, since a study does not use this group"
                )
    settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(settings, dict)
    names_of(settings["optimized_metric"])
    return {str(key): value for key, value in settings.items()}


def is_study(settings: Mapping[Any, Any]) -> bool:
    """Whether the configuration is that of a study, which fits and removes nothing."""
    return settings.get("study") is not None


def prepare(
    settings: dict[str, Any],
    choices: dict[str, str],
    cache: JobCache,
    sweep: str | None,
    typed: Collection[str],
    config: DictConfig,
) -> tuple[Callable[..., dict[str, Any]], Inputs]:
    """Build and check the run or the study; what is left to do is to call it with its ``folder``.

    ``config`` is what the settings were before references in it were followed: so they are recorded.

    Returns:
        The run, and its inputs.
    """
    from expunge.run.build import build_experiment, build_study, named_inputs

    if is_study(settings):
        from expunge.studies.run import run_study

        named = named_inputs(settings)
        study, tracker = build_study(settings)
        inputs = named.of_study(study)
        how: dict[str, Any] = {key: settings[key] for key in ("seed", "progress")}
        how |= {"group": sweep, "inputs": inputs, "hidden": environment_of(config).hidden}
        return partial(run_study, study, written(config), tracker=tracker, **how), inputs
    from expunge.run.runner import run

    experiment = build_experiment(settings, choices, cache, sweep, typed)
    require_numbers(settings["optimized_metric"], experiment)
    experiment = replace(experiment, written=written(config), hidden=environment_of(config).hidden)
    return partial(run, experiment), experiment.inputs


def ledger_of(folder: Path) -> Path | None:
    """The record of the run or study that ``folder`` holds, or None."""
    return next((path for name in (REMOVALS, RESULTS) if (path := folder / name).exists()), None)


def kept_in(folder: Path) -> str:
    """How many requests (or cells of a study) of a run that was broken off are recorded, in words."""
    ledger = ledger_of(folder)
    count = ledger.read_bytes().count(b"\n") if ledger else 0
    what = "cell" if ledger and ledger.name == RESULTS else "request"
    return f"{count:,} {what}{' is' if count == 1 else 's are'} kept"


def check_folder(folder: Path, settings: dict[str, Any], resume: bool) -> None:
    """Refuse to write over a run of other settings, or over any run unless to ``resume`` it."""
    require_not_lost(folder)
    if not ledger_of(folder):
        return
    if not resume:
        raise RunFolderError(
            f"hydra.run.dir: {folder} already holds a run; "
            "continue it with resume=true, repeat it with force=true, or choose another folder"
        )
    from expunge.record.resume import must_match

    if not (recorded := folder / RECORD / "config.yaml").exists():
        raise RunFolderError(f"{recorded}: no such file; without it the run cannot be continued")
    for name in PARTS:
        require_as_written(recorded.with_stem(name))
    begun = load_yaml(recorded)[0]
    require_followable(OmegaConf.to_container(begun, resolve=False))
    must_match(OmegaConf.to_container(begun, resolve=True), settings)


def summary_of(folder: Path, settings: dict[str, Any], inputs: Inputs, swept: bool) -> dict[str, Any] | None:
    """Return the summary of a run that is complete with these inputs; else see to it that it can go on.

    A run whose requests have been added to since is not complete any more.

    Raises:
        RunFolderError: The run began with other inputs, and is no cell of a sweep, which is emptied.
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
        _empty(folder)
        return None
    summary = folder / "summary.json"
    checkpoint = RunCheckpoint(folder, settings, inputs, settings["checkpoint_every"])
    if added := inputs.added(begun):
        log.info("%s: %s has grown by %d requests; the run goes on", folder, inputs.asked_by, added)
        for of_less in (folder / DONE, summary):
            of_less.unlink(missing_ok=True)
        checkpoint.reopen()
        shutil.rmtree(folder / "figures", ignore_errors=True)
    if not summary.exists():
        return None
    require_complete(folder)
    checkpoint.require_end()
    # The run may have been killed between its last two files.
    checkpoint.done()
    try:
        return dict(parse_json(read_text(summary)))
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(f"{summary}: not a summary that can be read ({one_line(error)})") from None


def record_config(config: DictConfig, folder: Path) -> None:
    """Write ``.hydra/`` once the run is known to be valid (Hydra itself would write it before).

    Its owner alone may read it: whoever knows the seed can draw the noise again.
    """
    target = folder / RECORD
    target.mkdir(parents=True, exist_ok=True)
    hydra_config = HydraConfig.get()
    hydra = OmegaConf.create({"hydra": hydra_config})
    parts = config, hydra, OmegaConf.create(overrides_of(hydra_config))
    for name, part in zip(PARTS, parts, strict=True):
        text = environment_of(hydra_config).hidden(OmegaConf.to_yaml(part))
        write_once(target / f"{name}.yaml", text.encode())


def show(folder: Path, settings: dict[str, Any], swept: bool) -> None:
    """Draw the figures of a run and print its table; of a cell draw them only where that is asked for."""
    if settings["figures"] != "all" and (swept or not settings["figures"]):
        return
    table = show_study(folder, settings) if is_study(settings) else show_run(folder)
    if not swept:
        say(f"{table}\nRun folder: {folder}\n")


def show_run(folder: Path) -> str:
    """Draw the figures of a run and return its table."""
    from expunge.report import read_run, table
    from expunge.report.figures import write_run_figures
    from expunge.report.table_rows import rows

    finished = read_run(folder)
    write_run_figures(finished, folder / "figures")
    return table.as_text(rows([finished]))


def show_study(folder: Path, settings: dict[str, Any]) -> str:
    """Draw the figures of a study and return its table."""
    from expunge.report.runs import read_study
    from expunge.report.studies import as_text
    from expunge.run.build import build_study
    from expunge.studies.run import draw_study

    draw_study(build_study(settings)[0], folder)
    return as_text(read_study(folder))
