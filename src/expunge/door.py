"""The way into every command and out of it: signals first, then the program itself, which takes its time.

Nothing but the standard library is imported before that.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

from expunge.core.ends import FAILED, ended, listening
from expunge.core.errors import complain
from expunge.core.outputs import take_outputs
from expunge.core.system_errors import system_error


def enter(program: str, module: str) -> NoReturn:
    """Be the command ``program``, whose ``main`` is in ``module``, and end the process by its exit code."""
    with listening(for_good=True):
        shown = take_outputs()
        try:
            code = ended(program, lambda: import_module(module).main())
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
    enter("expunge", "expunge.app")


def audit() -> NoReturn:
    """``expunge-audit``."""
    enter("expunge-audit", "expunge.audit.app")


def report() -> NoReturn:
    """``expunge-report``."""
    enter("expunge-report", "expunge.report.app")


def reproduce() -> NoReturn:
    """``expunge-reproduce``."""
    enter("expunge-reproduce", "expunge.reproduce.app")


def verify() -> NoReturn:
    """``expunge-verify``."""
    enter("expunge-verify", "expunge.verify.app")


def market() -> NoReturn:
    """``python -m expunge.datasets.market``."""
    enter("python -m expunge.datasets.market", "expunge.datasets.market")
