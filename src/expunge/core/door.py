"""The way into every command and out of it: signals first, then the program itself, which takes its time.

Even what is imported here takes time enough for a signal to come: it waits until somebody can hear it.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # as in typing, which is imported later
if TYPE_CHECKING:
    from typing import NoReturn

_HELD = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def enter(program: str, module: str) -> NoReturn:
    """Be the command ``program``, whose ``main`` is in ``module``, and end the process by its exit code."""
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD) if masks else set()

    from importlib import import_module

    from expunge.core.ends import FAILED, ended, listening
    from expunge.core.errors import complain
    from expunge.core.outputs import take_outputs
    from expunge.core.system_errors import require_addresses, system_error

    def work() -> int | None:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        require_addresses()
        code: int | None = import_module(module).main()
        return code

    with listening(for_good=True):
        shown = take_outputs()
        try:
            code = ended(program, work)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else FAILED
        sys.stdout.flush()
        if shown is not None and (error := shown.refused()) is not None:
            error.filename = "standard output"
            complain(system_error(error), program)
            code = code or FAILED
        sys.exit(code)


def expunge() -> NoReturn:
    """``expunge``."""
    # WORLD_SIZE: this may be one of several processes, such as torchrun starts
    enter("expunge", "expunge.ranked" if os.environ.get("WORLD_SIZE") else "expunge.app")


def audit() -> NoReturn:
    """``expunge-audit``."""
    enter("expunge-audit", "expunge.audit.app")


def report() -> NoReturn:
    """``expunge-report``."""
    enter("expunge-report", "expunge.reporting")


def reproduce() -> NoReturn:
    """``expunge-reproduce``."""
    enter("expunge-reproduce", "expunge.reproduce.app")


def verify() -> NoReturn:
    """``expunge-verify``."""
    enter("expunge-verify", "expunge.verify.app")


def market() -> NoReturn:
    """``python -m expunge.datasets.market``."""
    enter("python -m expunge.datasets.market", "expunge.datasets.market")
