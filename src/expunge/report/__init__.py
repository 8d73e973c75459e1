"""Tables, figures and a self-contained HTML page, made from run folders and from nothing else."""

from __future__ import annotations

from expunge.report.runs import Run, find_runs, read_run
from expunge.report.write import write_report

__all__ = ["Run", "find_runs", "read_run", "write_report"]
