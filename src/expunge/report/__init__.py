"""Tables, figures and a self-contained HTML page, made from run folders and from nothing else."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expunge.record.folders.runs import Run, find_runs, read_run
    from expunge.report.write import write_report

__all__ = ["Run", "find_runs", "read_run", "write_report"]


def __getattr__(name: str) -> Any:
    # Only when they are needed: what is imported before the command has begun cannot be interrupted in peace.
    if name not in __all__:
        raise AttributeError(f"module 'expunge.report' has no attribute {name!r}")
    home = "expunge.report.write" if name == "write_report" else "expunge.record.folders.runs"
    return getattr(import_module(home), name)
