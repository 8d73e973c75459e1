"""How an audit ends where a method does what none may."""

from __future__ import annotations


class Stopped(RuntimeError):
    """A method under audit broke an invariant; the text names it, and says which."""
