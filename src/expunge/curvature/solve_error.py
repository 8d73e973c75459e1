"""What goes wrong when a linear system with a curvature is solved."""

from __future__ import annotations


class SolveError(ArithmeticError):
    """A system has no trustworthy solution; ``str()`` of it is one line that says why."""
