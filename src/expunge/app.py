"""The command line. Imports what Hydra needs and nothing heavier, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from expunge.core.errors import BrokenInvariant, UserError, complain
from expunge.help import help_text
from expunge.run.hydra_errors import explained
from expunge.run.job import run_in
from expunge.run.job_cache import JobCache, of_this_process
from expunge.sweep.cell import run_cell
from expunge.sweep.command import folder_of, prepared
from expunge.sweep.reduced import with_reduced
from expunge.sweep.workers import WorkerDied, explain, prepare

BAD_INPUT = 2


def config_dir() -> Path:
    """The YAML that travels in the wheel, or that of the checkout when run from one."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


class Task:
    """What Hydra calls for every configuration: a run of its own, or a cell of a sweep."""

    def __init__(self, cache: JobCache) -> None:
        self.code = 0  # that the command is to end with
        self._cache = cache

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_worker, ()  # which gets a task for every cell, and has one store for all of them

    def __call__(self, config: DictConfig) -> None:
        """Run it; bad input is one line on standard error, and so is a fault that the run has seen itself."""
        hydra_config = HydraConfig.get()
        prepare(hydra_config.launcher)
        with open_dict(config):
            del config.reduced  # what it comes to is in the other keys
        if hydra_config.mode is RunMode.MULTIRUN:
            run_cell(config, self._cache)
            return
        try:
            run_in(Path(hydra_config.runtime.output_dir), config, self._cache)
        except (UserError, OmegaConfBaseException) as error:
            complain(explained(error))
            self.code = BAD_INPUT
        except BrokenInvariant as error:
            complain(f"{error}; nothing of it has been recorded")
            self.code = 1


def _in_worker() -> Task:
    return Task(of_this_process())


def main() -> None:
    """Run ``expunge``; bad input ends with one line and exit code 2."""
    # Hydra would print a traceback's worth and exit with 1; like this its exceptions reach us.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    task = Task(JobCache())
    try:
        arguments = with_reduced(sys.argv[1:], config_dir())
        if {"--help", "-h"} & set(arguments):
            sys.stdout.write(help_text(config_dir(), arguments) + "\n")
            return
        sys.argv[1:] = prepared(arguments)
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(task)()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        complain(explain(error) or explained(error))
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        complain("interrupted; resume=true continues with the same run folder, the same command with a sweep")
        sys.exit(130)
    except Exception as error:
        if isinstance(error, ValueError) and "Config group override" in str(error):
            complain(f"{error}; to leave a group out, choose 'none'")  # Hydra's own, for group=null
            sys.exit(BAD_INPUT)
        told = explain(error)
        if told is None:
            raise
        sweep = folder_of(sys.argv[1:]) if isinstance(told, WorkerDied) else None
        if sweep is not None:  # put together what there is of it
            from expunge.sweep.ending import finish

            finish(sweep, figures=False)
        complain(told)
        sys.exit(BAD_INPUT if isinstance(told, UserError) else 1)
    if task.code:
        sys.exit(task.code)
