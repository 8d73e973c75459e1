"""Tables, figures and a self-contained HTML page, made from run folders and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expunge.report.read.runs import Run, find_runs, read_run
    from expunge.report.write import write_report

__all__ = ["Run", "find_runs", "read_run", "write_report"]


def __getattr__(name: str) -> Any:
    # Only when they are needed: what is imported before the command has begun cannot be interrupted in peace.
    if name == "write_report":
        from expunge.report.write import write_report

        return write_report
    if name in __all__:
        from expunge.report.read import runs

        return getattr(runs, name)
    raise AttributeError(f"module 'expunge.report' has no attribute {name!r}")
