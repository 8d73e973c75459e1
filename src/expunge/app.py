"""The command line. Imports what Hydra needs and nothing heavier, so that ``--help`` answers at once."""

from __future__ import annotations

if __name__ == "__main__":  # first of all: what is imported below takes its time
    from expunge.core.door import expunge as enter

    enter()

import io
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from expunge import __version__
from expunge.core.ends import BAD_INPUT, FAILED, ended, heard
from expunge.core.errors import BrokenInvariant, InvalidValue, UserError, complain, one_line
from expunge.core.system_errors import naming, system_error
from expunge.help import help_text
from expunge.ranked import cell_of
from expunge.ranks.tasks import place_of_task
from expunge.run.before import note, noted
from expunge.run.config_files import config_dir as config_dir
from expunge.run.config_source import look_at_files
from expunge.run.environment import environment_of, guard_logs, line_of
from expunge.run.hydra_errors import (
    explained,
    of_an_override,
    of_settings,
    of_sweeper,
    of_system,
    one_line_warnings,
    without_folder,
)
from expunge.run.hydra_trusted import record_privately, trusted_only
from expunge.run.job_cache import JobCache, of_this_process
from expunge.run.optimized import Told, metric_of, told
from expunge.run.show import show_next
from expunge.run.sound import kept_in
from expunge.run.tuning.plan import drop_untuned
from expunge.run.tuning.tuned import run_tuned
from expunge.sweep.cell import run_cell
from expunge.sweep.command import config_folders, folder_of, going_on, key_in, prepared
from expunge.sweep.deleted import with_none
from expunge.sweep.flags import parted
from expunge.sweep.held import end_watch, let_go
from expunge.sweep.jobs import withdraw
from expunge.sweep.reduced import with_reduced
from expunge.sweep.workers import explain, prepare

_REFUSED = (UserError, HydraException, OmegaConfBaseException)


class Refused(Exception):
    """A command has not done what it was asked for; its cause is the error.

    Attributes:
        code: The exit code.
        line: What is wrong, on one line.
    """

    def __init__(self, code: int, line: object) -> None:
        self.code, self.line = code, one_line(line)
        super().__init__(self.line)


class _Stopped(BaseException):
    """What a sweep cannot go on after; Hydra, which adds a line to an ``Exception``, lets it pass."""


class Task:
    """What Hydra calls for every configuration: a run of its own, or a cell of a sweep.

    Attributes:
        error: What a run of its own has ended with: Hydra would add a line to it.
        folder: Its run folder, once it is known.
    """

    error: Exception | None = None
    folder: Path | None = None

    def __init__(self, cache: JobCache) -> None:
        self._cache = cache

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_worker, ()  # which gets a task for every cell, and has one store for all of them

    def __call__(self, config: DictConfig) -> Told:
        """Run it, and return what ``optimized_metric`` asks for; of a run that fails, None."""
        hydra_config = HydraConfig.get()
        with open_dict(config):
            config.pop("reduced", None)  # what it comes to is in the other keys
            drop_untuned(config)
        if hydra_config.job.chdir:  # a run writes to its folder anyway; what it reads is named from here
            os.chdir(hydra_config.runtime.cwd)
        if hydra_config.mode is RunMode.MULTIRUN:
            prepare(hydra_config.launcher or {})
            guard_logs(environment_of(config))
            if (place := place_of_task()) is not None:
                return cell_of(place, lambda: self._cell(config))
            return self._cell(config)
        try:
            guard_logs(environment_of(config))
            prepare(hydra_config.launcher or {})
            if not hydra_config.run.dir:
                raise InvalidValue("hydra.run.dir", hydra_config.run.dir, "a folder")
            self.folder = Path(hydra_config.runtime.output_dir)
            with naming(self.folder):
                summary = run_tuned(self.folder, config, self._cache)
            return told(metric_of(config), summary)
        except (UserError, OmegaConfBaseException) as error:
            line = line_of(error, config)
            same = isinstance(error, UserError) and one_line(error) == line
            self.error = error if same else UserError(line)
        except Exception as error:
            self.error = error
        return None

    def _cell(self, config: DictConfig) -> Told:
        try:
            return run_cell(config, self._cache)
        except Exception as error:
            if multiprocessing.parent_process() is not None:  # the launcher brings it to the command
                raise
            raise _Stopped(error) from None

    def kept(self) -> str:
        """What there is by now, in words, once the command that goes on is shown; a sweep is put together."""
        if (sweep := sweep_folder()) is not None:
            _put_together(sweep, stopped=True)
            return "what is done is kept; the same command goes on"
        if self.folder is None or not self.folder.is_dir():
            return "nothing has been begun"
        show_next(self.folder, going_on(sys.argv[1:]))
        return kept_in(self.folder)


def _in_worker() -> Task:
    record_privately()
    return Task(of_this_process())


def _answer(given: Sequence[str], task: Task) -> None:
    """Do what the command line asks for."""
    flags, overrides = parted(given)
    if flags.version:
        sys.stdout.write(f"expunge {__version__}\n")
        return
    if flags.list is not None:
        from expunge.help_keys import list_text

        sys.stdout.write(list_text(flags.list, config_folders(config_dir(), flags, overrides)) + "\n")
        return
    if flags.schema:
        from expunge.schema import schema_text

        sys.stdout.write(schema_text(config_folders(config_dir(), flags, overrides)) + "\n")
        return
    arguments = with_none(with_reduced(given, config_dir()), config_dir())
    if flags.help:
        sys.stdout.write(_help(arguments) + "\n")
        return
    sys.argv[1:] = prepared(arguments)
    note(None)
    try:
        with trusted_only(), _hushed(flags.package):
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(task)()
    except _Stopped as stopped:
        raise stopped.args[0] from None
    except (ValueError, KeyError) as error:
        if not flags.shell_completion:
            raise
        raise UserError(
            f"--shell-completion: {one_line(error)}; allowed: install=bash, uninstall=zsh, ..."
        ) from None
    except SystemExit as end:
        if flags.package and end.code == 1:
            raise UserError(f"--package: got {flags.package!r}, which the configuration has not") from None
        raise
    finally:
        noted().unmake()  # Hydra makes the run folder, and may find out only then that nothing can be run


def _help(arguments: Sequence[str]) -> str:
    """The page of the command, or that of each key that is named."""
    keys = [text for text in parted(arguments)[1] if "=" not in text and text[0] not in "+~"]
    if not keys:
        return help_text(config_dir(), arguments)
    from expunge.help_keys import key_text

    rest = [text for text in arguments if text not in keys]
    return "\n\n".join(key_text(key, config_dir(), rest) for key in keys)


@contextmanager
def _hushed(package: str | None) -> Iterator[None]:
    """Keep from standard error that Hydra has not found the package, which is not told as a line of ours."""
    with redirect_stderr(io.StringIO()) if package else nullcontext():
        yield


def sweep_folder() -> Path | None:
    """The folder of the sweep that this command has begun, if it has."""
    given = sys.argv[1:]
    swept = "--multirun" in given or any(key_in(text) == "hydra.mode" for text in given)
    return folder_of(given) if swept else None


def _put_together(sweep: Path, stopped: bool = False) -> int:
    from expunge.sweep.ending import finish

    return finish(sweep, figures=False, stopped=stopped)


def _said(error: Exception) -> tuple[int, object] | None:
    """Exit code and line of what a run, Hydra, a launcher or a sweeper ran into; None for another error."""
    if of_system(error) and not isinstance(error, UserError):
        return None
    meant = explain(error)
    if isinstance(error, _REFUSED):
        return BAD_INPUT, meant or explained(error)
    if isinstance(error, BrokenInvariant):
        return FAILED, f"{error}; nothing of it has been recorded"
    if line := of_an_override(error, parted(sys.argv[1:])[1]) or without_folder(error) or of_settings(error):
        return BAD_INPUT, line
    if meant is not None:
        return BAD_INPUT if isinstance(meant, UserError) else FAILED, meant
    if system_error(error) is None and of_sweeper(error):
        return FAILED, f"hydra/sweeper: {one_line(error)}"
    return None


def carry_out(task: Task) -> None:
    """Do what the process's command line asks for, from the command and from Python alike.

    Raises:
        Refused: Input is bad, or a run or a sweep cannot be what it must.
        SystemExit: A sweep has ended with this exit code, and has said itself why.
    """
    try:
        look_at_files()
        with one_line_warnings():
            _answer(sys.argv[1:], task)
        if task.error is not None:
            raise task.error
    except Exception as error:
        end_watch()
        if heard() or (said := _said(error)) is None:
            raise
        code, line = said
        if (sweep := sweep_folder()) is not None:
            if isinstance(error, _REFUSED):
                withdraw(sweep)
            elif code == FAILED:
                code = _put_together(sweep) or code
        raise Refused(code, line) from error


def _run(task: Task) -> int:
    """Carry it out and return the exit code; what ends it unasked is for ``ended`` to say."""
    try:
        carry_out(task)
    except Refused as refused:
        complain(refused.line)
        return refused.code
    return 0


def main() -> None:
    """Run ``expunge``; bad input ends with one line and exit code 2."""
    # Hydra would print a traceback's worth and exit with 1; like this its exceptions reach us.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    task = Task(JobCache())
    try:
        code = ended("expunge", lambda: _run(task), task.kept)
    finally:
        let_go()
    if code:
        sys.exit(code)
