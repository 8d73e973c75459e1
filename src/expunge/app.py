"""The command line. Imports what Hydra needs and nothing heavier, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from traceback import extract_tb
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from expunge import __version__
from expunge.core.errors import BrokenInvariant, InvalidValue, UserError, complain, one_line
from expunge.help import help_text
from expunge.run.before import note, noted
from expunge.run.config_files import config_dir as config_dir
from expunge.run.hydra_errors import explained, one_line_warnings, without_folder
from expunge.run.job import run_in
from expunge.run.job_cache import JobCache, of_this_process
from expunge.run.optimized import Told, metric_of, told
from expunge.sweep.cell import run_cell
from expunge.sweep.command import folder_of, prepared
from expunge.sweep.deleted import with_none
from expunge.sweep.flags import parted
from expunge.sweep.jobs import withdraw
from expunge.sweep.reduced import with_reduced
from expunge.sweep.workers import explain, prepare

BAD_INPUT = 2


class Task:
    """What Hydra calls for every configuration: a run of its own, or a cell of a sweep."""

    def __init__(self, cache: JobCache) -> None:
        self.code = 0  # that the command is to end with
        self._cache = cache

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_worker, ()  # which gets a task for every cell, and has one store for all of them

    def __call__(self, config: DictConfig) -> Told:
        """Run it, and return what ``optimized_metric`` asks for.

        Bad input is one line on standard error, and so is a fault that the run has seen itself.
        """
        hydra_config = HydraConfig.get()
        with open_dict(config):
            config.pop("reduced", None)  # what it comes to is in the other keys
        if hydra_config.job.chdir:  # a run writes to its folder anyway; what it reads is named from here
            os.chdir(hydra_config.runtime.cwd)
        if hydra_config.mode is RunMode.MULTIRUN:
            prepare(hydra_config.launcher)
            return run_cell(config, self._cache)
        try:
            prepare(hydra_config.launcher)
            if not hydra_config.run.dir:
                raise InvalidValue("hydra.run.dir", hydra_config.run.dir, "a folder")
            summary = run_in(Path(hydra_config.runtime.output_dir), config, self._cache)
            return told(metric_of(config), summary)
        except (UserError, OmegaConfBaseException) as error:
            complain(explained(error))
            self.code = BAD_INPUT
        except BrokenInvariant as error:
            complain(f"{error}; nothing of it has been recorded")
            self.code = 1
        return None


def _in_worker() -> Task:
    return Task(of_this_process())


def _answer(given: Sequence[str], task: Task) -> None:
    """Do what the command line asks for."""
    flags, _ = parted(given)
    if flags.version:
        sys.stdout.write(f"expunge {__version__}\n")
        return
    arguments = with_none(with_reduced(given, config_dir()), config_dir())
    if flags.help:
        sys.stdout.write(help_text(config_dir(), arguments) + "\n")
        return
    sys.argv[1:] = prepared(arguments)
    note(None)
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(task)()
    except (ValueError, KeyError) as error:
        if not flags.shell_completion:
            raise
        raise UserError(
            f"--shell-completion: {one_line(error)}; allowed: install=bash, uninstall=zsh, ..."
        ) from None
    except SystemExit as end:
        if flags.package and end.code == 1:  # there is none: Hydra has said so
            sys.exit(BAD_INPUT)
        raise
    finally:
        noted().unmake()  # Hydra makes the run folder, and may find out only then that nothing can be run


def _code_of(error: Exception) -> int | None:
    """Say what Hydra or a launcher or sweeper ran into, and put together what there is; None for another."""
    if said := without_folder(error):
        complain(said)
        return BAD_INPUT
    meant = explain(error)
    files = [frame.filename for frame in extract_tb(error.__traceback__)]
    if any("config_loader" in Path(file).stem for file in files):  # where Hydra puts settings together
        complain(one_line(error))
        return BAD_INPUT
    if meant is None and not any("hydra_plugins" in file and "sweeper" in file for file in files):
        return None
    code, sweep = 1, folder_of(sys.argv[1:])
    if isinstance(meant, UserError):
        code = BAD_INPUT
    elif sweep is not None:
        from expunge.sweep.ending import finish

        ended = finish(sweep, figures=False)
        code = ended if meant is None and ended else code
    complain(meant or f"hydra/sweeper: {one_line(error)}")
    return code


def main() -> None:
    """Run ``expunge``; bad input ends with one line and exit code 2."""
    # Hydra would print a traceback's worth and exit with 1; like this its exceptions reach us.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    task = Task(JobCache())
    try:
        with one_line_warnings():
            _answer(sys.argv[1:], task)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        complain(explain(error) or explained(error))
        if (sweep := folder_of(sys.argv[1:])) is not None:
            withdraw(sweep)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        complain("interrupted; resume=true continues with the same run folder, the same command with a sweep")
        sys.exit(130)
    except Exception as error:
        if isinstance(error, ValueError) and "Config group override" in str(error):
            complain(f"{error}; to leave a group out, choose 'none'")  # Hydra's own, for group=null
            sys.exit(BAD_INPUT)
        if (code := _code_of(error)) is None:
            raise
        sys.exit(code)
    if task.code:
        sys.exit(task.code)


if __name__ == "__main__":
    from expunge.app import main as run  # workers find what they are sent by the module's name

    run()
