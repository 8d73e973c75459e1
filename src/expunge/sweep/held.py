"""The folder of the sweep that this process has begun, kept from others until all is written."""

from __future__ import annotations

from contextlib import ExitStack

HELD = ExitStack()
"""What the sweep's callback holds; workers hold nothing."""


def let_go() -> None:
    """Give it back, also where an exception has ended the sweep."""
    HELD.close()
