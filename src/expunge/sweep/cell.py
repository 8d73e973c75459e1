"""One cell of a sweep, in whatever process it runs."""

from __future__ import annotations

import logging
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from expunge.core.ends import heard
from expunge.core.errors import BrokenInvariant, UserError
from expunge.core.files import write_atomically
from expunge.core.system_errors import naming, system_error
from expunge.record.ledger import DONE
from expunge.run.environment import line_of, overrides_of, written
from expunge.run.job import TRIALS, Swept, run_in, settings_of
from expunge.run.job_cache import JobCache
from expunge.run.optimized import Told, metric_of, told
from expunge.run.tuning.tuned import Tuned, tuned
from expunge.sweep.held import watching
from expunge.sweep.jobs import FOLDER, Job, There, fingerprint, total
from expunge.sweep.progress import make_way

log = logging.getLogger(__name__)


def run_cell(config: DictConfig, cache: JobCache) -> Told:
    """Run a cell unless it is done already, and note what became of it; an error does not stop the others.

    ``config`` is the cell's own (the rest is Hydra's), ``cache`` what cells of one process have in common.

    Returns:
        What ``optimized_metric`` asks for; None where the cell has failed.
    """
    hydra_config = HydraConfig.get()
    sweep = Path(hydra_config.runtime.cwd, hydra_config.sweep.dir)
    job = Job(int(hydra_config.job.num), overrides_of(hydra_config))
    job.note(sweep)
    if (watch := watching()) is not None:
        watch.begin()
    make_way(config, watch)
    of_all = f" of {known}" if (known := total(sweep)) else ""
    log.info("cell %d%s: %s", job.number + 1, of_all, " ".join(job.overrides))
    asked = metric_of(config)
    try:
        settings_of(config)
        found = tuned(config, sweep / TRIALS, cache)
        name = fingerprint(written(found.config))  # which is seen by whoever sees the folder
        folder = _folder(sweep, Path(hydra_config.runtime.output_dir), name)
        job = replace(job, run=folder.relative_to(sweep).as_posix())
        job.note(sweep)
        with naming(folder):
            number = told(asked, _run(folder, name, found, sweep, cache))
        replace(job, status="done").note(sweep)
        return number
    except (UserError, OmegaConfBaseException) as error:
        replace(job, status="failed", error=line_of(error, config), bad_input=True).note(sweep)
    except BrokenInvariant as error:
        replace(job, status="failed", error=line_of(error, config)).note(sweep)
    except Exception as error:  # a cell's error must not cost the others; it is told at the end
        if heard():  # it is what a library made of a signal, which ends them all
            raise
        if (line := system_error(error)) is None:
            log.error("cell %d failed\n%s", job.number + 1, traceback.format_exc())
            line = f"{type(error).__name__}: {line_of(error, config)}"
        replace(job, status="failed", error=line).note(sweep)
    return None  # which an optimising sweeper takes for a failed trial


def _folder(sweep: Path, given: Path, name: str) -> Path:
    """The run folder: named by the settings, unless ``hydra.sweep.subdir`` names it."""
    if given == sweep:  # which this sweep holds: the cell would wait for itself
        raise UserError("hydra.sweep.subdir: got the sweep's own folder, allowed: a folder in it")
    if not given.is_relative_to(sweep):
        raise UserError(f"hydra.sweep.subdir: got {given}, allowed: a folder in the sweep's, {sweep}")
    return sweep / name if given.parent == sweep / FOLDER else given


def _run(folder: Path, name: str, found: Tuned, sweep: Path, cache: JobCache) -> dict[str, Any]:
    """Run the cell, or find it complete: its settings have its name, its inputs are in its folder."""
    done, mark = folder / DONE, f"{name}\n".encode()
    there = folder.is_relative_to(sweep) and folder.relative_to(sweep).as_posix() in There.kept(sweep).empty
    cell = Swept(sweep.name, folder == sweep / name, there)
    summary = run_in(folder, found.config, cache, cell, found.facts)
    if not (done.is_file() and done.read_bytes() == mark):
        write_atomically(done, mark)
    return summary
