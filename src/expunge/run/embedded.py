"""A command within another program, such as a notebook: what it changes of the process is put back."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import hydra.core.utils as hydra_jobs
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf.basecontainer import BaseContainer

from expunge.core.errors import UserError, unprinted

_ALONE = threading.RLock()
"""Held by who carries out a command: Hydra, the command line and the root logger are the process's."""
_FULL_ERROR = "HYDRA_FULL_ERROR"


class _Inside:
    now = False


@contextmanager
def embedded(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Let the process's command line be these arguments, and print nothing; the list gets all complaints.

    Hydra's state, ``sys.argv``, the working directory, loggers and their handlers are afterwards what they
    were. What is logged goes to the handlers that the program has, by its own level; where it has none,
    warnings go to standard error. Other threads wait for their turn.

    Raises:
        UserError: This thread carries out a command already.
    """
    with _ALONE, ExitStack() as after:
        if _Inside.now:
            raise UserError("expunge: a run cannot begin another one from within; begin it afterwards")
        _Inside.now = True
        after.callback(setattr, _Inside, "now", False)
        _keep_process(after)
        _keep_hydra(after)
        after.enter_context(_logs_of_the_program())
        sys.argv = [*(sys.argv[:1] or ["expunge"]), *arguments]
        os.environ[_FULL_ERROR] = "1"  # else Hydra prints errors, and ends the process
        yield after.enter_context(unprinted())


def _keep_process(after: ExitStack) -> None:
    after.callback(setattr, sys, "argv", sys.argv)
    here, full = os.getcwd(), os.environ.get(_FULL_ERROR)
    after.callback(lambda: None if os.getcwd() == here else os.chdir(here))
    after.callback(
        lambda: (
            os.environ.pop(_FULL_ERROR, None) if full is None else os.environ.__setitem__(_FULL_ERROR, full)
        )
    )


def _keep_hydra(after: ExitStack) -> None:
    """Another program may be using Hydra itself, with a configuration and resolvers of its own."""
    of_all, of_job, sources = GlobalHydra.instance(), HydraConfig.instance(), SourcesRegistry.instance().types
    after.callback(setattr, of_all, "hydra", of_all.hydra)
    after.callback(setattr, of_job, "cfg", of_job.cfg)
    after.callback(sources.__setitem__, "file", sources.get("file", FileConfigSource))
    after.callback(setattr, BaseContainer, "_resolvers", BaseContainer._resolvers)
    of_all.hydra = None
    BaseContainer._resolvers = dict(BaseContainer._resolvers)


@contextmanager
def _logs_of_the_program() -> Iterator[None]:
    """Keep loggers and handlers: ``logging.config``, which Hydra calls, closes what there is."""
    root = logging.getLogger()
    loggers = [root, *(one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger))]
    before = [(one, one.level, one.handlers[:], one.propagate, one.disabled) for one in loggers]
    filters = [(handler, handler.filters[:]) for handler in root.handlers]
    known, named = logging._handlerList[:], dict(logging._handlers)  # type: ignore[attr-defined]
    logging._handlerList[:] = []  # type: ignore[attr-defined]
    configure = hydra_jobs.configure_log
    hydra_jobs.configure_log = _logging_to(root.handlers[:], root.level, configure)
    try:
        yield
    finally:
        hydra_jobs.configure_log = configure
        _put_back(before, filters)
        logging._handlerList[:] = known  # type: ignore[attr-defined]
        logging._handlers.update(named)  # type: ignore[attr-defined]


def _put_back(before: list[tuple[Any, ...]], filters: list[tuple[Any, list[Any]]]) -> None:
    own = {id(handler) for _, _, handlers, _, _ in before for handler in handlers}
    for handler in logging.getLogger().handlers:
        if id(handler) not in own and isinstance(handler, logging.FileHandler):
            handler.close()  # of the run
    for logger, level, handlers, propagate, disabled in before:
        logger.setLevel(level)
        logger.handlers[:], logger.propagate, logger.disabled = handlers, propagate, disabled
    known = {id(logger) for logger, *_ in before}
    for name, logger in logging.getLogger().manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and id(logger) not in known and name.startswith("hydra"):
            logger.setLevel(logging.NOTSET)  # what Hydra's settings of a run say of its own
    for handler, had in filters:
        handler.filters[:] = had


def _logging_to(handlers: list[logging.Handler], level: int, configure: Callable[..., None]) -> Any:
    """Hydra's ``configure_log``, with the program's own handlers in place of those of a terminal."""
    if not handlers:
        handlers, level = [logging.StreamHandler()], logging.WARNING

    def configured(*settings: Any, **named: Any) -> None:
        configure(*settings, **named)
        root = logging.getLogger()
        root.handlers[:] = [one for one in root.handlers if isinstance(one, logging.FileHandler)]
        for handler in handlers:
            others = [one for one in handler.filters if not isinstance(one, _From)]
            handler.filters[:] = [*others, _From(level)]
            root.addHandler(handler)

    return configured


class _From(logging.Filter):
    """Lets pass what the program's own level does; a run's log files may have more."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it passes."""
        return record.levelno >= self._level
