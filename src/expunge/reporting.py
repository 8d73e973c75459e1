"""``expunge-report`` whole: reports, from run folders alone, and what reads data again, unknown to them."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.forgotten import option
from expunge.report import app


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on ``argv``, by default the process's own; return its exit code."""
    return app.main(argv, [option])
