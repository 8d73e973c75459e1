"""What happens before the first and after the last cell of a sweep, in the process that began it."""

from __future__ import annotations

import math
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from expunge.core.errors import InvalidValue, UserError, complain
from expunge.core.files import require_no_links
from expunge.core.folders import unmake
from expunge.core.locks import Taken, exclusive
from expunge.core.system_errors import system_error
from expunge.run.before import note
from expunge.run.environment import overrides_of
from expunge.run.hydra_errors import explained, of_system
from expunge.run.job import TRIALS
from expunge.run.sound import RECORD
from expunge.sweep import jobs
from expunge.sweep.held import HELD, NotBegun, end_watch, require_sweeps, watch
from expunge.sweep.progress import Watch

_OPTIMISERS = re.compile(r"optuna|nevergrad|\bax|_ax_|smac|orion", re.IGNORECASE)


class SweepCallback(Callback):
    """Keeps other sweeps out of the folder, and puts the cells together at the end.

    Hydra turns exceptions in callbacks into warnings, so that the exit code has to be given by ``sys.exit``.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note what there is of the run folder, before Hydra makes it.

        And keep Hydra from writing over the record of a run that the folder holds: the run writes its own.
        """
        try:
            folder = config.hydra.run.dir
        except OmegaConfBaseException:
            return  # Hydra looks for it next, and says so
        note(Path(folder))
        if config.hydra.output_subdir == RECORD:
            config.hydra.output_subdir = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the folder, and forget what an earlier command noted there."""
        sweep = Path(config.hydra.sweep.dir).absolute()
        there, code = jobs.There.now(sweep), 2
        try:
            require_sweeps()
            total = _total(config)
            sweep.mkdir(parents=True, exist_ok=True)
            require_no_links(sweep, (jobs.FOLDER, TRIALS, "figures", ".lock"))
            HELD.enter_context(exclusive(sweep, wait=False))
            jobs.begin(sweep, total, there)
            watch(Watch(sweep, total, overrides_of(config.hydra), bool(config.progress)))
            return
        except Taken as taken:
            hint = f"; {taken}" if str(taken) else ""
            complain(f"hydra.sweep.dir: another process is running a sweep in {sweep}{hint}")
        except OSError as error:
            where = error.filename or sweep
            complain(f"hydra.sweep.dir: {sweep} cannot be used ({where}: {error.strerror})")
            code = 1 if of_system(error) else 2
        except (UserError, HydraException) as error:
            complain(explained(error))
        HELD.close()
        unmake(there.made)
        raise NotBegun(code)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the sweep's files, show its table, and say by the exit code whether every cell is done."""
        end_watch()
        from expunge.sweep.ending import finish  # with the whole report, which takes its time to import

        with HELD:
            try:
                code = finish(Path(config.hydra.sweep.dir).absolute(), figures=bool(config.figures))
            except UserError as error:
                complain(error)
                code = 2
            except Exception as error:
                if line := system_error(error):
                    complain(f"{line}; what is done is kept, the same command goes on")
                else:
                    traceback.print_exc()
                code = 1
        if code:
            sys.exit(code)


def _total(config: DictConfig) -> int | None:
    """Number of cells of Hydra's own sweeper; None for another, which chooses them as it goes.

    Raises:
        UserError: A key has no value, or more of them than can be told.
    """
    target = str(config.hydra.sweeper.get("_target_"))
    if target != f"{BasicSweeper.__module__}.{BasicSweeper.__name__}":
        if _OPTIMISERS.search(target) and config.get("optimized_metric") is None:
            allowed = f"the name of a number of summary.json, which {target.rpartition('.')[2]} chooses by"
            raise InvalidValue("optimized_metric", None, allowed)
        return None
    params = config.hydra.sweeper.get("params") or {}
    asked = [f"{key}={value}" for key, value in params.items()] + list(config.hydra.overrides.task)
    sizes = {}
    # The groups' choices are what a glob is matched with.
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    for override in parser.parse_overrides(asked):
        key, swept = override.get_key_element(), override.is_sweep_override()
        if swept and not override.is_discrete_sweep():
            allowed = "choice(...) or range(...), or a sweeper that optimises (hydra/sweeper=...)"
            raise InvalidValue(key, _value_of(override), allowed)
        sizes[key] = len(list(override.sweep_string_iterator())) if swept else 1
        if not sizes[key]:
            raise InvalidValue(key, _value_of(override), "values of which there is one (see --help)")
    return math.prod(sizes.values())


def _value_of(override: Override) -> str:
    return str(override.input_line).partition("=")[2]
